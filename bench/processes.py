"""Processes on cores of their own, and what they have used: the server under test on one, all else on the other."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the server under test, and that of the load and the gateway. The same one on a machine of one."""

    server: int
    rest: int


@dataclass(frozen=True, slots=True)
class Child:
    """A process, and where it said that it is ready."""

    pid: int
    url: str


def share_cores() -> Cores:
    """Puts this process on the second core, where its children stay too unless they are given the first."""
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, usable[-1:])
    return Cores(usable[0], usable[-1])


def pin(pid: int, core: int) -> None:
    """Keeps the process and its threads on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), {core})


@asynccontextmanager
async def child(
    core: int | None,
    *arguments: str,
    program: str = sys.executable,
    env: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
    errors: IO[bytes] | None = None,
) -> AsyncIterator[Child]:
    """`python ARGUMENTS` on that core (None: any), which prints `… ready on URL` within so long; ended afterwards.

    `env` comes on top of this process's own, without its DARGAH_ settings; `errors` gets its standard error.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARGAH_")}
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=errors, env=inherited | dict(env or {})
    )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        url = await asyncio.wait_for(_ready_url(process), seconds)
        if url is None:
            # Here and not in the task that waits: there it would end the loop at once, and leave processes behind.
            raise SystemExit("a process of the benchmark has ended: see its error output above")
        yield Child(process.pid, url)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready_url(process: asyncio.subprocess.Process) -> str | None:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if "ready on" in line:
            return line.strip().rsplit(" ", 1)[-1]
    return None


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time so far of those processes, with their threads, that are still there."""
    return sum(_ticks(Path(f"/proc/{pid}/stat")) for pid in pids) / os.sysconf("SC_CLK_TCK")


def cpu_nanoseconds(pid: int) -> int:
    """The same of one process, so exactly that a single request shows."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def loop_cpu_seconds(pid: int) -> float:
    """The same of a process's first thread alone, which is the event loop's."""
    return _ticks(Path(f"/proc/{pid}/task/{pid}/stat")) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Those that the process has started, and that are still there."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def cpu_seconds_with_children(pid: int) -> float:
    """The same of a process and of those that it has started, also those that have ended."""
    return cpu_seconds([pid, *children_of(pid)]) + _ticks(Path(f"/proc/{pid}/stat"), 13) / os.sysconf("SC_CLK_TCK")


def tree_of(pid: int) -> list[int]:
    """The process and all that it has started, and those have started, and that are still there."""
    found = [pid]
    for each in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            found += children_of(each)
    return found


def tree_cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and of all below it, also of those that have ended."""
    ticks = sum(_ticks(Path(f"/proc/{each}/stat"), at) for each in tree_of(pid) for at in (11, 13))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Megabytes (10^6 bytes) of memory that the process has in use just now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _ticks(stat: Path, at: int = 11) -> int:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # the latter if it ends between our opening the file and reading it
        return 0
    return int(fields[at]) + int(fields[at + 1])
