"""Dargah as a process of its own, to be killed without warning and started again on the same database and port."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from databases.places import database_in

from support.command import FORKS, become_dargah, end_of, exit_code, started
from support.dargah import KEY_RING, OPERATOR_TOKEN
from support.ports import free_port
from support.shop import Shop, prepared_shop

START_SECONDS = 60
MOST_SHOWN = 64 * 1024
_MAIN: Final = """
import sys
from proxy.__main__ import main

sys.argv[1:] = ["serve"]
main()
"""
_MOVED: Final = """
import time

def moved(read, unit):
    def now():
        with open({offset!r}) as file:
            return read() + int(file.read()) * unit
    return now

time.time, time.time_ns = moved(time.time, 1), moved(time.time_ns, 10**9)
"""


def environment(database: str, **more: str) -> dict[str, str]:
    """The variables of a development `dargah serve` on free ports; `more` are settings without their DARGAH_."""
    values = {
        "ENV_FILE": "",  # whatever stands in the folder of the tests
        "ENVIRONMENT": "development",
        "DATABASE": database,
        "LISTEN": "127.0.0.1:0",
        "ADMIN_LISTEN": "127.0.0.1:0",
        "ADMIN_TOKEN": OPERATOR_TOKEN,
        "KEYS": KEY_RING,
    } | more
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    return kept | {f"DARGAH_{name}": value for name, value in values.items()}


class Process:
    """`await start()`, `await kill()` (SIGKILL), `await stop()` (SIGTERM, gives the exit code).

    `start` is `launch`, after which it can be killed at any moment, and `ready`. `more` are further DARGAH_ variables.
    A `forked` one comes from a process that has imported the program, which spares a second of CPU; the others start as
    an operator's does. `first` is code that it runs before the program.
    """

    def __init__(self, folder: Path, **more: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "dargah.log"
        self.admin_url = f"http://127.0.0.1:{free_port()}"
        listen = {"LISTEN": self.url.removeprefix("http://"), "ADMIN_LISTEN": self.admin_url.removeprefix("http://")}
        self.env = environment(str(database_in(folder)), **listen) | more
        self.stdout: int = asyncio.subprocess.PIPE
        self.limits: dict[int, int] = {}
        self.forked = False
        self.first = ""
        self._process: asyncio.subprocess.Process | Forked | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def customize(self, code: str) -> None:
        """Every process from now on runs that first."""
        folder = self.log.parent / "customized"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(code)
        self.env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), self.env.get("PYTHONPATH"))))

    async def start(self) -> None:
        await self.launch()
        await self.ready()

    async def launch(self) -> None:
        if self._may_be_forked():
            self._process = await Forked.launched(["serve"], self.env, self.log, self.first)
            return
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(("-c", self.first + _MAIN) if self.first else ("-m", "proxy", "serve")),
                stdout=self.stdout,
                stderr=log,
                env=self.env,
                preexec_fn=self._limit if self.limits else None,
            )

    def _may_be_forked(self) -> bool:
        """One that a limit, a library or another package must meet at its start comes from a start of its own."""
        own = any(self.env.get(name) != os.environ.get(name) for name in ("LD_PRELOAD", "PYTHONPATH"))
        return self.forked and not self.limits and self.stdout == asyncio.subprocess.PIPE and not own

    def _limit(self) -> None:
        """In the new process: `limits` by their kinds of `resource`."""
        for kind, most in self.limits.items():
            resource.setrlimit(kind, (most, most))

    async def ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        assert b"ready on" in line, self._said()

    def _said(self) -> str:
        """The beginning of its log, which may be a device that has no end."""
        with self.log.open("rb") as log:
            return log.read(MOST_SHOWN).decode()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self._end(signal.SIGTERM)

    async def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(START_SECONDS):
            return await self._process.wait()

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError):  # it died by itself, which its log and its exit code tell
            process.send_signal(number)
        return await process.wait()


class Forked:
    """What `Process` needs of an `asyncio.subprocess.Process`."""

    def __init__(self, process: BaseProcess, stdout: asyncio.StreamReader, close: Callable[[], None]) -> None:
        self.stdout, self._process, self._close = stdout, process, close
        self._code: int | None = None
        assert process.pid is not None
        self.pid = process.pid

    @classmethod
    async def launched(cls, arguments: Sequence[str], env: Mapping[str, str], log: Path, first: str = "") -> "Forked":
        """`dargah …`; its errors go to `log`, and `first` is code that runs before it."""
        reader, writer = FORKS.Pipe(duplex=False)
        with writer:
            process = FORKS.Process(target=_become, args=(arguments, dict(env), Path.cwd(), writer, log, first))
            await started(process)
        stdout, loop = asyncio.StreamReader(), asyncio.get_running_loop()

        def feed() -> None:
            if data := os.read(reader.fileno(), 4096):
                stdout.feed_data(data)
            else:
                loop.remove_reader(reader.fileno())
                stdout.feed_eof()

        def close() -> None:
            loop.remove_reader(reader.fileno())
            reader.close()

        loop.add_reader(reader.fileno(), feed)
        return cls(process, stdout, close)

    @property
    def returncode(self) -> int | None:
        return self._code if self._code is not None else exit_code(self._process)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        if self._code is None:
            self._code = await end_of(self._process)
            self._close()
            self._process.close()
        return self._code


def _become(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, stdout: Connection, log: Path, first: str
) -> None:
    """In the new process."""
    os.dup2(stdout.fileno(), 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    stdout.close()
    exec(first, {})  # noqa: S102  a test's own
    become_dargah(arguments, env, folder)


@asynccontextmanager
async def process_shop(folder: Path, **more: str) -> AsyncIterator[tuple[Shop, Process]]:
    """A shop at a Dargah that is a process of its own. `more` are further DARGAH_ variables."""
    process = Process(folder, **more)
    process.forked = True
    async with prepared_shop(folder) as shop:
        try:
            await process.start()
            yield replace(shop, url=process.url), process
        finally:
            await process.kill()


class MovedClock:
    """The time of day of a process that is not started yet; right until `say`. The steady clock goes on.

    The process reads it from a wrapper that a `sitecustomize` installs. libfaketime stops uvloop's timers even where it
    is told to leave the steady clock alone.
    """

    def __init__(self, process: Process, folder: Path) -> None:
        self._offset = folder / "offset"
        process.customize(_MOVED.format(offset=str(self._offset)))
        self.say(0)

    def say(self, seconds: int) -> None:
        """The time of day is wrong by so much from now on."""
        new = self._offset.with_suffix(".new")  # renamed into its place: it is read at any moment
        new.write_text(str(seconds))
        new.rename(self._offset)
