"""SIGTERM: not ready at once, what is under way ends, nothing new is begun, and the process is gone in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.playground import API_KEY, OPERATOR_TOKEN, eventually, gateway, playground
from e2e.process import Process
from proxy.demo.stage import free_port
from proxy.loops import Repeater

SLACK_SECONDS = 3


class Desk:
    """A shop at a process, set up over its own API."""

    def __init__(self, process: Process, admin_url: str, session: aiohttp.ClientSession) -> None:
        self.url = process.url
        self.session = session
        self._admin_url = admin_url
        self.token = ""

    async def set_up(self, gateway_url: str) -> None:
        merchant = (await self._made("/merchants", {"name": "x", "return_origins": []}))["id"]
        terminal = {"name": "main", "mode": "live", "gateway_url": gateway_url, "api_key": API_KEY}
        await self._made(f"/merchants/{merchant}/terminals", terminal)
        made = await self._made(f"/merchants/{merchant}/tokens", {"storefront": "main", "mode": "live"})
        self.token = made["token"]

    async def _made(self, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with self.session.post(f"{self._admin_url}/admin/v1{path}", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return await answer.json()

    async def create(self, order_id: str) -> int:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": order_id}
        order = {"amount": 150_000, "currency": "IRR", "order_id": order_id}
        async with self.session.post(f"{self.url}/v1/payments", json=order, headers=headers) as answer:
            return answer.status

    async def readiness(self) -> tuple[int, dict[str, bool]]:
        async with self.session.get(f"{self.url}/readyz") as answer:
            return answer.status, (await answer.json())["checks"]

    async def unready(self) -> bool | None:
        status, checks = await self.readiness()
        return True if (status, checks["accepting"]) == (503, False) else None


@asynccontextmanager
async def desk(folder: Path, **more: str) -> AsyncIterator[tuple[Desk, Process, str]]:
    admin = f"127.0.0.1:{free_port()}"
    process = Process(folder, DARGAH_ADMIN_LISTEN=admin, **more)
    async with gateway() as gateway_url, aiohttp.ClientSession() as session:
        await process.start()
        made = Desk(process, f"http://{admin}", session)
        await made.set_up(gateway_url)
        try:
            yield made, process, gateway_url
        finally:
            await process.kill()


async def hold(session: aiohttp.ClientSession, gateway_url: str, seconds: float) -> None:
    fault = {"operation": "request", "kind": "delay", "seconds": seconds, "processed": True, "times": 1}
    async with session.post(f"{gateway_url}/control/faults", json=fault) as answer:
        assert answer.status < 300


async def asked(session: aiohttp.ClientSession, gateway_url: str) -> None:
    """Returns once the gateway has a request."""

    async def look() -> bool | None:
        async with session.get(f"{gateway_url}/control/invoices") as answer:
            return True if await answer.json() else None

    await eventually(look)


async def test_a_process_that_is_told_to_end_is_unready_at_once_serves_on_and_ends_what_is_open(folder: Path) -> None:
    async with desk(folder, DARGAH_UNREADY_SECONDS="2", DARGAH_DRAIN_SECONDS="20") as (shop, process, gateway_url):
        assert (await shop.readiness())[0] == 200
        await hold(shop.session, gateway_url, 2.5)
        slow = asyncio.create_task(shop.create("slow"))
        await asked(shop.session, gateway_url)
        began = asyncio.get_running_loop().time()
        ending = asyncio.create_task(process.stop())
        await eventually(shop.unready)
        assert asyncio.get_running_loop().time() - began < 1.5
        assert await shop.create("late") == 201, "a load balancer that has not noticed yet loses nothing"
        assert await slow == 201
        assert await ending == 0
        assert asyncio.get_running_loop().time() - began < 2.5 + SLACK_SECONDS


async def test_what_does_not_end_is_cut_off_in_time(folder: Path) -> None:
    async with desk(folder, DARGAH_UNREADY_SECONDS="0", DARGAH_DRAIN_SECONDS="1") as (shop, process, gateway_url):
        await hold(shop.session, gateway_url, 600)
        stuck = asyncio.create_task(shop.create("stuck"))
        await asked(shop.session, gateway_url)
        began = asyncio.get_running_loop().time()
        assert await process.stop() == 0
        assert asyncio.get_running_loop().time() - began < 1 + SLACK_SECONDS
        [cut] = await asyncio.gather(stuck, return_exceptions=True)
        assert isinstance(cut, aiohttp.ClientError)


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
    monkeypatch.setattr("proxy.loops.FIRST_PAUSE_SECONDS", 600)
    failed = asyncio.Event()

    async def step() -> int | None:
        failed.set()
        raise ZeroDivisionError

    repeater = Repeater("x", step, lambda: 0)
    repeater.start()
    await failed.wait()
    async with asyncio.timeout(5):
        await repeater.stop()
