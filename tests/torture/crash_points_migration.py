"""Death in the midst of a migration: at every statement, from every schema version there ever was."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.adapters.queries import load_migrations
from proxy.adapters.sqlite.migrations import _VERSIONS

from .world_loop import Clock, run_virtually
from .world_setup import EPOCH, scratch
from .world_store import OpenFile, copy_files, inline_sqlite, traced


@dataclass(frozen=True, slots=True)
class Migrated:
    """From one schema version to the newest: statements, runs (one per statement), and what went wrong."""

    name: str
    statements: int
    runs: int
    failures: tuple[str, ...]


def migrations() -> Iterator[Migrated]:
    """Opens a database of every older schema version, the empty one first, and dies before each statement of that."""
    for version in range(len(load_migrations("sqlite")) + 1):
        folder = scratch()
        try:
            yield _from_version(folder, version)
        finally:
            shutil.rmtree(folder)


def _from_version(folder: Path, version: int) -> Migrated:
    old = folder / "old.db"
    _make_old(old, version)
    copies = _copies_at_each_statement(folder, old)
    wanted = _schema_after_opening(old)
    failures = []
    for number, copy in enumerate(copies):
        try:
            found = _schema_after_opening(copy)
        except Exception as error:  # noqa: BLE001  whatever it is, the restart failed
            failures.append(f"died before statement {number}: the restart raised {error!r}")
            continue
        if found != wanted:
            failures.append(f"died before statement {number}: the schema is another one after the restart")
    return Migrated(f"migrate from version {version}", len(copies), len(copies), tuple(failures))


def _make_old(path: Path, version: int) -> None:
    """A database as the Dargah of that schema version left it; version 0 is a file that does not exist yet."""
    if not version:
        return
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(_VERSIONS)
    for number, name, script in load_migrations("sqlite")[:version]:
        connection.executescript(script)
        connection.execute("INSERT INTO schema_versions VALUES (?, ?, ?, ?)", (number, name, EPOCH, number))
    connection.close()


def _copies_at_each_statement(folder: Path, old: Path) -> list[Path]:
    """The files as they are on the disk before each statement of an opening."""
    working, copies = folder / "working" / "dargah.db", list[Path]()
    working.parent.mkdir()
    if old.exists():
        shutil.copyfile(old, working)

    def before(_sql: str) -> None:
        copy = folder / f"copy{len(copies)}" / "dargah.db"
        copy_files(working, copy)
        copies.append(copy)

    with traced(before):
        _schema_after_opening(working)
    return copies


def _schema_after_opening(path: Path) -> list[tuple[object, ...]]:
    with inline_sqlite():
        return run_virtually(Clock(EPOCH), _opened(path))


async def _opened(path: Path) -> list[tuple[object, ...]]:
    file = await OpenFile.open(path, Clock(EPOCH))
    await file.store.ping()
    schema = file.raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    schema += file.raw.execute("SELECT version, name FROM schema_versions ORDER BY version").fetchall()
    await file.store.close()
    return schema
