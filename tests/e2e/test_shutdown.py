"""SIGTERM and kill -9: what is under way ends or is done after the next start, and each webhook is told once.

A process that is told to end is not ready at once, begins nothing new, and is gone in time.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from databases.places import database_in, leases_over, rows_in
from support.dargah import API_KEY, settings
from support.eventually import eventually, until
from support.process import Process, process_shop
from support.shop import Shop, open_shop, outsiders, playground

from proxy.app import Dargah, running
from proxy.kernel.background import Repeater
from proxy.webhooks.event import EventFilter
from proxy.webhooks.retry_policy import IN_FLIGHT_PER_ENDPOINT, DeliveryStatus

SLACK_SECONDS = 3


async def hold(shop: Shop, seconds: float) -> None:
    """The next create waits so long at the gateway."""
    await shop.fault("request", "delay", seconds=seconds, processed=True, times=1)


async def unready(shop: Shop) -> bool | None:
    status, checks = await shop.readiness()
    return True if (status, checks["accepting"]) == (503, False) else None


async def test_a_process_that_is_told_to_end_is_unready_at_once_serves_on_and_ends_what_is_open(folder: Path) -> None:
    async with process_shop(folder, DARGAH_UNREADY_SECONDS="2", DARGAH_DRAIN_SECONDS="20") as (shop, process):
        assert (await shop.readiness())[0] == 200
        await hold(shop, 2.5)
        slow = asyncio.create_task(shop.create())
        await shop.invoiced()
        began = asyncio.get_running_loop().time()
        ending = asyncio.create_task(process.stop())
        await eventually(partial(unready, shop))
        assert asyncio.get_running_loop().time() - began < 1.5
        assert (await shop.create())[0] == 201, "a load balancer that has not noticed yet loses nothing"
        assert (await slow)[0] == 201
        assert await ending == 0
        assert asyncio.get_running_loop().time() - began < 2.5 + SLACK_SECONDS


async def test_a_create_that_does_not_end_is_cut_off_in_time(folder: Path) -> None:
    async with process_shop(folder, DARGAH_UNREADY_SECONDS="0", DARGAH_DRAIN_SECONDS="1") as (shop, process):
        await hold(shop, 600)
        stuck = asyncio.create_task(shop.create())
        await shop.invoiced()
        began = asyncio.get_running_loop().time()
        assert await process.stop() == 0
        assert asyncio.get_running_loop().time() - began < 1 + SLACK_SECONDS
        with pytest.raises(aiohttp.ClientError):
            await stuck


async def test_a_webhook_that_does_not_end_is_not_waited_for_longer_than_all_of_the_end_may_take(
    folder: Path,
) -> None:
    async with playground(folder, drain_seconds=1) as (shop, dargah):
        shop.receiver.hold = (asyncio.Event(), asyncio.Event())
        await shop.call("POST", "/v1/events/test", {"type": "ping"})
        await shop.receiver.hold[0].wait()
        dargah.drain.linger_seconds = 0.2
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1 + SLACK_SECONDS


async def test_a_loop_that_is_pausing_after_a_failure_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.kernel.background.FIRST_PAUSE_SECONDS", 600)
    failed = asyncio.Event()

    async def step() -> int | None:
        failed.set()
        raise ZeroDivisionError

    repeater = Repeater("x", lambda: 0)
    repeater.start(step)
    await failed.wait()
    async with asyncio.timeout(5):
        await repeater.stop()


BACKLOG = 30


async def once_stopping(dargah: Dargah, let_go: asyncio.Event) -> None:
    await until(lambda: dargah.delivery._stopping)
    let_go.set()


async def test_a_drain_ends_what_is_on_its_way_and_begins_nothing(folder: Path) -> None:
    async with outsiders() as (gateway_url, made, session):
        made.hold = (asyncio.Event(), asyncio.Event())
        async with running(settings(folder)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
            for _ in range(BACKLOG):
                await shop.call("POST", "/v1/events/test", {"type": "ping"})

            await until(lambda: len(made.requests) == IN_FLIGHT_PER_ENDPOINT)
            let_go = asyncio.create_task(once_stopping(dargah, made.hold[1]))
        await let_go
        assert len(made.requests) == IN_FLIGHT_PER_ENDPOINT
        made.hold = None
        async with running(settings(folder)):
            await made.told(BACKLOG)
    assert len(made.ids) == len(set(made.ids)) == BACKLOG


async def test_a_webhook_fails_when_the_schedule_of_the_settings_is_used_up(folder: Path) -> None:
    async with playground(folder, webhook_retry_schedule="1s,1s") as (shop, dargah):
        shop.receiver.status = 500
        await shop.call("POST", "/v1/events/test", {"type": "ping"})

        async def ended() -> bool | None:
            [event] = await dargah.services.store.webhooks.list_events(shop.merchant_id, EventFilter())
            [delivery] = await dargah.services.store.webhooks.list_deliveries(shop.merchant_id, event.id)
            return delivery.status is DeliveryStatus.FAILED or None

        await eventually(ended)
        assert len(shop.receiver.requests) == 3


Killable = tuple[Shop, Process]


@pytest.fixture
async def killable(folder: Path) -> AsyncIterator[Killable]:
    async with process_shop(folder) as made:
        yield made


async def test_a_process_killed_after_it_asked_for_the_invoice_creates_the_payment_again(
    killable: Killable, folder: Path
) -> None:
    shop, process = killable
    await shop.fault("request", "delay", seconds=3, processed=True, times=1)
    asking = asyncio.create_task(shop.create(key="cut", order_id="cut"))
    await shop.invoiced()
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


async def test_a_process_killed_after_the_customer_paid_still_credits_the_payment(killable: Killable) -> None:
    shop, process = killable
    payment = await shop.created()
    visit = await shop.act(payment, "pay")

    await process.kill()
    await process.start()
    await shop.come_back(visit)

    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["id"]) == ("payment.paid", payment["id"])


async def test_a_process_killed_between_check_and_webhook_sends_the_webhook_again(
    killable: Killable, folder: Path
) -> None:
    shop, process = killable
    shop.receiver.status = 500
    await shop.paid()
    await shop.receiver.told()

    await process.kill()
    await leases_over(folder)
    shop.receiver.status = 204
    await process.start()

    await shop.receiver.told(2)
    assert len(set(shop.receiver.ids)) == 1


async def test_a_process_killed_while_its_webhook_is_on_its_way_sends_it_again(
    killable: Killable, folder: Path
) -> None:
    shop, process = killable
    arrived, hold = asyncio.Event(), asyncio.Event()
    shop.receiver.hold = (arrived, hold)
    await shop.paid()
    async with asyncio.timeout(10):
        await arrived.wait()

    await process.kill()
    await leases_over(folder)
    shop.receiver.hold = None
    hold.set()
    await process.start()

    await shop.receiver.told(2)
    assert len(set(shop.receiver.ids)) == 1
    _, events = await shop.call("GET", "/v1/events")
    assert len(events["data"]) == 1


async def test_sigterm_lets_a_create_finish(killable: Killable) -> None:
    shop, process = killable
    await shop.fault("request", "delay", seconds=1, times=1)
    asking = asyncio.create_task(shop.create(key="last", order_id="last"))
    await shop.invoiced()
    code, (status, _) = await asyncio.gather(process.stop(), asking)

    assert (code, status) == (0, 201)


async def test_the_api_key_is_in_no_byte_of_the_database_or_the_log(killable: Killable, folder: Path) -> None:
    shop, process = killable
    await shop.fault("check", "error", code=101, times=1)
    await shop.paid()
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
