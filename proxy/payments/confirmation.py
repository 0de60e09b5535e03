"""Families that capture by a call of ours: from "the customer paid" to "the gateway captured".

Each call that moves money is decided in `payment.apply` and stored as the payment's intent before it is made, and stays
there until an answer ends it: after a crash the next check finds it and makes the same call again, which every family
allows. `confirm` is never used to find out whether somebody paid where the family can be asked otherwise.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from proxy.gateways.family import Family, ReturnClaim
from proxy.gateways.port import (
    NO_EVIDENCE,
    Account,
    AmountDiffers,
    Canceled,
    CheckOutcome,
    CheckResult,
    CheckUnknown,
    Evidence,
    Inquiry,
    NotPaid,
    PaidUnconfirmed,
    TooLate,
)
from proxy.kernel import log_context
from proxy.kernel.clock import SECOND, Now
from proxy.kernel.frozen import dataclass
from proxy.merchants.cache import GuardedGateway
from proxy.merchants.merchant import Terminal
from proxy.payments import history
from proxy.payments.change import Entry
from proxy.payments.check_schedule import CHECKS_IN_WINDOW, CheckSchedule
from proxy.payments.payment import CallIntent, Fact, GatewayStep, Payment
from proxy.payments.settlement import Settlement

# Longer than a call may take: whoever finds an older intent makes its call again.
CALL_LEASE: Final = 20 * SECOND
# A check, its confirm, and the settle or reverse that follows.
MAX_CALLS: Final = 3


@dataclass(frozen=True, slots=True)
class _Said:
    """What is known of an invoice by one call, or without one; `entry` is the call's line in the timeline."""

    outcome: CheckOutcome
    asked_at: int
    entry: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfirmedPayment:
    """A payment after its invoices were asked about and captured, and the last fact."""

    payment: Payment
    fact: Fact | None


class Confirmation:
    """Checks payments of confirming families, and makes the calls that were decided."""

    def __init__(self, gateway: GuardedGateway, settlement: Settlement, now: Now) -> None:
        self._gateway = gateway
        self._settlement = settlement
        self._now = now

    async def check(
        self,
        payment: Payment,
        terminal: Terminal,
        account: Account,
        family: Family,
        schedule: CheckSchedule,
        began: CallIntent | None = None,
    ) -> ConfirmedPayment:
        """Every due invoice, the one in the customer's hands last, with which the schedule moves on.

        `began` is an intent that the caller has just stored, whose call is this one's to make.
        """
        fact: Fact | None = None
        keys = sorted(payment.due_invoice_keys(), key=lambda key: key == payment.invoice_key)
        for number, key in enumerate(keys, 1):
            asking = _Asking(self._gateway, terminal, account, family, key, self._now)
            payment, fact = await self._settle(payment, asking, schedule if number == len(keys) else None, began)
        return ConfirmedPayment(payment, fact)

    async def _settle(
        self, payment: Payment, asking: "_Asking", schedule: CheckSchedule | None, began: CallIntent | None
    ) -> tuple[Payment, Fact | None]:
        said = _Said(CheckUnknown(asking.invoice_key, "under_way"), self._now())
        fact: Fact = said.outcome
        for _ in range(MAX_CALLS):
            intent = payment.intent
            ours = intent is not None and intent.invoice_key == asking.invoice_key
            if ours and intent is not None and intent is not began and abs(self._now() - intent.at) < CALL_LEASE:
                break  # somebody else's call; one of a clock that was wrong is nobody's
            with log_context.about(merchant_id=payment.merchant_id, payment_id=payment.id):
                said = await asking.ask(payment, intent.step if ours and intent is not None else None)
            change = await self._settlement.settle(payment, said.outcome, said.entry, asked_at=said.asked_at)
            fact, began = change.fact or said.outcome, change.after.intent
            if began == change.before.intent or began is None:
                payment = change.after
                break
            payment = change.after
        fact = _without_presumption(fact, payment)
        if schedule is not None or fact != said.outcome:
            change = await self._settlement.settle(payment, fact, (), schedule, asked_at=said.asked_at)
            payment, fact = change.after, change.fact or fact
        return payment, fact


def _without_presumption(fact: Fact, payment: Payment) -> Fact:
    """What is known where money was not taken up: it waits for another call, or nobody said that the customer paid."""
    if not isinstance(fact, PaidUnconfirmed):
        return fact
    if fact.order_busy or payment.intent is not None:
        return CheckUnknown(fact.invoice_key, "order_busy" if fact.order_busy else "under_way")
    return NotPaid(fact.invoice_key) if fact.presumed else fact


@dataclass(frozen=True, slots=True)
class _Asking:
    """The calls about one invoice of one terminal."""

    gateway: GuardedGateway
    terminal: Terminal
    account: Account
    family: Family
    invoice_key: str
    now: Now

    async def ask(self, payment: Payment, step: GatewayStep | None) -> _Said:
        """The outcome of the call that is decided, or else of a look."""
        evidence = payment.evidence or NO_EVIDENCE
        claim = self.family.claim(self.invoice_key, evidence)
        if claim in {ReturnClaim.NOTHING, ReturnClaim.FOREIGN}:
            evidence = NO_EVIDENCE
        if step is None:
            return await self._look(claim, evidence)
        if step is GatewayStep.CONFIRM and self.family.traits.needs_return and claim is not ReturnClaim.PAID:
            # Another return came between the look and the intent: the call cannot be made with what that one brought.
            unpaid = Canceled if claim is ReturnClaim.UNPAID else NotPaid
            return _Said(unpaid(self.invoice_key), self.now())
        call = getattr(self.gateway.port, step.value)
        inquiry = Inquiry(self.invoice_key, payment.amount_rials, evidence)
        said = await self._called(f"gateway.{step.value}", lambda: call(self.account, inquiry))
        if isinstance(said.outcome, NotPaid) and claim is ReturnClaim.UNPAID:
            return replace(said, outcome=Canceled(self.invoice_key))
        if isinstance(said.outcome, TooLate) and claim is not ReturnClaim.PAID and not self.family.traits.checks:
            # Nobody ever said that the customer paid: an old invoice is as late as an unpaid one.
            return replace(said, outcome=NotPaid(self.invoice_key))
        return self._with_time(said)

    async def _look(self, claim: ReturnClaim, evidence: Evidence) -> _Said:
        traits = self.family.traits
        if traits.needs_return and not evidence:
            return _Said(NotPaid(self.invoice_key), self.now())
        if traits.checks:
            check = self.gateway.port.check
            calling = self._called("gateway.check", lambda: check(self.account, self.invoice_key, evidence))
            return self._with_time(await calling)
        if claim is ReturnClaim.UNPAID and not traits.confirms_unasked:
            return _Said(Canceled(self.invoice_key), self.now())
        presumed = claim is not ReturnClaim.PAID
        return self._with_time(_Said(PaidUnconfirmed(self.invoice_key, presumed=presumed), self.now()))

    async def _called(self, kind: str, call: Callable[[], Awaitable[CheckResult]]) -> _Said:
        async with self.gateway.limiter.slot(self.terminal.merchant_id, self.terminal.id):
            started = self.now()
            made = within_window(self.family, await call())
        self.gateway.breaker.record(self.terminal.id, made)
        return _Said(made.outcome, started, (history.call(kind, started, made),))

    def _with_time(self, said: _Said) -> _Said:
        """With the time by which the gateway gives unconfirmed money back, at the latest."""
        after = self.family.traits.gives_back_after
        if after is None or not isinstance(said.outcome, PaidUnconfirmed | AmountDiffers):
            return said
        return replace(said, outcome=replace(said.outcome, goes_back_at=self.now() + after))


def within_window(family: Family, made: CheckResult) -> CheckResult:
    """A gateway's wish to be left alone is granted for a part of the time in which its money must be confirmed."""
    asked_for, window = made.retry_after_seconds, family.traits.gives_back_after
    if asked_for is None or window is None:
        return made
    return replace(made, retry_after_seconds=min(asked_for, window // SECOND // CHECKS_IN_WINDOW))
