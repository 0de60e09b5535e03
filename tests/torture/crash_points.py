"""Crash points: `python -m tests.torture.crash_points`.

For each scenario, every commit and every outbound call is counted; then the process dies before each and after each,
one run per point. It restarts on the same files, the world goes on (or everybody gives up), everything comes to rest,
and the promises are checked. All points, none sampled; and for the migrations every single statement.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from .crash_points_migration import Migrated, migrations
from .crash_points_scenarios import SCENARIOS, Scenario
from .simulation_actions import Action, Kind
from .simulation_rest import come_to_rest
from .simulation_stage import Stage
from .world import Violation, World, complaints_heard
from .world_audit import Audit
from .world_loop import run_virtually
from .world_network import event_of
from .world_store import inline_sqlite
from .world_turns import LABEL, REST

SEED: Final = 7
_AFTERWARDS: Final = 1000
"""From here on the actions are numbered that a crash adds to the scenario."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run: the points that it met, how its payments ended, and what it broke."""

    points: tuple[str, ...]
    ends: Counter[str]
    webhooks: int
    violation: Violation | None


@dataclass(frozen=True, slots=True)
class Enumerated:
    """All runs of a scenario: how many points there are, how many runs that made, and what went wrong where."""

    name: str
    commits: int
    calls: int
    runs: int
    failures: tuple[str, ...]


def play(scenario: Scenario, die_at: int | None = None, *, goes_on: bool = True) -> Run:
    """One run, in which the process dies at the point of that index (from 0), if any."""
    with inline_sqlite():
        world = World(SEED)
        if scenario.other_ring:
            world.turn_ring()
        for rule in scenario.rules:
            world.gateway.faults.add(rule)
        try:
            with complaints_heard(world):
                return run_virtually(world.clock, _play(world, scenario, die_at, goes_on=goes_on))
        finally:
            world.remove()


async def _play(world: World, scenario: Scenario, die_at: int | None, *, goes_on: bool) -> Run:
    points: list[str] = []

    def at_point(where: str) -> bool:
        if ":" not in where:
            return False
        points.append(where)
        return len(points) - 1 == die_at

    await world.begin()
    world.turns.free, world.turns.at_point = True, at_point
    audit, stage = Audit(world), Stage(world, SEED)
    violation = None
    try:
        await _tell(world, scenario, audit, stage, goes_on=goes_on)
        await _rest(world, audit)
    except Violation as broken:
        violation = broken
    ends = Counter(row.status for row in audit.rows.values())
    bodies = [body for receiver in world.receivers.values() for body in receiver.bodies.values()]
    webhooks = sum(event_of(body)[0].startswith("payment.") for body in bodies)
    await world.end()
    return Run(tuple(points), ends, webhooks, violation)


async def _tell(world: World, scenario: Scenario, audit: Audit, stage: Stage, *, goes_on: bool) -> None:
    for action in scenario.actions:
        await stage.play(action)
        if world.turns.dead:
            await world.crash()
            world.turns.free = True
            audit.step()
            if not goes_on:
                return
            # Whoever got no answer to a create sends it again, until the dead one's lease is over.
            for cart in [cart for cart in world.carts.values() if cart.reply is None]:
                world.clock.now += 31_000
                await stage.play(Action(_AFTERWARDS + cart.number, Kind.RETRY, cart.number))
        audit.step()


async def _rest(world: World, audit: Audit) -> None:
    world.turns.at_point = lambda _where: False
    token = LABEL.set(REST)
    try:
        await come_to_rest(world, audit, coarse=False)
        audit.quiet()
    finally:
        LABEL.reset(token)


def enumerate_points(scenario: Scenario) -> Enumerated:
    """Dies at every point of the scenario, with the world going on and with everybody giving up."""
    whole = play(scenario)
    failures = [] if whole.violation is None else [f"nobody died: {whole.violation}"]
    if whole.ends != scenario.ends or whole.webhooks != scenario.webhooks:
        failures.append(f"nobody died: it ended as {dict(whole.ends)} with {whole.webhooks} webhooks")
    runs = 0
    for index, where in enumerate(whole.points):
        for goes_on in (True, False):
            runs += 1
            run = play(scenario, index, goes_on=goes_on)
            told = f"died at {index} ({where}), {'went on' if goes_on else 'gave up'}"
            if run.points[: index + 1] != whole.points[: index + 1]:
                failures.append(f"{told}: it did not come that far as before")
            if run.violation is not None:
                failures.append(f"{told}: {run.violation}")
    calls = sum(where.startswith(("request", "check", "webhook")) for where in whole.points)
    return Enumerated(scenario.name, len(whole.points) - calls, calls, runs, tuple(failures))


def enumerate_all() -> Iterator[Enumerated | Migrated]:
    """Every scenario, and the migrations."""
    yield from map(enumerate_points, SCENARIOS)
    yield from migrations()


@click.command()
def main() -> None:
    """Runs every crash point; exit code 1 when a promise was broken."""
    started, points, runs, failed = time.monotonic(), 0, 0, 0
    for done in enumerate_all():
        if isinstance(done, Enumerated):
            count = f"{done.commits} around commits, {done.calls} around calls"
            points += done.commits + done.calls
        else:
            count = f"{done.statements} statements"
            points += done.statements
        runs += done.runs
        failed += len(done.failures)
        click.echo(f"{done.name}: {count}, {done.runs} runs, {len(done.failures)} failed")
        for failure in done.failures[:5]:
            click.echo(f"  {failure}")
    click.echo(f"crash points {points}, runs {runs}, failed {failed}, {time.monotonic() - started:.1f} s")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
