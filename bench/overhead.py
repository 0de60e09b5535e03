"""What a shop sees beside calling the gateway itself: the same order, sent directly and through Dargah.

Through its API, and through the drop-in that speaks the gateway's protocol; with one connection and with 64, in turns.
Dargah has core 0 to itself; the gateway simulator, which keeps a ledger, and the shop share the other one.
"""

import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench import load
from bench.processes import Cores, child, share_cores
from bench.results import Cell, Result, Run, Table, arguments, publish
from bench.shops import API_KEY, answered, creates, dargah, post

DIRECT, API, DROP_IN = "the gateway, directly", "Dargah's API", "Dargah's drop-in"
SHARES: Final = (0.50, 0.95, 0.99)
Taken = dict[tuple[int, str], list[load.Load]]


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one turn, by connections."""

    rounds: int = 5
    requests: Mapping[int, int] = field(default_factory=lambda: {1: 500, 64: 2000})
    warm_up: int = 500


SHORT: Final = Counts(rounds=1, requests={1: 20, 64: 100}, warm_up=70)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask for an invoice. `orders` makes new ones for each turn: one that was seen is only told again."""

    name: str
    url: str
    orders: Callable[[], load.Make]
    expect: int


def form(token: str) -> load.Make:
    """What a shop's plugin sends to a gateway, as the simulator and the drop-in understand it."""
    body = b"api_key=%s&amount=150000&return_url=https%%3A%%2F%%2Fshop.example%%2Fback" % token.encode()
    whole = post("/invoice/request", body, "application/x-www-form-urlencoded")
    return lambda _number: whole


@asynccontextmanager
async def ways(cores: Cores) -> AsyncIterator[Sequence[Way]]:
    simulator = ("-m", "proxy", "simulator", "--quiet", "--port", "0", "--ledger", ":memory:", "--terminal", API_KEY)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            child(cores.rest, *simulator) as gateway,
            dargah(Path(folder), gateway.url, cores.server) as (stage, server),
        ):
            plugin = ("--merchant", server.merchant_id, "--storefront", "drop-in", "--scope", "facade")
            token = (await stage.json("token", "create", *plugin))["token"]
            yield (
                Way(DIRECT, gateway.url, lambda: form(API_KEY), 200),
                Way(API, server.url, lambda: creates(server.token, b"https://shop.example/back"), 201),
                Way(DROP_IN, server.url, lambda: form(token), 200),
            )


async def turn(way: Way, requests: int, connections: int) -> load.Load:
    def heard(body: bytes) -> None:
        # Both speakers of the protocol say 200 to everything.
        if way.expect == 200 and b'"status":1' not in body.replace(b" ", b""):
            raise load.NotAnsweredError(f"{way.name} answered {body.decode()}: not a measurement")

    return answered(await load.closed(way.url, way.orders(), requests, connections, way.expect, heard), way.name)


async def measure(cores: Cores, counts: Counts) -> Result:
    taken: Taken = {(connections, name): [] for connections in counts.requests for name in (DIRECT, API, DROP_IN)}
    async with ways(cores) as all_ways:
        for way in all_ways:
            await turn(way, counts.warm_up, max(counts.requests))
        for _ in range(counts.rounds):
            for connections, requests in counts.requests.items():
                for way in all_ways:
                    taken[connections, way.name].append(await turn(way, requests, connections))
    raw = {
        f"{name}, {connections}": [{"rate": each.rate, "ms": at_shares(each)} for each in turns]
        for (connections, name), turns in taken.items()
    }
    return Result("overhead", asdict(counts), [table(counts, taken)], raw=raw)


def at_shares(done: load.Load) -> list[float]:
    return [done.percentile(each) for each in SHARES]


def table(counts: Counts, taken: Taken) -> Table:
    title = f"The same order, directly and through Dargah: medians of {counts.rounds} turns"
    heads = ("", "connections", "p50 ms", "p95 ms", "p99 ms", "added p50 ms", "added p99 ms", "per s")
    rows: list[Sequence[Cell]] = []
    for (connections, name), turns in taken.items():
        waits = [statistics.median(column) for column in zip(*map(at_shares, turns), strict=True)]
        direct = taken[connections, DIRECT]
        added = [
            None if name == DIRECT else statistics.median(
                mine.percentile(each) - theirs.percentile(each) for mine, theirs in zip(turns, direct, strict=True)
            )
            for each in (0.50, 0.99)
        ]  # fmt: skip
        rows.append((name, connections, *waits, *added, statistics.median(done.rate for done in turns)))
    return Table(title, heads, rows)


async def main(run: Run) -> None:
    publish(await measure(share_cores(), SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
