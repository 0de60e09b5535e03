"""The one connection that reads and writes the database, on aiosqlite's thread, in the process that holds the file's
lock. A second one makes its checkpoints, and nothing else.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite

from proxy.database.sqlite.checkpoints import Checkpoints
from proxy.database.sqlite.files import FileLock, StoreMisplaced, file_id
from proxy.database.transaction import Row, load_queries

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
    # What was replaced or deleted is overwritten with zeros; distributions' builds mostly do so without being told.
    "PRAGMA secure_delete = ON",
    "PRAGMA cache_size = -32000",
    # A commit would wait for its checkpoint.
    "PRAGMA wal_autocheckpoint = 0",
)


class Database:
    """Runs closures on the connection, one after the other, off the event loop."""

    def __init__(self, lock: FileLock, fault: Fault | None) -> None:
        self._lock = lock
        self.path = lock.path
        self._wal_path = f"{lock.path}-wal"
        self._fault = fault
        self._wal: tuple[int, int] | None = None
        self._connection: aiosqlite.Connection | None = None
        self._checkpoints: Checkpoints | None = None
        self._opening = asyncio.Lock()

    async def run(self, closure: Callable[..., T], *arguments: Any) -> T:
        """The result of `closure`, run with the connection and the arguments on the connection's thread; opens the
        connection when it is closed.
        """
        return await self.start(closure, *arguments)

    def start(self, closure: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """The future result of `run`, which is begun."""
        if self._connection is None:
            return asyncio.ensure_future(self._run_opened(closure, *arguments))
        return _start(self._connection, closure, *arguments)

    async def reopen(self) -> None:
        """Drops a connection that is broken; the next `run` opens a new one."""
        async with self._opening:
            connection, self._connection = self._connection, None
            checkpoints, self._checkpoints = self._checkpoints, None
            if connection is not None:
                try:
                    if checkpoints is not None:
                        await _start(connection, lambda _connection: checkpoints.close())
                finally:
                    await connection.close()

    async def close(self) -> None:
        """Closes the connection, which copies the WAL back into the database."""
        await self.reopen()

    def between_commits(self, connection: sqlite3.Connection) -> None:
        """Gives a checkpoint its turn, on the connection's thread and outside of a transaction."""
        if self._checkpoints is not None:
            self._checkpoints.between_commits(connection.total_changes)

    def require_in_place(self) -> None:
        """Raises StoreMisplaced when the file or its WAL was deleted or replaced since it was opened."""
        self._lock.require_in_place()
        if self._wal is not None and file_id(self._wal_path) != self._wal:
            raise StoreMisplaced(f"the WAL of {self._lock.path} was deleted or replaced while it was open")

    async def _run_opened(self, closure: Callable[..., T], *arguments: Any) -> T:
        return await _start(await self._open(), closure, *arguments)

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._connection is None:
                self._lock.require_in_place()
                connection = await _connect(self._lock.path, self._fault)
                try:
                    self._checkpoints = await _start(connection, _set_up, self._lock)
                except BaseException:
                    await connection.close()
                    raise
                self._wal = file_id(self._wal_path)
                self._connection = connection
            return self._connection


async def _connect(path: Path, fault: Fault | None) -> aiosqlite.Connection:
    for kind in (type(None), bytes):
        # Of these, sqlite3 asks their type for a conversion, by an AttributeError each time, unless it is told of one.
        sqlite3.register_adapter(kind, _as_it_is)
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


def _as_it_is(value: T) -> T:
    return value


def _start(connection: aiosqlite.Connection, closure: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    # The thread's queue and the raw connection are private to aiosqlite; its public calls cost a hop between threads
    # for each statement, a closure one for a whole batch. Nothing else in Dargah touches them.
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    connection._tx.put_nowait((future, partial(closure, connection._conn, *arguments)))  # noqa: SLF001
    return future


def _set_up(connection: sqlite3.Connection, lock: FileLock) -> Checkpoints:
    for pragma in _PRAGMAS:
        connection.execute(pragma).fetchall()
    # The first read makes the WAL's file, by which it is known from then on.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    return Checkpoints(lock)


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


# A plain dict: each statement looks itself up.
SQL: Final = dict(load_queries("sqlite"))


class SqliteTransaction:
    """Implements proxy.database.transaction.Transaction within the open transaction of its connection."""

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
    """The result of a step on a SqliteTransaction, run to its end here and now. Raises its errors, and StepWaited."""
    try:
        running.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    running.close()
    raise StepWaited
