"""What each step of a payment takes in a SQLite file of 10,000, of 1,000,000 and of 10,000,000 payments, in turns.

A fifth of the payments are open and watched. The steps are the store's own, as many at once as share a commit in a busy
hour; a round takes the same ones in each file, one file after the other. Needs 22 GB of disk.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench.growth_fill import fill
from bench.growth_steps import OF_ANY_AGE, SEARCH, TOGETHER, Grown, one_round
from bench.results import Cell, Result, Run, Table, Target, arguments, publish, share

# What nobody has looked at lately is read from the file first, wherever in it that is.
COLD: Final = (OF_ANY_AGE, SEARCH)


@dataclass(frozen=True, slots=True)
class Counts:
    """Payments in each file, from the smallest, and rounds."""

    sizes: tuple[int, ...] = (10_000, 1_000_000, 10_000_000)
    rounds: int = 120
    warm_up: int = 30


SHORT: Final = Counts((500, 2_000), rounds=3, warm_up=1)


async def measure(counts: Counts) -> Result:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = [folder / f"{size}.db" for size in counts.sizes]
        # SQLite works without the interpreter's lock: each file is filled on a core of its own, if there are some.
        seconds = await asyncio.gather(*map(_filled, paths, counts.sizes))
        files = []
        for path, size, taken in zip(paths, counts.sizes, seconds, strict=True):
            grown = Grown(size, round(path.stat().st_size / 1e6), taken)
            await grown.open(path)
            stack.push_async_callback(grown.store.close)
            files.append(grown)
        await _rounds(files, counts)
        return result(counts, files)


async def _filled(path: Path, size: int) -> float:
    began = time.perf_counter()
    await fill(path, size)
    return time.perf_counter() - began


async def _rounds(files: Sequence[Grown], counts: Counts) -> None:
    gc.collect()
    gc.freeze()
    for number in range(counts.warm_up + counts.rounds):
        # Each is first, second and last as often as the others.
        at = number % len(files)
        for each in (*files[at:], *files[:at]):
            each.measured = number >= counts.warm_up
            await one_round(each, number)


def result(counts: Counts, files: Sequence[Grown]) -> Result:
    ratios = {name: share(files[-1].clock_us[name], taken) for name, taken in files[0].clock_us.items()}
    cpu = {name: share(files[-1].cpu_us[name], taken) for name, taken in files[0].cpu_us.items()}
    worst = max((name for name in cpu if name not in COLD), key=cpu.__getitem__)
    return Result(
        "growth",
        asdict(counts) | {"together": TOGETHER},
        [_steps(counts, files, ratios, cpu), _files(files)],
        [
            Target(
                f"CPU of the step that grew most ({worst}), in times of what it took at {files[0].payments:,}",
                cpu[worst],
                1.10,
                False,
            )
        ],
        {str(each.payments): {"clock_us": each.clock_us, "cpu_us": each.cpu_us, "reads": each.reads} for each in files},
    )


def _steps(counts: Counts, files: Sequence[Grown], ratios: dict[str, float], cpu: dict[str, float]) -> Table:
    title = (
        f"µs of a step when {TOGETHER} are taken at once, by payments in the file: medians of {counts.rounds} rounds,"
        " and the median of the rounds' quotients"
    )
    heads = (
        "",
        *(f"{each.payments:,}" for each in files),
        "largest to smallest",
        "of CPU",
        "pages read",
        "in the largest",
    )
    rows: list[Sequence[Cell]] = [
        (
            name,
            *(statistics.median(each.clock_us[name]) for each in files),
            ratio,
            cpu[name],
            statistics.median(files[0].reads[name]),
            statistics.median(files[-1].reads[name]),
        )
        for name, ratio in ratios.items()
    ]
    return Table(title, heads, rows)


def _files(files: Sequence[Grown]) -> Table:
    heads = ("payments", "MB", "s to fill it")
    return Table("The files", heads, [(f"{each.payments:,}", each.megabytes, each.fill_seconds) for each in files])


async def main(run: Run) -> None:
    publish(await measure(SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
