"""From the storefront's order to the gateway and back: create, open the pay link, return, and check on demand."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from proxy import ids, timeline, watch
from proxy.clock import SECOND
from proxy.directory import Directory
from proxy.errors import (
    GatewayTimeout,
    GatewayUnclear,
    IdempotencyKeyReused,
    LeaseLost,
    NotFound,
    PaymentClosed,
    RequestInProgress,
    Unavailable,
)
from proxy.facts import CheckFact, CheckUnknown, RequestUnknown, answered
from proxy.frozen import dataclass
from proxy.gate import Gate
from proxy.ids import Ids, merchant_of_link
from proxy.merchant import ReturnMethod, Terminal, Token
from proxy.money import Currency
from proxy.payment import Payment, Status
from proxy.ports import Gateway, Now, Store
from proxy.records import Change, Entry, Intent, Reply, Stored
from proxy.settlement import Render, Settlement
from proxy.telemetry.tracing import CURRENT
from proxy.watch import Watch

# Longer than a `request` may take: whoever finds the lease over may ask again.
REQUEST_LEASE: Final = 30 * SECOND
# Longer than a return's `check` may take: if that one dies, the watcher takes over then.
RETURN_LEASE: Final = 20 * SECOND


@dataclass(frozen=True, slots=True)
class Order:
    """A create as the storefront asked for it, validated. `expires_in` is milliseconds; `drop_in` as in the payment."""

    amount_rials: int
    currency: Currency
    order_id: str
    description: str | None
    metadata: Mapping[str, Any]
    return_url: str | None
    terminal_id: str | None
    expires_in: int
    drop_in: ReturnMethod | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """A payment after a check; `fact` is what the gateway said, None when there was nothing to ask."""

    payment: Payment
    fact: CheckFact | None


class Checkout:
    """`public_url` is the base of the return links where a terminal has none of its own.

    `on_created` is called with a payment that was stored for the first time.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        gateway: Gateway,
        gate: Gate,
        settlement: Settlement,
        ids: Ids,
        now: Now,
        public_url: str,
    ) -> None:
        self._store = store
        self._directory = directory
        self._gateway = gateway
        self._gate = gate
        self._settlement = settlement
        self._ids = ids
        self._now = now
        self._public_url = public_url
        self.on_created: Callable[[Payment], None] = lambda _payment: None

    async def create(self, token: Token, order: Order, key: str, digest: bytes, render: Render) -> Reply:
        """The reply to a create, which is the first one again for a key that was answered before.

        Raises the errors of the tree: InvalidInput about terminal_id, OrderAlreadyPaid, IdempotencyKeyReused,
        RequestInProgress, PaymentClosed, GatewayUnclear, GatewayTimeout, and Unavailable before anything is stored.
        """
        terminal = await self._directory.pick_terminal(token, order.terminal_id)
        try:
            self._gate.refuse_when_open(terminal.id)
            async with self._gate.slot(terminal.id):
                return await self._create(token, terminal, order, key, digest, render)
        except Unavailable:
            stored = await self._store.stored(token.merchant_id, token.storefront, token.mode, key)
            if stored is None or stored.reply is None:
                raise
            return _replayed(stored, digest, self._now()) or stored.reply

    async def check(self, payment: Payment, read: Watch | None = None, plan: Watch | None = None) -> Checkup:
        """Asks the gateway about every invoice of which no capture is known, and settles what it says.

        `read` is the payment's watch as stored and `plan` the one to go on from, for a caller that has them.
        """
        keys = payment.open_invoice_keys()
        if not keys:
            return Checkup(payment, None)
        read = read or await self._store.watch(payment.merchant_id, payment.id)
        plan = plan or read or watch.begin(payment)
        terminal = await self._directory.terminal(payment.merchant_id, payment.terminal_id)
        account = await self._directory.account(terminal)
        calls: list[tuple[CheckFact, Entry]] = []
        for key in keys:
            async with self._gate.slot(terminal.id):
                started = self._now()
                checked = await self._gateway.check(account, key)
            self._gate.answered(terminal.id, clear=answered(checked.fact))
            calls.append((checked.fact, timeline.call("gateway.check", started, checked)))
        return await self._settle_all(payment, calls, plan, read)

    async def opened(self, link: str) -> Payment:
        """The payment of a pay link that somebody opened, asked about first when its time is up."""
        payment = await self._by_link(link)
        if payment.status is Status.PENDING and self._now() >= payment.expires_at:
            return (await self.check(payment)).payment
        return payment

    async def returned(self, link: str, params: Mapping[str, str]) -> Checkup:
        """What is known once the customer is back. The parameters are noted and believed in nothing."""
        now = self._now()

        def noted(payment: Payment, read: Watch | None) -> Change | None:
            if not payment.open_invoice_keys() or payment.status is Status.PAID:
                return None
            entry = timeline.customer_return(payment, now, params)
            plan = watch.hurry(read or watch.begin(payment), now + RETURN_LEASE)
            return Change(payment, payment, entries=(entry,), watch=plan, watch_read=read)

        payment, plan = await self._store.note(_merchant_of(link), link, noted)
        if plan is None:
            return Checkup(payment, None)
        return await self.check(payment, read=plan, plan=plan)

    def gateway_is_down(self, payment: Payment) -> bool:
        """Whether the payment's gateway has not been answering lately, and is being spared."""
        return self._gate.spares(payment.terminal_id)

    async def gateway_pay_url(self, payment: Payment) -> str:
        """Where the customer of a pending payment pays."""
        terminal = await self._directory.terminal(payment.merchant_id, payment.terminal_id)
        return f"{terminal.gateway_url.rstrip('/')}/invoice/pay/{quote(payment.invoice_key or '', safe='')}"

    async def _create(
        self, token: Token, terminal: Terminal, order: Order, key: str, digest: bytes, render: Render
    ) -> Reply:
        now = self._now()
        payment = self._new_payment(token, terminal, order, now)
        intent = Intent(key, digest, now + REQUEST_LEASE, CURRENT.get())
        begun = self._settlement.expect(payment)
        stored = await self._store.create_payment(payment, intent, begun)
        if stored.fresh:
            self.on_created(stored.payment)
        else:
            reply = _replayed(stored, digest, now)
            if reply is not None:
                return reply
            stored, begun = await self._take_over(stored, now)
        return await self._request(stored.payment, terminal, key, begun, render)

    async def _take_over(self, stored: Stored, now: int) -> tuple[Stored, Watch]:
        payment = stored.payment
        if payment.status is not Status.CREATED:
            raise PaymentClosed(payment.id)
        try:
            taken = await self._store.lease_request(payment, now, now + REQUEST_LEASE)
        except LeaseLost:
            raise RequestInProgress(1) from None
        read = await self._store.watch(payment.merchant_id, payment.id)
        return taken, read or watch.begin(payment)

    async def _request(self, payment: Payment, terminal: Terminal, key: str, begun: Watch, render: Render) -> Reply:
        # The payment's own terminal: a retry keeps the one that the first request was stored with.
        if terminal.id != payment.terminal_id:
            terminal = await self._directory.terminal(payment.merchant_id, payment.terminal_id)
        account = await self._directory.account(terminal)
        base = (terminal.return_base_url or self._public_url).rstrip("/")
        started = self._now()
        requested = await self._gateway.request(account, payment.amount_rials, f"{base}/return/{payment.link}")
        self._gate.answered(terminal.id, clear=answered(requested.fact))
        entry = timeline.call("gateway.request", started, requested)
        settled = await self._settlement.settle(
            payment, requested.fact, (entry,), plan=begun, read=begun, render=render
        )
        if settled.reply is not None:
            return settled.reply
        if isinstance(settled.fact, RequestUnknown) and settled.payment.status is Status.CREATED:
            raise _unclear(settled.fact, settled.payment)
        # Another request for this payment was answered first: its invoice is the customer's, and ours is watched too.
        first = await self._store.stored(payment.merchant_id, payment.storefront, payment.mode, key)
        if first is None or first.reply is None:
            raise PaymentClosed(payment.id)
        return first.reply

    async def _settle_all(
        self, payment: Payment, calls: list[tuple[CheckFact, Entry]], plan: Watch, read: Watch | None
    ) -> Checkup:
        # The least clear answer decides when to ask again, so it is settled last, with the watch.
        calls.sort(key=lambda call: (isinstance(call[0], CheckUnknown), call[0].invoice_key == payment.invoice_key))
        for index, (fact, entry) in enumerate(calls, start=1):
            last = index == len(calls)
            settled = await self._settlement.settle(payment, fact, (entry,), plan=plan if last else None, read=read)
            payment = settled.payment
        return Checkup(payment, calls[-1][0])

    async def _by_link(self, link: str) -> Payment:
        return await self._store.payment_by_link(_merchant_of(link), link)

    def _new_payment(self, token: Token, terminal: Terminal, order: Order, now: int) -> Payment:
        return Payment(
            id=self._ids.record(ids.PAYMENT, token.merchant_id, now),
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            terminal_id=terminal.id,
            mode=token.mode,
            order_id=order.order_id,
            amount_rials=order.amount_rials,
            currency=order.currency,
            description=order.description,
            metadata=order.metadata,
            return_url=order.return_url,
            link=self._ids.link(token.merchant_id, now),
            expires_at=now + order.expires_in,
            created_at=now,
            updated_at=now,
            drop_in=order.drop_in,
        )


def _merchant_of(link: str) -> str:
    merchant_id = merchant_of_link(link)
    if merchant_id is None:
        raise NotFound("payment")
    return merchant_id


def _replayed(stored: Stored, digest: bytes, now: int) -> Reply | None:
    """The first reply again, or None when the create had none and nobody is asking the gateway for it just now."""
    if stored.intent.digest != digest:
        raise IdempotencyKeyReused
    if stored.reply is None and stored.payment.status is Status.CREATED and stored.intent.lease_until > now:
        raise RequestInProgress(max(1, -(-(stored.intent.lease_until - now) // SECOND)))
    return stored.reply


def _unclear(fact: RequestUnknown, payment: Payment) -> GatewayUnclear | GatewayTimeout:
    kind = GatewayTimeout if fact.timed_out else GatewayUnclear
    return kind(
        f"The gateway gave no clear answer ({fact.reason}). No link was made; send the same request again, with the "
        "same Idempotency-Key.",
        "پاسخ روشنی از درگاه نرسید و پیوند پرداختی ساخته نشد. همین درخواست را با همان Idempotency-Key دوباره بفرستید.",
        payment.id,
        fact.error_code,
    )
