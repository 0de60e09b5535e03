"""One PostgreSQL server for a whole test run, whichever process of it asks first; and its databases, lent to tests."""

import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from proxy.adapters.postgresql.migrations import migrate
from proxy.adapters.queries import load_migrations

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
    # The audit log takes no DELETE otherwise; with few rows it is quicker than TRUNCATE.
    statements = ["SET session_replication_role = replica", *(f"DELETE FROM {row[0]}" for row in rows)]  # noqa: S608  the schema's own names
    statements.append(f"DELETE FROM schema_versions WHERE version > {len(load_migrations('postgresql'))}")  # noqa: S608  a number
    await connection.execute(";".join(statements))
