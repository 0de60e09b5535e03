"""Old events and attempts, deleted in small batches: the Retention port on SQLite."""

import sqlite3
from collections.abc import Callable
from typing import Final

from proxy.adapters.sqlite.lanes import SQL, Lanes
from proxy.adapters.sqlite.unsettled import merchants_from
from proxy.delivery_records import Swept
from proxy.ids import DELIVERY, EVENT, base62, merchant_key

_UNDELIVERED: Final = frozenset({"pending", "failed"})

# Looks at up to so many rows of one merchant between two ids, and gives the last one's id, how many, and what went.
Sweep = Callable[[sqlite3.Connection, str, str, str, int], tuple[str | None, int, int]]


class SqliteRetention(Lanes):
    async def forget_events(self, before: int, after: str | None, limit: int) -> Swept:
        return await self._write.do(lambda connection: _walk(connection, EVENT, before, after, limit, _forget_events))

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        def sweep(
            connection: sqlite3.Connection, merchant_id: str, point: str, end: str, room: int
        ) -> tuple[str | None, int, int]:
            rows = connection.execute(SQL["deliveries_between"], (merchant_id, point, end, room)).fetchall()
            old = [(merchant_id, row[0], before) for row in rows if row[1] not in _UNDELIVERED]
            removed = sum(connection.execute(SQL["forget_attempts"], row).rowcount for row in old)
            return (rows[-1][0] if rows else None, len(rows), removed)

        return await self._write.do(lambda connection: _walk(connection, DELIVERY, before, after, limit, sweep))


def _walk(connection: sqlite3.Connection, kind: str, before: int, after: str | None, limit: int, sweep: Sweep) -> Swept:
    """One stretch of the walk over all merchants, up to `limit` rows and a bounded number of merchants."""
    removed = looked = 0
    merchants, resumed, more = merchants_from(connection, after)
    for merchant_id in merchants:
        prefix = f"{kind}_{merchant_key(merchant_id)}"
        point = max(prefix, resumed)
        last, count, gone = sweep(connection, merchant_id, point, f"{prefix}{base62(before, 8)}", limit - looked)
        resumed, looked, removed = "", looked + count, removed + gone
        if looked == limit:
            return Swept(removed, last)
    return Swept(removed, merchants[-1] if more else None)


def _forget_events(
    connection: sqlite3.Connection, merchant_id: str, point: str, end: str, room: int
) -> tuple[str | None, int, int]:
    rows = connection.execute(SQL["forgettable_events"], (merchant_id, point, end, room)).fetchall()
    old = [(merchant_id, row[0]) for row in rows if not row[1]]
    for query in ("forget_attempts_of_event", "forget_deliveries_of_event", "forget_event"):
        connection.executemany(SQL[query], old)
    return (rows[-1][0] if rows else None, len(rows), len(old))
