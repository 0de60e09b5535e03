"""Replicas: `python -m tests.torture.replicas --payments 20000 [--seed N]`.

Three Dargahs as processes on one PostgreSQL, under load, with a hostile gateway and shops that fail: replicas are
killed and paused past their leases, the database is restarted, crashed and cut off. At the end the gateway's ledger,
the storefronts and the receivers must agree with the database to the rial. The seed draws every choice; the timing of
real processes cannot be replayed, so a failing seed is run again rather than replayed.
"""

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import uvloop

from proxy.delivery import LEASE as DELIVERY_LEASE
from proxy.telemetry import logs
from proxy.watcher import LEASE as WATCH_LEASE

from .replicas_audit import audit_database
from .replicas_serve import LEASE_SECONDS
from .replicas_stage import replicas_stage
from .replicas_storms import Storms
from .sigkill_audit import Findings, audit
from .sigkill_load import Load, Shown
from .sigkill_rest import check_by_api, come_to_rest, late_money_has_landed

PAYMENTS: Final = 20_000
RATE: Final = 36.0
CALM_SECONDS: Final = 4.0
CHAOS_RATE: Final = 0.08
# Of every so many payments, a storefront asks for a check of one at the end; the others are the watcher's.
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


@click.command()
@click.option("--payments", default=PAYMENTS, show_default=True, type=click.IntRange(1))
@click.option("--seed", type=int, help="Draws every choice; a new one by default.")
@click.option("--rate", default=RATE, show_default=True, help="Payments a second that are begun.")
@click.option("--short-leases", is_flag=True, help="Leases, and pauses past them, a third as long.")
def main(payments: int, seed: int | None, rate: float, short_leases: bool) -> None:
    """Break replicas and their database again and again, and look for money that went missing."""
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    logs.configure("warning", "json")
    click.echo(f"replicas: seed {seed}, {payments} payments")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dargah-replicas-") as folder:
        findings = uvloop.run(campaign(Path(folder), Plan(seed, payments, rate, short_leases)))
    click.echo("\n".join(findings.lines()))
    click.echo(f"replicas: {len(findings.violations)} violations in {time.monotonic() - began:.0f} s, seed {seed}")
    sys.exit(1 if findings.violations else 0)


if __name__ == "__main__":
    main()
