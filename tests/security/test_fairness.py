"""One merchant whose gateway and receivers hang holds its share of Dargah, and another merchant notices nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from support.dargah import gateway, server, settings
from support.eventually import until
from support.receiver import Receiver, receiver
from support.shop import Shop, open_shop

from proxy.app import Dargah, running
from proxy.merchants.merchant import Mode
from proxy.operations.test_events import MAX_PINGS
from proxy.webhooks.long_poll import MAX_WAITING_OF_MERCHANT

# Small, so that a few calls reach every limit; a merchant alone may hold 6 of 8.
LIMITS: Final = {
    "gateway_calls_per_terminal": 2,
    "gateway_calls_total": 8,
    "webhook_in_flight": 8,
    "drain_seconds": 0.2,
}
SHARE: Final = 6


@dataclass
class Hanging:
    """A gateway and a receiver that take every call and answer none before the end."""

    url: str = ""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        await self.let_go.wait()
        return web.Response(status=503)

    async def reached(self, count: int) -> None:
        await until(lambda: len(self.calls) >= count)


@dataclass
class Street:
    """Two shops at one Dargah: the victim's neighbour has four terminals and three endpoints that hang."""

    dargah: Dargah
    victim: Shop
    neighbour: Shop
    terminals: list[str]
    endpoints: list[str]
    hanging: Hanging
    work: list[asyncio.Task[Any]] = field(default_factory=list)

    async def endpoints_of(self, shop: Shop) -> list[str]:
        return [each.id for each in await self.dargah.services.store.webhooks.list_endpoints(shop.merchant_id)]

    def begin(self, call: Awaitable[Any]) -> None:
        """A call of the neighbour's, which nobody waits for."""
        self.work.append(asyncio.ensure_future(call))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Street]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        hanging, app = Hanging(), web.Application()
        app.router.add_route("*", "/{path:.*}", hanging.handle)
        hanging.url = await enter(server(app))
        gateway_url, session = await enter(gateway()), await enter(aiohttp.ClientSession())
        dargah = await enter(running(settings(folder, **LIMITS)))
        victim = await open_shop(dargah, gateway_url, await enter(receiver()), session)
        neighbour = await open_shop(dargah, hanging.url, Receiver(f"{hanging.url}/hook-0"), session)
        setup, merchant_id = dargah.services.setup, neighbour.merchant_id
        terminals = [neighbour.terminal_id]
        for number in range(1, 4):
            added = await setup.add_terminal(merchant_id, f"{number}", hanging.url, "key", Mode.LIVE, actor="test")
            terminals.append(added.id)
        for number in range(1, 3):
            await dargah.services.endpoints.add_endpoint(merchant_id, f"{hanging.url}/hook-{number}", actor="test")
        made = Street(dargah, victim, neighbour, terminals, [], hanging)
        made.endpoints = await made.endpoints_of(neighbour)
        yield made


@pytest.fixture
async def street(folder: Path) -> AsyncIterator[Street]:
    async with opened(folder) as made:
        yield made
        made.hanging.let_go.set()
        for task in made.work:
            task.cancel()
        await asyncio.gather(*made.work, return_exceptions=True)


def load(street: Street) -> Any:
    return street.dargah.services.checkout._gateway.limiter.load()


async def test_a_neighbours_hanging_gateway_takes_no_create_its_place(street: Street) -> None:
    for number in range(16):
        street.begin(street.neighbour.create(terminal_id=street.terminals[number % 4]))
    await until(lambda: load(street).in_flight == SHARE and load(street).waiting > 0)

    status, payment = await street.victim.create()

    assert (status, payment["status"]) == (201, "pending")
    assert load(street).in_flight == SHARE


async def test_a_neighbours_hanging_receivers_delay_no_webhook(street: Street) -> None:
    for _ in range(8):
        await street.neighbour.call("POST", "/v1/events/test", {"type": "payment.paid"})
    await street.hanging.reached(SHARE)

    await street.victim.call("POST", "/v1/events/test", {"type": "payment.paid"})

    await street.victim.receiver.told()
    await until(lambda: len(street.dargah.delivery.tasks) == SHARE)
    assert len(street.hanging.calls) == SHARE


async def test_a_neighbours_hanging_pings_refuse_no_ping(street: Street) -> None:
    pings, [mine] = street.dargah.services.event_tester.tasks, await street.endpoints_of(street.victim)
    for _ in range(MAX_PINGS):
        street.begin(street.neighbour.call("POST", f"/v1/webhook-endpoints/{street.endpoints[0]}/test"))
    await until(lambda: len(pings) == MAX_PINGS * 3 // 4)

    status, answer = await street.victim.call("POST", f"/v1/webhook-endpoints/{mine}/test")

    assert (status, answer["outcome"]) == (200, "delivered")


async def test_a_neighbours_long_polls_refuse_no_long_poll(street: Street) -> None:
    places = street.dargah.services.long_polls._places
    for _ in range(MAX_WAITING_OF_MERCHANT + 5):
        street.begin(street.neighbour.call("GET", "/v1/events?wait=30&after=latest"))
    await until(lambda: places.taken == MAX_WAITING_OF_MERCHANT)

    waiting = asyncio.ensure_future(street.victim.call("GET", "/v1/events?wait=30&after=latest"))
    await until(lambda: places.taken == MAX_WAITING_OF_MERCHANT + 1)
    await street.victim.call("POST", "/v1/events/test", {"type": "payment.paid"})

    status, page = await waiting
    assert (status, [event["type"] for event in page["data"]]) == (200, ["payment.paid"])
