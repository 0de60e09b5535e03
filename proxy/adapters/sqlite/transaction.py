"""A transaction on SQLite: each query runs where it is awaited, on the connection's thread, and never waits."""

import sqlite3
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from proxy.adapters.queries import load_queries
from proxy.adapters.store.transaction import Row

T = TypeVar("T")

# A plain dict: each statement looks itself up.
SQL: Final = dict(load_queries("sqlite"))


class SqliteTransaction:
    """Implements proxy.adapters.store.transaction.Transaction within what its connection has begun."""

    __slots__ = ("_execute", "_executemany")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany

    async def row(self, query: str, parameters: Row = ()) -> Row | None:
        row: Row | None = self._execute(SQL[query], parameters).fetchone()
        return row

    async def rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        return self._execute(SQL[query], parameters).fetchall()

    async def run(self, query: str, parameters: Row = ()) -> int:
        return self._execute(SQL[query], parameters).rowcount

    async def run_all(self, query: str, rows: Sequence[Row]) -> int:
        return self._executemany(SQL[query], rows).rowcount if rows else 0


class StepWaited(Exception):
    """A step awaited something other than its transaction, which would hold the database up for everybody."""


def finished(running: Coroutine[Any, Any, T]) -> T:
    """What a step on a SqliteTransaction gives, run to its end here and now. Raises what it raises, and StepWaited."""
    try:
        running.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    running.close()
    raise StepWaited
