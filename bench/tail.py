"""What the slowest creates wait for: at 200 a second, beside the same Dargah that spares itself a part of its work.

In turns in one run: the gateway itself, Dargah as it is, one that never copies its WAL back into the database, and one
that does not wait for the disk.
"""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import uvloop

from bench import load
from bench.create import CONNECTIONS, DIRECT, directly
from bench.processes import Cores, child, share_cores
from bench.results import Cell, Result, Run, Table, arguments, percentile, publish
from bench.shops import answered, creates
from bench.undone import undone

AS_IT_IS, NO_COPYING, NO_SYNC = "Dargah", "Dargah, the WAL never copied back", "Dargah, without waiting for the disk"
UNDONE: Final[Mapping[str, str]] = {AS_IT_IS: "nothing", NO_COPYING: "copying", NO_SYNC: "sync"}
SHARES: Final = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Counts:
    rounds: int = 3
    warm_up: int = 800
    per_second: int = 200
    seconds: float = 3.0


SHORT: Final = Counts(rounds=1, warm_up=50, per_second=50, seconds=0.5)


async def measure(cores: Cores, counts: Counts) -> dict[str, list[list[float]]]:
    """Of each, the latencies of each turn."""
    taken: dict[str, list[list[float]]] = {name: [] for name in (DIRECT, *UNDONE)}
    with tempfile.TemporaryDirectory() as folder:
        async with child(cores.rest, "bench/upstream.py") as gateway, AsyncExitStack() as stack:
            servers = {
                name: await stack.enter_async_context(
                    undone(undo, Path(folder) / f"{undo}.db", gateway.url, cores.server, counts.warm_up)
                )
                for name, undo in UNDONE.items()
            }
            for server in servers.values():
                await load.closed(server.url, creates(server.token), counts.warm_up, CONNECTIONS, 201)
            for _ in range(counts.rounds):
                direct = await load.open_loop(gateway.url, directly, counts.per_second, counts.seconds, 200)
                taken[DIRECT].append(answered(direct, DIRECT).latencies_ms)
                for name, server in servers.items():
                    made = await load.open_loop(
                        server.url, creates(server.token), counts.per_second, counts.seconds, 201
                    )
                    taken[name].append(answered(made, name).latencies_ms)
    return taken


def result(counts: Counts, taken: dict[str, list[list[float]]]) -> Result:
    rows: list[Sequence[Cell]] = [
        (
            name,
            *(statistics.median(percentile(turn, share) for turn in turns) for share in SHARES),
            percentile(sorted(chain.from_iterable(turns)), 0.999),
        )
        for name, turns in taken.items()
    ]
    title = (
        f"Creates at {counts.per_second} a second: ms from when it was due until its answer, medians of"
        f" {counts.rounds} turns of {counts.seconds:.0f} s; the last column of all of them"
    )
    heads = ("", "p50", "p95", "p99", "p99.9")
    return Result("tail", asdict(counts), [Table(title, heads, rows)])


async def main(run: Run) -> None:
    counts = SHORT if run.short else Counts()
    publish(result(counts, await measure(share_cores(), counts)), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
