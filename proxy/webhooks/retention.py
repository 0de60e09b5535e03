"""Retention: deletes old events, attempts and signing keys in small batches, so that nothing else waits.

A store with partitions drops whole ones first; the rest is deleted row by row.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from proxy.kernel.clock import DAY, SECOND, Now, within_reach
from proxy.webhooks.storage.retention import RetentionBatch, RetentionRepository

log = structlog.get_logger()

BATCH: Final = 200
# Between batches, so that a walk over millions of rows takes a small share of the store's time.
PAUSE: Final = SECOND // 10

Forget = Callable[[int, str | None, int], Awaitable[RetentionBatch]]


class Retention:
    """`step` does one batch, and gives when the next one is due; a walk over everything begins once a day.

    `settled` decides the age: a time that follows a jump of the clock slowly, because deletion is final.
    """

    def __init__(
        self, retention: RetentionRepository, now: Now, settled: Now, *, events_keep_days: int, attempts_keep_days: int
    ) -> None:
        self._retention = retention
        self._now = now
        self._settled = settled
        self._walks: list[tuple[str, Forget, int]] = [
            ("periods of attempts", retention.drop_attempts, attempts_keep_days * DAY),
            ("attempts", retention.forget_attempts, attempts_keep_days * DAY),
            ("periods of events", retention.drop_events, events_keep_days * DAY),
            ("events", retention.forget_events, events_keep_days * DAY),
            # A day after the overlap's end, so that a clock that is ahead for a moment takes no key that still signs.
            ("signing keys", retention.forget_keys, DAY),
        ]
        self._walk = 0
        self._reached: str | None = None
        self._removed = 0
        self._due_at = 0

    async def step(self) -> int | None:
        now = self._now()
        if now < self._due_at <= now + DAY:  # later only by a clock that was ahead
            return self._due_at
        if self._walk == 0 and self._reached is None:
            await self._begin_walk(now)
        name, forget, keep = self._walks[self._walk]
        swept = await forget(min(now, self._settled()) - keep, self._reached, BATCH)
        self._removed += swept.removed
        self._reached = swept.reached
        self._due_at = now + PAUSE
        if swept.reached is None:
            self._end_walk(name, now)
        return self._due_at

    async def _begin_walk(self, now: int) -> None:
        settled_at = self._settled()
        if now - settled_at > DAY:
            log.warning("retention_behind_clock", milliseconds=now - settled_at)
        await self._retention.make_partitions(within_reach(now, settled_at))

    def _end_walk(self, name: str, now: int) -> None:
        if self._removed:
            log.info("forgotten", kind=name, count=self._removed)
        self._removed = 0
        self._walk = (self._walk + 1) % len(self._walks)
        if self._walk == 0:
            self._due_at = now + DAY
