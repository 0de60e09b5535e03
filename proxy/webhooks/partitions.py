"""Partitions of events, deliveries and attempts by period: a period that is over is dropped as a whole."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import asyncpg
import structlog

from proxy.database.postgresql.schema import PARTITIONS_AHEAD
from proxy.database.transaction import Transaction
from proxy.kernel.ids import (
    PARTITION_PERIOD,
    merchant_of_id,
    partition_at,
    partition_of,
)
from proxy.webhooks.retention import Condition, RetentionBatch, RetentionRepository

log = structlog.get_logger()

ENDPOINTS_AT_ONCE: Final = 100
# Only one process does this at a time, under a lock of its own, because it belongs to no merchant.
_PARTITIONS: Final = "periods"
_AGAIN: Final = "again"
_NOTHING: Final = RetentionBatch(0, None)

Undelivered = list[tuple[str, str, int]]


class PartitionRetention(RetentionRepository):
    """Retention with partitions: `forget_events` and `forget_attempts` delete from the default partition."""

    async def make_partitions(self, now: int) -> None:
        """Makes the present partition and the next ones."""
        partition = partition_at(now)
        try:
            await self._write.do(
                lambda transaction: transaction.row("make_parts", (partition, partition + PARTITIONS_AHEAD)),
                _PARTITIONS,
            )
        except asyncpg.InsufficientPrivilegeError:
            log.warning("store_periods_not_made")  # rows lie in the rest then, which doctor tells

    async def condition(self, now: int) -> Condition:
        """The database's set-up, as far as Dargah depends on it. Raises StoreUnavailable."""
        partition = partition_at(now)
        [(missing, encoding)] = await self._rows("missing_parts", (partition, partition + PARTITIONS_AHEAD - 1))
        return Condition(encoding, missing)

    async def drop_events(self, before: int, after: str | None, limit: int) -> RetentionBatch:  # noqa: ARG002  what is moved is gone: no place to go on from
        """Drops a partition of events and deliveries like `drop_attempts`; undelivered ones move out first."""

        async def step(transaction: Transaction) -> RetentionBatch:
            partition = await _oldest(transaction, "oldest_part_of_events", before)
            if partition is None:
                return _NOTHING
            rows = await transaction.rows("undelivered_of_part", (partition, limit))
            if rows:
                await _keep_events(transaction, rows, partition)
                return RetentionBatch(0, _AGAIN)
            return await _drop(transaction, "drop_events", partition)

        return await self._write.do(step, _PARTITIONS)

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        """Drops, in batches, a partition of attempts that ended before a time: up to `limit` attempts of undelivered
        deliveries move out first. `removed` counts partitions.
        """

        async def step(transaction: Transaction) -> RetentionBatch:
            partition = await _oldest(transaction, "oldest_part_of_attempts", before)
            if partition is None:
                return _NOTHING
            begin = "" if after in {None, _AGAIN} else str(after)
            kept, reached = await _read_undelivered(transaction, partition, begin, limit)
            await transaction.run_all("keep_attempts", kept)
            if reached is not None:
                return RetentionBatch(0, reached)
            return await _drop(transaction, "drop_attempts", partition)

        return await self._write.do(step, _PARTITIONS)


async def _oldest(transaction: Transaction, query: str, before: int) -> int | None:
    """The oldest partition, if it ended before that time."""
    [(partition,)] = await transaction.rows(query)
    return partition if partition is not None and (partition + 1) * PARTITION_PERIOD <= before else None


async def _drop(transaction: Transaction, query: str, partition: int) -> RetentionBatch:
    """Drops one partition; the next one may be due. A partition in use is left for the next walk, because waiting
    for it would hold up every other transaction.
    """
    [(done,)] = await transaction.rows(query, (partition,))
    return RetentionBatch(1, _AGAIN) if done else _NOTHING


async def _keep_events(transaction: Transaction, rows: Sequence[Any], partition: int) -> None:
    events = sorted({(merchant_id, event_id) for merchant_id, event_id in rows})
    for merchant_id, theirs in groupby(events, lambda event: event[0]):
        # Nothing of this merchant's is claimed or recorded meanwhile. Where it lies then, a record finds it.
        await transaction.run("lock_merchant", (merchant_id,))
        keys = [(merchant_id, event_id, partition) for _, event_id in theirs]
        await transaction.run_all("keep_event", keys)
        await transaction.run_all("keep_deliveries_of_event", keys)


async def _read_undelivered(
    transaction: Transaction, partition: int, after: str, limit: int
) -> tuple[Undelivered, str | None]:
    """Undelivered deliveries up to a partition's, after a place, with the partition; and the next place.

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
        ids = [each for each, *_ in rows if partition_of(each) <= partition]
        found += [(merchant_id, each, partition) for each in ids]
        if len(ids) == room:
            return found, f"{endpoint_id} {ids[-1]}"
    return found, endpoints[-1][1] if len(endpoints) > ENDPOINTS_AT_ONCE else None
