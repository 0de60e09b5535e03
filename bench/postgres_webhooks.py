"""Webhooks per second of one SQLite process and of one, two and three replicas on PostgreSQL, beside a bare loop.

What waits in the database is sent, each claim and each record durable. All share the machine's cores, the shops' too.
"""

# ruff: noqa: S608  what is put in is a clock

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from bench.postgres_creates import REPLICAS, cpu_of, new_database
from bench.postgres_dargahs import open_database, setup_of
from bench.webhooks_child import Child, stop_all
from proxy.clock import system_now
from proxy.ids import base62, part_at
from proxy.setup import HttpPolicy
from tests.torture.replicas_server import Server

DELIVERIES: Final = 6000
MERCHANTS: Final = 50
CONNECTIONS: Final = 400
BODY: Final = b'{"type":"payment.paid","timestamp":"2026-11-24T10:00:00.000Z","data":{"note":"%s"}}' % (b"x" * 420)
_AT: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_EVENTS: Final = f"""
INSERT INTO events (
    merchant_id, id, sequence, storefront, mode, type, payment_id, payment_version, occurred_at, body, part
)
SELECT merchant_id, 'evt_' || substr(merchant_id, 5) || $3 || lpad(n::text, 10, '0'), n, 'main', 'live', 'payment.paid',
    'pay_' || substr(merchant_id, 5) || lpad(n::text, 18, '0'), 2, {_AT}, $2, $4
FROM endpoints, generate_series(1, $1) AS n
"""
_DELIVERIES: Final = """
INSERT INTO deliveries (
    merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at, created_at, part
)
SELECT v.merchant_id, 'dlv_' || substr(v.id, 5), e.id, v.id, v.payment_id, 'pending', 0, 0, v.occurred_at,
    v.occurred_at, v.part
FROM events AS v JOIN endpoints AS e ON e.merchant_id = v.merchant_id
"""
_TURNS: Final = f"UPDATE turns SET due_at = {_AT}"


@dataclass(slots=True)
class Rounds:
    """Of one variant, a figure per round: webhooks per second, and microseconds of CPU of each."""

    name: str
    rates: list[float] = field(default_factory=list)
    dargah_us: list[float] = field(default_factory=list)
    postgresql_us: list[float] = field(default_factory=list)

    def add(self, seconds: float, dargah: float, postgresql: float = 0.0) -> None:
        self.rates.append(DELIVERIES / seconds)
        self.dargah_us.append(dargah / DELIVERIES * 1e6)
        self.postgresql_us.append(postgresql / DELIVERIES * 1e6)


async def measure(server: Server, rounds: int) -> list[Rounds]:
    done = [Rounds(name) for name in ("bare loop", "SQLite", *(f"PostgreSQL, {count}" for count in REPLICAS))]
    children: list[Child] = []

    async def child(*arguments: str) -> Child:
        cores = os.sched_getaffinity(0)
        children.append(await Child.start(min(cores), *arguments))
        os.sched_setaffinity(children[-1].pid, cores)  # any of them, as PostgreSQL's
        return children[-1]

    try:
        shops = await child("bench.webhooks_receiver", "good", "--count", str(MERCHANTS))
        alone = await child("bench.webhooks_sender")
        engines = [await child("bench.postgres_engine") for _ in range(max(REPLICAS))]
        urls = [f"http://127.0.0.1:{port}/hook" for port in shops.ready["ports"]]
        for _ in range(rounds):
            for rows, do in zip(done, ("bare", "limit"), strict=False):
                run = await alone.ask(do=do, urls=urls, number=DELIVERIES, connections=CONNECTIONS)
                rows.add(run["seconds"], run["cpu_seconds"])
                await _all_came(shops, do)
            for rows, count in zip(done[2:], REPLICAS, strict=True):
                await _replicas(rows, server, engines[:count], urls)
                await _all_came(shops, rows.name)
    finally:
        await stop_all(children)
    return done


async def _replicas(rows: Rounds, server: Server, engines: Sequence[Child], urls: Sequence[str]) -> None:
    async with new_database(server) as database:
        await fill(database, urls, DELIVERIES, BODY)
        before, began = cpu_of(server), time.perf_counter()
        runs: list[dict[str, Any]] = await asyncio.gather(*(engine.ask(url=database) for engine in engines))
        seconds = max(run["ended"] for run in runs) - min(run["began"] for run in runs)
        if seconds > time.perf_counter() - began:
            raise SystemExit("the engines' clock is another one: not a measurement")
        rows.add(seconds, sum(run["cpu_seconds"] for run in runs), cpu_of(server) - before)


async def fill(database: str, urls: Sequence[str], number: int, body: bytes) -> None:
    """A merchant and an endpoint for each URL, and so many events with one delivery each, which is due."""
    store = await open_database(database)
    setup = setup_of(store, HttpPolicy(loopback=True, targets=frozenset(urlsplit(url).netloc for url in urls)))
    for url in urls:
        merchant, _ = await setup.create_merchant("bench", ["https://shop.example"], actor="bench")
        await setup.add_endpoint(merchant.id, url, actor="bench")
    await store.close()
    connection = await asyncpg.connect(database)
    now = system_now()
    await connection.execute(_EVENTS, number // len(urls), body, base62(now, 8), part_at(now))
    await connection.execute(_DELIVERIES)
    await connection.execute(_TURNS)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _all_came(shops: Child, name: str) -> None:
    seen = await shops.ask()
    if seen["requests"] != DELIVERIES:
        raise SystemExit(f"{name}: {seen['requests']} came of {DELIVERIES}: not a measurement")
