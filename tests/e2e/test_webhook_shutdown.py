"""SIGTERM in the middle of a backlog: what is on its way ends, and the rest is there for the next start, uncounted."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from e2e.playground import eventually, gateway, open_shop, receiver, settings
from proxy.app import Dargah, running
from proxy.verdict import IN_FLIGHT_PER_ENDPOINT

BACKLOG = 30


async def once_stopping(dargah: Dargah, until: asyncio.Event) -> None:
    async def stopping() -> bool | None:
        return dargah.delivery._stopping or None

    await eventually(stopping)
    until.set()


async def test_a_drain_ends_what_is_on_its_way_and_begins_nothing(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        made = await stack.enter_async_context(receiver())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made.hold = (asyncio.Event(), asyncio.Event())
        async with running(settings(folder)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
            for _ in range(BACKLOG):
                await shop.call("POST", "/v1/events/test", {"type": "ping"})

            async def full() -> bool | None:
                return True if len(made.requests) == IN_FLIGHT_PER_ENDPOINT else None

            await eventually(full)
            let_go = asyncio.create_task(once_stopping(dargah, made.hold[1]))
        await let_go
        assert len(made.requests) == IN_FLIGHT_PER_ENDPOINT
        made.hold = None
        async with running(settings(folder)):
            await made.told(BACKLOG)
    ids = [headers["webhook-id"] for headers, _ in made.requests]
    assert len(ids) == len(set(ids)) == BACKLOG
