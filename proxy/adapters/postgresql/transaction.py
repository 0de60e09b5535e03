"""A transaction on PostgreSQL: each query is a round trip, a query for many rows is one for all of them."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from proxy.adapters.queries import load_queries
from proxy.adapters.store.transaction import Row

SQL: Final = load_queries("postgresql")
# Appended where the driver would not tell how many rows a query for many has written.
_COUNTED: Final = {name: f"{text}\nRETURNING 1" for name, text in SQL.items()}
_READS: Final = frozenset(name for name, text in SQL.items() if text.lstrip().startswith("SELECT"))


class PostgresqlTransaction:
    """Implements proxy.adapters.store.transaction.Transaction within what its connection has begun.

    `writes` counts the queries that may have written something.
    """

    __slots__ = ("_connection", "writes")

    def __init__(self, connection: Any) -> None:
        self._connection: asyncpg.Connection = connection
        self.writes = 0

    async def row(self, query: str, parameters: Row = ()) -> Row | None:
        if _is_nowhere(parameters):
            return None
        self.writes += query not in _READS
        row: Row | None = await self._connection.fetchrow(SQL[query], *parameters)
        return row

    async def rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        if _is_nowhere(parameters):
            return []
        self.writes += query not in _READS
        rows: Sequence[Row] = await self._connection.fetch(SQL[query], *parameters)
        return rows

    async def run(self, query: str, parameters: Row = ()) -> int:
        self.writes += 1
        status: str = await self._connection.execute(SQL[query], *parameters)
        return int(status.rpartition(" ")[2])

    async def run_all(self, query: str, rows: Sequence[Row]) -> int:
        if len(rows) <= 1:
            return await self.run(query, rows[0]) if rows else 0
        self.writes += 1
        return len(await self._connection.fetchmany(_COUNTED[query], rows))


def _is_nowhere(parameters: Row) -> bool:
    """Whether no row can have what is looked for: PostgreSQL's text holds no zero, and an id in a URL may have one."""
    return any(type(each) is str and "\0" in each for each in parameters)
