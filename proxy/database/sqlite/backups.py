"""Backups as files, while no process serves their database: making one, looking at one, and putting one back."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Final

from proxy.database.sqlite.connection import Database
from proxy.database.sqlite.files import FileLock, make_private
from proxy.kernel.frozen import dataclass

PAGES_AT_ONCE_AT_REST: Final = 4096
_SIDES: Final = ("-wal", "-shm")

OnProgress = Callable[[int, int], None]
"""Hears how many pages of how many are done."""


class BadBackup(Exception):
    """The file is not a complete database of Dargah's; the message names the fault."""


def copy_stopped(database: Path, target: Path, on_progress: OnProgress) -> None:
    """Copies a database that nobody has open into the empty file `target`.

    Raises StoreLocked when a process has it open, and sqlite3.Error.
    """
    lock = FileLock(database)
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
            # So that the copy says when it was taken: a restore asks gateways about what came after.
            source.execute("UPDATE heartbeat SET at = ?", (time.time_ns() // 1_000_000,))
            source.commit()
            source.backup(
                copy,
                pages=PAGES_AT_ONCE_AT_REST,
                progress=lambda _status, left, total: on_progress(total - left, total),
            )
    finally:
        lock.release()


def check(path: Path) -> None:
    """Looks at every page of a backup, and writes nothing beside it. Raises BadBackup."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            _check(connection, path)
    except sqlite3.Error as error:
        raise BadBackup(f"{path} is no whole SQLite database: {error}") from error


def _check(connection: sqlite3.Connection, path: Path) -> None:
    faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if faults != ["ok"]:
        raise BadBackup(f"{path} is damaged: {'; '.join(faults)}")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not {"schema_versions", "payments", "heartbeat"} <= tables:
        raise BadBackup(f"{path} is a database, but none of Dargah's")


def bring(backup: Path, beside: Path) -> None:
    """Copies a backup to a new file; a WAL beside it, as of a snapshot, is folded in. Raises BadBackup."""
    for side in ("", "-wal"):
        source, copy = backup.with_name(backup.name + side), beside.with_name(beside.name + side)
        if not side or source.exists():
            copy.touch(0o600, exist_ok=False)
            with source.open("rb") as read, copy.open("wb") as made:
                shutil.copyfileobj(read, made, 1024 * 1024)
    try:
        with closing(sqlite3.connect(beside)) as connection:
            _check(connection, backup)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise BadBackup(f"{backup} is no whole SQLite database: {error}") from error


def exchange(made: Path, database: Path) -> Path | None:
    """Replaces a database by `made`, while the caller holds its lock; gives the path at which the old file is kept."""
    kept = None
    if database.exists():
        kept = database.with_name(f"{database.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        # What is in its WAL goes into it, so that one file is all of it. Of a damaged one both are kept as they are.
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for side in _SIDES:
            beside = database.with_name(database.name + side)
            if beside.exists():
                beside.rename(kept.with_name(kept.name + side))
        os.link(database, kept)
        make_private(kept)
    own_like(made, database if kept else database.parent)
    made.replace(database)
    sync_folder(database.parent)
    return kept


def sync_folder(folder: Path) -> None:
    """Makes a rename durable across a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def own_like(path: Path, other: Path) -> None:
    """Gives a file the owner of another, where this process may: root restores for a service of another user."""
    owner = other.stat()
    with suppress(PermissionError):
        os.chown(path, owner.st_uid, owner.st_gid)


# One megabyte, which takes a millisecond or two.
PAGES_AT_ONCE: Final = 256
# Between two steps, as often as a step takes: payments have at least three quarters of the store's time.
REST: Final = 3
LEAST_REST_SECONDS: Final = 0.001
_DONE: Final = 101  # SQLITE_DONE


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is, in pages. `longest_pause_ms` is the most that payments have waited for a step of it."""

    pages: int
    total: int
    longest_pause_ms: float


class _CopyAbandoned(Exception):
    """The copy is not wanted any more."""


class _CopyThread:
    """`step` lets the thread do one step, while the caller, which owns the connection, waits."""

    def __init__(self, source: sqlite3.Connection, target: Path) -> None:
        self._source = source
        self._target = target
        self._go = Event()
        self._stopped = Event()
        self._abandoned = False
        self.error: Exception | None = None
        self.remaining, self.total = 0, 0
        self.finished = False
        self._thread = Thread(target=self._run, name="store-copy", daemon=True)
        self._thread.start()

    def step(self, connection: sqlite3.Connection) -> float:
        """Seconds that it took. Raises sqlite3.OperationalError once the store has another connection: then there
        would be two.
        """
        if connection is not self._source:
            raise sqlite3.OperationalError("the store's connection broke, and the copy with it")
        return self._run_step()

    def _run_step(self) -> float:
        started = time.perf_counter()
        self._stopped.clear()
        self._go.set()
        self._stopped.wait()
        return time.perf_counter() - started

    def leave(self) -> None:
        """Ends the copy where it is."""
        self._abandoned = True
        if not self.finished:
            self._run_step()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._await_step()
            with closing(sqlite3.connect(self._target, isolation_level=None)) as copy:
                # It is of no use before it is whole, and is synced once then.
                copy.execute("PRAGMA synchronous = OFF").fetchall()
                copy.execute("PRAGMA journal_mode = OFF").fetchall()
                self._source.backup(copy, pages=PAGES_AT_ONCE, progress=self._between)
        except Exception as error:  # noqa: BLE001  whoever waits for the step gets it
            self.error = error
        finally:
            self.finished = True
            self._stopped.set()

    def _between(self, status: int, remaining: int, total: int) -> None:
        self.remaining, self.total = remaining, total
        # The end is a part of the last step: it lets go of the connection.
        if status != _DONE:
            self._stopped.set()
            self._await_step()

    def _await_step(self) -> None:
        self._go.wait()
        self._go.clear()
        if self._abandoned:
            raise _CopyAbandoned


async def copying(database: Database, target: Path) -> AsyncGenerator[CopyProgress, None]:
    """Copies into the file `target`, which exists and is empty; gives the progress after each step. At the end the copy
    is synced. Raises sqlite3.Error or OSError when it cannot be written. Close it when it is not read to its end.
    """
    copyist = await database.run(lambda connection: _CopyThread(connection, target))
    longest = 0.0
    try:
        while not copyist.finished:
            took = await database.run(copyist.step)
            if copyist.error is not None:
                raise copyist.error
            longest = max(longest, took)
            yield CopyProgress(copyist.total - copyist.remaining, copyist.total, round(longest * 1000, 1))
            await asyncio.sleep(max(took * REST, LEAST_REST_SECONDS))
    finally:
        # On the connection's thread too, which no batch then shares with it.
        await asyncio.shield(database.run(lambda _connection: copyist.leave()))
    await asyncio.to_thread(_sync, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
