"""One PostgreSQL server for a whole test run, its databases lent to tests, and where the database of a folder is.

That is a file in it, or, for a test that runs on PostgreSQL, one of the run's server.
"""

import asyncio
import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from proxy.database.postgresql.schema import migrate
from proxy.database.transaction import load_migrations
from proxy.kernel.clock import Now
from proxy.stores import postgresql, sqlite

T = TypeVar("T")
ENVIRONMENT: Final = "DARGAH_TEST_DATABASE_URL"


def server_of_run(folder: Path) -> str:
    """The URL of the run's server, which is started when it is not; `folder` is the run's own.

    DARGAH_TEST_DATABASE_URL names another server, on which databases may be made.
    """
    given = os.environ.get(ENVIRONMENT)
    if given:
        return given
    url = folder / "postgresql.url"
    with (folder / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not url.exists():
            url.write_text(_start(_process_of_run()))
    return url.read_text()


def _process_of_run() -> int:
    """The process that the whole run ends with: pytest's own, not a worker's."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def _start(run: int) -> str:
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("serving.py"), str(run)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    with server.stdout:
        url = server.stdout.readline().strip()
    server.returncode = 0  # it outlives this process, which is not to be warned of it
    assert url, "PostgreSQL did not start; its log stands above"
    return url


@dataclass
class Databases:
    """Databases of one process, each used by one test at a time and emptied after it: making one takes a while."""

    server: str
    run: str
    _free: list[str] = field(default_factory=list)
    _made: int = 0

    def url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[str]:
        """The URL of a database that is migrated and empty."""
        url = await self._take()
        try:
            yield url
        finally:
            await self._give_back(url)

    async def _take(self) -> str:
        if self._free:
            return self._free.pop()
        self._made += 1
        name = f"dargah_test_{self.run}_{self._made}"
        connection = await asyncpg.connect(self.server)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        await self._once(name, _migrate)
        return self.url(name)

    async def _give_back(self, url: str) -> None:
        """Ends who is still connected, and forgets all that is in it."""
        await self._once(urlsplit(url).path[1:], _empty)
        self._free.append(url)

    async def drop(self) -> None:
        """Removes them, from a server that lives on."""
        connection = await asyncpg.connect(self.server)
        try:
            for url in self._free:
                await connection.execute(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")
        finally:
            await connection.close()

    async def _once(self, name: str, work: Callable[[Any], Awaitable[None]]) -> None:
        connection = await asyncpg.connect(self.url(name))
        try:
            await work(connection)
        finally:
            await connection.close()


async def _migrate(connection: Any) -> None:
    await migrate(connection, 0)


async def _empty(connection: Any) -> None:
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname NOT IN ('schema_versions', 'heartbeat')"
    )
    # A heartbeat that an earlier test left would be newer than this one's clock, and does not go back.
    # The audit log takes no DELETE otherwise; with few rows it is quicker than TRUNCATE.
    statements = ["SET session_replication_role = replica", *(f"DELETE FROM {row[0]}" for row in rows)]  # noqa: S608  the schema's own names
    statements.append("UPDATE heartbeat SET at = 0, settled_at = NULL, secrets_bound_at = NULL")
    statements.append(f"DELETE FROM schema_versions WHERE version > {len(load_migrations('postgresql'))}")  # noqa: S608  a number
    await connection.execute(";".join(statements))


AnyStore = sqlite.SqliteStore | postgresql.PostgresqlStore
Rows = dict[str, list[Any]]
_SERVED: dict[Path, str] = {}
_READERS: dict[Path, "Reader"] = {}
_LEASES_OVER = """
UPDATE payments SET lease_until = 0 WHERE lease_until > 0;
UPDATE turns SET due_at = 0, in_flight = (
    SELECT jsonb_object_agg(key, jsonb_set(value, '{2}', '0')) FROM jsonb_each(in_flight::jsonb)
)::text WHERE in_flight <> '{}'
"""


class Reader:
    """Reads a server's database between two awaits of a test: on a thread and a loop of its own, and a connection that
    is kept, as a test looks before and after.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads, self._loop = ThreadPoolExecutor(1), asyncio.new_event_loop()
        self._connection: Any = None

    def rows(self) -> Rows:
        """Every row of every table, whose columns may have changed since the last time."""
        try:
            return self._run(self._rows())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self._disconnect()
            return self._run(self._rows())

    def close(self) -> None:
        self._disconnect()
        self._loop.close()
        self._threads.shutdown()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._run(asyncio.sleep(0))
            self._connection = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._threads.submit(self._loop.run_until_complete, work).result()

    async def _rows(self) -> Rows:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._url)
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            # A partition's rows are its table's.
            tables = await self._connection.fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
            )
            found = {name: await self._connection.fetch(f"SELECT * FROM {name}") for (name,) in tables}  # noqa: S608
        return {name: sorted(map(tuple, rows), key=repr) for name, rows in found.items()}


@contextmanager
def served(folder: Path, url: str) -> Iterator[None]:
    """The folder's database is at `url`."""
    _SERVED[folder] = url
    try:
        yield
    finally:
        del _SERVED[folder]
        if reader := _READERS.pop(folder, None):
            reader.close()


def database_in(folder: Path) -> Path | str:
    """What DARGAH_DATABASE is for a Dargah that lives in `folder`."""
    return _SERVED.get(folder, folder / "dargah.db")


def make_database_in(folder: Path) -> Path | str:
    """The same, as the first start leaves it where there is none yet: to copy it costs a fourth of migrating it."""
    database = database_in(folder)
    if isinstance(database, Path) and not database.exists():
        database.write_bytes(_migrated_file())
        database.chmod(0o600)
    return database


@cache
def _migrated_file() -> bytes:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
        file = Path(folder, "dargah.db")
        threads.submit(asyncio.run, _migrate_file(file)).result()
        return file.read_bytes()


async def _migrate_file(file: Path) -> None:
    await (await sqlite.open_store(file, now=lambda: 0)).close()


async def store_in(folder: Path, now: Now) -> AnyStore:
    """The store of that database; close it."""
    database = database_in(folder)
    if isinstance(database, str):
        return await postgresql.open_store(database, postgresql.ServerOptions(now=now))
    return await sqlite.open_store(database, now=now)


def rows_in(folder: Path) -> Rows:
    """Every row of every table of that database."""
    database = database_in(folder)
    if isinstance(database, str):
        if folder not in _READERS:
            _READERS[folder] = Reader(database)
        return _READERS[folder].rows()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
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
