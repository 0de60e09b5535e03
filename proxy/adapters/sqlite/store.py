"""The whole Store on SQLite: one file, one process, one connection, group commit."""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final

from proxy.adapters.sqlite.connection import Database, Fault
from proxy.adapters.sqlite.copying import Copied, copying
from proxy.adapters.sqlite.group_commit import commit_together, read_together
from proxy.adapters.sqlite.lane import Lane
from proxy.adapters.sqlite.lock import FileLock
from proxy.adapters.sqlite.migrations import migrate
from proxy.adapters.sqlite.transaction import SqliteTransaction, finished
from proxy.adapters.store.steps import MAX_WAITING, Batch
from proxy.adapters.store.transaction import Transaction
from proxy.adapters.store.turns import take_over
from proxy.adapters.store.whole import WholeStore
from proxy.ports import Now

SQLITE_VERSION: Final = sqlite3.sqlite_version
"""The library's version, to be logged at the start."""


class SqliteStore(WholeStore):
    """Implements proxy.ports.Store. Made by `open_store`; `close` it on the loop that opened it."""

    def __init__(self, database: Database, lock: FileLock, now: Now, write: Lane, read: Lane) -> None:
        self._database = database
        self._lock = lock
        self._now = now
        self._write, self._read = self._lanes = write, read

    def copying(self, target: Path) -> AsyncGenerator[Copied, None]:
        """Copies the database, while it is used, into the empty file `target`: see `copying.copying`."""
        return copying(self._database, target)

    async def close(self) -> None:
        try:
            for lane in self._lanes:
                await lane.close()
        finally:
            try:
                await self._database.close()
            finally:
                self._lock.release()


async def open_store(
    path: str | Path,
    *,
    now: Now,
    max_waiting: int = MAX_WAITING,
    on_batch: Callable[[Batch], None] | None = None,
    fault: Fault | None = None,
) -> SqliteStore:
    """The store in the file at `path`, made or migrated when needed.

    `on_batch` hears, on the event loop, of each group commit; `fault` is called with every statement before it runs
    and may raise in its place. Raises StoreLocked when another process has it open, StoreTooNew when a newer Dargah
    migrated it, OSError or sqlite3.Error when the file cannot be opened or is no database.
    """
    path = Path(path)
    lock = FileLock(path)
    database = Database(path, fault)
    try:
        await database.run(lambda connection: _take_over(connection, now()))
    except BaseException:
        await database.close()
        lock.release()
        raise
    write = Lane(database, commit_together, on_batch, max_waiting)
    read = Lane(database, read_together, None, max_waiting)
    return SqliteStore(database, lock, now, write, read)


def _take_over(connection: sqlite3.Connection, now: int) -> None:
    """Migrates, and ends the leases of the process before: the lock file says that it is dead."""
    migrate(connection, now)
    connection.execute("BEGIN IMMEDIATE")
    finished(_end_leases(SqliteTransaction(connection), now))
    connection.execute("COMMIT")


async def _end_leases(transaction: Transaction, now: int) -> None:
    await transaction.run("end_request_leases")
    await take_over(transaction, now)
