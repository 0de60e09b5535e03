"""Resends in the store: begun, listed, stopped, and brought forward endpoint by endpoint."""

from collections.abc import Sequence
from typing import Final

import orjson

from proxy.audit.log import AuditEntry, write_audit
from proxy.database.repository import LIST_LIMIT, Repository, json_text
from proxy.database.transaction import Row, Transaction
from proxy.kernel.errors import Conflict, IdempotencyKeyReused, NotFound
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.resend import (
    COUNTED,
    Resend,
    ResendEndpoint,
    ResendFilter,
    ResendProgress,
    ResendRequest,
)
from proxy.webhooks.storage.resend_pace import AHEAD, Key, advance, bounds

MAX_RUNNING: Final = 10
KEPT: Final = 100
"""Of each actor so many resends are under way at most, and the newest that are over are kept."""
# What a resend's own rows write, one after the other.
_LANE: Final = "resends"
_BEHIND_ALL_IDS: Final = "~"


class ResendRepository(Repository):
    async def counts(self, endpoints: Sequence[Endpoint], wanted: ResendFilter) -> list[int]:
        """How many deliveries the filter wants at each of the endpoints; of each status up to COUNTED are looked at."""
        asked = [[each.merchant_id, each.id, *bounds(each.merchant_id, wanted)] for each in endpoints]
        parameters = (json_text(asked), json_text(sorted(wanted.statuses)), *wanted.partitions, COUNTED)
        counts = [0] * len(endpoints)
        for number, event_type, mode, storefront, count in await self._rows(
            "count_deliveries_of_endpoints", parameters
        ):
            counts[number] += count if wanted.accepts(endpoints[number], event_type, mode, storefront) else 0
        return counts

    async def add(self, resend_id: str, asked: ResendRequest, audit: AuditEntry) -> tuple[Resend, bool]:
        """The resend, and whether it is a new one: one that was begun under the same key is given as it is by now.

        Raises IdempotencyKeyReused, and Conflict when too many of the actor are under way.
        """
        now = self._now()
        record = (resend_id, now, asked.by.name, asked.key, asked.digest, json_text(asked.choice.filter.record()))
        rows = [(each.merchant_id, each.id, resend_id, count, now) for each, count in asked.choice.rows]

        async def step(transaction: Transaction) -> tuple[Resend, bool]:
            known = None if asked.key is None else await transaction.row("resend_under_key", (asked.by.name, asked.key))
            if known is not None:
                if known[1] != asked.digest:
                    raise IdempotencyKeyReused
                return await _resend(transaction, known[0]), False
            await _check_running(transaction, asked.by.name)
            await _forget_old(transaction, asked.by.name)
            await transaction.run("insert_resend", record)
            await transaction.run_all("insert_resend_endpoint", rows)
            await write_audit(transaction, audit)
            return await _resend(transaction, resend_id), True

        return await self._write.do(step, _LANE)

    async def resend(self, resend_id: str) -> Resend:
        """Raises NotFound."""
        return await self._read.do(lambda transaction: _resend(transaction, resend_id))

    async def resends(self, after: str | None, limit: int, actor: str | None = None) -> list[Resend]:
        """The newest first, of one actor or of all."""
        place = (after or _BEHIND_ALL_IDS, limit)

        async def step(transaction: Transaction) -> list[Resend]:
            query, parameters = ("resend_ids", place) if actor is None else ("resend_ids_of_actor", (*place, actor))
            return [await _resend(transaction, row[0]) for row in await transaction.rows(query, parameters)]

        return await self._read.do(step)

    async def endpoints(self, resend_id: str) -> list[ResendEndpoint]:
        rows = await self._rows("endpoints_of_resend", (resend_id, LIST_LIMIT))
        return [ResendEndpoint(row[0], row[1], ResendProgress(*row[2:6]), row[6]) for row in rows]

    async def stop(self, resend_id: str, audit: AuditEntry) -> Resend:
        """Nothing more of it becomes due; what is due already goes out, and is counted. Raises NotFound."""
        now = self._now()

        async def step(transaction: Transaction) -> Resend:
            before = await _resend(transaction, resend_id)
            if before.ended_at is not None or not await transaction.run("stop_resend", (resend_id, now)):
                return before
            await transaction.run("hasten_resend", (resend_id, now))
            await write_audit(transaction, audit)
            return await _resend(transaction, resend_id)

        return await self._write.do(step, _LANE)

    async def due_endpoints(self, now: int, limit: int) -> list[Key]:
        """Where a running resend is to be looked at, what waits longest first."""
        rows = await self._rows("due_resend_endpoints", (now, now + AHEAD, limit))
        return [(row[0], row[1], row[2]) for row in rows]

    async def next_at(self) -> int | None:
        row = await self._row("next_resend_at")
        return None if row is None else row[0]

    async def advance(self, key: Key) -> int:
        """Counts what has been answered at an endpoint, and makes the next deliveries due there: how many.

        Nothing where another process has looked meanwhile.
        """
        now = self._now()
        return await self._write.do(lambda transaction: advance(transaction, key, now), key[0])


async def _resend(transaction: Transaction, resend_id: str) -> Resend:
    row = await transaction.row("resend", (resend_id,))
    if row is None:
        raise NotFound("resend")
    found_id, created_at, actor, wanted, stopped_at, endpoints, running, ended_at, *figures = row
    ended = None if running else (ended_at or created_at)
    wanted = ResendFilter.of(orjson.loads(wanted))
    return Resend(found_id, created_at, actor, wanted, stopped_at, ended, endpoints, ResendProgress(*figures))


async def _check_running(transaction: Transaction, actor: str) -> None:
    [(running,)] = await transaction.rows("count_running_resends", (actor,))
    if running >= MAX_RUNNING:
        raise Conflict(
            f"{running} resends of yours are under way; wait until one is done, or stop one",
            f"{running} فرستادن دوبارهٔ شما در جریان است؛ تا پایان یکی صبر کنید یا یکی را متوقف کنید",
        )


async def _forget_old(transaction: Transaction, actor: str) -> None:
    old: Sequence[Row] = await transaction.rows("old_resends", (actor, KEPT))
    for query in ("forget_resend_endpoints", "forget_resend"):
        await transaction.run_all(query, old)
