"""A database in a SQLite file: one process, one connection, group commit."""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.database.repository import Lanes
from proxy.database.sqlite.backups import CopyProgress, copying
from proxy.database.sqlite.connection import Database, Fault, SqliteTransaction, finished
from proxy.database.sqlite.files import FileLock, make_private
from proxy.database.sqlite.lane import SqliteLane, commit_together, read_together
from proxy.database.transaction import MAX_WAITING, Batch, Outcome, Step, Transaction, load_migrations
from proxy.database.versions import COLUMNS, NEWER, StoreForeign, StoreTooNew, oldest_code
from proxy.kernel.clock import Now

_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    oldest_code INTEGER NOT NULL
) STRICT
"""
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"


def migrate(connection: sqlite3.Connection, now: int) -> None:
    """Applies the missing migrations. Raises StoreForeign, StoreTooNew, and sqlite3.Error with nothing half applied."""
    migrations = load_migrations("sqlite")
    tables = [name for (name,) in connection.execute(_TABLES)]
    if tables and "schema_versions" not in tables:
        raise StoreForeign(tables)
    connection.execute(_VERSIONS)
    newer = connection.execute(NEWER.format(known=len(migrations))).fetchone()
    if newer is not None:
        raise StoreTooNew(newer[0], newer[1], len(migrations))
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM schema_versions").fetchone()
    for number, name, script in migrations[version:]:
        _apply(connection, script, (number, name, now))


def _apply(connection: sqlite3.Connection, script: str, row: tuple[int, str, int]) -> None:
    number, name, now = row
    row_of = f"{number:d}, '{name}', {now:d}, {oldest_code(number, script):d}"
    record = f"INSERT INTO schema_versions ({COLUMNS}) VALUES ({row_of});"  # noqa: S608  our own file's name
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{record}\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


SQLITE_VERSION: Final = sqlite3.sqlite_version
"""The library's version, to be logged at the start."""


class SqliteFile:
    """An open database file. Made by `open_file`; `close` it on the loop that opened it."""

    def __init__(self, database: Database, lock: FileLock, write: SqliteLane, read: SqliteLane) -> None:
        self._database = database
        self._lock = lock
        self._closing = write, read
        self.lanes = Lanes(write, read, read)

    def copying(self, target: Path) -> AsyncGenerator[CopyProgress, None]:
        """Copies the database, while it is used, into the empty file `target`: see `backups.copying`."""
        return copying(self._database, target)

    async def close(self) -> None:
        """Finishes the steps that wait, then closes. No step is taken after it."""
        try:
            for lane in self._closing:
                await lane.close()
        finally:
            try:
                await self._database.close()
            finally:
                self._lock.release()


async def open_file(
    path: str | Path,
    *,
    now: Now,
    take_over: Callable[[Transaction, int], Coroutine[Any, Any, None]],
    max_waiting: int = MAX_WAITING,
    on_batch: Callable[[Batch], None] | None = None,
    fault: Fault | None = None,
) -> SqliteFile:
    """The database in the file at `path`, made or migrated when needed.

    `take_over` ends the leases of the dead process before: the lock file shows its end.

    `on_batch` is called, on the event loop, for each group commit; `fault` is called with every statement before it
    runs and may raise in its place. Raises StoreLocked when another process has it open, StoreMisplaced when commits
    could be lost where it lies, StoreTooNew when a newer Dargah migrated it, OSError or sqlite3.Error when the file
    cannot be opened or is no database.
    """
    lock = FileLock(Path(path), make=True)
    database = Database(lock, fault)
    try:
        make_private(lock.path)
        await database.run(lambda connection: _take_over(connection, take_over, now()))
    except BaseException:
        await database.close()
        lock.release()
        raise
    write = SqliteLane(database, partial(_commit_in_place, database), on_batch, max_waiting)
    read = SqliteLane(database, read_together, None, max_waiting)
    return SqliteFile(database, lock, write, read)


def _commit_in_place(database: Database, connection: sqlite3.Connection, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """`commit_together`, with outcomes only while the file is still the one at its path."""
    database.between_commits(connection)
    outcomes = commit_together(connection, steps)
    database.require_in_place()
    return outcomes


def _take_over(
    connection: sqlite3.Connection, take_over: Callable[[Transaction, int], Coroutine[Any, Any, None]], now: int
) -> None:
    migrate(connection, now)
    connection.execute("BEGIN IMMEDIATE")
    finished(take_over(SqliteTransaction(connection), now))
    connection.execute("COMMIT")
