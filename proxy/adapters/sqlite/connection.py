"""The one connection to the database, on aiosqlite's thread.

SQLite before 3.51.3 has a race in which a WAL that is reset while a second connection writes loses commits. It needs
two connections: here there is one, for reads and writes, in one process that holds the lock file.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite

T = TypeVar("T")
Fault = Callable[[str], None]
"""Called with each statement before it runs; what it raises, the statement raises."""

BUSY_TIMEOUT_SECONDS: Final = 2.0
CACHED_STATEMENTS: Final = 256

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    # NORMAL would not sync the WAL at a commit: a power cut could then take back what was acknowledged.
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
    # Pages that many commits touch are copied back once, and who waits meanwhile waits for milliseconds: at 200 creates
    # a second, once in two seconds. At 4 kB a page the WAL stays around 33 MB.
    "PRAGMA wal_autocheckpoint = 8000",
)


class Database:
    """Runs closures on the connection, one after the other, off the event loop."""

    def __init__(self, path: Path, fault: Fault | None) -> None:
        self._path = path
        self._fault = fault
        self._connection: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    async def run(self, closure: Callable[[sqlite3.Connection], T]) -> T:
        """What `closure` gives, run on the connection's thread; the connection is opened when it is not."""
        connection = self._connection or await self._open()
        return await _run(connection, closure)

    async def reopen(self) -> None:
        """Drops a connection that is broken; the next `run` opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Closes the connection, which copies the WAL back into the database."""
        await self.reopen()

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._connection is None:
                connection = await _connect(self._path, self._fault)
                try:
                    await _run(connection, _set_up)
                except BaseException:
                    await connection.close()
                    raise
                self._connection = connection
            return self._connection


async def _connect(path: Path, fault: Fault | None) -> aiosqlite.Connection:
    connection = aiosqlite.connect(
        path,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_SECONDS,
        cached_statements=CACHED_STATEMENTS,
        # A copy's thread has turns with it, while its own waits: never two at once.
        check_same_thread=False,
        factory=_connection_class(fault),
    )
    # A process whose main thread failed would otherwise wait for this one for ever, and hold the lock.
    connection._thread.daemon = True  # noqa: SLF001  aiosqlite offers no setting for it
    return await connection


async def _run(connection: aiosqlite.Connection, closure: Callable[[sqlite3.Connection], T]) -> T:
    # The runner and the raw connection are private to aiosqlite; its public calls cost a hop between threads for
    # each statement, a closure one for a whole batch. Nothing else in Dargah touches them.
    result: T = await connection._execute(closure, connection._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return result


def _set_up(connection: sqlite3.Connection) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma).fetchall()


def _connection_class(fault: Fault | None) -> type[sqlite3.Connection]:
    if fault is None:
        return sqlite3.Connection
    before = fault

    class FaultyConnection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            before(sql)
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
            before(sql)
            return super().executemany(sql, parameters)

        def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
            before(sql_script)
            return super().executescript(sql_script)

    return FaultyConnection
