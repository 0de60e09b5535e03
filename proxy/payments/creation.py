"""A create: payment and intent are stored, the gateway makes an invoice, and its answer becomes the reply."""

from collections.abc import Callable
from typing import Final

from proxy.gateways.family import check_amount
from proxy.gateways.port import Account, Purchase, RequestUnknown, reason_of
from proxy.gateways.registry import FAMILIES
from proxy.kernel import ids, log_context
from proxy.kernel.clock import SECOND, Jitter, Now
from proxy.kernel.errors import (
    GatewayTimeout,
    GatewayUnclear,
    IdempotencyKeyReused,
    LeaseLost,
    MerchantArchived,
    OrderAlreadyPaid,
    PaymentClosed,
    RequestInProgress,
    Unavailable,
)
from proxy.kernel.frozen import dataclass, replace
from proxy.kernel.ids import SECRET_CHARS, Ids
from proxy.kernel.tracing import CURRENT
from proxy.merchants.cache import GuardedGateway
from proxy.merchants.merchant import Terminal, Token
from proxy.payments import check_schedule, history
from proxy.payments.change import Change, Intent, Reply, StoredCreation
from proxy.payments.check_schedule import CheckSchedule
from proxy.payments.payment import Order, Payment, Status
from proxy.payments.settlement import Settlement, ignore
from proxy.payments.storage.repository import PaymentRepository

# Longer than a `request` may take: whoever finds the lease over may ask again.
REQUEST_LEASE: Final = 30 * SECOND


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A storefront's create, validated. `key` is its Idempotency-Key, `expires_in` milliseconds.

    `digest` identifies another request under the same key, and `render` gives the reply of a definite outcome.
    `deadline` is the event loop's time after which its caller waits for no answer any more, where it named one.
    """

    order: Order
    key: str
    digest: bytes
    render: Callable[[Payment], Reply]
    expires_in: int
    terminal_id: str | None = None
    deadline: float | None = None

    def answered(self, change: Change) -> Change:
        """The change of the payment that its request made: the lease ends, and a definite outcome is replied to."""
        decided = change.before.status is Status.CREATED and change.after.status is not Status.CREATED
        return replace(change, release=True, reply=self.render(change.after) if decided else None)


class PaymentCreation:
    """`public_url` is the base of the return links where a terminal has none of its own.

    `on_created` is called with a payment that was stored for the first time.
    """

    def __init__(
        self,
        payments: PaymentRepository,
        gateway: GuardedGateway,
        settlement: Settlement,
        *,
        ids: Ids,
        now: Now,
        jitter: Jitter,
        public_url: str,
        on_created: Callable[[Payment], None] = ignore,
    ) -> None:
        self._payments = payments
        self._gateway = gateway
        self._settlement = settlement
        self._ids = ids
        self._now = now
        self._jitter = jitter
        self._public_url = public_url
        self._on_created = on_created

    async def create(self, token: Token, request: CreateRequest) -> Reply:
        """The reply to a create, which is the first one again for a key that was answered before.

        Raises the errors of the tree: InvalidInput about terminal_id, OrderAlreadyPaid, IdempotencyKeyReused,
        RequestInProgress, PaymentClosed, GatewayUnclear, GatewayTimeout, and Unavailable before anything is stored.
        MerchantArchived as of the cache: a create that began before it was archived, or at another replica within the
        cache's age of that, makes a payment like any other.
        """
        merchant = await self._gateway.accounts.merchant(token.merchant_id)
        if merchant.archived_at is not None:
            return await self._replay_only(token, request)
        terminal = await self._gateway.accounts.pick_terminal(token, request.terminal_id)
        check_amount(FAMILIES[terminal.gateway], request.order.amount_rials)
        try:
            self._gateway.breaker.refuse_when_open(terminal.id)
            # Before anything is stored: a terminal whose api_key does not open makes no payment.
            account = await self._gateway.accounts.account(terminal)
            async with self._gateway.limiter.slot_of_create(terminal.merchant_id, terminal.id, request.deadline):
                return await self._create(token, terminal, account, request)
        except Unavailable as error:
            reply = await self._reply_before(token, request, error)
            if reply is None:
                raise
            return reply

    async def _replay_only(self, token: Token, request: CreateRequest) -> Reply:
        """The reply that the key had before. Raises MerchantArchived where there is none."""
        stored = await self._payments.stored(token.merchant_id, token.storefront, token.mode, request.key)
        reply = None if stored is None else _replay(stored, request.digest, self._now())
        if reply is None:
            raise MerchantArchived(None if stored is None else stored.payment.id)
        return reply

    async def _reply_before(self, token: Token, request: CreateRequest, error: Unavailable) -> Reply | None:
        """The reply that the key had before `error`, or None: the error then names the payment that is stored."""
        try:
            stored = await self._payments.stored(token.merchant_id, token.storefront, token.mode, request.key)
        except Unavailable:
            return None
        if stored is not None and stored.reply is not None:
            return _replay(stored, request.digest, self._now()) or stored.reply
        if stored is not None and stored.intent.digest == request.digest:
            error.payment_id = stored.payment.id
        return None

    async def _create(self, token: Token, terminal: Terminal, account: Account, request: CreateRequest) -> Reply:
        now = self._now()
        payment = self._new_payment(token, terminal, request, now)
        intent = Intent(request.key, request.digest, now + REQUEST_LEASE, CURRENT.get())
        schedule = check_schedule.expect(payment, self._jitter())
        stored = await self._store(token, payment, intent, schedule)
        if stored.fresh:
            self._on_created(stored.payment)
        else:
            reply = _replay(stored, request.digest, now)
            if reply is not None:
                return reply
            stored, schedule = await self._take_over(stored, now)
        try:
            return await self._request(stored.payment, terminal, account, schedule, request)
        except Unavailable as error:
            error.payment_id = stored.payment.id
            raise

    async def _store(self, token: Token, payment: Payment, intent: Intent, schedule: CheckSchedule) -> StoredCreation:
        """The payment as stored. Raises OrderAlreadyPaid, which names no payment that the token may not see."""
        try:
            return await self._payments.create_payment(payment, intent, schedule)
        except OrderAlreadyPaid as error:
            paid = await self._payments.payment(token.merchant_id, error.payment_id) if error.payment_id else None
            if paid is None or not token.sees(paid.storefront, paid.mode, paid.terminal_id):
                raise OrderAlreadyPaid(None) from None
            raise

    async def _take_over(self, stored: StoredCreation, now: int) -> tuple[StoredCreation, CheckSchedule]:
        payment = stored.payment
        if payment.status is not Status.CREATED:
            raise PaymentClosed(payment.id)
        try:
            taken = await self._payments.lease_request(payment, now, now + REQUEST_LEASE)
        except LeaseLost:
            raise RequestInProgress(1) from None
        schedule = await self._payments.check_schedule(payment.merchant_id, payment.id)
        return taken, schedule or check_schedule.begin(payment)

    async def _request(
        self, payment: Payment, terminal: Terminal, account: Account, schedule: CheckSchedule, request: CreateRequest
    ) -> Reply:
        # The payment's own terminal: a retry keeps the one that the first request was stored with.
        if terminal.id != payment.terminal_id:
            terminal = await self._gateway.accounts.terminal(payment.merchant_id, payment.terminal_id)
            account = await self._gateway.accounts.account(terminal)
        base = (terminal.return_base_url or self._public_url).rstrip("/")
        started = self._now()
        purchase = Purchase(self._ids.number(started), payment.description or payment.order_id)
        return_url = f"{base}/return/{payment.link}"
        with log_context.about(merchant_id=payment.merchant_id, payment_id=payment.id):
            requested = await self._gateway.port.request(account, payment.amount_rials, return_url, purchase)
            self._gateway.breaker.record(terminal.id, requested)
        entry = history.call("gateway.request", started, requested)
        change = await self._settlement.settle(payment, requested.outcome, (entry,), schedule, request.answered)
        if change.reply is not None:
            return change.reply
        if isinstance(change.fact, RequestUnknown) and change.after.status is Status.CREATED:
            raise _unclear(change.fact, change.after)
        # Another request for this payment was answered first: the customer has its invoice, and ours is checked too.
        first = await self._payments.stored(payment.merchant_id, payment.storefront, payment.mode, request.key)
        if first is None or first.reply is None:
            raise PaymentClosed(payment.id)
        return first.reply

    def _new_payment(self, token: Token, terminal: Terminal, request: CreateRequest, now: int) -> Payment:
        front = None if request.order.protocol is None else FAMILIES[request.order.protocol].shop_side
        return Payment(
            id=self._ids.record(ids.PAYMENT, token.merchant_id, now),
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            terminal_id=terminal.id,
            mode=token.mode,
            link=self._ids.link(token.merchant_id, now, SECRET_CHARS if front is None else front.link_secret_chars),
            expires_at=now + request.expires_in,
            created_at=now,
            updated_at=now,
            number=self._ids.payment_number() if front is not None and front.numbers else None,
            gateway=terminal.gateway,
            **vars(request.order),
        )


def _replay(stored: StoredCreation, digest: bytes, now: int) -> Reply | None:
    """The first reply again, or None when the create had none and nobody is asking the gateway for it just now."""
    if stored.intent.digest != digest:
        raise IdempotencyKeyReused
    if stored.reply is None and stored.payment.status is Status.CREATED and stored.intent.lease_until > now:
        raise RequestInProgress(max(1, -(-(stored.intent.lease_until - now) // SECOND)))
    return stored.reply


def _unclear(fact: RequestUnknown, payment: Payment) -> GatewayUnclear | GatewayTimeout:
    kind = GatewayTimeout if fact.timed_out else GatewayUnclear
    said = None if fact.error_code is None else FAMILIES[payment.gateway].developer_explanation(fact.error_code)
    english, persian = said or (reason_of(fact), reason_of(fact))
    return kind(
        f"The gateway gave no clear answer ({english}). No link was made; send the same request again, with "
        "the same Idempotency-Key.",
        f"پاسخ روشنی از درگاه نرسید ({persian}) و پیوند پرداختی ساخته نشد. همین درخواست را با همان Idempotency-Key "
        "دوباره بفرستید.",
        payment.id,
        payment.gateway,
        fact.error_code,
    )
