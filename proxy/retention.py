"""Forgets old events and attempts, a small batch at a time, so that nothing else waits for it.

A store that keeps them by period drops a whole one first; what is in none is deleted row by row.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from proxy.clock import DAY, SECOND
from proxy.delivery_ports import Retention as RetentionStore
from proxy.delivery_records import Swept
from proxy.ports import Now

log = structlog.get_logger()

BATCH: Final = 200
# Between batches, so that a walk over millions of rows takes a small share of the store's time.
PAUSE: Final = SECOND // 10

Forget = Callable[[int, str | None, int], Awaitable[Swept]]


class Retention:
    """`step` does one batch, and gives when the next one is due; a walk over everything begins once a day."""

    def __init__(self, store: RetentionStore, now: Now, *, events_keep_days: int, attempts_keep_days: int) -> None:
        self._store = store
        self._now = now
        self._walks: list[tuple[str, Forget, int]] = [
            ("periods of attempts", store.drop_attempts, attempts_keep_days * DAY),
            ("attempts", store.forget_attempts, attempts_keep_days * DAY),
            ("periods of events", store.drop_events, events_keep_days * DAY),
            ("events", store.forget_events, events_keep_days * DAY),
        ]
        self._walk = 0
        self._reached: str | None = None
        self._removed = 0
        self._due_at = 0

    async def step(self) -> int | None:
        now = self._now()
        if now < self._due_at:
            return self._due_at
        if self._walk == 0 and self._reached is None:
            await self._store.make_parts(now)
        name, forget, keep = self._walks[self._walk]
        swept = await forget(now - keep, self._reached, BATCH)
        self._removed += swept.removed
        self._reached = swept.reached
        self._due_at = now + PAUSE
        if swept.reached is None:
            self._end_walk(name, now)
        return self._due_at

    def _end_walk(self, name: str, now: int) -> None:
        if self._removed:
            log.info("forgotten", kind=name, count=self._removed)
        self._removed = 0
        self._walk = (self._walk + 1) % len(self._walks)
        if self._walk == 0:
            self._due_at = now + DAY
