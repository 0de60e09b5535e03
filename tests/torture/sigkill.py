"""Real SIGKILL: `python -m tests.torture.sigkill --kills 200 [--seed N]`.

Dargah as a process, under load and against a hostile gateway, is killed at random moments and started again at once on
the same database. At the end the gateway's ledger, the storefronts and the webhook receivers must agree with it to
the rial. The seed draws every choice (stories, faults, kills); the timing of real processes cannot be replayed, so
a failing seed is run again rather than replayed.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import click
from support.process import Process

from . import met, seed_option
from .processes.audit import Findings, audit, check_by_api, come_to_rest, late_money_has_landed, run
from .processes.load import Load, Shown
from .processes.stage import MOMENTS, Stage, stage

RATE: Final = 60.0
CHAOS_RATE: Final = 0.08
RECEIVER_FAULT_RATE: Final = 0.1
MOMENT_SECONDS: Final = 1.0
# Every so many payments, one is left to the poller: nobody asks for a check of it at the end.
LEFT_TO_THE_WATCHER: Final = 4


async def kill_again_and_again(made: Stage, load: Load, plan: "Plan") -> Counter[str]:
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
        load.meet(plan.fault(process))
        await process.kill()
        counts["kills"] += 1
    await process.start()
    return counts


@dataclass(frozen=True, slots=True)
class Plan:
    """`longest_life_seconds` is how long a process runs at most before its kill; `rate` is payments a second.

    `make` makes the Dargah that is killed, `fault` says what its next kill will be. `disturb` is what happens under the
    load; it starts Dargah, leaves it running, and gives what it did. `named` is how Dargah knows gateway and receivers.
    With `forked` a start is quick and never dies while it imports, as in the short forms.
    """

    seed: int
    kills: int
    longest_life_seconds: float = 2.0
    rate: float = RATE
    make: Callable[..., Process] = Process
    fault: Callable[[Process], str] = lambda _process: met.SIGKILL
    disturb: "Callable[[Stage, Load, Plan], Awaitable[Counter[str]]]" = kill_again_and_again
    named: Callable[[str], str] = str
    forked: bool = False


async def campaign(folder: Path, plan: Plan) -> Findings:
    """The whole of it, in `folder`; the findings have a violation for each promise that was broken."""
    async with stage(folder, plan.seed, RECEIVER_FAULT_RATE, plan.make, plan.named) as made:
        assert isinstance(made.process, Process), "this campaign has one"
        made.process.forked = plan.forked
        await made.start_chaos(plan.seed, CHAOS_RATE)
        load = Load(made, plan.seed, plan.rate)
        loading = asyncio.create_task(load.run())
        disturbed = await plan.disturb(made, load, plan)
        load.stop()
        await loading
        await made.end_faults()
        await late_money_has_landed(made)
        await check_by_api(load, [shown for shown in load.shown.values() if not _left(shown)])
        await made.process.kill()
        alone_since = await come_to_rest(made, load)
        await made.process.start()
        findings = await audit(made, load, alone_since)
        findings.counts.update(disturbed)
        findings.counts.update(load.counts)
        return findings


def _left(shown: Shown) -> bool:
    return shown.number % LEFT_TO_THE_WATCHER == 0


@click.command()
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1))
@seed_option
@click.option("--rate", default=RATE, show_default=True, help="Payments a second that are begun.")
def main(kills: int, seed: int, rate: float) -> None:
    """Kill Dargah again and again, and look for money that went missing."""
    run("sigkill", seed, lambda folder: campaign(folder, Plan(seed, kills, rate=rate)))


if __name__ == "__main__":
    main()
