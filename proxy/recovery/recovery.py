"""After an outage: asks the gateways again about everything that may have been paid without Dargah's learning of it.

The watch does the same by itself in time; this does it now, and tells what it found.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

import structlog

from proxy.checkout import Checkout, Checkup
from proxy.clock import DAY, MINUTE, SECOND
from proxy.errors import DargahError, invalid
from proxy.facts import CheckUnknown
from proxy.payment import Payment, Status
from proxy.ports import Now, Payments

log = structlog.get_logger()

LONGEST_BACK: Final = 30 * DAY
# Clocks differ, and the request takes its time: "30 days back" is not refused for that.
LEEWAY: Final = 5 * MINUTE
# A small part of a terminal's calls at once, so that customers who are paying now come first.
AT_ONCE: Final = 16
# No check is begun later than this after the start of a step; what is left is the next step's.
LONGEST_STEP: Final = 15 * SECOND


@dataclass(frozen=True, slots=True)
class Recovered:
    """What one step found. `unclear` counts payments of which the gateway gave no clear answer: they stay watched.

    `still_open` counts those that can still be paid, `not_paid` those that had ended and did so rightly. `reached` is
    where the next step goes on, None at the end; `last` is the last payment that was looked at.
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
    def __init__(self, store: Payments, checkout: Checkout, now: Now) -> None:
        self._store = store
        self._checkout = checkout
        self._now = now

    async def step(self, since: int, after: str | None, limit: int) -> Recovered:
        """Checks up to `limit` payments that were created at or after `since`, going on from `after`.

        Raises InvalidInput about `since` when the walk begins in the future or more than 30 days back.
        """
        now = self._now()
        if after is None:
            _check_since(since, now)
        page = await self._store.unsettled_since(since, after, limit)
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
        begun = page.payments[: len(page.payments) - len(waiting)]
        last = begun[-1] if begun else None
        return _summed(checkups, last.id if waiting and last else page.reached, last)

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


def _summed(checkups: list[Checkup | None], reached: str | None, last: Payment | None) -> Recovered:
    after = [checkup.payment for checkup in checkups if checkup is not None]
    settled = {Status.PAID, Status.NEEDS_REVIEW}
    unsettled = [checkup for checkup in checkups if checkup is not None and checkup.payment.status not in settled]
    clear = [checkup.payment for checkup in unsettled if not isinstance(checkup.fact, CheckUnknown)]
    still_open = sum(payment.status is Status.PENDING for payment in clear)
    return Recovered(
        credited=tuple(payment for payment in after if payment.status is Status.PAID),
        needs_review=tuple(payment for payment in after if payment.status is Status.NEEDS_REVIEW),
        still_open=still_open,
        not_paid=len(clear) - still_open,
        unclear=checkups.count(None) + len(unsettled) - len(clear),
        reached=reached,
        last=last,
    )
