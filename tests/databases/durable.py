"""A PostgreSQL server that is as durable as in production, to be stopped, crashed and cut off."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg

from . import serving

READY_SECONDS: Final = 60
STOP_SECONDS: Final = 30
NOT_THERE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_CLIENTS: Final = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dargah'"


@dataclass(slots=True)
class Server:
    """A server with a data directory in `folder`, which outlives its processes."""

    folder: Path
    programs: Path
    as_user: dict[str, Any]
    settings: Sequence[str]
    # Not asyncio's: uvloop cannot start a process as another user.
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"postgresql://dargah@/postgres?host={self.folder}"

    @property
    def pid(self) -> int:
        """Of the process that starts all others."""
        assert self._process is not None, "start it first"
        return self._process.pid

    async def make(self) -> None:
        made = self._run("initdb", "-U", "dargah", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        assert await asyncio.to_thread(made.wait) == 0, "initdb failed"

    async def start(self) -> None:
        """Returns when it takes connections."""
        settings = [word for setting in self.settings for word in ("-c", setting)]
        self._process = self._run("postgres", "-k", str(self.folder), "-h", "", *settings)
        await self.ready()

    async def ready(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                with suppress(*NOT_THERE):
                    await (await asyncpg.connect(self.url)).close()
                    return
                await asyncio.sleep(0.1)

    async def stop(self, how: signal.Signals) -> None:
        """SIGINT cuts every client off and writes all out; SIGQUIT leaves a server that must recover from its log."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # PostgreSQL 18 does not end where it is asked in the second in which it begins again after a crash.
                process.send_signal(signal.SIGQUIT)
                await asyncio.to_thread(process.wait)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        with (self.folder / "log").open("ab") as log:
            made: subprocess.Popen[bytes] = subprocess.Popen(command, stdout=log, stderr=log, **self.as_user)
            return made

    async def cut(self, random: Random, share: float) -> int:
        """Ends so many of the connections that Dargah has; gives how many those were."""
        connection = await asyncpg.connect(self.url)
        try:
            chosen = [pid for (pid,) in await connection.fetch(_CLIENTS) if random.random() < share]
            await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", chosen)
        finally:
            await connection.close()
        return len(chosen)

    async def crash(self, random: Random) -> bool:
        """Kills the process of one of Dargah's connections, if it has any: the server ends all of them and recovers."""
        connection = await asyncpg.connect(self.url)
        try:
            pids = [pid for (pid,) in await connection.fetch(_CLIENTS)]
            if not pids:
                return False
            os.kill(random.choice(pids), signal.SIGKILL)
        finally:
            connection.terminate()
        return True


@asynccontextmanager
async def durable_server(*settings: str) -> AsyncIterator[Server]:
    """One that runs, on an empty database. `settings` are its own, such as `max_connections=200`."""
    # Not in a test's own folder: the server is another user, who is not let in there.
    folder = Path(tempfile.mkdtemp(prefix="dargah-postgresql-"))
    try:
        as_user = serving.unprivileged()
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
            folder.chmod(0o755)
        server = Server(folder, serving.programs(folder, as_user), as_user, settings)
        await server.make()
        try:
            await server.start()
            yield server
        finally:
            await server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
