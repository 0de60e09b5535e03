"""Where a create's CPU time goes, step by step: a profile of a Dargah under load, sampled from outside by py-spy.

Of the same run, the CPU time of a create without the profiler is what the samples share out. `python -m bench.report
--write` draws docs/images/create-cost.svg from it.
"""

import asyncio
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench import load
from bench.cost_steps import DATABASE, costs, steps_of
from bench.create import CONNECTIONS, Closed, Counts, as_fast_as_it_goes
from bench.processes import Cores, child, share_cores
from bench.results import Result, Run, Table, arguments, publish
from bench.shops import Server, creates, dargah

PER_SECOND: Final = 250
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Size:
    rounds: int = 5
    requests: int = 4000
    warm_up: int = 1000
    profile_seconds: int = 20


SHORT: Final = Size(rounds=1, requests=200, warm_up=50, profile_seconds=2)


def py_spy() -> str:
    found = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if found is None:
        raise SystemExit("py-spy is not installed: `make bench` does it")
    return found


async def profiled(server: Server, seconds: int) -> list[str]:
    """The stacks of a Dargah that creates as fast as it goes, as py-spy writes them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stacks"
        sampler = await asyncio.create_subprocess_exec(
            py_spy(), "record", "--pid", str(server.pid), "--rate", str(PER_SECOND), "--duration", str(seconds),
            "--format", "raw", "--threads", "--output", str(out),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        while sampler.returncode is None:
            await load.closed(server.url, creates(server.token), BATCH, CONNECTIONS, 201)
        if sampler.returncode:
            raise SystemExit("py-spy could not look into the process: it needs root, or ptrace of its own processes")
        return out.read_text().splitlines()


async def measure(cores: Cores, size: Size) -> Result:
    counts = Counts(rounds=size.rounds, requests=size.requests, warm_up=size.warm_up)
    ours, floor = Closed(), Closed()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            child(cores.rest, "bench/upstream.py") as gateway,
            child(cores.server, "bench/floor.py", gateway.url) as passing,
            dargah(Path(folder), gateway.url, cores.server) as (_, server),
        ):
            pass_through = Server("pass-through", passing.url, passing.pid)
            for each in (pass_through, server):
                await load.closed(each.url, creates(each.token), size.warm_up, CONNECTIONS, 201)
            for _ in range(size.rounds):
                await as_fast_as_it_goes(pass_through, counts, floor)
                await as_fast_as_it_goes(server, counts, ours)
            stacks = await profiled(server, size.profile_seconds)
    return result(size, ours, floor, stacks)


def result(size: Size, ours: Closed, floor: Closed, stacks: list[str]) -> Result:
    counted = steps_of(stacks)
    cpu_us, loop_us = statistics.median(ours.cpu_us), statistics.median(ours.loop_us)
    by_step = costs(counted, loop_us, max(0.0, cpu_us - loop_us))
    floor_us = statistics.median(floor.cpu_us)
    rows = [(step, us, f"{us / cpu_us:.0%}") for step, us in by_step.items()]
    # What a create would take if all that Dargah does beside SQLite were as cheap as doing nothing.
    least_us = floor_us + by_step[DATABASE]
    ends = [
        ("all of it", cpu_us, f"{cpu_us / floor_us:.2f} times pass-through's"),
        ("pass-through, all of it", floor_us, None),
        ("pass-through and SQLite's thread, and nothing else", least_us, f"{least_us / floor_us:.2f} times"),
    ]
    table = Table(
        f"CPU time of one create, by {counted.total():,} samples of {CONNECTIONS} connections' creates",
        ("", "µs", "of it"),
        [*rows, *ends],
    )
    return Result("cost", asdict(size), [table], raw={"steps_us": by_step, "pass_through_us": floor_us})


async def main(run: Run) -> None:
    publish(await measure(share_cores(), SHORT if run.short else Size()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
