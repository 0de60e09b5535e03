"""What a claim and a payment's own steps take in a large database beside a small one, in turns. Benchmarks only."""

import secrets
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from bench.lives import changed, line, new_payment
from bench.postgres_fill import MERCHANTS, fill
from proxy.adapters import postgresql
from proxy.adapters.postgresql.batch import begin
from proxy.adapters.postgresql.connections import Server as Address
from proxy.adapters.postgresql.connections import connect
from proxy.adapters.postgresql.migrations import migrate
from proxy.adapters.postgresql.transaction import PostgresqlTransaction
from proxy.adapters.store.turns import _take, _turn, claim
from proxy.clock import MINUTE
from proxy.facts import Captured, InvoiceIssued
from proxy.merchant import Mode
from proxy.records import Intent, Lease, PaymentFilter
from proxy.watch import begin as begin_watch
from tests.torture.replicas_server import durable_server

SMALL: Final = (10_000, 1_000)
LARGE: Final = (5_000_000, 1_000_000)
LIVES: Final = 300
CLAIMS: Final = 300
WARM_UP: Final = 40
OF_ONE: Final = 8  # deliveries that a claim takes at most of one endpoint
OF_MANY: Final = 20
# It is filled without a log and without a vacuum in between, and nothing of it is to outlive the run.
QUICK: Final = (
    "fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0",
    "autovacuum=off", "shared_buffers=1GB", "max_wal_size=8GB", "work_mem=64MB",
)  # fmt: skip

Taken = dict[str, list[float]]


@dataclass(slots=True)
class Grown:
    """A database, the store over it, and what each step took there, in milliseconds."""

    payments: int
    waiting: int
    fill_seconds: float
    megabytes: int
    url: str
    store: postgresql.PostgresqlStore
    connection: Any
    lives: Taken = field(default_factory=dict)
    claims: Taken = field(default_factory=dict)


async def measure(*, short: bool) -> list[Grown]:
    """Both databases, the small one first. `short` makes the large one a twentieth as large."""
    part = 20 if short else 1
    async with (
        durable_server(*QUICK) as server,
        grown(server.url, *SMALL) as small,
        grown(server.url, LARGE[0] // part, LARGE[1] // part) as large,
    ):
        both = [small, large]
        for number in range(WARM_UP + LIVES):
            for each in both:
                await _live(each, number)
        for number in range(WARM_UP + CLAIMS):
            for each in both:
                await _claim(each, number)
        return both


@asynccontextmanager
async def grown(server_url: str, payments: int, waiting: int) -> AsyncIterator[Grown]:
    name = f"grown_{payments}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = server_url.replace("/postgres?", f"/{name}?")
    connection = await asyncpg.connect(url)
    await migrate(connection, 0)
    began = time.perf_counter()
    await fill(url, payments, waiting)
    seconds = time.perf_counter() - began
    megabytes = await connection.fetchval("SELECT pg_database_size(current_database())") // 1_000_000
    await connection.close()
    store = await postgresql.open_store(url)
    connection = await connect(Address(url))
    try:
        yield Grown(payments, waiting, seconds, megabytes, url, store, connection)
    finally:
        await connection.close()
        await store.close()


async def _live(each: Grown, number: int) -> None:
    """A payment's life, step by step, each a transaction of its own or a read."""
    store, now = each.store, each.store.now()
    payment = new_payment(f"mer_{number % MERCHANTS:08}", now)
    watch = begin_watch(payment)
    key = secrets.token_hex(8)

    async def timed(name: str, step: Any) -> Any:
        began = time.perf_counter()
        result = await step
        if number >= WARM_UP:
            each.lives.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        return result

    await timed("create", store.create_payment(payment, Intent(key, bytes(32), now + MINUTE), watch))
    issued = changed(payment, InvoiceIssued(f"i-{key}"), now, entries=(line(now),), watch=watch, watch_read=watch)
    await timed("invoice", store.transition(issued))
    await timed("get by id", store.payment(payment.merchant_id, payment.id))
    await timed("get by link", store.payment_by_link(payment.merchant_id, payment.link))
    await timed("replay by key", store.stored(payment.merchant_id, "main", Mode.LIVE, key))
    paid = changed(issued.after, Captured(f"i-{key}", 150_000, f"b-{key}"), now, entries=(line(now),), watch_read=watch)
    await timed("paid, with its event", store.transition(paid))
    await timed("timeline", store.timeline(payment.merchant_id, payment.id))
    await timed("newest 20", store.list_payments(payment.merchant_id, PaymentFilter(limit=20)))
    await timed("of its order", store.list_payments(payment.merchant_id, PaymentFilter(order_id=payment.order_id)))
    await timed("due watches, none", store.claim_watches(now, now + MINUTE, 100))


async def _claim(each: Grown, number: int) -> None:
    """Claims that are undone again, so that each finds the same: of one endpoint, and of many."""
    connection = each.connection
    for name, of_one in (("of one endpoint, 8", True), (f"of {OF_MANY} endpoints, one each", False)):
        await connection.execute(begin(Address(each.url), None))
        transaction = PostgresqlTransaction(connection)
        now = each.store.now()
        lease = Lease(now + MINUTE, f"bench-{number}")
        began = time.perf_counter()
        if of_one:
            [key] = await transaction.rows("due_turns", (now, 1))
            turn = await _turn(transaction, tuple(key))
            assert turn is not None
            claims = await _take(transaction, turn, now, lease, OF_ONE)
        else:
            claims = await claim(transaction, now, lease, OF_MANY)
        taken = (time.perf_counter() - began) * 1000
        await connection.execute("ROLLBACK")
        if len(claims) != (OF_ONE if of_one else OF_MANY):
            raise SystemExit(f"a claim took {len(claims)}: not a measurement")
        if number >= WARM_UP:
            each.claims.setdefault(name, []).append(taken)


def medians(taken: Taken) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in taken.items()}
