"""The checkout, from the pay link to the gateway and back: opened links, returns, and checks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.family import WayThere
from proxy.gateways.port import CheckOutcome, CheckUnknown, TooLate
from proxy.gateways.registry import FAMILIES
from proxy.kernel import log_context
from proxy.kernel.clock import SECOND, Now
from proxy.kernel.errors import NotWithdrawn, RateLimited
from proxy.kernel.frozen import dataclass
from proxy.kernel.rate_limits import RateLimit
from proxy.merchants.cache import GuardedGateway
from proxy.payments import check_schedule, history
from proxy.payments.change import Change, Entry
from proxy.payments.check_schedule import CheckSchedule, ScheduleChange
from proxy.payments.confirmation import Confirmation
from proxy.payments.payment import OPEN, AskedBack, CallIntent, Payment, ReturnEvidence, Status, Withdrawn
from proxy.payments.settlement import Settlement
from proxy.payments.storage.repository import PaymentRepository

ASKS_PER_LINK: Final = 6
"""A minute, whoever opens it."""
# A customer who comes straight from the shop has paid nothing yet.
FRESH: Final = 30 * SECOND


class PayLinkOpenings:
    """The openings in this process; the payment's age approximates those in other processes."""

    def __init__(self, breaker: CircuitBreaker, now: Now) -> None:
        self._breaker = breaker
        self._now = now
        self._limit = RateLimit("link-openings", ASKS_PER_LINK)

    def asks(self, payment: Payment) -> bool:
        """Whether this opening of a pending payment asks. Call it once for each.

        Not the first one of a fresh link, and not of a gateway that does not answer while the link can be paid.
        """
        now, opened_before = self._now(), payment.link in self._limit
        try:
            self._limit.spend(payment.link, now)
        except RateLimited:
            return False
        if now >= payment.expires_at:
            return True
        return (opened_before or now >= payment.created_at + FRESH) and self._breaker.is_closed(payment.terminal_id)


# Longer than a return's `check` may take: if that one dies, the poller takes over then.
RETURN_LEASE: Final = 20 * SECOND


@dataclass(frozen=True, slots=True)
class Checkup:
    """A payment after a check; `fact` is what the gateway's answer says of it, None when there was nothing to ask."""

    payment: Payment
    fact: CheckOutcome | None


class Checkout:
    """The customer's part of a payment, and the checks that decide its outcome."""

    def __init__(
        self,
        payments: PaymentRepository,
        gateway: GuardedGateway,
        settlement: Settlement,
        now: Now,
    ) -> None:
        self._payments = payments
        self._gateway = gateway
        self._settlement = settlement
        self._now = now
        self._openings = PayLinkOpenings(gateway.breaker, now)
        self._confirmation = Confirmation(gateway, settlement, now)

    async def check(
        self, payment: Payment, schedule: CheckSchedule | None = None, began: CallIntent | None = None
    ) -> Checkup:
        """Checks every invoice without a known capture at the gateway, and settles its answer.

        `schedule` is the payment's as stored, for a caller that has it, and `began` an intent that it has just stored.
        """
        keys = payment.due_invoice_keys()
        if not keys:
            return Checkup(payment, None)
        schedule = schedule or await self._payments.check_schedule(payment.merchant_id, payment.id)
        schedule = schedule or check_schedule.resume(payment, self._now())
        terminal = await self._gateway.accounts.terminal(payment.merchant_id, payment.terminal_id)
        account = await self._gateway.accounts.account(terminal)
        family = FAMILIES[account.gateway]
        if family.traits.confirms:
            done = await self._confirmation.check(payment, terminal, account, family, schedule, began)
            return Checkup(done.payment, cast("CheckOutcome | None", done.fact))
        calls: list[tuple[CheckOutcome, int, Entry]] = []
        for key in keys:
            with log_context.about(merchant_id=payment.merchant_id, payment_id=payment.id):
                async with self._gateway.limiter.slot(terminal.merchant_id, terminal.id):
                    started = self._now()
                    checked = await self._gateway.port.check(account, key)
                self._gateway.breaker.record(terminal.id, checked)
            calls.append((checked.outcome, started, history.call("gateway.check", started, checked)))
        # The least clear answer decides when to ask again, so it is settled last, with the schedule.
        calls.sort(key=lambda call: (isinstance(call[0], CheckUnknown), call[0].invoice_key == payment.invoice_key))
        *others, (last, asked_at, entry) = calls
        for outcome, at, line in others:
            payment = (await self._settlement.settle(payment, outcome, (line,), asked_at=at)).after
        change = await self._settlement.settle(payment, last, (entry,), schedule, asked_at=asked_at)
        return Checkup(change.after, cast("CheckOutcome", change.fact))

    async def opened(self, merchant_id: str, link: str) -> Payment:
        """The payment of an opened pay link. The gateway is asked first if it may have been paid meanwhile."""
        payment = await self._payments.payment_by_link(merchant_id, link)
        if payment.status is Status.PENDING and self._openings.asks(payment):
            return (await self.check(payment)).payment
        return payment

    async def returned(self, merchant_id: str, link: str, params: Mapping[str, str], method: str = "GET") -> Checkup:
        """Handles a customer's return: notes its parameters, believes none of them, and asks the gateway."""
        now = self._now()

        def noted(payment: Payment, stored: CheckSchedule | None) -> Change | None:
            if not payment.open_invoice_keys() or payment.status is Status.PAID:
                return None
            entry = history.customer_return(payment, now, params, method)
            hurried = check_schedule.hurry(stored or check_schedule.resume(payment, now), now + RETURN_LEASE)
            return Change(payment, payment, entries=(entry,), schedule=ScheduleChange(stored, hurried))

        payment, schedule = await self._payments.note(merchant_id, link, noted)
        if schedule is None:
            return Checkup(payment, None)
        family = FAMILIES.get(payment.gateway)
        if family is not None and (evidence := family.kept_evidence(params)):
            payment = (await self._settlement.settle(payment, ReturnEvidence(evidence))).after
        return await self.check(payment, schedule)

    async def withdraw(self, payment: Payment) -> Payment:
        """The payment, withdrawn by its shop after the gateway was asked once more.

        Raises NotWithdrawn when it is paid, being confirmed, or ended otherwise. A repeated withdrawal is none.
        """
        if payment.status in OPEN:
            payment = (await self.check(payment)).payment
        if payment.withdrawn_at is None:
            payment = (await self._settlement.settle(payment, Withdrawn())).after
        if payment.withdrawn_at is None:
            raise NotWithdrawn(payment.id, payment.status)
        return payment

    async def reverse(self, payment: Payment) -> Checkup:
        """A paid payment after its gateway was asked to give the money back, as its shop wishes.

        The wish is stored with its schedule before the call, so that it is carried out though this process dies. The
        fact is TooLate or CheckUnknown with `not_reversed` where the money stays; after any other but Reversed nothing
        is known yet.
        """
        traits, key = FAMILIES[payment.gateway].traits, payment.captured_invoice_keys[0]
        if not traits.reverses_paid or (payment.given_back is not None and not payment.is_asked_back):
            return Checkup(payment, CheckUnknown(key, "not_offered", not_reversed=True))
        wish = AskedBack((payment.paid_at or 0) + (traits.reverse_within or 0))
        schedule = await self._payments.check_schedule(payment.merchant_id, payment.id)
        schedule = schedule or check_schedule.resume(payment, self._now())
        change = await self._settlement.settle(payment, wish, (), schedule, complete=self._with_wish)
        if not change.after.is_asked_back:
            return Checkup(change.after, TooLate(key))
        return await self.check(change.after, began=None if change.after is change.before else change.after.intent)

    def _with_wish(self, change: Change) -> Change:
        wished = change.after is not change.before
        return replace(change, entries=(history.shop_reversal(self._now()),)) if wished else change

    def gateway_is_down(self, payment: Payment) -> bool:
        """Whether the payment's gateway has not been answering lately, and is being spared."""
        return self._gateway.breaker.is_open(payment.terminal_id)

    async def way_there(self, payment: Payment) -> WayThere:
        """The customer's way to the gateway, only at an origin to which the terminal's credentials may go."""
        terminal = await self._gateway.accounts.terminal(payment.merchant_id, payment.terminal_id)
        account = await self._gateway.accounts.account(terminal)
        return FAMILIES[account.gateway].way_there(account.gateway_url, payment.invoice_key or "")
