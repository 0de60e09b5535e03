"""The move of a store: every table's rows in the order of their keys, so that the rows already moved are always a
prefix, and an interrupted move continues behind them. At the end both sides are read once more and compared, row by
row.

Secrets are moved sealed: no key is needed.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.database.sqlite.files import FileLock
from proxy.database.sqlite.store import migrate
from proxy.database.transaction import load_migrations
from proxy.database.transfer.target import MoveRefused, Table, Target, tables_of

__all__ = ["MoveRefused", "TableCopy", "move"]

ROWS_AT_ONCE: Final = 1000

Rows = list[tuple[object, ...]]
OnProgress = Callable[[str, int, int], None]
"""Hears of a table how many of its rows are moved, of how many; and then how many are compared."""


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A table that is the same on both sides: its rows, and the SHA-256 over all of them in the order of their keys."""

    table: str
    rows: int
    sha256: str


async def move(source: Path, target: str, now: int, moving: OnProgress, comparing: OnProgress) -> list[TableCopy]:
    """Moves everything of the file `source`, which stays as it is, to the database at the URL `target`.

    Raises MoveRefused, StoreLocked, StoreTooNew, ServerTooOld, and the errors of SQLite, the disk and PostgreSQL.
    """
    lock = _lock_source(source)
    try:
        with closing(sqlite3.connect(source, isolation_level=None)) as file:
            _check_version(file, now)
            to = await Target.open(target)
            try:
                return await _move(file, to, now, moving, comparing)
            finally:
                await to.close()
    finally:
        lock.release()


async def _move(
    file: sqlite3.Connection, to: Target, now: int, moving: OnProgress, comparing: OnProgress
) -> list[TableCopy]:
    tables = tables_of(file)
    await to.begin(tables, now)
    await to.make_partitions(_partitions(file), now)
    for table in tables:
        await _copy(file, to, table, moving)
    moved = [await _compare(file, to, table, comparing) for table in tables]
    await to.finish(*file.execute("SELECT at, secrets_bound_at, settled_at FROM heartbeat").fetchone())
    return moved


def _partitions(file: sqlite3.Connection) -> list[int]:
    """The partitions of the rows."""
    rows = file.execute("SELECT part FROM events UNION SELECT part FROM deliveries UNION SELECT part FROM attempts")
    return sorted(partition for (partition,) in rows)


def _lock_source(source: Path) -> FileLock:
    """The file's lock, where there is one: none is made."""
    if not source.exists():
        raise MoveRefused(f"{source} is not there")
    return FileLock(source)


def _check_version(file: sqlite3.Connection, now: int) -> None:
    """Both must have this code's schema: columns that it does not know would be left behind."""
    migrate(file, now)
    [version] = file.execute("SELECT max(version) FROM schema_versions").fetchone()
    if version > len(load_migrations("sqlite")):
        raise MoveRefused(f"the file is at schema version {version}: move it with the Dargah that migrated it")


async def _copy(file: sqlite3.Connection, to: Target, table: Table, moving: OnProgress) -> None:
    reached = await to.last_key(table)
    total, done = _count(file, table), 0 if reached is None else _count(file, table, reached)
    for rows in _pages(file, table, reached):
        await to.add(table, rows)
        done += len(rows)
        moving(table.name, done, total)


async def _compare(file: sqlite3.Connection, to: Target, table: Table, comparing: OnProgress) -> TableCopy:
    digest, count, total = hashlib.sha256(), 0, _count(file, table)
    after: tuple[object, ...] | None = None
    for ours in _with_end(_pages(file, table, None)):
        theirs = await to.page(table, after, max(len(ours), 1))
        if ours != theirs:
            raise MoveRefused(f"{table.name} is not the same on both sides, at {_first_other(table, ours, theirs)}")
        for row in ours:
            digest.update(_bytes(row))
        count += len(ours)
        after = table.key_of(ours[-1]) if ours else after
        comparing(table.name, count, total)
    return TableCopy(table.name, count, digest.hexdigest())


def _with_end(pages: Iterator[Rows]) -> Iterator[Rows]:
    """The pages, and then none: the other side must end there too."""
    yield from pages
    yield []


def _pages(file: sqlite3.Connection, table: Table, after: tuple[object, ...] | None) -> Iterator[Rows]:
    while True:
        query = table.page_query("?", onwards=after is not None, limit=ROWS_AT_ONCE)
        rows: Rows = file.execute(query, after or ()).fetchall()
        if not rows:
            return
        yield rows
        after = table.key_of(rows[-1])


def _count(file: sqlite3.Connection, table: Table, up_to: tuple[object, ...] | None = None) -> int:
    marks = ", ".join("?" * len(table.key))
    until = "" if up_to is None else f" WHERE ({', '.join(table.key)}) <= ({marks})"
    [count] = file.execute(f"SELECT count(*) FROM {table.name}{until}", up_to or ()).fetchone()  # noqa: S608  names of the schema
    return int(count)


def _first_other(table: Table, ours: Rows, theirs: Rows) -> tuple[object, ...]:
    """The key of the first row that differs, or that only one side has."""
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            return min(table.key_of(one), table.key_of(other), key=repr)
    longer = ours if len(ours) > len(theirs) else theirs
    return table.key_of(longer[min(len(ours), len(theirs))])


def _bytes(row: tuple[object, ...]) -> bytes:
    """A row as bytes, which no other row has: each value with its kind and its length."""
    parts = []
    for value in row:
        raw = value if isinstance(value, bytes) else str(value).encode()
        parts.append(f"{type(value).__name__[0]}{len(raw)}:".encode() + raw)
    return b"".join(parts) + b"\n"
