"""Backups as files, while no process serves their database: making one, looking at one, and putting one back."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proxy.adapters.sqlite.lock import FileLock

PAGES_AT_ONCE: Final = 4096
_SIDES: Final = ("-wal", "-shm")

Tell = Callable[[int, int], None]
"""Hears how many pages of how many are done."""


class BadBackup(Exception):
    """The file is no whole database of Dargah's; the message says what is wrong with it."""


def copy_stopped(database: Path, target: Path, tell: Tell) -> None:
    """Copies a database that nobody has open into the empty file `target`.

    Raises StoreLocked when a process has it open, and sqlite3.Error.
    """
    lock = FileLock(database)
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
            # So that the copy says when it was taken: a restore asks gateways about what came after.
            source.execute("UPDATE heartbeat SET at = ?", (time.time_ns() // 1_000_000,))
            source.commit()
            source.backup(copy, pages=PAGES_AT_ONCE, progress=lambda _status, left, total: tell(total - left, total))
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
    """Copies a backup to a new file; a WAL that lies beside it, as of a snapshot, is folded in. Raises BadBackup."""
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
    """Puts `made` in the place of a database whose lock the caller holds; gives where what was there is kept."""
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
    own_like(made, database if kept else database.parent)
    made.replace(database)
    sync_folder(database.parent)
    return kept


def sync_folder(folder: Path) -> None:
    """So that what was renamed is so after a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def own_like(path: Path, other: Path) -> None:
    """Gives a file to whom another belongs, where this process may: root restores for a service of another user."""
    owner = other.stat()
    with suppress(PermissionError):
        os.chown(path, owner.st_uid, owner.st_gid)
