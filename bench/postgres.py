"""Creates per second of one SQLite process, and on PostgreSQL of one to three replicas, each with a port of its own,
and of workers behind one port, beside the floor.

All of it is durable, and nothing is pinned: the load, the gateway, the Dargahs and PostgreSQL share the cores.
"""

import asyncio
import base64
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench import load
from bench.processes import child, children_of, cpu_seconds, cpu_seconds_with_children
from bench.results import Result, Run, Table, arguments, publish, share
from bench.shops import ABOVE_ALL, answered, creates, gateway, pass_through
from proxy.demo.stage import free_port
from proxy.kernel.clock import system_now
from proxy.merchants.merchant import Mode
from proxy.merchants.setup import HttpPolicy, MerchantSetup
from proxy.merchants.vault import KeyRing, Vault
from proxy.stores import postgresql, sqlite
from tests.databases.durable import Server, durable_server

WARM_UP: Final = 600
CONNECTIONS: Final = 48
MERCHANTS: Final = 10
KEYS: Final = "bench:" + base64.b64encode(bytes(range(32))).decode()  # the same in each process


@dataclass(frozen=True, slots=True)
class Counts:
    rounds: int = 3
    requests: int = 3600
    replicas: tuple[int, ...] = (1, 2, 3)
    workers: tuple[int, ...] = (2,)


SHORT: Final = Counts(rounds=1, requests=96, replicas=(1, 2))


@dataclass(frozen=True, slots=True)
class Dargahs:
    """Where they are reached, their processes, and an API token of each merchant."""

    urls: Sequence[str]
    pids: Sequence[int]
    tokens: Sequence[str]


@asynccontextmanager
async def dargahs(database: Path | str, count: int, upstream: str) -> AsyncIterator[Dargahs]:
    tokens = await open_shops(database, upstream)
    async with AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(child(None, "-m", "proxy", "serve", env=settings_of(database)))
            for _ in range(count)
        ]
        yield Dargahs([each.url for each in started], [each.pid for each in started], tokens)


@asynccontextmanager
async def workers(database: str, count: int, upstream: str) -> AsyncIterator[Dargahs]:
    """As `dargahs`, of `dargah serve --workers`: its processes with the supervisor, and the one URL."""
    tokens = await open_shops(database, upstream)
    env = settings_of(database) | {"DARGAH_WORKERS": str(count)}
    async with child(None, "-m", "proxy", "serve", env=env) as supervisor:
        yield Dargahs([supervisor.url], [supervisor.pid, *children_of(supervisor.pid)], tokens)


async def open_shops(database: Path | str, upstream: str) -> list[str]:
    """A token of each of MERCHANTS who can create."""
    opened = sqlite.open_store(database, now=system_now) if isinstance(database, Path) else None
    store = await (opened or postgresql.open_store(str(database)))
    vault = Vault(KeyRing.parse(KEYS), os.urandom)
    setup = MerchantSetup(store.merchants, vault, system_now, http=HttpPolicy(loopback=True))
    tokens = []
    for number in range(MERCHANTS):
        merchant, _ = await setup.create_merchant(f"bench {number}", ["https://shop.example"], actor="bench")
        await setup.add_terminal(merchant.id, "main", upstream, "bench-key", mode=Mode.LIVE, actor="bench")
        tokens.append((await setup.issue_token(merchant.id, "main", actor="bench"))[1])
    await store.close()
    return tokens


def settings_of(database: Path | str) -> dict[str, str]:
    """Of a Dargah on it, on free ports."""
    return {
        "DARGAH_ENVIRONMENT": "development",
        "DARGAH_DATABASE": str(database),
        "DARGAH_LISTEN": f"127.0.0.1:{free_port()}",
        "DARGAH_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "DARGAH_ADMIN_TOKEN": "a-token-that-only-benchmarks-use",
        "DARGAH_KEYS": KEYS,
        "DARGAH_LOG_LEVEL": "warning",
        **ABOVE_ALL,
    }


@dataclass(slots=True)
class Rounds:
    """Of one variant, a figure per round: creates per second, and microseconds of CPU of each create."""

    name: str
    rates: list[float] = field(default_factory=list)
    dargah_us: list[float] = field(default_factory=list)
    postgresql_us: list[float] = field(default_factory=list)


async def measure(counts: Counts) -> list[Rounds]:
    kinds = [
        *((f"PostgreSQL, {count}", dargahs, count) for count in counts.replicas),
        *((f"PostgreSQL, {count} workers", workers, count) for count in counts.workers),
    ]
    done = [Rounds(name) for name in ("floor", "SQLite", *(name for name, _, _ in kinds))]
    async with gateway() as asked, pass_through(None, asked.url) as passing:
        for _ in range(counts.rounds):
            await _run(done[0], counts.requests, Dargahs([passing.url], [passing.pid], ["none"]))
            with tempfile.TemporaryDirectory() as folder:
                async with dargahs(Path(folder) / "dargah.db", 1, asked.url) as made:
                    await _run(done[1], counts.requests, made)
            for (_, started, count), rows in zip(kinds, done[2:], strict=True):
                async with (
                    durable_server("max_connections=200", "shared_buffers=512MB") as server,
                    started(server.url, count, asked.url) as made,
                ):
                    await _run(rows, counts.requests, made, server)
    return done


async def _run(rounds: Rounds, requests: int, made: Dargahs, server: Server | None = None) -> None:
    await _load(made, WARM_UP)
    dargah, postgresql = cpu_seconds(made.pids), cpu_of(server)
    began = time.perf_counter()
    await _load(made, requests)
    rounds.rates.append(requests / (time.perf_counter() - began))
    rounds.dargah_us.append((cpu_seconds(made.pids) - dargah) / requests * 1e6)
    rounds.postgresql_us.append((cpu_of(server) - postgresql) / requests * 1e6)


async def _load(made: Dargahs, requests: int) -> None:
    """An equal share of the creates for each."""
    count = len(made.urls)
    shares = [
        load.closed(url, creates(*made.tokens), requests // count, CONNECTIONS // count, 201) for url in made.urls
    ]
    for done in await asyncio.gather(*shares):
        answered(done, "Dargah")


def cpu_of(server: Server | None) -> float:
    """Seconds of all the server's processes so far."""
    return 0.0 if server is None else cpu_seconds_with_children(server.pid)


def result(counts: Counts, done: Sequence[Rounds]) -> Result:
    rows = [
        (each.name, statistics.median(each.rates), share(each.rates, done[0].rates),
         statistics.median(each.dargah_us), statistics.median(each.postgresql_us))
        for each in done
    ]  # fmt: skip
    title = f"Creates as fast as they go: {CONNECTIONS} connections, nothing pinned, medians of {counts.rounds} turns"
    table = Table(title, ("", "per s", "of the floor", "CPU µs", "PostgreSQL's"), rows)
    return Result("postgres", asdict(counts), [table], raw={each.name: asdict(each) for each in done})


async def main(run: Run) -> None:
    counts = SHORT if run.short else Counts()
    publish(result(counts, await measure(counts)), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
