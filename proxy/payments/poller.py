"""The poller: checks payments without a return of their customer, or with an unclear outcome.

A schedule is claimed by moving its due time to the end of a lease, so a poller that dies leaves it to be found again.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter
from proxy.kernel.background import Tasks
from proxy.kernel.clock import MINUTE, SECOND, Now
from proxy.kernel.errors import CredentialUnusable
from proxy.payments.change import Change
from proxy.payments.check_schedule import CheckSchedule, DueChecks, ScheduleChange, unreached
from proxy.payments.checkout import Checkout
from proxy.payments.payment import Payment, TimeUp
from proxy.payments.settlement import Settlement
from proxy.payments.storage.repository import PaymentRepository

log = structlog.get_logger()

# Longer than waiting for a slot and the call itself: a second poller then asks once more, which does no harm.
LEASE: Final = 45 * SECOND
MAX_AT_ONCE: Final = 128
# How long a schedule waits when its terminal's calls in flight are at their limit.
BUSY_PAUSE: Final = 2 * SECOND
# And when its api_key does not open for its gateway_url, which only an operator mends.
UNUSABLE_PAUSE: Final = 1 * MINUTE
# For how long what merchants at their limit have piled up is passed over without another look at all of it.
LOOK_AGAIN: Final = 5 * SECOND


class Poller:
    """`step` claims and starts the checks that can start now; `tasks` holds the running ones.

    `skipped` says whether the clock jumped over a due time: an answer then passes no point of the schedule.
    """

    def __init__(
        self,
        payments: PaymentRepository,
        checkout: Checkout,
        settlement: Settlement,
        limiter: ConcurrencyLimiter,
        breaker: CircuitBreaker,
        now: Now,
        *,
        max_at_once: int = MAX_AT_ONCE,
        skipped: Callable[[int], bool] = lambda _at: False,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._payments = payments
        self._checkout = checkout
        self._settlement = settlement
        self._limiter = limiter
        self._breaker = breaker
        self._now = now
        self._skipped = skipped
        self._since = self._looked_until = self._forget_at = 0
        self.tasks = Tasks(max_at_once, on_room)

    async def step(self) -> int | None:
        """Starts a check of each due schedule that there is room for; gives when the next one is due."""
        shares, now = self.tasks.shares, self._now()
        if shares.free == 0:
            self.tasks.short = True
            return now + SECOND
        room = shares.free
        claimed = await self._payments.claim_due_checks(now, now + LEASE, room, shares, self._since)
        for payment, due in claimed.checks:
            self.tasks.start(self._look(payment, due), payment.merchant_id)
        self._since = self._next_since(claimed, room, now)
        if self._since:
            return now
        if shares.at_limit():
            # The end of one of their checks starts the next step for their due ones.
            self.tasks.short = True
            return now + SECOND
        return await self._payments.next_check_at()

    def _next_since(self, claimed: DueChecks, room: int, now: int) -> int:
        """The due time from which the next step looks: behind the backlog of merchants at their limit, else 0.

        It skips their schedules, because they have no room, but only for a while, because their limits change.
        """
        if now >= self._forget_at:
            self._looked_until, self._forget_at = 0, now + LOOK_AGAIN
        if claimed.reached is not None:
            return max(claimed.reached, self._looked_until)
        if len(claimed.checks) < room:
            self._looked_until = now
        return 0

    async def _look(self, payment: Payment, due: CheckSchedule) -> None:
        try:
            await self._check(payment, due)
        except Exception:
            # The lease runs out by itself, and somebody looks again.
            log.exception("watch_failed", payment_id=payment.id, merchant_id=payment.merchant_id)

    async def _check(self, payment: Payment, due: CheckSchedule) -> None:
        if not payment.invoice_keys():
            await self._settlement.settle(payment, TimeUp(), schedule=due)
            return
        if not payment.due_invoice_keys():
            # A return that raced with the last capture began it anew: without an end it would be claimed for ever.
            await self._payments.transition(Change(payment, payment, schedule=ScheduleChange(due, None)))
            return
        pause = self._pause(payment)
        if pause > 0:
            await self._put_off(payment, due, pause)
            return
        try:
            schedule = unreached(due, self._now()) if self._skipped(due.due_at) else due
            await self._checkout.check(payment, schedule)
        except CredentialUnusable:
            await self._put_off(payment, due, UNUSABLE_PAUSE)

    async def _put_off(self, payment: Payment, due: CheckSchedule, pause: int) -> None:
        later = replace(due, due_at=self._now() + pause, version=due.version + 1)
        await self._payments.transition(Change(payment, payment, schedule=ScheduleChange(due, later)))

    def _pause(self, payment: Payment) -> int:
        """How long to put off its schedule, without counting it as asked; 0 when the gateway can be asked now."""
        spared = self._breaker.wait_of_call(payment.terminal_id)
        if spared > 0:
            return spared
        return 0 if self._limiter.has_room(payment.merchant_id, payment.terminal_id) else BUSY_PAUSE
