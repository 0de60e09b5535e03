"""Crash points: `python -m tests.torture.crash_points`.

For each scenario, a short story with a known end, every commit and every outbound call is counted; then the process
dies before each and after each, one run per point. It restarts on the same files, the world goes on (or everybody gives
up), everything comes to rest, and the promises are checked. All points, none sampled; and for the migrations every
single statement.
"""

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final
from zlib import crc32

import click

from proxy.database.sqlite.store import _VERSIONS
from proxy.database.transaction import load_migrations
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.kernel.clock import HOUR, MINUTE, SECOND

from . import scratch
from .world import Violation, World, complaints_heard
from .world.audit import Audit
from .world.loop import LABEL, REST, Clock, run_virtually
from .world.network import Mode, event_of
from .world.process import OpenFile, copy_files, inline_sqlite, traced
from .world.setup import EPOCH
from .world.stage import Stage, come_to_rest
from .world.story import MODES, Action, Kind


@dataclass(frozen=True, slots=True)
class Scenario:
    """`ends` is how many payments are in which state when nobody died and all has come to rest; `webhooks` tells how
    many webhooks about them had then arrived, each id once. `family` is the first storefront's gateway.
    """

    name: str
    actions: tuple[Action, ...]
    ends: Mapping[str, int]
    rules: tuple[Rule, ...] = ()
    webhooks: int = 0
    other_ring: bool = False
    family: str = INVOICE_SCRIPT


Step = tuple[Kind, int, int]


def _story(*steps: Kind | Step) -> tuple[Action, ...]:
    """Actions numbered from 1; a bare kind is about #1 (or the first storefront, receiver and endpoint)."""
    about_first = {Kind.PAY, Kind.CANCEL, Kind.RETURN, Kind.CHECK, Kind.RETRY, Kind.OPEN, Kind.RESOLVE}
    actions = []
    for number, step in enumerate(steps, start=1):
        kind, subject, value = step if isinstance(step, tuple) else (step, 1 if step in about_first else 0, 0)
        actions.append(Action(number, kind, subject, value))
    return tuple(actions)


def _wait(milliseconds: int) -> Step:
    return (Kind.WAIT, 0, milliseconds)


def _receiver(mode: Mode) -> Step:
    return (Kind.RECEIVER, 0, MODES.index(mode))


def _once(operation: GatewayOperation, kind: FaultKind, seconds: float = 0.0) -> tuple[Rule, ...]:
    return (Rule(operation, Fault(kind, seconds=seconds), times=1),)


_PAID: Final = {"paid": 1}
_BUY: Final = (Kind.CREATE, Kind.PAY, Kind.RETURN)

SCENARIOS: Final = (
    Scenario("create", _story(Kind.CREATE), {"expired": 1}, webhooks=1),
    Scenario("create, refused", _story(Kind.DISABLE, Kind.CREATE, Kind.DELIVER), {"failed": 1}, webhooks=1),
    Scenario(
        "create, answer lost, retried and paid",
        _story(Kind.CREATE, Kind.RETRY, Kind.PAY, Kind.RETURN, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.REQUEST, FaultKind.LOST),
        webhooks=1,
    ),
    Scenario(
        "create, timed out, retried beside it and paid",
        _story(Kind.CREATE, _wait(31 * SECOND), Kind.RETRY, Kind.SETTLE, Kind.PAY, Kind.RETURN, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.REQUEST, FaultKind.DELAY, 9.0),
        webhooks=1,
    ),
    Scenario("pay and return", _story(*_BUY, Kind.DELIVER), _PAID, webhooks=1),
    Scenario(
        "pay and return, the check unclear at first",
        _story(*_BUY, _wait(5 * SECOND), Kind.WATCH, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.CHECK, FaultKind.HTML),
        webhooks=1,
    ),
    Scenario(
        "watch, no return",
        _story(Kind.CREATE, Kind.PAY, _wait(3 * MINUTE), Kind.WATCH, Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "canceled, then paid late",
        _story(Kind.CREATE, Kind.CANCEL, Kind.RETURN, Kind.DELIVER, Kind.PAY, _wait(HOUR), Kind.WATCH, Kind.DELIVER),
        _PAID,
        webhooks=2,
    ),
    Scenario(
        "expired, then captured late",
        _story(
            Kind.CREATE,
            _wait(25 * HOUR),
            Kind.WATCH,
            Kind.DELIVER,
            Kind.PAY,
            _wait(48 * HOUR),
            Kind.WATCH,
            Kind.DELIVER,
        ),
        _PAID,
        webhooks=2,
    ),
    Scenario("check by API", _story(Kind.CREATE, Kind.PAY, Kind.CHECK, Kind.CHECK, Kind.DELIVER), _PAID, webhooks=1),
    Scenario(
        "an order paid twice, reviewed and resolved",
        _story(
            Kind.CREATE,
            (Kind.CREATE, 0, 1),
            Kind.PAY,
            (Kind.PAY, 2, 0),
            Kind.CHECK,
            (Kind.CHECK, 2, 0),
            (Kind.RESOLVE, 2, 0),
            Kind.DELIVER,
        ),
        {"paid": 1, "needs_review": 1},
        webhooks=3,
    ),
    Scenario(
        "deliver, failing and then well",
        _story(*_BUY, _receiver(Mode.FAILING), Kind.DELIVER, _wait(10 * SECOND), _receiver(Mode.GOOD), Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "deliver, the answer lost",
        _story(*_BUY, _receiver(Mode.LOSING), Kind.DELIVER, _wait(10 * SECOND), _receiver(Mode.GOOD), Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "deliver, gone, switched on again",
        _story(*_BUY, _receiver(Mode.GONE), Kind.DELIVER, _receiver(Mode.GOOD), (Kind.RESUME, 0, 0), Kind.DELIVER),
        _PAID,
        webhooks=1,
    ),
    Scenario(
        "keys rotated while a payment is under way",
        _story(Kind.CREATE, (Kind.ROTATE, 0, 2), Kind.PAY, Kind.RETURN, Kind.DELIVER),
        _PAID,
        webhooks=1,
        other_ring=True,
    ),
    Scenario("confirm", _story(*_BUY, Kind.DELIVER), _PAID, webhooks=1, family="zibal"),
    Scenario("settle", _story(*_BUY, Kind.DELIVER), _PAID, webhooks=1, family="mellat"),
    Scenario(
        "confirm, no return",
        _story(Kind.CREATE, Kind.PAY, _wait(3 * MINUTE), Kind.WATCH, Kind.DELIVER),
        _PAID,
        webhooks=1,
        family="sadad",
    ),
    Scenario(
        "confirm, the answer lost",
        _story(*_BUY, _wait(30 * SECOND), Kind.WATCH, Kind.DELIVER),
        _PAID,
        _once(GatewayOperation.CONFIRM, FaultKind.LOST),
        webhooks=1,
        family="novinpal",
    ),
    Scenario(
        "another amount, given back",
        _story(*_BUY, Kind.DELIVER),
        {"given_back": 1},
        _once(GatewayOperation.PAY, FaultKind.PAID_AMOUNT),
        webhooks=1,
        family="sep",
    ),
    Scenario(
        "an order of two payments that are confirmed at once",
        _story(
            Kind.CREATE,
            (Kind.CREATE, 0, 1),
            Kind.PAY,
            (Kind.PAY, 2, 0),
            Kind.RETURN,
            (Kind.RETURN, 2, 0),
            Kind.DELIVER,
        ),
        {"paid": 1, "needs_review": 1},
        webhooks=2,
        family="zarinpal",
    ),
    Scenario(
        "withdrawn, then paid",
        _story(Kind.CREATE, Kind.OPEN, (Kind.WITHDRAW, 1, 0), Kind.PAY, Kind.RETURN, Kind.DELIVER),
        {"given_back": 1},
        webhooks=2,
        family="zibal",
    ),
)


SEED: Final = 7
_CALLS: Final = ("request: ", "check: ", "confirm: ", "settle: ", "reverse: ", "webhook: ")
_AFTERWARDS: Final = 1000
"""From here on the actions are numbered that a crash adds to the scenario."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run: the points that it met, how its payments ended, and what it broke."""

    points: tuple[str, ...]
    ends: Counter[str]
    webhooks: int
    violation: Violation | None
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class Enumerated:
    """All runs of a scenario: how many points there are, how many runs that made, and what went wrong where."""

    name: str
    commits: int
    calls: int
    runs: int
    failures: tuple[str, ...]
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class Migrated:
    """From one schema version to the newest: statements, runs (one per statement), and what went wrong."""

    name: str
    statements: int
    runs: int
    failures: tuple[str, ...]


def play(scenario: Scenario, die_at: int | None = None, *, goes_on: bool = True) -> Run:
    """One run, in which the process dies at the point of that index (from 0), if any."""
    with inline_sqlite():
        world = World(SEED, families=(scenario.family,))
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
    return Run(tuple(points), ends, webhooks, violation, world.counts)


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


def enumerate_points(scenario: Scenario, one_of: int = 1) -> Enumerated:
    """Dies at every point of the scenario, or at each `one_of`-th from one of the first on, which its name draws.

    Each with the world going on and with everybody giving up.
    """
    whole = play(scenario)
    failures = [] if whole.violation is None else [f"nobody died: {whole.violation}"]
    if whole.ends != scenario.ends or whole.webhooks != scenario.webhooks:
        failures.append(f"nobody died: it ended as {dict(whole.ends)} with {whole.webhooks} webhooks")
    runs, counts = 0, Counter[str]()
    begin = crc32(scenario.name.encode()) % one_of
    for index, where in islice(enumerate(whole.points), begin, None, one_of):
        for goes_on in (True, False):
            runs += 1
            run = play(scenario, index, goes_on=goes_on)
            counts += run.counts
            told = f"died at {index} ({where}), {'went on' if goes_on else 'gave up'}"
            if run.points[: index + 1] != whole.points[: index + 1]:
                failures.append(f"{told}: it did not come that far as before")
            if run.violation is not None:
                failures.append(f"{told}: {run.violation}")
    calls = sum(where.startswith(_CALLS) for where in whole.points)
    return Enumerated(scenario.name, len(whole.points) - calls, calls, runs, tuple(failures), counts)


def migrations(one_of: int = 1) -> Iterator[Migrated]:
    """Opens a database of every older schema version, the empty one first, and dies before each statement of that.

    Or before each `one_of`-th, from another one on for each version.
    """
    for version in range(len(load_migrations("sqlite")) + 1):
        with scratch() as folder:
            yield _from_version(folder, version, one_of)


def _from_version(folder: Path, version: int, one_of: int) -> Migrated:
    old = folder / "old.db"
    _make_old(old, version)
    copies = _copies_at_each_statement(folder, old)
    wanted = _schema_after_opening(old)
    failures = []
    tried = list(islice(enumerate(copies), version % one_of, None, one_of))
    for number, copy in tried:
        try:
            found = _schema_after_opening(copy)
        except Exception as error:  # noqa: BLE001  whatever it is, the restart failed
            failures.append(f"died before statement {number}: the restart raised {error!r}")
            continue
        if found != wanted:
            failures.append(f"died before statement {number}: the schema is another one after the restart")
    return Migrated(f"migrate from version {version}", len(copies), len(tried), tuple(failures))


def _make_old(path: Path, version: int) -> None:
    """A database as the Dargah of that schema version left it; version 0 is a file that does not exist yet."""
    if not version:
        return
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(_VERSIONS)
    for number, name, script in load_migrations("sqlite")[:version]:
        connection.executescript(script)
        connection.execute("INSERT INTO schema_versions VALUES (?, ?, ?, ?)", (number, name, EPOCH, number))
    connection.close()


def _copies_at_each_statement(folder: Path, old: Path) -> list[Path]:
    """The files as they are on the disk before each statement of an opening."""
    working, copies = folder / "working" / "dargah.db", list[Path]()
    working.parent.mkdir()
    if old.exists():
        shutil.copyfile(old, working)

    def before(_sql: str) -> None:
        copy = folder / f"copy{len(copies)}" / "dargah.db"
        copy_files(working, copy)
        copies.append(copy)

    with traced(before):
        _schema_after_opening(working)
    return copies


def _schema_after_opening(path: Path) -> list[tuple[object, ...]]:
    with inline_sqlite():
        return run_virtually(Clock(EPOCH), _opened(path))


async def _opened(path: Path) -> list[tuple[object, ...]]:
    file = await OpenFile.open(path, Clock(EPOCH))
    await file.store.heartbeat.ping()
    schema = file.raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    schema += file.raw.execute("SELECT version, name FROM schema_versions ORDER BY version").fetchall()
    await file.store.close()
    return schema


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
