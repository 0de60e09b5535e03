"""How a fact becomes a stored state: decide, write with compare-and-set, and decide again when somebody was quicker.

The return handler, the watcher, the API's check, the create and the operator all go through `settle`, so that two of
them racing yield one event.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from proxy import ids, watch
from proxy.errors import BankCodeSeen, InvoiceKeySeen, OrderPaidByAnother, StaleVersion, StoreUnavailable
from proxy.facts import Captured, Fact, InvoiceIssued, RequestUnknown
from proxy.frozen import dataclass
from proxy.ids import Ids
from proxy.merchant import AuditEntry
from proxy.payment import EventType, Payment, Status, apply
from proxy.ports import Jitter, Now, Store
from proxy.records import Begun, Change, Entry, Lease, Reply
from proxy.views import payment_data
from proxy.watch import Watch
from proxy.webhook import Event

# Each round means that another actor changed this very payment in between; a payment has few actors and few states.
MAX_ROUNDS: Final = 8

Render = Callable[[Payment], Reply]
Audited = Callable[[Payment], AuditEntry]


@dataclass(frozen=True, slots=True)
class Settled:
    """The payment as stored, the fact as it turned out to be, and the create's reply when this step stored it."""

    payment: Payment
    fact: Fact
    reply: Reply | None


class Settlement:
    """`on_event` is called with the merchant after a commit that made events, `on_watch` with the time of a check
    that one planned, `on_change` with what was committed. `offer` gives the terms on which deliveries may be claimed in
    such a commit, and `on_begun` hears which are.
    """

    def __init__(self, store: Store, ids: Ids, now: Now, jitter: Jitter) -> None:
        self._store = store
        self._ids = ids
        self._now = now
        self._jitter = jitter
        self.on_event: Callable[[str], None] = lambda _merchant_id: None
        self.on_watch: Callable[[int], None] = lambda _due_at: None
        self.on_change: Callable[[Change], None] = lambda _change: None
        self.offer: Callable[[], Lease | None] = lambda: None
        self.on_begun: Callable[[Begun], None] = lambda _begun: None

    async def settle(
        self,
        payment: Payment,
        fact: Fact,
        entries: Sequence[Entry] = (),
        *,
        plan: Watch | None,
        read: Watch | None,
        render: Render | None = None,
        audited: Audited | None = None,
    ) -> Settled:
        """Stores what comes of `fact`. Raises StoreUnavailable, and IllegalFact for a resolve of nothing.

        A bank_code or an order that is another payment's turns a Captured into one that needs review. `read` is the
        watch as stored and `plan` the one to go on from (None leaves the watch as it is). With `render` this is a
        create: its lease ends, and its reply is stored once the outcome is definite. `audited` gives the log's entry
        of the payment as it is after an operator's act, to be stored with it.
        """
        for _ in range(MAX_ROUNDS):
            change = self._decide(payment, fact, entries, plan, read, render, audited)
            try:
                begun = await self._store.transition(change, self.offer() if change.events else None)
            except StaleVersion:
                payment = await self._store.payment(payment.merchant_id, payment.id)
            except (BankCodeSeen, OrderPaidByAnother, InvoiceKeySeen) as seen:
                fact = _as_seen(fact, seen)
            else:
                self._tell(change, begun)
                return Settled(change.after, fact, change.reply)
        raise StoreUnavailable

    def expect(self, payment: Payment) -> Watch:
        """The watch to store with a payment whose invoice is asked for next."""
        return watch.expect(payment, self._jitter())

    def events(self, payment: Payment, types: Sequence[EventType], now: int) -> list[Event]:
        """One event of each type, telling of `payment` as it is after the change."""
        data: dict[str, Any] = payment_data(payment) if types else {}
        return [
            Event(
                id=self._ids.record(ids.EVENT, payment.merchant_id, now),
                merchant_id=payment.merchant_id,
                storefront=payment.storefront,
                type=event_type,
                payment_id=payment.id,
                occurred_at=now,
                data=data,
                mode=payment.mode,
            )
            for event_type in types
        ]

    def _decide(
        self,
        payment: Payment,
        fact: Fact,
        entries: Sequence[Entry],
        plan: Watch | None,
        read: Watch | None,
        render: Render | None,
        audited: Audited | None,
    ) -> Change:
        now = self._now()
        after, types = apply(payment, fact, now)
        decided = payment.status is Status.CREATED and after.status is not Status.CREATED
        return Change(
            before=payment,
            after=after,
            events=self.events(after, types, now),
            entries=entries,
            watch=read if plan is None else watch.after(plan, after, fact, now, self._jitter()),
            watch_read=read,
            release=render is not None,
            reply=render(after) if render is not None and decided else None,
            audit=None if audited is None else audited(after),
        )

    def _tell(self, change: Change, begun: Begun) -> None:
        self.on_change(change)
        if change.events:
            self.on_begun(begun)
            self.on_event(change.after.merchant_id)
        if change.watch is not None:
            self.on_watch(change.watch.due_at)


def _as_seen(fact: Fact, seen: BankCodeSeen | OrderPaidByAnother | InvoiceKeySeen) -> Fact:
    match fact, seen:
        case Captured(), BankCodeSeen():
            return replace(fact, bank_code_of=seen.payment_id)
        case Captured(), OrderPaidByAnother():
            return replace(fact, order_paid_by=seen.payment_id)
        case InvoiceIssued(), InvoiceKeySeen():
            # Two payments on one invoice would both be paid by one customer: such an answer is no invoice at all.
            return RequestUnknown("invoice_key_reused")
        case _:
            raise seen
