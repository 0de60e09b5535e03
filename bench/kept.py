"""What each idea that makes Dargah quick is worth: creates without it and with it, in turns, idea by idea.

Two Dargahs at a time share core 0, one of which has the idea undone (bench/without.py); the load and the gateway are on
the other core. What was put in an idea's place must have been used for every create, or the run ends.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench import load
from bench.create import CONNECTIONS
from bench.kept_ideas import IDEAS, Idea
from bench.processes import Cores, child, exact_cpu_seconds, share_cores
from bench.results import Cell, Result, Run, Table, arguments, publish
from bench.shops import Server, creates
from bench.undone import undone


@dataclass(frozen=True, slots=True)
class Counts:
    ideas: Sequence[str] = tuple(idea.without for idea in IDEAS)
    rounds: int = 8
    requests: int = 300
    warm_up: int = 300
    alone: int = 20

    @property
    def creates(self) -> int:
        """How many each server makes."""
        return self.warm_up + self.rounds * (self.requests + self.alone)


SHORT: Final = Counts(
    ideas=("nothing", "loop", "savepoints", "timeouts", "records"), rounds=2, requests=64, warm_up=64, alone=4
)


@dataclass(slots=True)
class Taken:
    """Of one server, a figure per round."""

    cpu_us: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pair:
    without: Taken
    kept: Taken


@dataclass(frozen=True, slots=True)
class Ground:
    """Where Dargahs are started: `folder` has their files."""

    cores: Cores
    counts: Counts
    folder: Path
    gateway_url: str


class Shop:
    """It creates at one of the servers, over connections that it keeps."""

    def __init__(self, server: Server, connections: Sequence[load.Connection]) -> None:
        self._server, self.connections = server, connections
        self._make = creates(server.token)
        self._numbers = itertools.count()
        self.taken = Taken()

    async def turn(self, requests: int) -> None:
        cpu, began = exact_cpu_seconds(self._server.pid), time.perf_counter()
        left = iter(range(requests))
        await asyncio.gather(*(self._ask(connection, left) for connection in self.connections))
        self.taken.rates.append(requests / (time.perf_counter() - began))
        self.taken.cpu_us.append((exact_cpu_seconds(self._server.pid) - cpu) / requests * 1e6)

    async def alone(self, requests: int) -> None:
        """One create after the other; what counts is the median."""
        taken = []
        for number in range(requests):
            began = time.perf_counter()
            await self._ask(self.connections[0], iter((number,)))
            taken.append((time.perf_counter() - began) * 1000)
        self.taken.alone_ms.append(statistics.median(taken))

    async def _ask(self, connection: load.Connection, left: Iterator[int]) -> None:
        for _ in left:
            status, _ = await connection.ask(self._make(next(self._numbers)))
            if status != 201:
                raise load.NotAnsweredError(f"{self._server.name} answered {status}: not a measurement")


@asynccontextmanager
async def shop(ground: Ground, idea: Idea, undo: str) -> AsyncIterator[Shop]:
    """A shop at a Dargah with that undone, which has created and been answered already."""
    database = ground.folder / f"{idea.without}-{undo}.db"
    async with undone(undo, database, ground.gateway_url, ground.cores.server, ground.counts.creates) as server:
        made = Shop(server, [await load.Connection.open(server.url) for _ in range(CONNECTIONS)])
        await made.turn(ground.counts.warm_up)
        made.taken = Taken()
        yield made
        for connection in made.connections:
            connection.close()


async def compared(ground: Ground, idea: Idea) -> Pair:
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as starting:
            opening = [starting.create_task(_opened(stack, ground, idea, undo)) for undo in (idea.without, idea.beside)]
        without, kept = both = [each.result() for each in opening]
        for number in range(ground.counts.rounds):
            # Each is the first as often as the other.
            for each in both if number % 2 else reversed(both):
                await each.turn(ground.counts.requests)
                await each.alone(ground.counts.alone)
        return Pair(without.taken, kept.taken)


async def _opened(stack: AsyncExitStack, ground: Ground, idea: Idea, undo: str) -> Shop:
    try:
        return await stack.enter_async_context(shop(ground, idea, undo))
    except SystemExit as error:
        raise load.NotAnsweredError(str(error)) from None


async def measure(cores: Cores, counts: Counts) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        async with child(cores.rest, "bench/upstream.py") as gateway:
            ground = Ground(cores, counts, Path(folder), gateway.url)
            wanted = [idea for idea in IDEAS if idea.without in counts.ideas]
            return result(counts, {idea: await compared(ground, idea) for idea in wanted})


def result(counts: Counts, pairs: dict[Idea, Pair]) -> Result:
    title = (
        f"Creates without each idea and with it: {CONNECTIONS} connections, and one alone; medians of {counts.rounds}"
        " turns, and of the turns' quotients"
    )
    heads = (
        "",
        "CPU µs without",
        "with",
        "of it",
        "half of the turns",
        "per s without",
        "with",
        "ms alone without",
        "with",
    )
    rows: list[Sequence[Cell]] = [(idea.text, *figures(pair)) for idea, pair in pairs.items()]
    raw = {idea.without: asdict(pair) for idea, pair in pairs.items()}
    return Result("kept", asdict(counts) | {"connections": CONNECTIONS}, [Table(title, heads, rows)], raw=raw)


def figures(pair: Pair) -> Sequence[Cell]:
    quotients = [kept / without for kept, without in zip(pair.kept.cpu_us, pair.without.cpu_us, strict=True)]
    low, middle, high = statistics.quantiles(quotients, n=4)
    cpu, rates, alone = [
        (statistics.median(getattr(pair.without, name)), statistics.median(getattr(pair.kept, name)))
        for name in ("cpu_us", "rates", "alone_ms")
    ]
    return (*cpu, middle, f"{low:.2f} to {high:.2f}", *rates, *alone)


async def main(run: Run) -> None:
    publish(await measure(share_cores(), SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
