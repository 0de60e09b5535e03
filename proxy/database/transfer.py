"""The move of a store from a SQLite file to PostgreSQL.

Every table's rows go in the order of their keys, so that the rows already moved are always a prefix, and an interrupted
move continues behind them. At the end both sides are read once more and compared, row by row.

Secrets are moved sealed: no key is needed.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import asyncpg

from proxy.database.postgresql.schema import make_partitions, migrate
from proxy.database.postgresql.store import connected_to, first_connection
from proxy.database.sqlite.files import FileLock, FileUse, explained
from proxy.database.sqlite.store import migrate as migrate_file
from proxy.database.transaction import load_migrations
from proxy.database.versions import COLUMNS, MOVING
from proxy.kernel.errors import StartRefused
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import partition_at

# Each database has its own of these from its migrations.
_OWN: Final = frozenset({"schema_versions", "heartbeat"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns in their order, and those of its primary key, by which its rows are read in order."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, row: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(row[self.columns.index(column)] for column in self.key)

    def page_query(self, mark: str, *, onwards: bool, limit: int) -> str:
        """The next rows in key order, after a key when `onwards`. `mark` introduces a parameter's number."""
        key = ", ".join(self.key)
        marks = ", ".join(f"{mark}{number}" for number in range(1, len(self.key) + 1))
        after = f" WHERE ({key}) > ({marks})" if onwards else ""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}{after} ORDER BY {key} LIMIT {limit}"  # noqa: S608  names of the schema

    @property
    def last_query(self) -> str:
        """The last key that there is."""
        order = ", ".join(f"{column} DESC" for column in self.key)
        return f"SELECT {', '.join(self.key)} FROM {self.name} ORDER BY {order} LIMIT 1"  # noqa: S608  the same


def tables_of(source: sqlite3.Connection) -> list[Table]:
    """Every table that is moved, by name."""
    names = source.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    return [_table(source, name) for (name,) in names.fetchall() if name not in _OWN]


def _table(source: sqlite3.Connection, name: str) -> Table:
    rows = source.execute("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (name,)).fetchall()
    key = sorted((place, column) for column, place in rows if place)
    return Table(name, tuple(column for column, _ in rows), tuple(column for _, column in key))


NAME: Final = "dargah-move"
# The newest. Older ones are soon forgotten, and each partition costs every query a little.
MAX_PARTITIONS: Final = 36
_LOCK: Final = 0x6461_7267_6D76
_RUNNING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'dargah%' AND pid <> pg_backend_pid()
"""
_MARK: Final = f"INSERT INTO schema_versions ({COLUMNS}) VALUES ($1, 'a_store_is_moved_here', $2, $1)"  # noqa: S608  names of ours


class MoveRefused(StartRefused):
    """The move did not start, or stopped; the message names the reason."""


class Target:
    """One connection to it, which also keeps a second move out."""

    def __init__(self, connection: Any) -> None:
        self._connection: asyncpg.Connection = connection

    @classmethod
    async def open(cls, url: str) -> "Target":
        """Raises MoveRefused, CannotConnect, OSError and asyncpg's errors."""
        connection = await first_connection(connected_to(url, pooler=True, name=NAME))
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            await connection.close()
            raise MoveRefused("another `dargah migrate-store` is moving a store into that database")
        return cls(connection)

    async def close(self) -> None:
        await self._connection.close()

    async def begin(self, tables: Sequence[Table], now: int) -> bool:
        """Makes the schema and marks the database, so that no Dargah starts on it; gives whether it was begun before.

        Raises MoveRefused for a database in use, or with rows that no move has brought.
        """
        if await self._connection.fetchval(_RUNNING):
            raise MoveRefused("a Dargah is running on the database that the store is to be moved to: stop it first")
        if await self._is_marked():
            return True
        await migrate(self._connection, now)
        await self._check_columns(tables)
        for table in tables:
            if await self._connection.fetchrow(table.last_query) is not None:
                raise MoveRefused(f"the database is not empty: there are rows in {table.name}. Move into a new one")
        await self._connection.execute(_MARK, MOVING, now)
        return False

    async def make_partitions(self, partitions: Sequence[int], now: int) -> None:
        """Makes the newest of these partitions. Rows of others go to the default partition: nothing depends on it."""
        for partition in partitions[-MAX_PARTITIONS:]:
            await make_partitions(self._connection, partition, partition)
        await make_partitions(self._connection, partition_at(now))

    async def last_key(self, table: Table) -> tuple[object, ...] | None:
        """How far a move before this one came."""
        row = await self._connection.fetchrow(table.last_query)
        return None if row is None else tuple(row)

    async def add(self, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
        """All of the rows, or none."""
        await self._connection.copy_records_to_table(table.name, records=rows, columns=table.columns)

    async def page(self, table: Table, after: tuple[object, ...] | None, limit: int) -> list[tuple[object, ...]]:
        query = table.page_query("$", onwards=after is not None, limit=limit)
        return [tuple(row) for row in await self._connection.fetch(query, *(after or ()))]

    async def finish(self, heartbeat: int, secrets_bound_at: int | None, settled_at: int | None) -> None:
        """Lets Dargah start on it, with the statistics that its planner needs."""
        await self._connection.execute("ANALYZE")
        async with self._connection.transaction():
            await self._connection.execute(
                "UPDATE heartbeat SET at = $1, secrets_bound_at = $2, settled_at = $3",
                heartbeat,
                secrets_bound_at,
                settled_at,
            )
            await self._connection.execute("DELETE FROM schema_versions WHERE version = $1", MOVING)

    async def _is_marked(self) -> bool:
        if await self._connection.fetchval("SELECT to_regclass('schema_versions')") is None:
            return False
        found = await self._connection.fetchval("SELECT 1 FROM schema_versions WHERE version = $1", MOVING)
        return found is not None

    async def _check_columns(self, tables: Sequence[Table]) -> None:
        rows = await self._connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        there = {tuple(row) for row in rows}
        for table in tables:
            for column in table.columns:
                if (table.name, column) not in there:
                    raise MoveRefused(f"the new database has no place for {table.name}.{column}")


ROWS_AT_ONCE: Final = 1000
SOURCE: Final = FileUse("the database to move from", "--from")

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

    Raises MoveRefused, StoreRefused, and the errors of SQLite and PostgreSQL.
    """
    lock = _lock_source(source)
    try:
        with closing(sqlite3.connect(source, isolation_level=None)) as file:
            with explained(source, SOURCE):
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
    with explained(source, SOURCE):
        return FileLock(source)


def _check_version(file: sqlite3.Connection, now: int) -> None:
    """Both must have this code's schema: columns that it does not know would be left behind."""
    migrate_file(file, now)
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
