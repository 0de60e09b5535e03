"""Settlement of a fact: decide, write with compare-and-set, and decide again when another writer was faster.

The return handler, the poller, the API's check, the create and the operator all go through `settle`, so that two of
them racing yield one event.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from proxy.audit.log import AuditEntry
from proxy.gateways.port import Captured, CheckUnknown, InvoiceIssued, NotPaid, PaidUnconfirmed, RequestUnknown
from proxy.kernel import ids
from proxy.kernel.clock import Jitter, Now
from proxy.kernel.errors import NoOpenReview, NotFound, StaleVersion, StoreUnavailable
from proxy.kernel.ids import AUDIT, Ids, merchant_of_id
from proxy.payments import check_schedule
from proxy.payments.change import (
    BankCodeTaken,
    Change,
    Entry,
    InvoiceKeyTaken,
    OrderBeingConfirmed,
    OrderPaidByAnother,
)
from proxy.payments.check_schedule import CheckSchedule, ScheduleChange
from proxy.payments.payment import Decision, Fact, OperatorDecision, Payment, Status
from proxy.payments.serializers import payment_data
from proxy.payments.storage.repository import PaymentRepository
from proxy.payments.transitions import IllegalFact, apply
from proxy.webhooks.delivery import EventClaims, Lease
from proxy.webhooks.event import Event, EventType

# Each round means that another actor changed this very payment in between; a payment has few actors and few states.
MAX_ROUNDS: Final = 8


def ignore(_value: object) -> None:
    """The default listener, which does nothing."""


class Settlement:
    """`on_event` is called with the merchant after a commit that made events, `on_check_due` with the time of a check
    that one planned, `on_change` with the committed change. `offer` gives the terms on which deliveries may be claimed
    in such a commit, and `on_claimed` gets the claims.
    """

    def __init__(
        self,
        payments: PaymentRepository,
        ids: Ids,
        now: Now,
        jitter: Jitter,
        *,
        on_event: Callable[[str], None] = ignore,
        on_check_due: Callable[[int], None] = ignore,
        on_change: Callable[[Change], None] = ignore,
        offer: Callable[[str], Lease | None] = lambda _merchant_id: None,
        on_claimed: Callable[[EventClaims], None] = ignore,
    ) -> None:
        self._payments = payments
        self._ids = ids
        self._now = now
        self._jitter = jitter
        self._on_event = on_event
        self._on_check_due = on_check_due
        self._on_change = on_change
        self._offer = offer
        self._on_claimed = on_claimed

    async def settle(
        self,
        payment: Payment,
        fact: Fact,
        entries: Sequence[Entry] = (),
        schedule: CheckSchedule | None = None,
        complete: Callable[[Change], Change] = lambda change: change,
        asked_at: int | None = None,
    ) -> Change:
        """Stores the change that `fact` makes, and gives it. Raises StoreUnavailable, and IllegalFact for a resolve of
        nothing.

        A bank_code or an order that is another payment's turns a Captured into one that needs review: the change has
        the fact as it turned out to be. `schedule` is the payment's and is moved on; without it the stored one is left
        as it is. `complete` adds the rest of the step to the change, to be stored with it. `asked_at` is when the
        gateway was asked for the fact.
        """
        for _ in range(MAX_ROUNDS):
            found = fact if asked_at is None else _as_of(asked_at, fact, payment, self._now())
            change = complete(self._decide(payment, found, entries, schedule))
            try:
                claims = await self._payments.transition(
                    change, self._offer(change.after.merchant_id) if change.events else None
                )
            except StaleVersion:
                payment = await self._payments.payment(payment.merchant_id, payment.id)
            except (BankCodeTaken, OrderPaidByAnother, OrderBeingConfirmed, InvoiceKeyTaken) as conflict:
                fact = _with_conflict(fact, conflict)
            else:
                self._notify(change, claims)
                return change
        raise StoreUnavailable

    def _decide(self, payment: Payment, fact: Fact, entries: Sequence[Entry], schedule: CheckSchedule | None) -> Change:
        now = self._now()
        after, types = apply(payment, fact, now)
        events = self._events(after, types, now)
        moved = None
        if schedule is not None:
            following = check_schedule.after(schedule, after, fact, now, self._jitter())
            moved = ScheduleChange(schedule if schedule.version else None, following)
        return Change(payment, after, events, entries, schedule=moved, fact=fact)

    def _events(self, payment: Payment, types: Sequence[EventType], now: int) -> list[Event]:
        """One event of each type, telling of `payment` as it is after the change."""
        data: dict[str, Any] = payment_data(payment) if types else {}
        return [
            Event(
                id=self._ids.record(ids.EVENT, payment.merchant_id, now),
                merchant_id=payment.merchant_id,
                storefront=payment.storefront,
                mode=payment.mode,
                type=event_type,
                payment_id=payment.id,
                occurred_at=now,
                data=data,
            )
            for event_type in types
        ]

    def _notify(self, change: Change, claims: EventClaims) -> None:
        self._on_change(change)
        if change.events:
            self._on_claimed(claims)
            self._on_event(change.after.merchant_id)
        if change.schedule is not None and change.schedule.after is not None:
            self._on_check_due(change.schedule.after.due_at)


def _as_of(asked_at: int, fact: Fact, payment: Payment, now: int) -> Fact:
    """An answer from before the expiry ends nothing once that has passed: the customer may have paid in between.

    Between question and answer a machine may stand still, and its clock may jump.
    """
    if payment.status is not Status.PENDING or not asked_at < payment.expires_at <= now:
        return fact
    match fact:
        case NotPaid():
            return CheckUnknown(fact.invoice_key, "asked_before_expiry")
        case CheckUnknown():
            return replace(fact, captured_rials=None)
        case _:
            return fact


def _with_conflict(
    fact: Fact, conflict: BankCodeTaken | OrderPaidByAnother | OrderBeingConfirmed | InvoiceKeyTaken
) -> Fact:
    match fact, conflict:
        case PaidUnconfirmed(), OrderBeingConfirmed():
            return replace(fact, order_busy=True)
        case PaidUnconfirmed(), OrderPaidByAnother():
            return replace(fact, order_paid_by=conflict.payment_id)
        case Captured(), BankCodeTaken():
            return replace(fact, bank_code_of=conflict.payment_id)
        case Captured(), OrderPaidByAnother():
            return replace(fact, order_paid_by=conflict.payment_id)
        case InvoiceIssued(), InvoiceKeyTaken():
            # Two payments on one invoice would both be paid by one customer: such an answer is no invoice at all.
            return RequestUnknown("invoice_key_reused")
        case _:
            raise conflict


class Reviews:
    def __init__(self, payments: PaymentRepository, settlement: Settlement, ids: Ids, now: Now) -> None:
        self._payments = payments
        self._settlement = settlement
        self._ids = ids
        self._now = now

    async def resolve(self, payment_id: str, decision: Decision, note: str, *, actor: str) -> Payment:
        """The payment with its review resolved; the event and the audit entry are stored in the same transaction.

        Raises NotFound, and NoOpenReview also when another operator was quicker.
        """
        merchant_id = merchant_of_id(payment_id)
        if merchant_id is None:
            raise NotFound("payment")
        payment = await self._payments.payment(merchant_id, payment_id)
        try:
            change = await self._settlement.settle(
                payment, OperatorDecision(decision, note, actor), complete=self._with_audit
            )
        except IllegalFact:
            raise NoOpenReview(payment_id) from None
        return change.after

    def _with_audit(self, change: Change) -> Change:
        return replace(change, audit=self._audit_entry(change.after))

    def _audit_entry(self, resolved: Payment) -> AuditEntry:
        review, now = resolved.review, self._now()
        assert review is not None
        assert review.resolution is not None
        data = {
            "decision": review.resolution.decision.value,
            "note": review.resolution.note,
            "reason": review.reason.value,
            "captured_rials": review.captured_rials,
            "payment_version": resolved.version,
        }
        entry_id = self._ids.record(AUDIT, resolved.merchant_id, now)
        actor = review.resolution.by
        return AuditEntry(entry_id, resolved.merchant_id, now, actor, "payment.resolve", resolved.id, data)
