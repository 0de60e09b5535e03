"""Creates, durable and with the gateway's call, beside a pass-through and the gateway called directly.

How many a second with 64 connections, in turns; and how long one takes at a constant rate, from when it was due. The
server under test has core 0 to itself; the load and the gateway share the other one.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

from bench import load
from bench.processes import Cores, cpu_seconds, loop_cpu_seconds, resident_mb, share_cores
from bench.results import Cell, Result, Run, Table, Target, arguments, publish, share
from bench.shops import Server, answered, creates, dargah, gateway, pass_through, post

PASS_THROUGH, DIRECT = "pass-through", "the gateway, directly"
CONNECTIONS: Final = 64
SHARES: Final = (0.50, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one turn: creates as fast as they go, and those at a constant rate."""

    rounds: int = 4
    requests: int = 6000
    warm_up: int = 1000
    per_second: int = 200
    seconds: float = 10.0


SHORT: Final = Counts(rounds=1, requests=200, warm_up=50, per_second=50, seconds=0.5)


@dataclass(slots=True)
class Closed:
    """Of one server, a figure per round."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    loop_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


async def as_fast_as_it_goes(server: Server, counts: Counts, taken: Closed) -> None:
    before = cpu_seconds([server.pid]), loop_cpu_seconds(server.pid)
    requests = counts.requests
    done = answered(await load.closed(server.url, creates(server.token), requests, CONNECTIONS, 201), server.name)
    taken.rates.append(done.rate)
    taken.cpu_us.append((cpu_seconds([server.pid]) - before[0]) / requests * 1e6)
    taken.loop_us.append((loop_cpu_seconds(server.pid) - before[1]) / requests * 1e6)
    taken.p50_ms.append(done.percentile(0.50))
    taken.p99_ms.append(done.percentile(0.99))


async def at_a_rate(server: Server, counts: Counts) -> list[float]:
    """Milliseconds from when a create was due, at each of SHARES."""
    make = directly if server.name == DIRECT else creates(server.token)
    expect = 200 if server.name == DIRECT else 201
    done = await load.open_loop(server.url, make, counts.per_second, counts.seconds, expect)
    return [answered(done, server.name).percentile(each) for each in SHARES]


def directly(_number: int) -> bytes:
    """What a shop's plugin sends to a gateway."""
    body = b"api_key=bench-key&amount=150000&return_url=https%3A%2F%2Fshop.example%2Fback"
    return post("/invoice/request", body, "application/x-www-form-urlencoded")


async def measure(cores: Cores, counts: Counts) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            gateway(cores.rest) as asked,
            pass_through(cores.server, asked.url) as passing,
            dargah(Path(folder), asked.url, cores.server) as (_, ours),
        ):
            proxies = [Server(PASS_THROUGH, passing.url, passing.pid), ours]
            servers = [Server(DIRECT, asked.url, asked.pid), *proxies]
            closed = {server.name: Closed() for server in proxies}
            opened: dict[str, list[list[float]]] = {server.name: [] for server in servers}
            memory = {server.name: resident_mb(server.pid) for server in proxies}
            for server in proxies:
                await load.closed(server.url, creates(server.token), counts.warm_up, CONNECTIONS, 201)
            for _ in range(counts.rounds):
                for server in proxies:
                    await as_fast_as_it_goes(server, counts, closed[server.name])
                for server in servers:
                    opened[server.name].append(await at_a_rate(server, counts))
    return result(counts, closed, opened, memory)


def result(
    counts: Counts, closed: dict[str, Closed], opened: dict[str, list[list[float]]], memory: dict[str, float]
) -> Result:
    passed, ours = closed[PASS_THROUGH], closed["Dargah"]
    added = [
        [mine - direct for mine, direct in zip(*turn, strict=True)]
        for turn in zip(opened["Dargah"], opened[DIRECT], strict=True)
    ]
    raw: dict[str, Any] = {"closed": {name: asdict(each) for name, each in closed.items()}, "open": opened}
    return Result(
        "create",
        asdict(counts) | {"connections": CONNECTIONS},
        [fast_table(counts, closed, memory), rate_table(counts, opened)],
        [
            Target("creates per second, as a share of pass-through", share(ours.rates, passed.rates), 0.75, True),
            Target("CPU of a create, in times of pass-through's", share(ours.cpu_us, passed.cpu_us), 1.3, False),
            Target("p99 added to the direct call, ms", statistics.median(turn[2] for turn in added), 2.5, False),
            Target("p99.9 added to the direct call, ms", statistics.median(turn[3] for turn in added), 10.0, False),
        ],
        raw,
    )


def fast_table(counts: Counts, closed: dict[str, Closed], memory: dict[str, float]) -> Table:
    title = f"Creates as fast as they go: {CONNECTIONS} connections, medians of {counts.rounds} turns"
    heads = ("", "per s", "of pass-through", "CPU µs", "of it in the loop", "p50 ms", "p99 ms", "MB at rest")
    rows: list[Sequence[Cell]] = []
    for name, each in closed.items():
        columns = (each.rates, each.cpu_us, each.loop_us, each.p50_ms, each.p99_ms)
        rate, *others = map(statistics.median, columns)
        rows.append((name, rate, share(each.rates, closed[PASS_THROUGH].rates), *others, memory[name]))
    return Table(title, heads, rows)


def rate_table(counts: Counts, opened: dict[str, list[list[float]]]) -> Table:
    title = (
        f"Creates at {counts.per_second} a second for {counts.seconds:.0f} s: ms from when it was due until its answer,"
        f" medians of {counts.rounds} turns"
    )
    rows: list[Sequence[Cell]] = [
        (name, *(statistics.median(turn[at] for turn in turns) for at in range(len(SHARES))))
        for name, turns in opened.items()
    ]
    return Table(title, ("", "p50", "p95", "p99", "p99.9"), rows)


async def main(run: Run) -> None:
    publish(await measure(share_cores(), SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
