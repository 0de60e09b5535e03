"""PostgreSQL servers of a test's own on loopback, which can be frozen, crashed, promoted and copied to a standby.

And an address that moves: a TCP relay to a port that can be changed, which can also swallow all in silence.
"""

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
from typing import Any, Final

import asyncpg
from support.eventually import eventually
from support.ports import free_port

from . import serving
from .durable import NOT_THERE, READY_SECONDS

PROMOTIONS: Final = 10
# The journal reaches the standby before a commit is answered: only so can nothing be lost when it takes over.
_STREAMING: Final = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
SYNCHRONOUS: Final = ("synchronous_standby_names=*", "synchronous_commit=on")


@dataclass(slots=True)
class Postgres:
    """One server, with its data in `folder`."""

    folder: Path
    programs: Path
    as_user: dict[str, Any]
    settings: Sequence[str] = serving.FAST
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://dargah@127.0.0.1:{self.port}/{database}?sslmode=disable"

    @property
    def _log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    async def make(self, encoding: str = "UTF8") -> None:
        await self._run("initdb", "-U", "dargah", "--auth=trust", f"--encoding={encoding}", "--no-locale", "--no-sync")

    async def start(self) -> None:
        settings = [word for setting in self.settings for word in ("-c", setting)]
        command = [self.programs / "postgres", "-D", self.folder, "-p", str(self.port), "-k", "", "-h", "127.0.0.1"]
        with self._log.open("ab") as log:
            self._process = _popen([*command, *settings], log, self.as_user)
        await self.ready()

    async def ready(self) -> None:
        async def answers() -> bool | None:
            with suppress(*NOT_THERE):
                return bool(await self.sql("SELECT 1"))
            return None

        await eventually(answers, READY_SECONDS)

    async def sql(self, text: str, database: str = "postgres") -> Any:
        """The first value of what the server says, on a connection of its own."""
        connection = await asyncpg.connect(self.url_of(database), timeout=5)
        try:
            return await connection.fetchval(text)
        finally:
            connection.terminate()

    async def standby(self, *settings: str, port: int | None = None) -> "Postgres":
        """Another server that follows this one; it has started."""
        folder, port = self.folder.with_name(f"{self.folder.name}2"), port or free_port()
        other = Postgres(folder, self.programs, self.as_user, settings or self.settings, port)
        from_here = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "dargah", "-R", "-X", "stream", "-c", "fast")
        await other._run("pg_basebackup", "--no-sync", *from_here)
        await other.start()

        async def streaming() -> bool | None:
            return await self.sql(_STREAMING) or None

        await eventually(streaming, READY_SECONDS)
        return other

    async def promote(self) -> None:
        """Asks for it again where that was not heard: now and then the process that recovers sleeps through it."""
        for _ in range(PROMOTIONS):
            if await self.sql("SELECT NOT pg_is_in_recovery() OR pg_promote(true, 2)"):
                return
        raise AssertionError(self._log.read_text()[-2000:])

    def freeze(self) -> None:
        """Nothing of it answers, and nobody is told: its kernel goes on to take what is sent."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def crash(self) -> None:
        """As if its machine had no power any more; whoever is connected is told by the kernel."""
        self._send(signal.SIGKILL)

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                for pid in _family(process.pid):
                    os.kill(pid, signal.SIGCONT)
            process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(process.wait)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, "start it first"
        for pid in _family(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder), *arguments]
        with self._log.open("ab") as log:
            made = _popen(command, log, self.as_user)
        code = await asyncio.to_thread(made.wait)
        assert code == 0, self._log.read_text()


def _popen(command: Sequence[Any], log: Any, as_user: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Not asyncio's: uvloop cannot start a process as another user."""
    made: subprocess.Popen[bytes] = subprocess.Popen(command, stdout=log, stderr=log, **as_user)
    return made


def _family(pid: int) -> list[int]:
    """A server's first process, and then those that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pid, *map(int, children.read_text().split())]
    except FileNotFoundError:
        return [pid]


@asynccontextmanager
async def folder_of_servers() -> AsyncIterator[Postgres]:
    """A server that is not made yet, in a folder that goes with all the servers in it."""
    # Not in a test's own folder: the server is another user, who is not let in there.
    folder = Path(tempfile.mkdtemp(prefix="dargah-cluster-"))
    try:
        as_user = serving.unprivileged()
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
            folder.chmod(0o755)
        yield Postgres(folder / "first", serving.programs(folder, as_user), as_user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def pair(*settings: str) -> AsyncIterator[tuple[Postgres, Postgres]]:
    """A primary and the standby that has all of its commits."""
    async with folder_of_servers() as first:
        second = None
        try:
            first.settings = [*serving.FAST, *settings] if settings else serving.FAST
            await first.make()
            await first.start()
            second = await first.standby(*serving.FAST)
            yield first, second
        finally:
            for server in (first, second):
                if server is not None:
                    await server.stop()


@dataclass(slots=True)
class Relay:
    """`target` is the port that new connections go to; with `silent` no byte gets through, and none is refused."""

    target: int
    silent: bool = False
    port: int = 0
    accepted: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine that runs has a task"
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        self._writers.add(writer)
        try:
            while self.silent:  # noqa: ASYNC110  a field of the test's is enough
                await asyncio.sleep(0.05)
            there = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(there[1])
            await asyncio.gather(_pump(self, reader, there[1]), _pump(self, there[0], writer))
        except OSError:
            writer.close()

    async def close(self) -> None:
        self.silent = False
        for writer in self._writers:
            writer.transport.abort()
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _pump(relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            while relay.silent:  # noqa: ASYNC110  a field of the test's is enough
                await asyncio.sleep(0.05)
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    made = Relay(target)
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        await made.close()
