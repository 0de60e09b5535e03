"""A start of `dargah serve` on an empty file until it is ready, and its memory when nothing is asked of it, beside a
process that has only imported the libraries.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.processes import child, cpu_nanoseconds, resident_mb, share_cores
from bench.results import Result, Run, Table, Target, arguments, publish
from proxy.demo.stage import Stage, free_port

IMPORTS: Final = """
import asyncio, aiohttp, aiosqlite, cryptography.hazmat.primitives.ciphers.aead, orjson, pydantic_settings, uvloop
print("ready on libraries", flush=True)
asyncio.run(asyncio.sleep(3600))
"""
DARGAH, LIBRARIES = "Dargah", "the libraries alone"


@dataclass(frozen=True, slots=True)
class Counts:
    """Turns, and the seconds from ready to the look at the memory."""

    turns: int = 7
    rest_seconds: float = 3.0


SHORT: Final = Counts(1, 0.1)


@dataclass(frozen=True, slots=True)
class Start:
    """Of one process: seconds on the clock and of CPU until it was ready, and MB (10^6 bytes) at rest."""

    seconds: float
    cpu_seconds: float
    resident_mb: float
    anonymous_mb: float


Starting = Callable[[], AbstractAsyncContextManager[int]]


async def measure(counts: Counts) -> Result:
    """All of it, in turns. Raises SystemExit where a process does not start."""
    core = share_cores().server
    with tempfile.TemporaryDirectory() as folder:
        kinds: dict[str, Starting] = {
            LIBRARIES: lambda: _libraries(core),
            DARGAH: lambda: _dargah(Path(tempfile.mkdtemp(dir=folder))),
        }
        starts: dict[str, list[Start]] = {name: [] for name in kinds}
        for _ in range(counts.turns):
            for name, starting in kinds.items():
                starts[name].append(await _start(starting, counts.rest_seconds))
    middle = {
        name: [statistics.median(column) for column in zip(*(asdict(each).values() for each in of), strict=True)]
        for name, of in starts.items()
    }
    return Result(
        "start",
        asdict(counts),
        [
            Table(
                f"A start, and memory {counts.rest_seconds:g} s after it: medians of {counts.turns} turns",
                ["", "s to ready", "s of CPU", "MB at rest", "of it anonymous"],
                [[name, *figures] for name, figures in middle.items()],
            )
        ],
        [
            Target("s until it is ready", middle[DARGAH][0], 0.5, False),
            Target("MB at rest", middle[DARGAH][2], 60, False),
        ],
        {name: [asdict(each) for each in of] for name, of in starts.items()},
    )


async def _start(starting: Starting, rest_seconds: float) -> Start:
    async with starting() as pid:
        seconds, cpu = _age_seconds(pid), cpu_nanoseconds(pid) / 1e9
        await asyncio.sleep(rest_seconds)
        return Start(seconds, cpu, resident_mb(pid), _anonymous_mb(pid))


@asynccontextmanager
async def _dargah(folder: Path) -> AsyncIterator[int]:
    stage = Stage(folder, shop_port=free_port())
    try:
        await stage.start_dargah()
        yield stage.pids[-1]
    finally:
        await stage.stop()


@asynccontextmanager
async def _libraries(core: int) -> AsyncIterator[int]:
    async with child(core, "-c", IMPORTS) as process:
        yield process.pid


def _age_seconds(pid: int) -> float:
    """Since the process was begun, and not since what came before it, such as the command that makes its keys."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _anonymous_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [kilobytes] = [int(line.split()[1]) for line in lines if line.startswith("Anonymous:")]
    return kilobytes * 1024 / 1e6


async def main(run: Run) -> None:
    publish(await measure(SHORT if run.short else Counts()), run, judged=False)


if __name__ == "__main__":
    asyncio.run(main(arguments(__doc__)))
