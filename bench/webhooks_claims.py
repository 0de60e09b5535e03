"""What a claim costs beside deliveries that wait for dead endpoints: paused, disabled and probing ones.

Three stores, which differ only in how much waits, are asked in turns.
"""

import asyncio
import re
import sqlite3
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.webhooks_stock import IDS, Stock, new_payment, refused, stock
from proxy.adapters.sqlite.transaction import SQL
from proxy.adapters.store.transaction import Transaction
from proxy.adapters.store.turns import claim
from proxy.clock import MINUTE, SECOND, system_now
from proxy.ids import AUDIT
from proxy.merchant import AuditEntry, EndpointState
from proxy.records import Attempt, Claim, Finished, Intent, Lease
from proxy.verdict import FAILURES_TO_PROBE
from proxy.watch import begin

SIZES = (1_000, 10_000, 200_000)
DEAD = 30  # endpoints of one merchant, a third of each kind
LIVING = 10
LIMIT = 20
ROUNDS = 100
PLANS = (
    "due_turns",
    "turn_of_endpoint",
    "oldest_deliveries",
    "settle_turn",
    "next_delivery_at",
)


@dataclass(slots=True)
class Beside:
    """A store with so much waiting for dead endpoints, and what its claims cost, in microseconds of the thread."""

    waiting: int
    made: Stock
    living: str
    cpu_us: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)


async def measure() -> tuple[dict[int, dict[str, float]], dict[str, list[str]]]:
    """Medians by what waits, and the plans of a claim's statements in the fullest store."""
    async with AsyncExitStack() as stack:
        stores = [await _store(size, stack) for size in SIZES]
        for number in range(ROUNDS):
            for each in stores:
                await _claim(each, number)
        plans = await stores[-1].made.store._database.run(_plans)  # noqa: SLF001  no port tells a plan
    figures = {
        each.waiting: {
            "cpu_us": statistics.median(each.cpu_us),
            "wall_us": statistics.median(each.wall_us),
            "p90_wall_us": statistics.quantiles(each.wall_us, n=10)[-1],
        }
        for each in stores
    }
    return figures, plans


async def _store(size: int, stack: AsyncExitStack) -> Beside:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    made = await stack.enter_async_context(
        stock(folder, [f"http://127.0.0.1:{port}/hook" for port in range(1, 3)], endpoints=(DEAD, LIVING))
    )
    dead, living = made.endpoints[0].merchant_id, made.endpoints[-1].merchant_id
    await _events(made, dead, FAILURES_TO_PROBE)
    await _fail(made)
    third = DEAD // 3
    for endpoint, state in zip(
        made.endpoints, [EndpointState.PAUSED] * third + [EndpointState.DISABLED] * third, strict=False
    ):
        audit = AuditEntry(IDS.record(AUDIT, dead, 1), dead, 1, "bench", "endpoint.update", endpoint.id, {})
        await made.store.save_endpoint(
            endpoint, replace(endpoint, state=state, updated_at=endpoint.updated_at + 1), audit
        )
    await _events(made, dead, size // DEAD - FAILURES_TO_PROBE)
    # The probes of those that are probed: one each is on its way for as long as is measured.
    await made.store.claim_deliveries(system_now() + 10 * MINUTE, Lease(system_now() + 60 * MINUTE, "probe"), third)
    await _events(made, living, ROUNDS * LIMIT // LIVING)
    return Beside(size, made, living)


async def _events(made: Stock, merchant_id: str, count: int) -> None:
    async def one(number: int) -> None:
        payment = new_payment(merchant_id, number)
        await made.store.create_payment(payment, Intent(payment.id, bytes(32), 0), begin(payment))
        await made.store.transition(refused(payment))

    for at in range(0, count, 256):
        await asyncio.gather(*(one(number) for number in range(at, min(at + 256, count))))


async def _fail(made: Stock) -> None:
    """Three attempts in a row at each endpoint had no answer: those that stay enabled are probed."""
    now = system_now()
    claims = await made.store.claim_deliveries(now, Lease(now + MINUTE, "fail"), DEAD * FAILURES_TO_PROBE)
    for each in claims:
        attempt = Attempt(each.attempt, now, 1, "failed", None, "timeout", b"")
        await made.store.record_attempt(Finished(each, attempt, None, now, 0.0), None)


async def _claim(beside: Beside, number: int) -> None:
    store = beside.made.store
    now = system_now() + 11 * MINUTE  # past the probes' pauses, within their leases

    async def step(transaction: Transaction) -> list[Claim]:
        began, cpu = time.perf_counter(), time.thread_time()
        claims = await claim(transaction, now, Lease(now + 30 * SECOND, f"claim-{number}"), LIMIT)
        beside.cpu_us.append((time.thread_time() - cpu) * 1e6)
        beside.wall_us.append((time.perf_counter() - began) * 1e6)
        return claims

    claims = await store._write.do(step)  # noqa: SLF001  the step itself, without the disk's sync
    if len(claims) != LIMIT or any(each.merchant_id != beside.living for each in claims):
        raise SystemExit(f"a claim took {len(claims)}, not the living's {LIMIT}: not a measurement")
    for each in claims:
        attempt = Attempt(each.attempt, now, 1, "delivered", 204, None, b"")
        await store.record_attempt(Finished(each, attempt, None, now, 0.0), None)


def _plans(connection: sqlite3.Connection) -> dict[str, list[str]]:
    plans = {}
    for name in PLANS:
        values = (0,) * max((int(number) for number in re.findall(r"\?(\d+)", SQL[name])), default=0)
        plans[name] = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values)]
    return plans
