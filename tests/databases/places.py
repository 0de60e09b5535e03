"""Where the database of a folder is: a file in it, or, for a test that runs on PostgreSQL, one of the run's server."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from proxy.adapters import postgresql, sqlite
from proxy.ports import Now

AnyStore = sqlite.SqliteStore | postgresql.PostgresqlStore
Rows = dict[str, list[Any]]
_SERVED: dict[Path, str] = {}
_LEASES_OVER = """
UPDATE payments SET lease_until = 0 WHERE lease_until > 0;
UPDATE turns SET due_at = 0, in_flight = (
    SELECT jsonb_object_agg(key, jsonb_set(value, '{2}', '0')) FROM jsonb_each(in_flight::jsonb)
)::text WHERE in_flight <> '{}'
"""


@contextmanager
def served(folder: Path, url: str) -> Iterator[None]:
    """The folder's database is at `url`."""
    _SERVED[folder] = url
    try:
        yield
    finally:
        del _SERVED[folder]


def database_in(folder: Path) -> Path | str:
    """What DARGAH_DATABASE is for a Dargah that lives in `folder`."""
    return _SERVED.get(folder, folder / "dargah.db")


async def store_in(folder: Path, now: Now) -> AnyStore:
    """The store of that database; close it."""
    database = database_in(folder)
    if isinstance(database, str):
        return await postgresql.open_store(database, now=now)
    return await sqlite.open_store(database, now=now)


def rows_in(folder: Path) -> Rows:
    """Every row of every table of that database."""
    database = database_in(folder)
    if isinstance(database, str):
        # A test asks between two awaits of its own: the driver has a loop of its own for it.
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(asyncio.run, _rows_of_server(database)).result()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}  # noqa: S608


async def leases_over(folder: Path) -> None:
    """What a process that was killed had leased is nobody's any more, as if the time were over. A file's next process
    sees to that itself.
    """
    database = database_in(folder)
    if isinstance(database, str):
        connection = await asyncpg.connect(database)
        await connection.execute(_LEASES_OVER)
        await connection.close()


async def _rows_of_server(url: str) -> Rows:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # A partition's rows are its table's.
            tables = await connection.fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
            )
            found = {name: await connection.fetch(f"SELECT * FROM {name}") for (name,) in tables}  # noqa: S608
        return {name: sorted(map(tuple, rows), key=repr) for name, rows in found.items()}
    finally:
        await connection.close()
