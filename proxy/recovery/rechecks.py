"""After a restore: every payment that may have been paid in the lost window is asked about once more, by itself.

A restore notes the moment that the database went back to. The walk is `Recovery`'s, and what was reached is stored, so
that a process that ends leaves the rest to the next one.
"""

from dataclasses import replace
from typing import Final, Protocol

import structlog

from proxy.clock import DAY, MINUTE, SECOND
from proxy.ports import Now
from proxy.recovery.records import Recheck, Rechecks
from proxy.recovery.recovery import LONGEST_BACK, Recovered

log = structlog.get_logger()

# What could still be paid at the lost moment: a link lives three days at most, and its watch three more; and a day.
STILL_OPEN: Final = 7 * DAY
BATCH: Final = 50
# Longer than a step of Recovery's: its checks begin within 15 s, and the last waits for its turn and its answer.
LEASE: Final = 150 * SECOND
# A gateway that did not answer is asked again, with all that is not settled yet.
NEXT_WALK: Final = 10 * MINUTE
LAST_WALK: Final = 3 * DAY


class Recovers(Protocol):
    async def step(self, since: int, after: str | None, limit: int) -> Recovered: ...


class Rechecker:
    """`step` does one batch, and gives when the next one is due."""

    def __init__(self, store: Rechecks, recovery: Recovers, now: Now) -> None:
        self._store = store
        self._recovery = recovery
        self._now = now

    async def step(self) -> int | None:
        now = self._now()
        held = await self._store.claim_recheck(now, now + LEASE)
        if held is not None:
            since = max(held.moment - STILL_OPEN, now - LONGEST_BACK)
            found = await self._recovery.step(since, held.reached, BATCH)
            await self._go_on(held, found)
        return await self._store.next_recheck_at()

    async def _go_on(self, held: Recheck, found: Recovered) -> None:
        for payment in (*found.credited, *found.needs_review):
            log.warning(
                "recheck_found", payment_id=payment.id, merchant_id=payment.merchant_id, status=payment.status.value
            )
        now, unclear = self._now(), held.unclear + found.unclear
        if found.reached is not None:
            await self._store.save_recheck(held, replace(held, reached=found.reached, unclear=unclear, due_at=now))
        elif unclear and now < held.noted_at + LAST_WALK:
            log.info("recheck_again", unclear=unclear)
            await self._store.save_recheck(held, replace(held, reached=None, unclear=0, due_at=now + NEXT_WALK))
        else:
            log.info("recheck_done", unclear=unclear)
            await self._store.save_recheck(held, None)
