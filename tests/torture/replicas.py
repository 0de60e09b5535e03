"""Replicas: `python -m tests.torture.replicas --payments 20000 [--seed N]`.

Three Dargahs as processes on one PostgreSQL, under load, with a hostile gateway and shops that fail: replicas are
killed and paused past their leases, the database is restarted, crashed and cut off. One replica at a time is paused for
longer than its leases, so that others take its work over and it wakes up believing that all of it is still its own. At
the end the gateway's ledger, the storefronts and the receivers must agree with the database to the rial. The seed draws
every choice; the timing of real processes cannot be replayed, so a failing seed is run again rather than replayed.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import click
from databases.durable import NOT_THERE

from proxy.payments.poller import LEASE as WATCH_LEASE
from proxy.webhooks.worker import LEASE as DELIVERY_LEASE

from . import seed_option
from .processes.audit import Findings, audit, audit_rows, check_by_api, come_to_rest, late_money_has_landed, run
from .processes.fleet import LEASE_SECONDS, Replica, Replicas, replicas_stage
from .processes.load import Load, Shown
from .processes.stage import MOMENTS

MOMENT_SECONDS: Final = 1.0
LONGEST_DOWN_SECONDS: Final = 2.0
LONGEST_NAP_SECONDS: Final = 6.0
AWAY_SECONDS: Final = (12.0, 25.0)


@dataclass(slots=True)
class Storms:
    """`past_leases_seconds` is how long a pause must be for the leases of what is under way to end.

    `calm_seconds` is the longest time between two; `died` are those that ended without having been told to.
    """

    made: Replicas
    seed: int
    past_leases_seconds: float
    calm_seconds: float
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    _random: Random = field(init=False)
    _asleep: asyncio.Task[None] | None = field(default=None, init=False)
    _away: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.seed}|storms")

    async def run(self, over: asyncio.Event) -> None:
        """One thing after the other until `over`; then all that was broken is whole again."""
        kinds = self._kinds()
        try:
            while not over.is_set():
                (kind,) = self._random.choices(tuple(kinds), [weight for weight, _ in kinds.values()])
                await self.one(kind)
                await _wait(over, self._random.uniform(0.2, self.calm_seconds))
        finally:
            await self._end()

    async def one(self, kind: str) -> None:
        """Has that happen; one of those that `_kinds` names."""
        try:
            self.counts[kind] += await self._kinds()[kind][1]()
        except NOT_THERE:
            self.counts["the database was away already"] += 1
        self._look_for_deaths()

    async def _end(self) -> None:
        """A pause is waited for: what a late waker does is what this is about."""
        if self._away is not None:
            self._away.cancel()
        tasks = [task for task in (self._asleep, self._away) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.made.server.ready()
        await self.made.fleet.start()
        self._look_for_deaths()

    def _kinds(self) -> dict[str, tuple[int, Callable[[], Awaitable[bool]]]]:
        """How often each happens, by weight; each gives whether it could."""
        return {
            "kills of one": (40, self._kill_one),
            "kills of all": (4, self._kill_all),
            "pauses past the leases": (16, self._pause_past_leases),
            "naps": (10, self._nap),
            "cuts of connections": (14, self._cut),
            "crashes of the database": (4, self._crash),
            "restarts of the database": (6, self._restart),
            "absences of a shop": (8, self._shop_away),
        }

    async def _kill_one(self) -> bool:
        running = self.made.fleet.running
        # Mostly one that is not asleep: that one is to wake up late.
        some = running if running and self._random.random() < 0.9 else self.made.fleet.replicas
        replica = self._random.choice(some)
        if self._random.random() < 0.5:
            moment = self._random.choice(MOMENTS)
            self.counts[f"kills at {moment}"] += await self.made.stage.moments.next(moment, MOMENT_SECONDS)
        self.counts["kills of a paused one"] += replica.paused
        await replica.kill()
        await asyncio.sleep(self._random.uniform(0, LONGEST_DOWN_SECONDS))
        await self._up(replica)
        return True

    async def _kill_all(self) -> bool:
        await self.made.fleet.kill()
        await asyncio.gather(*(self._up(replica) for replica in self.made.fleet.replicas))
        return True

    async def _pause_past_leases(self) -> bool:
        if self._asleep is not None and not self._asleep.done():
            return False
        self._asleep = asyncio.create_task(self._oversleep(self.past_leases_seconds + self._random.uniform(0, 3)))
        return True

    async def _oversleep(self, seconds: float) -> None:
        self.counts["woken past the leases"] += await self._sleep(seconds)

    async def _nap(self) -> bool:
        return await self._sleep(self._random.uniform(0.2, LONGEST_NAP_SECONDS))

    async def _sleep(self, seconds: float) -> bool:
        """Pauses one that runs; gives whether it is the same process that woke up."""
        if self._random.random() < 0.5:
            await self.made.stage.moments.next(self._random.choice(MOMENTS), MOMENT_SECONDS)
        running = self.made.fleet.running
        if not running:
            return False
        replica = self._random.choice(running)
        replica.pause()
        try:
            await asyncio.sleep(seconds)
            return replica.paused
        finally:
            replica.resume()

    async def _cut(self) -> bool:
        share = self._random.choice((0.3, 0.6, 1.0))
        cut = await self.made.server.cut(self._random, share)
        self.counts["connections cut"] += cut
        return cut > 0

    async def _crash(self) -> bool:
        return await self.made.server.crash(self._random)

    async def _restart(self) -> bool:
        how = self._random.choice((signal.SIGINT, signal.SIGQUIT))
        self.counts[f"restarts after {how.name}"] += 1
        await self.made.server.stop(how)
        await asyncio.sleep(self._random.uniform(0, LONGEST_DOWN_SECONDS))
        await self.made.server.start()
        return True

    async def _shop_away(self) -> bool:
        if self._away is not None and not self._away.done():
            return False
        self._away = asyncio.create_task(self._be_away(self._random.uniform(*AWAY_SECONDS)))
        return True

    async def _be_away(self, seconds: float) -> None:
        self.made.slow.away = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self.made.slow.away = False

    async def _up(self, replica: Replica) -> None:
        self.counts["starts that found no database"] += await replica.up()

    def _look_for_deaths(self) -> None:
        for replica in self.made.fleet.replicas:
            if replica.died:
                self.violations.append("a Dargah ended without having been told to")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


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


async def audit_database(made: Replicas, findings: Findings) -> None:
    """As audit_rows, and what the slow shop has seen."""
    await audit_rows(made.server.url, findings)
    findings.counts["most at once at an endpoint"] = max(door.most for door in made.slow.doors.values())
    findings.counts["probes, one at a time"] = sum(door.probes for door in made.slow.doors.values())


@click.command()
@click.option("--payments", default=PAYMENTS, show_default=True, type=click.IntRange(1))
@seed_option
@click.option("--rate", default=RATE, show_default=True, help="Payments a second that are begun.")
@click.option("--short-leases", is_flag=True, help="Leases, and pauses past them, a third as long.")
def main(payments: int, seed: int, rate: float, short_leases: bool) -> None:
    """Break replicas and their database again and again, and look for money that went missing."""
    run("replicas", seed, lambda folder: campaign(folder, Plan(seed, payments, rate, short_leases)))


if __name__ == "__main__":
    main()
