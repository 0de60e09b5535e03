"""A start of `dargah serve` on an empty file until it is ready, and its memory when nothing is asked of it, beside a
process that has only imported the libraries.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.processes import child, cpu_nanoseconds, resident_mb, share_cores
from bench.results import Result, Run, Table, Target, arguments, publish
from proxy.merchants.vault import generate_line

IMPORTS: Final = """
import asyncio, aiohttp, aiosqlite, cryptography.hazmat.primitives.ciphers.aead, orjson, pydantic_settings, uvloop
print("ready on libraries", flush=True)
asyncio.run(asyncio.sleep(3600))
"""
DARGAH, LIBRARIES = "Dargah", "the libraries alone"
COMMANDS: Final = {LIBRARIES: ("-c", IMPORTS), DARGAH: ("-m", "proxy", "serve")}
SETTINGS: Final = {
    "DARGAH_ENV_FILE": "",
    "DARGAH_ADMIN_TOKEN": "of-no-worth-once-it-has-ended-0123456789",
    "DARGAH_ENVIRONMENT": "development",
    "DARGAH_LISTEN": "127.0.0.1:0",
    "DARGAH_ADMIN_LISTEN": "127.0.0.1:0",
    "DARGAH_LOG_LEVEL": "warning",
    "PYTHONUNBUFFERED": "1",
}


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


async def measure(counts: Counts) -> Result:
    """All of it, in turns. Raises SystemExit where a process does not start."""
    core = share_cores().server
    starts: dict[str, list[Start]] = {name: [] for name in COMMANDS}
    for _ in range(counts.turns):
        for name, command in COMMANDS.items():
            starts[name].append(await _start(core, command, counts.rest_seconds))
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


async def _start(core: int, command: Sequence[str], rest_seconds: float) -> Start:
    with tempfile.TemporaryDirectory() as folder:
        env = SETTINGS | {"DARGAH_DATABASE": f"{folder}/dargah.db", "DARGAH_KEYS": generate_line("bench")}
        began = time.monotonic()
        async with child(core, *command, env=env) as process:
            seconds, cpu = time.monotonic() - began, cpu_nanoseconds(process.pid) / 1e9
            await asyncio.sleep(rest_seconds)
            return Start(seconds, cpu, resident_mb(process.pid), _anonymous_mb(process.pid))


def _anonymous_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [kilobytes] = [int(line.split()[1]) for line in lines if line.startswith("Anonymous:")]
    return kilobytes * 1024 / 1e6


async def main(run: Run) -> None:
    publish(await measure(SHORT if run.short else Counts()), run, judged=False)


if __name__ == "__main__":
    asyncio.run(main(arguments(__doc__)))
