"""kill -9 at the worst moments: started again, the payment ends right and the webhook arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from databases.places import database_in, leases_over, rows_in

from e2e.playground import API_KEY, Shop, eventually, gateway, open_shop, receiver, settings
from e2e.process import Process
from proxy.app import running

Killable = tuple[Shop, Process]


@pytest.fixture
async def killable(folder: Path) -> AsyncIterator[Killable]:
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        made = await stack.enter_async_context(receiver())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with running(settings(folder)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
        process = Process(folder)
        await process.start()
        stack.push_async_callback(process.kill)
        yield replace(shop, url=process.url), process


async def test_killed_after_the_invoice_was_asked_for(killable: Killable, folder: Path) -> None:
    shop, process = killable
    await shop.fault("request", "delay", seconds=3, processed=True, times=1)
    asking = asyncio.create_task(shop.create(key="cut", order_id="cut"))

    async def invoiced() -> bool | None:
        rows = await shop.control("GET", f"/invoices?api_key={API_KEY}")
        return True if rows["invoices"] else None

    await eventually(invoiced)
    await process.kill()
    await leases_over(folder)
    with pytest.raises(aiohttp.ClientError):
        await asking
    await process.start()

    async def asked_again() -> dict[str, Any] | None:
        status, payment = await shop.create(key="cut", order_id="cut")
        return payment if status == 201 else None

    payment = await eventually(asked_again)
    await shop.come_back(await shop.act(payment, "pay"))
    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["id"]) == ("payment.paid", payment["id"])


async def test_killed_after_the_customer_paid(killable: Killable) -> None:
    shop, process = killable
    payment = await shop.created()
    visit = await shop.act(payment, "pay")

    await process.kill()
    await process.start()
    await shop.come_back(visit)

    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["id"]) == ("payment.paid", payment["id"])


async def test_killed_between_check_and_webhook(killable: Killable, folder: Path) -> None:
    shop, process = killable
    shop.receiver.status = 500
    payment = await shop.created()
    await shop.come_back(await shop.act(payment, "pay"))
    await shop.receiver.told()

    await process.kill()
    await leases_over(folder)
    shop.receiver.status = 204
    await process.start()

    await shop.receiver.told(2)
    assert len({headers["webhook-id"] for headers, _ in shop.receiver.requests}) == 1


async def test_killed_while_the_webhook_is_on_its_way(killable: Killable, folder: Path) -> None:
    shop, process = killable
    arrived, hold = asyncio.Event(), asyncio.Event()
    shop.receiver.hold = (arrived, hold)
    payment = await shop.created()
    await shop.come_back(await shop.act(payment, "pay"))
    async with asyncio.timeout(10):
        await arrived.wait()

    await process.kill()
    await leases_over(folder)
    shop.receiver.hold = None
    hold.set()
    await process.start()

    await shop.receiver.told(2)
    assert len({headers["webhook-id"] for headers, _ in shop.receiver.requests}) == 1
    _, events = await shop.call("GET", "/v1/events")
    assert len(events["data"]) == 1


async def test_sigterm_lets_a_create_finish(killable: Killable) -> None:
    shop, process = killable
    await shop.fault("request", "delay", seconds=1, times=1)
    asking = asyncio.create_task(shop.create(key="last", order_id="last"))

    async def invoiced() -> bool | None:
        rows = await shop.control("GET", f"/invoices?api_key={API_KEY}")
        return True if rows["invoices"] else None

    await eventually(invoiced)
    code, (status, _) = await asyncio.gather(process.stop(), asking)

    assert (code, status) == (0, 201)


async def test_the_api_key_is_in_no_byte_of_the_database_or_the_log(killable: Killable, folder: Path) -> None:
    shop, process = killable
    await shop.fault("check", "error", code=101, times=1)
    payment = await shop.created()
    await shop.come_back(await shop.act(payment, "pay"))
    await shop.create(amount=API_KEY)
    await process.kill()

    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    files = {"dargah.db", "dargah.db-wal"} if isinstance(database_in(folder), Path) else set()
    assert files | {"dargah.log"} <= kept.keys()
    kept |= {name: repr(rows).encode() for name, rows in rows_in(folder).items()}
    for name, content in kept.items():
        assert API_KEY.encode() not in content, name
        assert shop.token.encode() not in content, name
        assert shop.receiver.secret.encode() not in content, name
