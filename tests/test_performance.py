"""What each operation costs may not grow unseen: statements, commits, threads, requests, lines of the log, memory.

Nothing is timed, so any machine finds the same. One operation runs at a time, where caches have what is read seldom
(not at the watch's: its time is another one). Together they cost less, as batches share commits and statements.

And the benchmarks work, with counts too small for figures; docs/performance.md has the figures that were measured.
"""

import asyncio
import gc
import json
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import asyncpg
import orjson
import pytest
from aiohttp import web
from databases.places import database_in
from structlog.testing import capture_logs
from support.clock import ManualClock
from support.dargah import server, settings
from support.receiver import Receiver
from web.lab import RETURN_URL, TERMINALS, Lab

from bench.__main__ import LIMITS
from bench.peers import programs
from bench.report import PAGE, PLACE, filled, section
from bench.soak import Course, growth
from proxy.app import Outside, running
from proxy.console.routes import ROUTES
from proxy.kernel.background import Repeater
from proxy.payments.payment import Payment
from proxy.simulator.command import create_app

Operation = Callable[[], Awaitable[None]]

# Of the turns of the loop that whatever an operation left behind may take: the end of a response, a line of the log.
TURNS: Final = 40
# Gathered over time for all who wait, so that their number tells of the clock.
GATHERED: Final = "pg_notify"
OURS: Final = ("proxy.", "asyncio.", "_asyncio.", "aiohttp.", "builtins.coroutine", "builtins.generator")
# asyncio keeps cancelled timers until their time, or until they are many.
OTHERS: Final = ("proxy.simulator.", "proxy.gateways.simulation.", "asyncio.events.TimerHandle")
JOURNAL: Final = "ledger"  # the simulator's thread


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one operation. `hops` are the times that a thread handed something back to the loop."""

    statements: int = 0
    commits: int = 0
    hops: int = 0
    requests: int = 0
    lines: int = 0

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(slots=True)
class Meter:
    """Everything so far; `blocks_at_request` is what all of Python held when the last request came out."""

    statements: int = 0
    commits: int = 0
    hops: int = 0
    requests: int = 0
    blocks_at_request: int = 0

    def statement(self, sql: str) -> None:
        if GATHERED not in sql:
            self.statements += 1
            self.commits += sql == "COMMIT"

    async def request(self, request: web.Request, _response: web.StreamResponse) -> None:
        """A signal of the gateway's and the shop's servers."""
        if not request.path.startswith("/control/"):
            self.blocks_at_request = sys.getallocatedblocks()
            self.requests += 1

    def watch_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.BaseEventLoop
        handed_back = loop.call_soon_threadsafe

        def counted(*arguments: Any, **more: Any) -> Any:
            # By its journal the simulator is a user of threads too.
            self.hops += not threading.current_thread().name.startswith(JOURNAL)
            return handed_back(*arguments, **more)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)

    def watch_postgresql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect = asyncpg.connect

        async def counted(*arguments: Any, **more: Any) -> Any:
            connection = await connect(*arguments, **more)
            listens = False

            def told(record: Any) -> None:
                # What asks by the clock, whatever is done meanwhile, does so where it listens.
                nonlocal listens
                listens = listens or record.query.startswith("LISTEN")
                if not listens:
                    self.statement(record.query)

            connection.add_query_logger(told)
            return connection

        monkeypatch.setattr(asyncpg, "connect", counted)

    def seen(self, lines: int) -> Counts:
        return Counts(self.statements, self.commits, self.hops, self.requests, lines)


async def settled() -> None:
    """Returns when what needs no more than the loop has been done."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def complaint(name: str, found: Counts, wanted: Counts) -> str:
    """What to do about each count that is another one; empty when all are as written."""
    said = []
    for each in fields(Counts):
        now, before = getattr(found, each.name), getattr(wanted, each.name)
        if now > before:
            said.append(f"{name}: {each.name} grew from {before} to {now}")
        elif now < before:
            said.append(f"{name}: {each.name} fell from {before} to {now}; good: write the new figure")
    return "\n".join(said)


def objects() -> Counter[str]:
    """How many objects of Dargah's own kinds there are, and of those that work and connections are made of."""
    gc.collect()
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter({kind: n for kind, n in kinds.items() if kind.startswith(OURS) and not kind.startswith(OTHERS)})


# On both databases, but that asyncpg needs no thread, and that on PostgreSQL a create is two statements, each of which
# is a transaction.
COSTS: Final = {
    "create": Counts(statements=9, commits=2, hops=2, requests=1, lines=2),
    "return": Counts(statements=24, commits=3, hops=3, requests=2, lines=2),
    "watch": Counts(statements=28, commits=3, hops=6, requests=2, lines=1),
    "deliver": Counts(statements=14, commits=2, hops=3, requests=1, lines=0),
}
ON_POSTGRESQL: Final = {"create": {"statements": 2, "commits": 0}}
# Blocks of memory that one operation has in use while the gateway or the shop answers, those of the test's own client
# and servers among them; the median, as a collection may fall into some.
HELD: Final = {"create": 113, "return": 206, "watch": 123, "deliver": 68}
BAND: Final = 0.25
TIMES, MANY = 5, 30

Prepare = Callable[["Workshop"], Awaitable[Operation]]


@dataclass
class Workshop:
    """A Dargah whose loops stand still: each of their steps is done by hand."""

    lab: Lab
    meter: Meter
    hooks: Receiver
    lines: list[Any]

    async def ask(self, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        headers |= {"Authorization": f"Bearer {self.lab.token}", "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        asked = self.lab.session.request(method, url, data=data, headers=headers, allow_redirects=False)
        async with asked as answer:
            return answer.status, await answer.read()

    async def quiet(self) -> None:
        dargah = self.lab.dargah
        for tasks in (dargah.services.tasks, dargah.poller.tasks, dargah.delivery.tasks):
            await tasks.drain()
        await settled()

    def seen(self) -> Counts:
        return self.meter.seen(len([line for line in self.lines if line["log_level"] != "debug"]))

    async def costs(self, prepare: Prepare) -> Counts:
        """What each of some operations cost, which is the same of all of them."""
        for _ in range(2):
            await (await prepare(self))()
        found = set()
        for _ in range(TIMES):
            operation = await prepare(self)
            await self.quiet()
            before = self.seen()
            await operation()
            await self.quiet()
            found.add(self.seen() - before)
        assert len(found) == 1, found
        return found.pop()


@pytest.fixture
async def workshop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    meter, clock, hooks = Meter(), ManualClock(), Receiver()
    meter.watch_postgresql(monkeypatch)
    monkeypatch.setattr(Repeater, "start", lambda _repeater, _step: None)
    gateway_app, shop_app = create_app(terminals=TERMINALS, clock=clock), hooks.app()
    for app in (gateway_app, shop_app):
        app.on_response_prepare.append(meter.request)
    outside = Outside(now=clock, jitter=lambda: 0.0, fault=meter.statement)
    async with (
        server(gateway_app) as gateway_url,
        server(shop_app) as shop_url,
        running(settings(folder, log_level="info"), outside) as dargah,
        aiohttp.ClientSession() as session,
    ):
        lab = Lab(dargah, gateway_url, session, clock, folder)
        await lab.set_up()
        await dargah.services.endpoints.add_endpoint(lab.merchant_id, f"{shop_url}/hook", actor="test")
        meter.watch_threads(monkeypatch)
        with capture_logs() as lines:
            yield Workshop(lab, meter, hooks, lines)


_NUMBERS = iter(range(1_000_000))


async def create(workshop: Workshop) -> Operation:
    number = next(_NUMBERS)

    async def operation() -> None:
        await new_payment(workshop, number)

    return operation


async def new_payment(workshop: Workshop, number: int) -> dict[str, Any]:
    order = {"amount": 15_000, "currency": "IRT", "order_id": f"A-{number}", "return_url": RETURN_URL}
    url, key = f"{workshop.lab.dargah.url}/v1/payments", {"Idempotency-Key": f"key-{number}"}
    status, body = await workshop.ask("POST", url, order, **key)
    assert status == 201, body
    payment: dict[str, Any] = orjson.loads(body)
    return payment


async def paid_at_the_bank(workshop: Workshop) -> str:
    """Where the customer is sent back to."""
    return await workshop.lab.act(await new_payment(workshop, next(_NUMBERS)), "pay")


async def come_back(workshop: Workshop) -> Operation:
    url = await paid_at_the_bank(workshop)

    async def operation() -> None:
        status, body = await workshop.ask("GET", url)
        assert status in {200, 302, 303}, body

    return operation


async def watch(workshop: Workshop) -> Operation:
    await paid_at_the_bank(workshop)
    poller, clock = workshop.lab.dargah.poller, workshop.lab.clock
    due_at = await workshop.lab.dargah.services.store.payments.next_check_at()
    assert due_at is not None
    clock.forward(due_at - clock.now)

    async def operation() -> None:
        await poller.step()
        assert len(poller.tasks) == 1
        await poller.tasks.drain()

    return operation


async def deliver(workshop: Workshop) -> Operation:
    """One that has waited. What happens while its endpoint has room leaves by itself, and is counted where it does."""
    services, delivery = workshop.lab.dargah.services, workshop.lab.dargah.delivery
    await services.event_tester.trigger(await services.merchant_cache.authenticate(workshop.lab.token), "payment.paid")

    async def operation() -> None:
        before = len(workshop.hooks.requests)
        await delivery.step()
        await delivery.tasks.drain()
        assert len(workshop.hooks.requests) == before + 1

    return operation


TIMERS: Final = 1000
OPERATIONS: Final[dict[str, Prepare]] = {"create": create, "return": come_back, "watch": watch, "deliver": deliver}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_costs_what_is_written_here(workshop: Workshop, name: str) -> None:
    on_sqlite = isinstance(database_in(workshop.lab.folder), Path)
    wanted = COSTS[name] if on_sqlite else replace(COSTS[name], hops=0, **ON_POSTGRESQL.get(name, {}))
    assert complaint(name, await workshop.costs(OPERATIONS[name]), wanted) == ""


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_in_flight_holds_what_is_written_here(workshop: Workshop, name: str) -> None:
    held = []
    for _ in range(MANY):
        operation = await OPERATIONS[name](workshop)
        await workshop.quiet()
        gc.collect(0)
        before = sys.getallocatedblocks()
        await operation()
        await workshop.quiet()
        held.append(workshop.meter.blocks_at_request - before)
    found, wanted = median(held), HELD[name]
    assert found <= wanted * (1 + BAND), f"{name} holds {found:.0f} blocks, not {wanted}"
    assert found >= wanted * (1 - BAND), f"{name} holds {found:.0f} blocks, not {wanted}; good: write the new figure"


async def forget_cancelled_timers() -> None:
    """asyncio drops cancelled timers, which keep their calls' contexts, in one go once they are many."""
    loop = asyncio.get_running_loop()
    for timer in [loop.call_later(3600, int) for _ in range(TIMERS)]:
        timer.cancel()
    await asyncio.sleep(0)


async def kept(workshop: Workshop, prepare: Prepare) -> dict[str, int]:
    """The kinds of object of which operations that are over leave one behind, or more."""

    async def many() -> None:
        for _ in range(MANY):
            await (await prepare(workshop))()
        await workshop.quiet()
        workshop.hooks.requests.clear()
        await forget_cancelled_timers()

    await many()
    before = objects()
    await many()
    return {kind: grown for kind, grown in (objects() - before).items() if grown >= MANY // 2}


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_that_is_over_leaves_nothing_behind(workshop: Workshop, name: str) -> None:
    assert await kept(workshop, OPERATIONS[name]) == {}


@pytest.mark.parametrize("folder", ["sqlite"], indirect=True)
async def test_a_payment_that_stays_is_seen(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    payments, stayed = workshop.lab.dargah.services.store.payments, []
    made = payments.create_payment

    async def stays(payment: Payment, *more: Any) -> Any:
        stayed.append(payment)
        return await made(payment, *more)

    monkeypatch.setattr(payments, "create_payment", stays)
    assert await kept(workshop, create) == {"proxy.payments.payment.Payment": MANY}


def test_a_count_that_differs_is_named_with_what_to_do() -> None:
    wanted = Counts(statements=9, commits=2, hops=2, requests=1, lines=2)
    assert complaint("create", wanted, wanted) == ""
    assert complaint("create", replace(wanted, commits=3), wanted) == "create: commits grew from 2 to 3"
    fell = complaint("create", replace(wanted, statements=8), wanted)
    assert fell == "create: statements fell from 9 to 8; good: write the new figure"


ENOUGH_SECONDS = 100


async def tried(name: str, folder: Path, seconds: float = ENOUGH_SECONDS) -> dict[str, Any]:
    """What `python -m bench.NAME --short` wrote, which is sane for a page too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"bench.{name}", "--short", "--results", str(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    assert found["name"] == name
    assert found["about"]["short"]
    assert found["parameters"]
    for table in found["tables"]:
        assert table["rows"]
        assert {len(row) for row in table["rows"]} == {len(table["heads"])}
        assert table["title"] in printed.decode()
        assert table["title"] in section(found)
    return found


def column(found: dict[str, Any], at: int, head: str) -> dict[str, Any]:
    """A column of a table, by the rows' names."""
    table = found["tables"][at]
    where = table["heads"].index(head)
    return {row[0]: row[where] for row in table["rows"]}


async def test_creates_are_measured_through_all_proxies_and_directly(tmp_path: Path) -> None:
    found = await tried("create", tmp_path)
    proxies = ["pass-through", "Dargah"]
    rates = column(found, 0, "per s")
    assert list(rates) == proxies
    assert all(rate > 0 for rate in rates.values())
    assert all(us > 0 for us in column(found, 0, "CPU µs").values())
    waits = column(found, 1, "p99")
    assert list(waits) == ["the gateway, directly", *proxies]
    assert all(column(found, 1, "p50")[name] <= wait for name, wait in waits.items())
    assert all(wait <= column(found, 1, "p99.9")[name] for name, wait in waits.items())
    assert len(found["targets"]) == 4


async def test_a_start_is_measured_beside_the_libraries(tmp_path: Path) -> None:
    found = await tried("start", tmp_path)
    at_rest = column(found, 0, "MB at rest")
    assert 0 < at_rest["the libraries alone"] < at_rest["Dargah"]


async def test_growth_compares_every_step_in_each_file(tmp_path: Path) -> None:
    found = await tried("growth", tmp_path)
    small, large = column(found, 0, "500"), column(found, 0, "2,000")
    assert {"create", "get by id", "replay", "claim of 25 watches", "paid, with its event"} <= set(small)
    assert small.keys() == large.keys()
    assert all(us > 0 for us in (*small.values(), *large.values()))
    for head in ("largest to smallest", "of CPU"):
        assert all(ratio > 0 for ratio in column(found, 0, head).values())
    assert column(found, 0, "pages read").keys() == small.keys()
    assert list(column(found, 1, "MB")) == ["500", "2,000"]


async def test_webhooks_times_good_merchants_beside_each_kind_of_bad_one(tmp_path: Path) -> None:
    found = await tried("webhooks", tmp_path)
    waits = column(found, 0, "p99")
    assert list(waits) == ["none", "refuse", "hang", "drip", "huge"]
    assert all(column(found, 0, "p50")[name] <= wait for name, wait in waits.items())
    assert len(found["raw"]["hang"][0]["taken_ms"]) == 16
    for times in ("taken_ms", "after_ms"):
        assert len(found["raw"]["many"][0][times]) == 15
    assert list(column(found, 1, "p99")) == ["the return", "the event"]
    assert 0 <= column(found, 1, "p50")["the event"] <= column(found, 1, "p99")["the event"]


@pytest.mark.timeout(3 * ENOUGH_SECONDS)
async def test_the_console_is_measured_on_both_databases(tmp_path: Path) -> None:
    found = await tried("console", tmp_path, 2 * ENOUGH_SECONDS)
    pages = {each["name"] for each in found["raw"]["SQLite"]["pages"]}
    shown = {route.path for route in ROUTES if route.method == "GET"}
    assert shown - {"/search", *found["raw"]["left_out"]} <= pages
    assert len(found["raw"]["left_out"]) < len(shown) / 3
    assert pages == {each["name"] for each in found["raw"]["PostgreSQL"]["pages"]}
    figures = {name: column(found, 2, name) for name in ("SQLite", "PostgreSQL")}
    for each in figures.values():
        assert each["lines"] > 1900
        assert 0 < each["a client that reads 1 KB/s: s until it is sent away"] < 60
        assert each["of 6 at once are refused"] == 3
    assert len(found["targets"]) == 13


@pytest.mark.parametrize(
    ("memory", "grew"), [([50, 80, 80, 80, 80, 80, 80, 81], 1), ([50, 80, 90, 99, 110, 120, 130, 140], 60)]
)
def test_memory_grows_from_the_first_quarter_on(memory: list[float], grew: float) -> None:
    payments = [0, 25, 30, 50, 60, 80, 90, 100]
    assert growth(Course(list(map(float, payments)), payments, memory, memory, memory)) == grew


async def test_soak_watches_memory_and_files_while_payments_are_made_and_told(tmp_path: Path) -> None:
    found = await tried("soak", tmp_path)
    assert "300 payments" in found["tables"][0]["title"]
    assert "270 of them paid" in found["tables"][0]["title"]
    assert column(found, 0, "at the end")["WAL, MB"] > 0
    assert found["raw"]["payments"][-1] == 300


def test_what_the_peers_need_and_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "PROGRAMS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = programs.lacking()
    assert "make bench-peers" in said["peers"]
    assert "apt-get install redis-server" in said["redis"]


TWENTY_MINUTES = 20 * 60
EMPTY = "before\n<!-- bench:create -->\n<!-- /bench -->\nafter\n"


def write(folder: Path, *, short: bool = False, got: float = 0.7123) -> None:
    about: dict[str, Any] = {"machine": "a machine, 2 cores", "load_average": 1.0, "python": "3.11", "commit": "abc"}
    about |= {"libraries": {"aiohttp": "3.14"}, "short": short}
    table = {"title": "Creates", "heads": ["", "per s"], "rows": [["Dargah", 12345.6], ["nobody", None]]}
    target = {"what": "of the floor", "got": got, "wanted": 0.75, "at_least": True}
    found = {"name": "create", "about": about, "tables": [table], "targets": [target]}
    (folder / "create.json").write_text(json.dumps(found))


def test_a_place_is_filled_with_the_tables_and_whether_the_targets_were_reached(tmp_path: Path) -> None:
    write(tmp_path)
    page = filled(EMPTY, tmp_path)
    assert "| Dargah | 12,346 |\n| nobody |  |\n" in page
    assert "| of the floor | 0.71 | ≥ 0.75 | **no** |" in page
    assert "at abc: a machine, 2 cores" in page
    assert page.startswith("before\n<!-- bench:create -->\n")
    assert page.endswith("<!-- /bench -->\nafter\n")


def test_newer_figures_take_the_place_of_older_ones(tmp_path: Path) -> None:
    write(tmp_path)
    older = filled(EMPTY, tmp_path)
    write(tmp_path, got=0.8)
    newer = filled(older, tmp_path)
    assert "| of the floor | 0.80 | ≥ 0.75 | yes |" in newer
    assert newer == filled(newer, tmp_path)
    assert newer == filled(EMPTY, tmp_path)


def test_a_benchmark_that_was_not_run_here_keeps_its_figures(tmp_path: Path) -> None:
    assert filled(EMPTY, tmp_path) == EMPTY


def test_a_short_run_has_no_figures_for_the_page(tmp_path: Path) -> None:
    write(tmp_path, short=True)
    with pytest.raises(ValueError, match="short run"):
        filled(EMPTY, tmp_path)


def test_every_benchmark_that_is_run_has_its_place_in_the_page() -> None:
    places = [place[2] for place in PLACE.finditer(PAGE.read_text())]
    assert set(LIMITS) <= set(places)
    assert len(places) == len(set(places))


def test_all_of_them_are_done_within_twenty_minutes() -> None:
    assert sum(LIMITS.values()) <= TWENTY_MINUTES
