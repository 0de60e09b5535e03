"""Replicas: `python -m tests.torture.replicas --payments 20000 [--seed N]`.

Three Dargahs as processes on one PostgreSQL, under load, with a hostile gateway and shops that fail: replicas are
killed and paused past their leases, the database is restarted, crashed and cut off. At the end the gateway's ledger,
the storefronts and the receivers must agree with the database to the rial. The seed draws every choice; the timing of
real processes cannot be replayed, so a failing seed is run again rather than replayed.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from proxy.payments.poller import LEASE as WATCH_LEASE
from proxy.webhooks.worker import LEASE as DELIVERY_LEASE

from ..sigkill.audit import Findings, audit
from ..sigkill.load import Load, Shown
from ..sigkill.rest import check_by_api, come_to_rest, late_money_has_landed
from .serve import LEASE_SECONDS
from .stage import Replicas, replicas_stage
from .storms import Storms

PAYMENTS: Final = 20_000
RATE: Final = 36.0
CALM_SECONDS: Final = 4.0
CHAOS_RATE: Final = 0.08
# Of every so many payments, a storefront asks for a check of one at the end; the others are the poller's.
CHECKED_ONE_OF: Final = 4
PAST_LEASES_SECONDS: Final = max(DELIVERY_LEASE, WATCH_LEASE) / 1000 + 1
# Each thing that can happen is to happen, however the seed draws.
AT_LEAST_ONCE: Final = ("pauses past the leases", "kills of one", "cuts of connections", "restarts of the database")


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate` is payments a second; with `short_leases` the Dargahs' leases, and so the pauses, are a third as long."""

    seed: int
    payments: int
    rate: float = RATE
    short_leases: bool = False

    @property
    def past_leases_seconds(self) -> float:
        return LEASE_SECONDS + 1 if self.short_leases else PAST_LEASES_SECONDS


async def campaign(folder: Path, plan: Plan) -> Findings:
    """The whole of it, in `folder`; the findings have a violation for each promise that was broken."""
    async with replicas_stage(folder, plan.seed, short_leases=plan.short_leases) as made:
        await made.fleet.start()
        await made.stage.start_chaos(plan.seed, CHAOS_RATE)
        load = Load(made.stage, plan.seed, plan.rate)
        storms = Storms(made, plan.seed, plan.past_leases_seconds, CALM_SECONDS)
        await _weather(load, storms, plan.payments)
        await made.stage.end_faults()
        await late_money_has_landed(made.stage)
        await check_by_api(load, [shown for shown in load.shown.values() if _asked(shown)])
        await made.fleet.kill()
        alone_since = await come_to_rest(made.stage, load)
        await made.fleet.start()
        findings = await audit(made.stage, load, alone_since)
        await audit_database(made, findings)
        findings.violations += storms.violations
        findings.counts.update(storms.counts)
        findings.counts.update(load.counts)
        return findings


async def _weather(load: Load, storms: Storms, payments: int) -> None:
    """Load and storms until there are so many payments; returns when all is whole again and every story has ended."""
    over = asyncio.Event()
    loading = asyncio.create_task(load.run())
    storming = asyncio.create_task(_first_each(storms, over))
    while len(load.shown) < payments and not storming.done():  # noqa: ASYNC110  a story tells nobody that it created
        await asyncio.sleep(0.2)
    load.stop()
    over.set()
    await storming
    await loading


async def _first_each(storms: Storms, over: asyncio.Event) -> None:
    for kind in AT_LEAST_ONCE:
        await storms.one(kind)
    await storms.run(over)


def _asked(shown: Shown) -> bool:
    return shown.number % CHECKED_ONE_OF == 0


_PAID_WITHOUT_CHECK = """
SELECT id FROM payments AS p WHERE status = 'paid' AND NOT EXISTS (
    SELECT 1 FROM timeline AS t WHERE t.merchant_id = p.merchant_id AND t.payment_id = p.id AND t.kind = 'gateway.check'
)
"""
_MANY_ATTEMPTS = """
SELECT d.id, d.attempts, count(a.number) FROM deliveries AS d
LEFT JOIN attempts AS a ON a.merchant_id = d.merchant_id AND a.delivery_id = d.id
GROUP BY d.merchant_id, d.id, d.attempts HAVING d.attempts <> count(a.number)
"""


async def audit_database(made: Replicas, findings: Findings) -> None:
    """As audit_rows, and what the slow shop has seen."""
    await audit_rows(made.server.url, findings)
    findings.counts["most at once at an endpoint"] = max(door.most for door in made.slow.doors.values())
    findings.counts["probes, one at a time"] = sum(door.probes for door in made.slow.doors.values())


async def audit_rows(url: str, findings: Findings) -> None:
    """Each paid payment with its check, each attempt that was counted with its row."""
    connection = await asyncpg.connect(url)
    try:
        for (payment_id,) in await connection.fetch(_PAID_WITHOUT_CHECK):
            findings.broken("wrongly paid", f"{payment_id} is paid and no check says so")
        for delivery_id, counted, rows in await connection.fetch(_MANY_ATTEMPTS):
            findings.violations.append(f"{delivery_id} counts {counted} attempts and has {rows}")
        findings.counts["attempts of which nothing was heard"] = await connection.fetchval(
            "SELECT count(*) FROM attempts WHERE outcome = 'unknown'"
        )
    finally:
        await connection.close()
