"""Retention: deletes old events, attempts and signing keys in small batches, so that nothing else waits.

A store with partitions drops whole ones first; the rest is deleted row by row.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

import structlog

from proxy.database.repository import Repository
from proxy.database.transaction import Transaction
from proxy.kernel.clock import DAY, SECOND, Now, within_reach
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import (
    DELIVERY,
    ENDPOINT,
    EVENT,
    base62,
    merchant_key,
)
from proxy.merchants.storage.repository import merchants_from
from proxy.merchants.storage.rows import sealed_of
from proxy.webhooks.endpoint import KEY_PREFIXES, Endpoint
from proxy.webhooks.storage.rows import endpoint_of


@dataclass(frozen=True, slots=True)
class Condition:
    """`missing_partitions` counts those of the present and the next that the database lacks."""

    encoding: str
    missing_partitions: int


@dataclass(frozen=True, slots=True)
class RetentionBatch:
    """One batch of a walk that deletes: how many went, and the place of the next one (None: the end)."""

    removed: int
    reached: str | None


_UNDELIVERED: Final = frozenset({"pending", "failed"})

# Looks at up to so many rows of one merchant between two ids, and gives the last one's id, how many, and what went.
Sweep = Callable[[Transaction, str, str, str, int], Coroutine[Any, Any, tuple[str | None, int, int]]]


class RetentionRepository(Repository):
    async def make_partitions(self, now: int) -> None:
        """Makes the present partition and the next ones; this database has none."""

    async def condition(self, now: int) -> Condition:  # noqa: ARG002  no partitions
        return Condition("UTF8", 0)

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> RetentionBatch:  # noqa: ARG002  nothing to drop
        return RetentionBatch(0, None)

    async def drop_events(self, before: int, after: str | None, limit: int) -> RetentionBatch:  # noqa: ARG002  nothing to drop
        return RetentionBatch(0, None)

    async def forget_events(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        """Deletes, of the next `limit` events before a time, those without an undelivered delivery, with their
        deliveries and attempts. `after` is the `reached` of the batch before.
        """
        return await self._write.do(lambda transaction: _walk(transaction, EVENT, before, after, limit, _forget_events))

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        """Deletes attempts before a time, of the next `limit` deliveries of events before it that are over."""

        async def sweep(
            transaction: Transaction, merchant_id: str, point: str, end: str, room: int
        ) -> tuple[str | None, int, int]:
            rows = await transaction.rows("deliveries_between", (merchant_id, point, end, room))
            old = [(merchant_id, row[0], before) for row in rows if row[1] not in _UNDELIVERED]
            removed = await transaction.run_all("forget_attempts", old)
            return (rows[-1][0] if rows else None, len(rows), removed)

        return await self._write.do(lambda transaction: _walk(transaction, DELIVERY, before, after, limit, sweep))

    async def forget_keys(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        """Deletes the signing keys with an overlap that ended before a time, of the next `limit` endpoints."""

        async def sweep(
            transaction: Transaction, merchant_id: str, point: str, end: str, room: int
        ) -> tuple[str | None, int, int]:
            rows = await transaction.rows("rotated_endpoints_between", (merchant_id, point, end, room))
            endpoints = [endpoint_of(row) for row in rows]
            removed = 0
            for endpoint in endpoints:
                removed += await _forget_keys(transaction, endpoint, before)
            return (endpoints[-1].id if endpoints else None, len(rows), removed)

        return await self._write.do(lambda transaction: _walk(transaction, ENDPOINT, before, after, limit, sweep))


async def _forget_keys(transaction: Transaction, endpoint: Endpoint, before: int) -> int:
    owner = (endpoint.merchant_id, endpoint.id)
    wanted = replace(endpoint, signatures=tuple(KEY_PREFIXES)).key_names(before)
    names = [sealed_of(row).name for row in await transaction.rows("secrets", owner)]
    ended = [name for name in names if name.startswith(tuple(KEY_PREFIXES.values())) and name not in wanted]
    return await transaction.run_all("delete_secret", [(*owner, name) for name in ended])


async def _walk(
    transaction: Transaction, kind: str, before: int, after: str | None, limit: int, sweep: Sweep
) -> RetentionBatch:
    """One stretch of the walk over all merchants, up to `limit` rows and a bounded number of merchants."""
    removed = looked = 0
    merchants, resumed, more = await merchants_from(transaction, after)
    for merchant_id in merchants:
        prefix = f"{kind}_{merchant_key(merchant_id)}"
        point = max(prefix, resumed)
        await transaction.run("lock_merchant", (merchant_id,))
        last, count, gone = await sweep(transaction, merchant_id, point, f"{prefix}{base62(before, 8)}", limit - looked)
        resumed, looked, removed = "", looked + count, removed + gone
        if looked == limit:
            return RetentionBatch(removed, last)
    return RetentionBatch(removed, merchants[-1] if more else None)


async def _forget_events(
    transaction: Transaction, merchant_id: str, point: str, end: str, room: int
) -> tuple[str | None, int, int]:
    rows = await transaction.rows("forgettable_events", (merchant_id, point, end, room))
    old = [(merchant_id, event_id, partition) for event_id, wanted, partition in rows if not wanted]
    for query in ("forget_attempts_of_event", "forget_deliveries_of_event", "forget_event"):
        await transaction.run_all(query, old)
    return (rows[-1][0] if rows else None, len(rows), len(old))


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
