"""Creates per second of one SQLite process and of one, two and three replicas on PostgreSQL, beside the floor.

All of it is durable, and all of it shares the machine's cores: the load, the gateway, the Dargahs and PostgreSQL.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from bench import load
from bench.postgres_dargahs import Dargahs, dargahs
from bench.processes import child, cpu_seconds, cpu_seconds_with_children
from bench.shops import creates
from tests.torture.replicas_server import Server

REQUESTS: Final = 4000
WARM_UP: Final = 600
CONNECTIONS: Final = 64
MERCHANTS: Final = 10
REPLICAS: Final = (1, 2, 3)


@dataclass(slots=True)
class Rounds:
    """Of one variant, a figure per round: creates per second, and microseconds of CPU of each create."""

    name: str
    rates: list[float] = field(default_factory=list)
    dargah_us: list[float] = field(default_factory=list)
    postgresql_us: list[float] = field(default_factory=list)


async def measure(server: Server, rounds: int) -> list[Rounds]:
    names = ["floor", "SQLite", *(f"PostgreSQL, {count}" for count in REPLICAS)]
    done = [Rounds(name) for name in names]
    async with (
        child(None, "bench/upstream.py") as gateway,
        child(None, "bench/floor.py", gateway.url) as floor,
    ):
        for _ in range(rounds):
            await _run(done[0], Dargahs([floor.url], [floor.pid], ["none"]), None)
            with tempfile.TemporaryDirectory() as folder:
                async with dargahs(Path(folder) / "dargah.db", 1, gateway.url, MERCHANTS) as made:
                    await _run(done[1], made, None)
            for count, rows in zip(REPLICAS, done[2:], strict=True):
                async with new_database(server) as url, dargahs(url, count, gateway.url, MERCHANTS) as made:
                    await _run(rows, made, server)
    return done


async def _run(rounds: Rounds, made: Dargahs, server: Server | None) -> None:
    await _load(made, WARM_UP)
    dargah, postgresql = cpu_seconds(made.pids), cpu_of(server)
    began = time.perf_counter()
    await _load(made, REQUESTS)
    rounds.rates.append(REQUESTS / (time.perf_counter() - began))
    rounds.dargah_us.append((cpu_seconds(made.pids) - dargah) / REQUESTS * 1e6)
    rounds.postgresql_us.append((cpu_of(server) - postgresql) / REQUESTS * 1e6)


async def _load(made: Dargahs, requests: int) -> None:
    """An equal share of the creates for each."""
    count = len(made.urls)
    done = await asyncio.gather(
        *(load.closed(url, _request(made.tokens), requests // count, CONNECTIONS // count, 201) for url in made.urls)
    )
    failures = [each.failures for each in done if each.failures]
    if failures:
        raise SystemExit(f"creates were answered {failures}: not a measurement")


def _request(tokens: Sequence[str]) -> load.Make:
    shops = list(map(creates, tokens))
    return lambda number: shops[number % len(shops)](number)


def cpu_of(server: Server | None) -> float:
    """Seconds of all the server's processes so far."""
    return 0.0 if server is None else cpu_seconds_with_children(server.pid)


@asynccontextmanager
async def new_database(server: Server) -> AsyncIterator[str]:
    """The URL of an empty one, which is dropped at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    await _ask(server, f"CREATE DATABASE {name}")
    try:
        yield server.url.replace("/postgres?", f"/{name}?")
    finally:
        await _ask(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _ask(server: Server, statement: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
