"""Creates per second of one SQLite process and of one, two and three replicas on PostgreSQL, beside the floor.

All of it is durable, and all of it shares the machine's cores: the load, the gateway, the Dargahs and PostgreSQL.
"""

import asyncio
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from bench import load
from bench.postgres_cpu import cpu_seconds, with_children
from bench.postgres_dargahs import Dargahs, dargahs
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
    with child("bench/upstream.py") as (_, upstream), child("bench/floor.py", upstream) as (floor_pid, floor):
        for _ in range(rounds):
            await _run(done[0], Dargahs([floor], [floor_pid], ["none"]), None)
            with tempfile.TemporaryDirectory() as folder:
                async with dargahs(Path(folder) / "dargah.db", 1, upstream, MERCHANTS) as made:
                    await _run(done[1], made, None)
            for count, rows in zip(REPLICAS, done[2:], strict=True):
                async with new_database(server) as url, dargahs(url, count, upstream, MERCHANTS) as made:
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
        *(load.run(url, _request(made.tokens), requests // count, CONNECTIONS // count, 201) for url in made.urls)
    )
    failures = [each.failures for each in done if each.failures]
    if failures:
        raise SystemExit(f"creates were answered {failures}: not a measurement")


def _request(tokens: Sequence[str]) -> Callable[[int], bytes]:
    run_id = secrets.token_hex(4).encode()

    def make(number: int) -> bytes:
        body = b'{"amount":150000,"currency":"IRR","order_id":"%s-%d"}' % (run_id, number)
        return (
            b"POST /v1/payments HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s-%d\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (tokens[number % len(tokens)].encode(), run_id, number, len(body), body)
        )

    return make


def cpu_of(server: Server | None) -> float:
    """Seconds of all the server's processes so far."""
    return 0.0 if server is None else with_children(server.pid)


@contextmanager
def child(*arguments: str) -> Iterator[tuple[int, str]]:
    """A process that says where it is ready: its id and that URL."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip().rsplit(" ", 1)[-1]
    finally:
        process.terminate()
        process.wait()


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
