"""Real SIGKILL: `python -m tests.torture.sigkill --kills 200 [--seed N]`.

Dargah as a process, under load and against a hostile gateway, is killed at random moments and started again at once on
the same database. At the end the gateway's ledger, the storefronts and the webhook receivers must agree with it to
the rial. The seed draws every choice (stories, faults, kills); the timing of real processes cannot be replayed, so
a failing seed is run again rather than replayed.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import click
import uvloop
from e2e.process import Process

from proxy.telemetry import logs

from .sigkill_audit import Findings, audit
from .sigkill_load import Load, Shown
from .sigkill_moments import MOMENTS
from .sigkill_rest import check_by_api, come_to_rest, late_money_has_landed
from .sigkill_stage import Stage, stage

RATE: Final = 60.0
CHAOS_RATE: Final = 0.08
RECEIVER_FAULT_RATE: Final = 0.1
MOMENT_SECONDS: Final = 1.0
# Every so many payments, one is left to the watcher: nobody asks for a check of it at the end.
LEFT_TO_THE_WATCHER: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """`longest_life_seconds` is how long a process runs at most before its kill; `rate` is payments a second."""

    seed: int
    kills: int
    longest_life_seconds: float = 2.0
    rate: float = RATE


async def campaign(folder: Path, plan: Plan) -> Findings:
    """The whole of it, in `folder`; the findings have a violation for each promise that was broken."""
    async with stage(folder, plan.seed, RECEIVER_FAULT_RATE) as made:
        await made.start_chaos(plan.seed, CHAOS_RATE)
        load = Load(made, plan.seed, plan.rate)
        loading = asyncio.create_task(load.run())
        killed = await _kill_again_and_again(made, plan)
        load.stop()
        await loading
        await made.end_faults()
        await late_money_has_landed(made)
        await check_by_api(load, [shown for shown in load.shown.values() if not _left(shown)])
        await made.process.kill()
        alone_since = await come_to_rest(made, load)
        await made.process.start()
        findings = await audit(made, load, alone_since)
        findings.counts.update(killed)
        findings.counts.update(load.counts)
        return findings


async def _kill_again_and_again(made: Stage, plan: Plan) -> Counter[str]:
    """Starts and kills Dargah; the last one is left running."""
    random = Random(f"{plan.seed}|kills")
    counts: Counter[str] = Counter()
    process = made.process
    assert isinstance(process, Process), "this campaign has one"
    for _ in range(plan.kills):
        await process.launch()
        if random.random() < 0.15:
            await asyncio.sleep(random.uniform(0, 1))
            counts["kills at the start"] += 1
        else:
            await process.ready()
            await asyncio.sleep(random.uniform(0, plan.longest_life_seconds))
            if random.random() < 0.5:
                moment = random.choice(MOMENTS)
                counts[f"kills at {moment}"] += await made.moments.next(moment, MOMENT_SECONDS)
        await process.kill()
        counts["kills"] += 1
    await process.start()
    return counts


def _left(shown: Shown) -> bool:
    return shown.number % LEFT_TO_THE_WATCHER == 0


@click.command()
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1))
@click.option("--seed", type=int, help="Draws every choice; a new one by default.")
@click.option("--rate", default=RATE, show_default=True, help="Payments a second that are begun.")
def main(kills: int, seed: int | None, rate: float) -> None:
    """Kill Dargah again and again, and look for money that went missing."""
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    logs.configure("warning", "json")
    click.echo(f"sigkill: seed {seed}, {kills} kills")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dargah-sigkill-") as folder:
        findings = uvloop.run(campaign(Path(folder), Plan(seed, kills, rate=rate)))
    click.echo("\n".join(findings.lines()))
    click.echo(f"sigkill: {len(findings.violations)} violations in {time.monotonic() - began:.0f} s, seed {seed}")
    if findings.violations:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
