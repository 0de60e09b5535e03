"""Seeded simulation: `python -m tests.torture.simulation --seeds 2000 --steps 150 [--seed N]`.

A seed gives a story: storefronts, customers, loops, crashes and faults at random, on the whole core and the real
SQLite store in virtual time. The promises are checked after every step, and again when faults have stopped and
everything has come to rest. The same seed replays exactly; a failing one prints its shortest story.
"""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

import click

from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule

from .world import Violation, World, complaints_heard
from .world.audit import Audit
from .world.families import drawn
from .world.loop import LABEL, REST, run_virtually
from .world.process import inline_sqlite
from .world.setup import cast
from .world.stage import Stage, come_to_rest
from .world.story import Action, Storyteller

_CHAOS_RATES: Final = (0.0, 0.1, 0.25, 0.5)
MAIN_STOREFRONTS: Final = 2


@dataclass(slots=True)
class Told:
    """What came of a story: the violation if any, the actions as played, the digest of all that happened, counts."""

    seed: int
    violation: Violation | None
    actions: list[Action]
    digest: str
    counts: Counter[str]
    lines: list[str] = field(default_factory=list)


def tell(
    seed: int,
    steps: int,
    actions: Sequence[Action] | None = None,
    *,
    keep_trace: bool = False,
    judged_alone: bool = False,
) -> Told:
    """Plays the story of a seed, or of just these `actions` with that seed's randomness.

    Its promises are looked at in the database after each action, and its whole history is judged at the end;
    `judged_alone` leaves the first out.
    """
    random = Random(f"{seed}|world")
    rate, odd_money, coarse = random.choice(_CHAOS_RATES), random.random() < 0.25, random.random() < 0.7
    families = drawn(random, MAIN_STOREFRONTS)
    with inline_sqlite():
        world = World(
            seed,
            chaos_rate=rate,
            odd_money=odd_money,
            keep_trace=keep_trace,
            judged_alone=judged_alone,
            families=families,
        )
        world.gateway.faults.add(Rule(GatewayOperation.PAY, Fault(FaultKind.PAID_AMOUNT), probability=0.15, seed=seed))
        played: list[Action] = []
        with complaints_heard(world), _removed(world):
            violation = run_virtually(world.clock, _play(world, seed, steps, actions, played, coarse=coarse))
        return Told(seed, violation, played, world.trace.digest(), world.counts, world.trace.lines or [])


def same_failure(told: Told, steps: int, actions: list[Action]) -> bool:
    """Whether these actions alone break the same promise."""
    again = tell(told.seed, steps, actions).violation
    return again is not None and told.violation is not None and again.promise == told.violation.promise


def shortest_story(told: Told, steps: int) -> list[Action]:
    """What is left of a failing story when all that can be is left out."""
    fails = partial(same_failure, told, steps)
    return simplify(shrink(told.actions, fails), Action.simpler, fails)


async def _play(
    world: World, seed: int, steps: int, actions: Sequence[Action] | None, played: list[Action], *, coarse: bool
) -> Violation | None:
    await world.begin()
    audit, stage = Audit(world), Stage(world, seed)
    story = Storyteller(seed, world, audit)
    try:
        for index in range(steps if actions is None else len(actions)):
            action = story.next() if actions is None else actions[index]
            played.append(action)
            await stage.play(action)
            audit.step()
        LABEL.set(REST)
        await come_to_rest(world, audit, coarse=coarse)
        audit.quiet()
        await world.history.rest(world.process, [asdict(invoice) for invoice in world.bank.invoices()])
        world.judge()
        _count(world, audit)
    except Violation as violation:
        return violation
    finally:
        await world.end()
    return None


def _count(world: World, audit: Audit) -> None:
    counts = world.counts
    counts["payments"] += len(audit.rows)
    counts["captured by the ledger"] += sum(invoice.state == "captured" for invoice in world.bank.invoices())
    for status, name in (("paid", "paid"), ("needs_review", "in review"), ("given_back", "given back")):
        counts[name] += sum(row.status == status for row in audit.rows.values())
    for row in audit.rows.values():
        counts[f"family {row.gateway}, {row.status}"] += 1
    for kind, times in world.gateway.faults.struck.items():
        counts[f"fault {kind}"] += times


@contextmanager
def _removed(world: World) -> Iterator[None]:
    try:
        yield
    finally:
        world.remove()


def _one(steps: int, seed: int) -> Told:
    told = tell(seed, steps)
    # The actions of a story that went well need not cross to the parent process.
    return told if told.violation else Told(seed, None, [], told.digest, told.counts)


def tell_many(seeds: Sequence[int], steps: int, workers: int) -> Iterator[Told]:
    """The stories of many seeds, on several processes, in any order."""
    if workers <= 1:
        yield from map(partial(_one, steps), seeds)
        return
    cast()  # made before the fork: the workers then share it, and it is removed when this process ends
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(partial(_one, steps), seeds, chunksize=4)


def report_failure(told: Told, steps: int, say: Any = click.echo) -> None:
    """Prints the seed, the promise that it breaks, and its shortest story."""
    say(f"seed {told.seed} breaks a promise: {told.violation}")
    say(f"its story of {len(told.actions)} actions, without what it does not need:")
    story = shortest_story(told, steps)
    for action in story:
        say(f"  {action}")
    say(f"  -> {tell(told.seed, steps, story).violation}")
    say(f"replay it: python -m tests.torture.simulation --seed {told.seed} --steps {steps}")


def summary(counts: Counter[str], seeds: int, steps: int, failed: int) -> list[str]:
    """The counts, the promises first."""
    first = ("payments", "captured by the ledger", "paid", "in review", "given back", "withdrawn")
    webhooks = ("webhooks due", "webhooks arrived", "webhook duplicates by id", "webhooks whose schedule was used up")
    lines = [f"seeds {seeds}, steps {seeds * steps}, stories that broke a promise {failed}"]
    lines += [", ".join(f"{name} {counts[name]}" for name in first)]
    lines += [
        "lost 0, wrongly paid 0, wrongly kept 0, webhooks missing 0"
        if not failed
        else "promises were broken: see above"
    ]
    lines += [", ".join(f"{name} {counts[name]}" for name in webhooks)]
    lines += [f"crashes {counts['crashes']}"]
    for prefix in ("fault ", "told ", "family "):
        found = sorted((name, times) for name, times in counts.items() if name.startswith(prefix))
        lines += [", ".join(f"{name} {times}" for name, times in found)]
    return lines


T = TypeVar("T")

MAX_TRIES: Final = 600


def shrink(items: Sequence[T], fails: Callable[[list[T]], bool], max_tries: int = MAX_TRIES) -> list[T]:
    """A part of `items`, in their order, for which `fails` holds and from which hardly any one item can be left out.

    `fails` must hold for all of `items`; it is asked at most `max_tries` times.
    """
    kept = list(items)
    size = max(1, len(kept) // 2)
    tries = 0
    while size:
        start, shorter = 0, False
        while start < len(kept) and tries < max_tries:
            candidate = kept[:start] + kept[start + size :]
            tries += 1
            if candidate and fails(candidate):
                kept, shorter = candidate, True
            else:
                start += size
        if tries >= max_tries:
            break
        size = size if shorter and size == 1 else size // 2
    return kept


def simplify(items: Sequence[T], simpler: Callable[[T], list[T]], fails: Callable[[list[T]], bool]) -> list[T]:
    """`items` with each one replaced by the first of its simpler forms for which `fails` still holds."""
    kept = list(items)
    for index, item in enumerate(kept):
        for form in simpler(item):
            candidate = [*kept[:index], form, *kept[index + 1 :]]
            if fails(candidate):
                kept = candidate
                break
    return kept


@click.command()
@click.option("--seeds", default=2000, help="How many seeds.")
@click.option("--steps", default=150, help="Actions in each story.")
@click.option("--first", default=1, help="The first seed.")
@click.option("--seed", type=int, help="Replay just this one, and print all that happens.")
@click.option("--workers", default=os.cpu_count() or 1, help="Processes.")
def main(seeds: int, steps: int, first: int, seed: int | None, workers: int) -> None:
    """Runs the seeded simulation; exit code 1 when a promise was broken."""
    if seed is not None:
        told = tell(seed, steps, keep_trace=True)
        for line in told.lines:
            click.echo(line)
        failed = [told] if told.violation else []
        counts, seeds = told.counts, 1
    else:
        started, failed, counts = time.monotonic(), [], Counter[str]()
        for told in tell_many(range(first, first + seeds), steps, workers):
            counts += told.counts
            if told.violation:
                failed.append(told)
        click.echo(f"{time.monotonic() - started:.1f} s on {workers} processes")
    for told in failed[:5]:
        report_failure(told, steps)
    for line in summary(counts, seeds, steps, len(failed)):
        click.echo(line)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
