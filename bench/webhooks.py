"""How many webhooks a second one core sends: the engine beside a bare client loop and a queue library's worker.

The same bodies, receivers and core for each, in turns. PostgreSQL, of which the library and the second engine are
clients, has fsync on and the receivers' core.
"""

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any, Final

import uvloop

from bench.postgres_creates import cpu_of, new_database
from bench.postgres_webhooks import fill
from bench.processes import Cores, share_cores
from bench.results import Cell, Result, Run, Table, Target, arguments, publish, share
from bench.webhooks_bare import events
from bench.webhooks_child import Child, stop_all
from tests.torture.replicas_server import Server, durable_server

IN_FLIGHT_PER_ENDPOINT: Final = 8
# The library's worker takes 10 jobs at a time where nobody says how many. Of 10 to 1000 this was its best.
BATCH, BEST_BATCH = 10, 200
BARE, ENGINE, ENGINE_ON_POSTGRESQL = "bare aiohttp client loop", "engine, SQLite", "engine, PostgreSQL"
PEER, PEER_BEST = "pgqueuer, as it comes", f"pgqueuer, batches of {BEST_BATCH}"


@dataclass(frozen=True, slots=True)
class Counts:
    rounds: int = 5
    deliveries: int = 6000
    endpoints: int = 50


SHORT: Final = Counts(rounds=1, deliveries=300, endpoints=10)

Ran = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ground:
    """The processes: `peer` is None where the library is not installed."""

    server: Server
    shops: Child
    sender: Child
    engine: Child
    peer: Child | None
    number: int
    urls: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "urls", [f"http://127.0.0.1:{port}/hook" for port in self.shops.ready["ports"]])

    def contenders(self) -> Mapping[str, Callable[[], Awaitable[Ran]]]:
        made: dict[str, Callable[[], Awaitable[Ran]]] = {
            BARE: lambda: self._sender("bare"),
            ENGINE: lambda: self._sender("limit"),
            ENGINE_ON_POSTGRESQL: self._on_postgresql,
        }
        if self.peer is not None:
            peer = self.peer
            made |= {PEER: lambda: self._queue(peer, BATCH), PEER_BEST: lambda: self._queue(peer, BEST_BATCH)}
        return made

    @property
    def connections(self) -> int:
        return len(self.urls) * IN_FLIGHT_PER_ENDPOINT

    async def _sender(self, do: str) -> Ran:
        return await self.sender.ask(do=do, urls=self.urls, number=self.number, connections=self.connections)

    async def _on_postgresql(self) -> Ran:
        async with new_database(self.server) as database:
            _, event = events(self.urls[:1], 1)[0]
            await fill(database, self.urls, self.number, event.body(0))
            before = cpu_of(self.server)
            run = await self.engine.ask(url=database)
            return run | {"seconds": run["ended"] - run["began"], "postgresql_seconds": cpu_of(self.server) - before}

    async def _queue(self, peer: Child, batch: int) -> Ran:
        async with new_database(self.server) as database:
            await peer.ask(do="fill", database=database, urls=self.urls, number=self.number)
            before = cpu_of(self.server)
            run = await peer.ask(do="send", database=database, connections=self.connections, batch=batch)
            return run | {"postgresql_seconds": cpu_of(self.server) - before}


@asynccontextmanager
async def ground(cores: Cores, counts: Counts, *, peer: bool) -> AsyncIterator[Ground]:
    children: list[Child] = []

    async def child(core: int, *arguments: str) -> Child:
        children.append(await Child.start(core, *arguments))
        return children[-1]

    async with durable_server("max_connections=100", "shared_buffers=256MB") as server:
        try:
            yield Ground(
                server,
                await child(cores.rest, "bench.webhooks_receiver", "good", "--count", str(counts.endpoints)),
                await child(cores.server, "bench.webhooks_sender"),
                await child(cores.server, "bench.postgres_engine"),
                await child(cores.server, "bench.webhooks_pgqueuer") if peer else None,
                counts.deliveries,
            )
        finally:
            await stop_all(children)


async def measure(ground: Ground, rounds: int) -> dict[str, list[Ran]]:
    contenders = ground.contenders()
    runs: dict[str, list[Ran]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            done = await run()
            seen = await ground.shops.ask()
            if seen["requests"] != ground.number:
                raise SystemExit(f"{name}: {seen['requests']} came of {ground.number}: not a measurement")
            runs[name].append(done | {"most_at_one": seen["most_at_one"]})
    return runs


def result(counts: Counts, runs: dict[str, list[Ran]]) -> Result:
    rates = {name: [counts.deliveries / run["seconds"] for run in done] for name, done in runs.items()}
    targets = [
        Target("webhooks per second, as a share of the bare loop", share(rates[ENGINE], rates[BARE]), 0.75, True)
    ]
    if PEER in rates:
        what = "webhooks per second, in times of the queue library as it comes"
        targets.append(Target(what, share(rates[ENGINE], rates[PEER]), 2.0, True))
    most = float(max(run["most_at_one"] for run in runs[ENGINE]))
    targets.append(Target("the engine's connections to one endpoint", most, IN_FLIGHT_PER_ENDPOINT, False))
    parameters = asdict(counts) | {"in_flight_per_endpoint": IN_FLIGHT_PER_ENDPOINT}
    return Result("webhooks", parameters, [table(counts, runs, rates)], targets, {"runs": runs})


def table(counts: Counts, runs: dict[str, list[Ran]], rates: dict[str, list[float]]) -> Table:
    title = (
        f"Webhooks as fast as they go: {counts.endpoints} endpoints, {IN_FLIGHT_PER_ENDPOINT} in flight to each, "
        f"medians of {counts.rounds} turns of {counts.deliveries}"
    )
    heads = ("", "per s", "of the bare loop", "CPU µs", "with its database's", "connections to one")
    rows: list[Sequence[Cell]] = []
    for name, done in runs.items():
        own = [run["cpu_seconds"] / counts.deliveries * 1e6 for run in done]
        whole = [
            mine + run.get("postgresql_seconds", 0.0) / counts.deliveries * 1e6
            for mine, run in zip(own, done, strict=True)
        ]
        most = max(run["most_at_one"] for run in done)
        rate, cpu, all_cpu = map(statistics.median, (rates[name], own, whole))
        rows.append((name, rate, share(rates[name], rates[BARE]), cpu, all_cpu, most))
    return Table(title, heads, rows)


async def main(run: Run) -> None:
    counts, peer = SHORT if run.short else Counts(), find_spec("pgqueuer") is not None
    if not peer:
        print("NOT RUN: pgqueuer, which is not installed: `make bench-webhooks` installs it")
        if not run.short:
            raise SystemExit(1)
    async with ground(share_cores(), counts, peer=peer) as made:
        publish(result(counts, await measure(made, counts.rounds)), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
