"""CPU instructions of a process, counted by Valgrind's callgrind: on its event loop, on SQLite's thread, and elsewhere.

The start is not counted, and the clocks of the process run slower (bench/slow_clock), so that its timers weigh nothing.
Instructions repeat within 1 %, whatever else the machine does; they leave out waiting and cache misses.
"""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from bench.processes import child

SLOW_CLOCK: Final = Path(__file__).parent / "slow_clock"
READY_SECONDS: Final = 600.0  # Valgrind is slow, and a machine may be busy
OPTIONS: Final = ("--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", "--quiet", "--vgdb=yes")
FIRST_THREAD: Final = "01"
# Of the library, or of the module where that has it inside.
_SQLITE: Final = re.compile(r"^ob=.*sqlite3", re.MULTILINE)
_TOTALS: Final = re.compile(r"^totals: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Instructions:
    """How many: on the first thread, which is the event loop's; on a thread of SQLite's; on any other."""

    loop: float = 0.0
    sqlite: float = 0.0
    other: float = 0.0

    @property
    def all(self) -> float:
        return self.loop + self.sqlite + self.other

    def __truediv__(self, count: float) -> "Instructions":
        return Instructions(self.loop / count, self.sqlite / count, self.other / count)

    def __add__(self, more: "Instructions") -> "Instructions":
        return Instructions(self.loop + more.loop, self.sqlite + more.sqlite, self.other + more.other)

    def __sub__(self, less: "Instructions") -> "Instructions":
        return Instructions(self.loop - less.loop, self.sqlite - less.sqlite, self.other - less.other)


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts the instructions of the process under Valgrind. `url` is where it said that it is ready."""

    url: str
    pid: int
    folder: Path

    async def start(self) -> None:
        """Call it before the work that warms up: from here on all is slow."""
        await self._tell("instrumentation", "on")

    async def count(self, work: Awaitable[object]) -> Instructions:
        """The instructions while `work` runs."""
        await self._tell("zero")
        await work
        await self._tell("dump")
        counts = {"loop": 0, "sqlite": 0, "other": 0}
        for dump in self.folder.glob("counted.*"):
            text = dump.read_text()
            if (found := _TOTALS.search(text)) is not None:
                first = dump.name.rpartition("-")[2] == FIRST_THREAD
                counts["loop" if first else "sqlite" if _SQLITE.search(text) else "other"] += int(found[1])
            dump.unlink()
        return Instructions(**counts)

    async def _tell(self, *command: str) -> None:
        pipe = asyncio.subprocess.PIPE
        asked = ("vgdb", f"--pid={self.pid}", *command)
        process = await asyncio.create_subprocess_exec(*asked, stdout=pipe, stderr=pipe)
        _, error = await process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(asked)}: {error.decode()}")


def is_installed() -> bool:
    return shutil.which("valgrind") is not None and shutil.which("vgdb") is not None


@asynccontextmanager
async def counted(
    folder: Path,
    arguments: Sequence[str],
    env: Mapping[str, str],
    python: str = sys.executable,
    errors: IO[bytes] | None = None,
) -> AsyncIterator[Meter]:
    """`python ARGUMENTS` under Valgrind until the context's end, once it said where it is ready.

    `errors` gets its standard error, where its log is.
    """
    paths = (str(SLOW_CLOCK), env.get("PYTHONPATH", str(Path.cwd())))
    env = {**env, "PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
    command = (*OPTIONS, f"--callgrind-out-file={folder}/counted", python, *arguments)
    async with child(None, *command, program="valgrind", env=env, seconds=READY_SECONDS, errors=errors) as process:
        try:
            yield Meter(process.url, process.pid, folder)
        finally:
            os.kill(process.pid, signal.SIGKILL)  # Valgrind would write what it counted once more
