"""Events, deliveries and attempts by their periods: a partition that is over is dropped, and nothing of it is deleted.

What outlives its period is moved out of it first, into part 0, a bounded batch at a time.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from proxy.adapters.postgresql.migrations import PERIODS_AHEAD
from proxy.adapters.store.retention import StoreRetention
from proxy.adapters.store.transaction import Transaction
from proxy.delivery_records import Swept
from proxy.ids import PART_PERIOD, merchant_of_id, part_at, part_of

ENDPOINTS_AT_ONCE: Final = 100
# Only one process does this at a time; under a lock of its own, as it is no merchant's.
_PERIODS: Final = "periods"
_AGAIN: Final = "again"
_NOTHING: Final = Swept(0, None)

Undelivered = list[tuple[str, str, int]]


class PostgresqlRetention(StoreRetention):
    """The Retention port where rows are kept by period: `forget_events` and `forget_attempts` see to the rest."""

    async def make_parts(self, now: int) -> None:
        part = part_at(now)
        await self._write.do(lambda transaction: transaction.row("make_parts", (part, part + PERIODS_AHEAD)), _PERIODS)

    async def drop_events(self, before: int, after: str | None, limit: int) -> Swept:  # noqa: ARG002  what is moved is gone: no place to go on from
        async def step(transaction: Transaction) -> Swept:
            part = await _oldest(transaction, "oldest_part_of_events", before)
            if part is None:
                return _NOTHING
            rows = await transaction.rows("undelivered_of_part", (part, limit))
            if rows:
                await _keep_events(transaction, rows, part)
                return Swept(0, _AGAIN)
            return await _dropped(transaction, "drop_events", part)

        return await self._write.do(step, _PERIODS)

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        async def step(transaction: Transaction) -> Swept:
            part = await _oldest(transaction, "oldest_part_of_attempts", before)
            if part is None:
                return _NOTHING
            kept, reached = await _undelivered(transaction, part, "" if after in {None, _AGAIN} else str(after), limit)
            await transaction.run_all("keep_attempts", kept)
            return await _dropped(transaction, "drop_attempts", part) if reached is None else Swept(0, reached)

        return await self._write.do(step, _PERIODS)


async def _oldest(transaction: Transaction, query: str, before: int) -> int | None:
    """The oldest period that has a partition, when it was over before that time."""
    [(part,)] = await transaction.rows(query)
    return part if part is not None and (part + 1) * PART_PERIOD <= before else None


async def _dropped(transaction: Transaction, query: str, part: int) -> Swept:
    """One period is gone, and the next one may be due. One that is in use is left for the next walk: to wait for it
    holds everybody up.
    """
    [(done,)] = await transaction.rows(query, (part,))
    return Swept(1, _AGAIN) if done else _NOTHING


async def _keep_events(transaction: Transaction, rows: Sequence[Any], part: int) -> None:
    events = sorted({(merchant_id, event_id) for merchant_id, event_id in rows})
    for merchant_id, theirs in groupby(events, lambda event: event[0]):
        # Nothing of this merchant's is claimed or recorded meanwhile. Where it lies then, a record finds it.
        await transaction.run("lock_merchant", (merchant_id,))
        keys = [(merchant_id, event_id, part) for _, event_id in theirs]
        await transaction.run_all("keep_event", keys)
        await transaction.run_all("keep_deliveries_of_event", keys)


async def _undelivered(transaction: Transaction, part: int, after: str, limit: int) -> tuple[Undelivered, str | None]:
    """Deliveries up to a period's that wait or failed, after a place, with the period; and the next place.

    A place is an endpoint and, behind it, one of its deliveries.
    """
    reached, _, point = after.partition(" ")
    first = (merchant_of_id(reached) or "", reached)
    endpoints = await transaction.rows("endpoints_from", (*first, ENDPOINTS_AT_ONCE + 1))
    found: Undelivered = []
    for merchant_id, endpoint_id in endpoints[:ENDPOINTS_AT_ONCE]:
        room = limit - len(found)
        behind = point if endpoint_id == reached else ""
        rows = await transaction.rows("undelivered_after", (merchant_id, endpoint_id, behind, room))
        ids = [each for (each,) in rows if part_of(each) <= part]
        found += [(merchant_id, each, part) for each in ids]
        if len(ids) == room:
            return found, f"{endpoint_id} {ids[-1]}"
    return found, endpoints[-1][1] if len(endpoints) > ENDPOINTS_AT_ONCE else None
