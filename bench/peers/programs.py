"""Programs under test, each a tree of processes on one core, which can be killed and started again."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import tree_cpu_seconds, tree_of
from proxy.demo.stage import free_port

REPOSITORY: Final = Path(__file__).parents[2]
PROGRAMS: Final = REPOSITORY / ".venv" / "peers" / "bin"
READY_SECONDS: Final = 120
STOP_SECONDS: Final = 15
POLL_SECONDS: Final = 0.05


class NotReadyError(Exception):
    """A program has ended, or is not ready in time; the text has its last words."""


@dataclass(slots=True)
class Program:
    """A command on one core. It is ready when `ready` stands in what it says, or where its `port` takes connections."""

    name: str
    command: Sequence[str]
    folder: Path
    core: int
    env: Mapping[str, str] = field(default_factory=dict)
    ready: bytes = b""
    port: int | None = None
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _log: Path | None = field(default=None, init=False)
    _starts: int = field(default=0, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, "start it first"
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Of all its processes so far, those that have ended among them."""
        return tree_cpu_seconds(self.pid)

    async def start(self) -> None:
        """Returns when it is ready."""
        self._starts += 1
        self._log = self.folder / f"{self.name}-{self._starts}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                "taskset", "--cpu-list", str(self.core), *self.command,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=REPOSITORY,
                env=inherited | {"PYTHONUNBUFFERED": "1"} | dict(self.env),
            )  # fmt: skip
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not self._is_ready():  # noqa: ASYNC110  another process tells no event
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotReadyError(f"{self.name} is not ready after {READY_SECONDS} s:\n{self.said()}") from None

    async def kill(self) -> None:
        """SIGKILL to all its processes at once, as when the machine or its container ends."""
        assert self._process is not None
        for pid in tree_of(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and what it leaves behind is killed."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        if self._process.returncode is None:
            await self.kill()

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise NotReadyError(f"{self.name} has ended:\n{self.said()}")
        if self.port is None:
            return self._log is not None and self.ready in self._log.read_bytes()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        """The end of what it has written."""
        return "" if self._log is None else self._log.read_text(errors="replace")[-2000:]


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Program]:
    """The program from its start until it is ended."""
    try:
        await program.start()
        yield program
    finally:
        await program.stop()


def redis(folder: Path, core: int) -> Program:
    """Debian's redis-server with the append-only file, written out every second: what its document recommends."""
    port = free_port()
    home = folder / f"redis-{port}"
    home.mkdir()
    settings = {"appendonly": "yes", "appendfsync": "everysec", "bind": "127.0.0.1", "dir": str(home), "save": ""}
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Program("redis", ["redis-server", "--port", str(port), *words], folder, core, port=port)


def lacking() -> Mapping[str, str]:
    """What cannot be run here, with what would help."""
    found: dict[str, str] = {}
    if not (PROGRAMS / "gunicorn").exists():
        found["peers"] = "no environment of the peers: `make bench-peers` installs it, from PyPI"
    if shutil.which("redis-server") is None:
        found["redis"] = "no redis-server: `apt-get install redis-server`"
    return found
