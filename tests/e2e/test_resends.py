"""A resend whose process is killed in the middle: the next one, or another replica, goes on, and no webhook is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from databases.places import leases_over, served
from support.dargah import OPERATOR_TOKEN, settings
from support.eventually import eventually, until
from support.process import Process
from support.shop import Shop, open_shop, outsiders

from proxy.app import running
from proxy.kernel.clock import HOUR, rfc3339, system_now
from proxy.kernel.ids import EVENT, Ids
from proxy.merchants.merchant import Mode
from proxy.payments.serializers import ping_data
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT
from proxy.webhooks.event import Event
from proxy.webhooks.retry_policy import RetrySchedule
from proxy.webhooks.storage.resend_pace import WINDOW

COUNT = 2 * WINDOW + 50
KILLED_AFTER = WINDOW + 50


@asynccontextmanager
async def refused(folder: Path) -> AsyncIterator[Shop]:
    """A shop that has refused COUNT webhooks, each of which would come again in three days."""
    async with outsiders() as (gateway_url, receiver, session):
        receiver.any_event, receiver.status = True, 404
        async with running(settings(folder, webhook_retry_schedule=RetrySchedule((72 * HOUR,)))) as dargah:
            shop = await open_shop(dargah, gateway_url, receiver, session)
            store, ids = dargah.services.store.webhooks, Ids(dargah.services.random_bytes)
            for _ in range(COUNT):
                now = system_now()
                data = ping_data(Mode.LIVE, "main")
                event_id = ids.record(EVENT, shop.merchant_id, now)
                await store.add_event(Event(event_id, shop.merchant_id, "main", Mode.LIVE, "ping", None, now, data))
            await until(lambda: len(receiver.requests) == COUNT)
            [endpoint] = await store.list_endpoints(shop.merchant_id)

            async def settled() -> bool | None:
                stats = await dargah.services.redelivery.stats(shop.merchant_id, endpoint.id)
                return stats.endpoint.in_flight == 0 or None

            await eventually(settled)
        receiver.status = 204
        receiver.requests.clear()
        yield shop


def process_in(folder: Path) -> Process:
    process = Process(folder, DARGAH_WEBHOOK_RETRY_SCHEDULE="72h")
    process.forked = True
    return process


async def call(shop: Shop, process: Process, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    async with shop.session.request(
        method, f"{process.admin_url}/admin/v1{path}", json=body, headers=headers
    ) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def killed_in_the_middle(shop: Shop, process: Process, folder: Path) -> str:
    """The id of the resend that `process` was bringing forward when it was killed."""
    begun = await call(shop, process, "POST", "/resends", {"since": rfc3339(system_now() - HOUR)})
    assert begun["wanted"] == COUNT
    await until(lambda: len(shop.receiver.requests) >= KILLED_AFTER)
    await process.kill()
    await leases_over(folder)
    resend_id: str = begun["id"]
    return resend_id


async def check_the_rest_arrives(shop: Shop, process: Process, resend_id: str) -> None:
    """Each event arrived once, but for those that were on their way to the shop when the process was killed."""

    async def done() -> Any | None:
        shown = await call(shop, process, "GET", f"/resends/{resend_id}")
        return shown if shown["ended_at"] else None

    shown = await eventually(done, 60)
    figures = [shown[name] for name in ("state", "wanted", "requeued", "delivered", "failed_again")]
    assert figures == ["done", COUNT, COUNT, COUNT, 0]
    ids = shop.receiver.ids
    assert len(set(ids)) == COUNT
    assert len(ids) <= COUNT + DEFAULT_IN_FLIGHT


async def test_a_process_that_is_killed_in_the_middle_goes_on_with_the_resend(folder: Path) -> None:
    async with refused(folder) as shop:
        process = process_in(folder)
        try:
            await process.start()
            resend_id = await killed_in_the_middle(shop, process, folder)
            assert len(set(shop.receiver.ids)) < COUNT
            await process.start()
            await check_the_rest_arrives(shop, process, resend_id)
        finally:
            await process.kill()


async def test_another_replica_goes_on_with_the_resend_of_one_that_is_killed(
    tmp_path: Path, postgresql_url: str
) -> None:
    with served(tmp_path, postgresql_url):
        async with refused(tmp_path) as shop, AsyncExitStack() as stack:
            one, two = process_in(tmp_path), process_in(tmp_path)
            for process in (one, two):
                stack.push_async_callback(process.kill)
                await process.start()
            resend_id = await killed_in_the_middle(replace(shop, url=one.url), one, tmp_path)
            await check_the_rest_arrives(shop, two, resend_id)


async def test_two_operators_at_two_replicas_send_each_event_once(tmp_path: Path, postgresql_url: str) -> None:
    with served(tmp_path, postgresql_url):
        async with refused(tmp_path) as shop, AsyncExitStack() as stack:
            both = process_in(tmp_path), process_in(tmp_path)
            for process in both:
                stack.push_async_callback(process.kill)
                await process.start()
            since = {"since": rfc3339(system_now() - HOUR)}
            begun = await asyncio.gather(*(call(shop, process, "POST", "/resends", since) for process in both))

            async def done() -> bool | None:
                shown = [
                    await call(shop, process, "GET", f"/resends/{each['id']}")
                    for process, each in zip(both, begun, strict=True)
                ]
                return True if all(each["ended_at"] for each in shown) else None

            await eventually(done, 60)
            assert len(shop.receiver.ids) == len(set(shop.receiver.ids)) == COUNT
