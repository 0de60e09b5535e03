"""The simulator's app on a real socket with a clock that the test holds, and a shop's side of the protocol."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from support.clock import ManualClock

from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.simulator.command import create_app

RETURN_URL = "https://shop.example.ir/cb?order=17&_token=a%20b"
Client = TestClient[Request, Application]


@dataclass
class Shop:
    """A shop's side of the protocol, and the control API, against one running simulator."""

    client: Client
    clock: ManualClock
    prefix: str = ""
    api_key: str = "key-one"
    lines: list[str] = field(default_factory=list)

    async def post(self, path: str, **options: Any) -> ClientResponse:
        return await self.client.post(f"{self.prefix}{path}", allow_redirects=False, **options)

    async def request(self, amount: Any = "150000", **changes: Any) -> dict[str, Any]:
        form = {"api_key": self.api_key, "amount": amount, "return_url": RETURN_URL} | changes
        response = await self.post("/invoice/request", data={k: v for k, v in form.items() if v is not None})
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer

    async def invoice(self, **changes: Any) -> str:
        return str((await self.request(**changes))["invoice_key"])

    async def check(self, invoice_key: str, api_key: str | None = None) -> dict[str, Any]:
        form = {"api_key": api_key or self.api_key}
        response = await self.post(f"/invoice/check/{invoice_key}", data=form)
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer

    async def press(self, invoice_key: str, action: str) -> ClientResponse:
        return await self.post(f"/invoice/pay/{invoice_key}", data={"action": action})

    async def control(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        response = await self.client.request(method, f"/control/{path}", json=body)
        assert response.status == status, await response.text()
        return await response.json()

    async def fault(self, operation: str, kind: str, **more: Any) -> None:
        await self.control("POST", "faults", {"operation": operation, "kind": kind, **more})

    async def stored(self, invoice_key: str) -> dict[str, Any]:
        row: dict[str, Any] = await self.control("GET", f"invoices/{invoice_key}")
        return row


StartShop = Callable[..., Awaitable[Shop]]


def encoded(url: str, times: int) -> str:
    for _ in range(times):
        url = quote(url, safe="")
    return url


@pytest.fixture
async def start_shop(aiohttp_client: Any) -> StartShop:
    async def start(*, prefix: str = "", **options: Any) -> Shop:
        clock, lines = ManualClock(), list[str]()
        options.setdefault("terminals", [SimulatedTerminal("key-one"), SimulatedTerminal("key-two")])
        options.setdefault("randomness", Random(1))
        app = create_app(prefix=prefix, clock=clock, report=lines.append, **options)
        return Shop(await aiohttp_client(app), clock, prefix, lines=lines)

    return start


@pytest.fixture
async def shop(start_shop: StartShop) -> Shop:
    return await start_shop()
