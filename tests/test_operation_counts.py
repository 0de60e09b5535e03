"""What each operation costs may not grow unseen: statements, commits, threads, requests, lines of the log, memory.

Nothing is timed, so any machine finds the same. One operation runs at a time, where caches have what is read seldom
(not at the watch's: its time is another one). Together they cost less, as batches share commits and statements.
"""

import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from databases.places import database_in
from meter import Counts, Meter, Operation, complaint, objects, settled
from structlog.testing import capture_logs
from web.lab import API_KEY, RETURN_URL, TEST_API_KEY, HandClock, Lab

from proxy.app import Outside, running
from proxy.config.settings import Settings
from proxy.loops import Repeater
from proxy.payment import Payment
from proxy.simulator.app import create_app
from proxy.simulator.ledger import Terminal

# On both databases, but that asyncpg needs no thread.
COSTS: Final = {
    "create": Counts(statements=9, commits=2, hops=2, requests=1, lines=1),
    "return": Counts(statements=24, commits=3, hops=3, requests=2, lines=1),
    "watch": Counts(statements=27, commits=3, hops=6, requests=2, lines=0),
    "deliver": Counts(statements=14, commits=2, hops=3, requests=1, lines=0),
}
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
    hooks: list[bytes]
    lines: list[Any]

    async def ask(self, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        headers |= {"Authorization": f"Bearer {self.lab.token}", "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        asked = self.lab.session.request(method, url, data=data, headers=headers, allow_redirects=False)
        async with asked as answer:
            return answer.status, await answer.read()

    async def quiet(self) -> None:
        dargah = self.lab.dargah
        for tasks in (dargah.services.tasks, dargah.watcher.tasks, dargah.delivery.tasks):
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
    meter, clock, hooks = Meter(), HandClock(), list[bytes]()
    meter.watch_postgresql(monkeypatch)
    monkeypatch.setattr(Repeater, "start", lambda _repeater: None)
    settings = Settings(
        environment="development",
        database=database_in(folder),
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        admin_token="operator-token-of-the-tests",
        keys="k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    )

    async def hook(request: web.Request) -> web.Response:
        hooks.append(await request.read())
        return web.Response(status=204)

    gateway_app = create_app(terminals=[Terminal(API_KEY), Terminal(TEST_API_KEY)], clock=clock)
    shop_app = web.Application()
    shop_app.router.add_post("/hook", hook)
    for app in (gateway_app, shop_app):
        app.on_response_prepare.append(meter.request)
    async with (
        TestServer(gateway_app) as gateway,
        TestServer(shop_app) as shop,
        running(settings, Outside(now=clock, jitter=lambda: 0.0, fault=meter.statement)) as dargah,
        aiohttp.ClientSession() as session,
    ):
        lab = Lab(dargah, str(gateway.make_url("")).rstrip("/"), session, clock, folder)
        await lab.set_up()
        await dargah.services.setup.add_endpoint(lab.merchant_id, str(shop.make_url("/hook")), actor="test")
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
    watcher, clock = workshop.lab.dargah.watcher, workshop.lab.clock
    due_at = await workshop.lab.dargah.services.store.next_watch_at()
    assert due_at is not None
    clock.forward(due_at - clock.now)

    async def operation() -> None:
        await watcher.step()
        assert len(watcher.tasks) == 1
        await watcher.tasks.drain()

    return operation


async def deliver(workshop: Workshop) -> Operation:
    """One that has waited. What happens while its endpoint has room leaves by itself, and is counted where it does."""
    services, delivery = workshop.lab.dargah.services, workshop.lab.dargah.delivery
    await services.trial.trigger(await services.directory.authenticate(workshop.lab.token), "payment.paid")

    async def operation() -> None:
        before = len(workshop.hooks)
        await delivery.step()
        await delivery.tasks.drain()
        assert len(workshop.hooks) == before + 1

    return operation


OPERATIONS: Final[dict[str, Prepare]] = {"create": create, "return": come_back, "watch": watch, "deliver": deliver}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_costs_what_is_written_here(workshop: Workshop, name: str) -> None:
    on_sqlite = isinstance(database_in(workshop.lab.folder), Path)
    wanted = COSTS[name] if on_sqlite else replace(COSTS[name], hops=0)
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


async def kept(workshop: Workshop, prepare: Prepare) -> dict[str, int]:
    """The kinds of object of which operations that are over leave one behind, or more."""

    async def many() -> None:
        for _ in range(MANY):
            await (await prepare(workshop))()
        await workshop.quiet()
        workshop.hooks.clear()

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
    store, stayed = type(workshop.lab.dargah.services.store), []
    made = store.create_payment

    async def stays(self: Any, payment: Payment, *more: Any) -> Any:
        stayed.append(payment)
        return await made(self, payment, *more)

    monkeypatch.setattr(store, "create_payment", stays)
    assert await kept(workshop, create) == {"proxy.payment.Payment": MANY}


def test_a_count_that_differs_is_named_with_what_to_do() -> None:
    wanted = Counts(statements=9, commits=2, hops=2, requests=1, lines=1)
    assert complaint("create", wanted, wanted) == ""
    assert complaint("create", replace(wanted, commits=3), wanted) == "create: commits grew from 2 to 3"
    fell = complaint("create", replace(wanted, statements=8), wanted)
    assert fell == "create: statements fell from 9 to 8; good: write the new figure"
