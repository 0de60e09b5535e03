"""After an outage: checks at the gateways of every payment that may have been paid without Dargah's knowledge.

The poller does the same in time; this does it now, and reports its results.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from proxy.gateways.port import CheckUnknown
from proxy.kernel.clock import DAY, MINUTE, SECOND, Now
from proxy.kernel.errors import DargahError, RateLimited, invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.rate_limits import RateLimit
from proxy.operations.restores import Asker, LostPayment, Recheck, RecoveryRepository, Window
from proxy.payments.checkout import Checkout, Checkup
from proxy.payments.payment import Payment, Status
from proxy.payments.storage.repository import PaymentRepository

log = structlog.get_logger()

LONGEST_BACK: Final = 30 * DAY
# Clocks differ, and the request takes its time: "30 days back" is not refused for that.
LEEWAY: Final = 5 * MINUTE
# A small part of a terminal's calls at once, so that customers who are paying now come first.
AT_ONCE: Final = 16
# No check is begun later than this after the start of a step; what is left is the next step's.
LONGEST_STEP: Final = 15 * SECOND


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """The result of one step. `unclear` counts payments without a clear answer of the gateway: they stay watched.

    `still_open` counts those that can still be paid, `not_paid` those that ended rightly. `reached` is the place of the
    next step, None at the end; `last` is the last payment that was read.
    """

    credited: tuple[Payment, ...]
    needs_review: tuple[Payment, ...]
    still_open: int
    not_paid: int
    unclear: int
    reached: str | None
    last: Payment | None

    @property
    def checked(self) -> int:
        return len(self.credited) + len(self.needs_review) + self.still_open + self.not_paid + self.unclear


class Recovery:
    def __init__(self, payments: PaymentRepository, checkout: Checkout, now: Now) -> None:
        self._payments = payments
        self._checkout = checkout
        self._now = now

    async def step(self, since: int, after: str | None, limit: int) -> RecoveryStep:
        """Checks up to `limit` payments that were created at or after `since`, going on from `after`.

        Raises InvalidInput about `since` when the walk begins in the future or more than 30 days back.
        """
        now = self._now()
        if after is None:
            _check_since(since, now)
        page = await self._payments.unsettled_since(since, after, limit)
        waiting = deque(page.payments)
        checkups: list[Checkup | None] = []

        async def work() -> None:
            while waiting:
                payment = waiting.popleft()
                if payment.open_invoice_keys():
                    checkups.append(await self._check(payment))
                if self._now() >= now + LONGEST_STEP:
                    return

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        asked = page.payments[: len(page.payments) - len(waiting)]
        last = asked[-1] if asked else None
        return _sum_up(checkups, last.id if waiting and last else page.reached, last)

    async def _check(self, payment: Payment) -> Checkup | None:
        try:
            return await self._checkout.check(payment)
        except DargahError as error:
            log.warning("recover_not_asked", payment_id=payment.id, merchant_id=payment.merchant_id, code=error.code)
            return None
        except Exception:
            # One terminal whose key cannot be opened is no reason to leave the others unasked.
            log.exception("recover_check_failed", payment_id=payment.id, merchant_id=payment.merchant_id)
            return None


def _check_since(since: int, now: int) -> None:
    if now - LONGEST_BACK - LEEWAY <= since <= now + LEEWAY:
        return
    raise invalid(
        "since", "out_of_range", "must be in the past, at most 30 days back", "باید گذشته و حداکثر ۳۰ روز پیش باشد"
    )


def _sum_up(checkups: list[Checkup | None], reached: str | None, last: Payment | None) -> RecoveryStep:
    after = [checkup.payment for checkup in checkups if checkup is not None]
    settled = {Status.PAID, Status.NEEDS_REVIEW}
    unsettled = [checkup for checkup in checkups if checkup is not None and checkup.payment.status not in settled]
    clear = [checkup.payment for checkup in unsettled if not isinstance(checkup.fact, CheckUnknown)]
    still_open = sum(payment.status is Status.PENDING for payment in clear)
    return RecoveryStep(
        credited=tuple(payment for payment in after if payment.status is Status.PAID),
        needs_review=tuple(payment for payment in after if payment.status is Status.NEEDS_REVIEW),
        still_open=still_open,
        not_paid=len(clear) - still_open,
        unclear=checkups.count(None) + len(unsettled) - len(clear),
        reached=reached,
        last=last,
    )


# What could still be paid at the lost moment: a link lives three days at most, and its watch three more; and a day.
STILL_OPEN: Final = 7 * DAY
BATCH: Final = 50
# Longer than a step of Recovery's: its checks begin within 15 s, and the last waits for its turn and its answer.
LEASE: Final = 150 * SECOND
# A gateway that did not answer is asked again, with all that is not settled yet.
NEXT_WALK: Final = 10 * MINUTE
LAST_WALK: Final = 3 * DAY


# Of Recovery: since when, after which payment, and how many.
Walk = Callable[[int, str | None, int], Awaitable[RecoveryStep]]


class Rechecker:
    """`step` does one batch, and gives when the next one is due."""

    def __init__(self, rechecks: RecoveryRepository, walk: Walk, now: Now) -> None:
        self._rechecks = rechecks
        self._walk = walk
        self._now = now

    async def step(self) -> int | None:
        now = self._now()
        held = await self._rechecks.claim_recheck(now, now + LEASE)
        if held is not None:
            since = max(held.moment - STILL_OPEN, now - LONGEST_BACK)
            found = await self._walk(since, held.reached, BATCH)
            await self._go_on(held, found)
        return await self._rechecks.next_recheck_at()

    async def _go_on(self, held: Recheck, found: RecoveryStep) -> None:
        for payment in (*found.credited, *found.needs_review):
            log.warning(
                "recheck_found", payment_id=payment.id, merchant_id=payment.merchant_id, status=payment.status.value
            )
        now, unclear = self._now(), held.unclear + found.unclear
        if found.reached is not None:
            await self._rechecks.save_recheck(held, replace(held, reached=found.reached, unclear=unclear, due_at=now))
        elif unclear and now < held.noted_at + LAST_WALK:
            log.info("recheck_again", unclear=unclear)
            await self._rechecks.save_recheck(held, replace(held, reached=None, unclear=0, due_at=now + NEXT_WALK))
        else:
            log.info("recheck_done", unclear=unclear)
            await self._rechecks.save_recheck(held, None)


MOST_KEPT: Final = 400
"""Lost payments of a merchant that are kept by who asks; those that come later are not."""
NOTES_PER_MINUTE: Final = 60
ALL_NOTES_PER_MINUTE: Final = 600
WINDOWS_KEPT: Final = 1 * MINUTE


class LostPayments:
    """The windows are read once a minute at most."""

    def __init__(self, recovery: RecoveryRepository, now: Now) -> None:
        self._recovery = recovery
        self._now = now
        self._windows: list[Window] = []
        self._read_at: int | None = None
        self._notes = RateLimit("lost-payments", NOTES_PER_MINUTE)
        self._all_notes = RateLimit("lost-payments", ALL_NOTES_PER_MINUTE)

    async def covers(self, made_at: int) -> bool:
        """Whether a record made at that time is of a lost window."""
        return any(window.moment <= made_at <= window.noted_at for window in await self._lost_windows())

    async def asked(
        self,
        merchant_id: str,
        reference: str,
        made_at: int,
        asked_by: Asker,
        *,
        storefront: str | None = None,
        invoice_key: str | None = None,
    ) -> None:
        """Notes a request for a missing payment, if a lost window `covers` it. The merchant exists."""
        if not await self.covers(made_at):
            return
        now = self._now()
        with suppress(RateLimited):
            self._notes.spend(merchant_id, now)
            self._all_notes.spend("", now)
            lost = LostPayment(merchant_id, asked_by, reference, storefront, invoice_key, made_at, now, now, 1)
            await self._recovery.ask_for_lost(lost, MOST_KEPT)

    async def _lost_windows(self) -> list[Window]:
        now = self._now()
        if self._read_at is None or not 0 <= now - self._read_at < WINDOWS_KEPT:
            self._windows, self._read_at = await self._recovery.lost_windows(), now
        return self._windows
