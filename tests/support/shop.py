"""A merchant's shop before a whole Dargah: gateway, Dargah and receiver are real servers on loopback ports."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from proxy.app import Dargah, Outside, running
from proxy.gateways.simulation.ledger import HostReturnMethod, SimulatedTerminal
from proxy.merchants.merchant import Mode
from support.dargah import API_KEY, gateway, settings
from support.eventually import eventually
from support.receiver import Receiver, receiver

RETURN_ORIGIN = "https://shop.example"
Outsiders = tuple[str, Receiver, aiohttp.ClientSession]


@dataclass(slots=True)
class Shop:
    """A merchant with a terminal, a token and an endpoint, and an HTTP client that is nobody's browser."""

    url: str
    gateway_url: str
    merchant_id: str
    terminal_id: str
    token: str
    return_secret: str
    session: aiohttp.ClientSession
    receiver: Receiver
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an API call."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({} if key is None else {"Idempotency-Key": key})
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def create(self, *, key: str | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
        number = next(self.numbers)
        order = {"amount": 150_000, "currency": "IRR", "order_id": f"order-{number}"} | fields
        return await self.call("POST", "/v1/payments", order, key=key or f"key-{number}")

    async def created(self, **fields: Any) -> dict[str, Any]:
        status, payment = await self.create(**fields)
        assert status == 201, payment
        return payment

    async def payment(self, payment_id: str) -> dict[str, Any]:
        status, payment = await self.call("GET", f"/v1/payments/{payment_id}")
        assert status == 200, payment
        return payment

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """A call to the simulator's control API, which is the oracle."""
        async with self.session.request(method, f"{self.gateway_url}/control{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json(content_type=None)

    async def invoiced(self) -> None:
        """Returns once the gateway knows an invoice."""

        async def look() -> bool | None:
            return True if (await self.control("GET", f"/invoices?api_key={API_KEY}"))["invoices"] else None

        await eventually(look)

    async def becomes(self, payment: dict[str, Any], status: str) -> dict[str, Any]:
        """The payment once it has this status."""

        async def look() -> dict[str, Any] | None:
            found = await self.payment(payment["id"])
            return found if found["status"] == status else None

        return await eventually(look)

    async def readiness(self) -> tuple[int, dict[str, bool]]:
        async with self.session.get(f"{self.url}/readyz") as answer:
            return answer.status, (await answer.json())["checks"]

    async def act(self, payment: dict[str, Any], act: str) -> dict[str, Any]:
        """The customer at the bank: pay, cancel, fail or back. Gives where they would be sent."""
        visit: dict[str, Any] = await self.control("POST", f"/invoices/{payment['invoice_key']}/{act}")
        return visit

    async def come_back(self, visit: dict[str, Any]) -> aiohttp.ClientResponse:
        """Follows the gateway's return by its own method, as far as Dargah's answer."""
        if visit["return_method"] == "post":
            return await self.session.post(visit["return_url"], data=visit["params"], allow_redirects=False)
        return await self.session.get(visit["return_url"], allow_redirects=False)

    async def paid(self, **fields: Any) -> dict[str, Any]:
        """A payment, as it was created, that its customer has paid since, and has come back from."""
        payment = await self.created(**fields)
        await self.come_back(await self.act(payment, "pay"))
        return payment

    async def fault(self, operation: str, kind: str, **more: Any) -> None:
        await self.control("POST", "/faults", {"operation": operation, "kind": kind, **more})


async def open_shop(dargah: Dargah, gateway_url: str, made: Receiver, session: aiohttp.ClientSession) -> Shop:
    """Sets up a merchant as an operator would, below HTTP: the operator's API has tests of its own."""
    setup = dargah.services.setup
    merchant, return_secret = await setup.create_merchant("فروشگاه", [RETURN_ORIGIN], actor="test")
    terminal = await setup.add_terminal(merchant.id, "main", gateway_url, API_KEY, mode=Mode.LIVE, actor="test")
    _, token = await setup.issue_token(merchant.id, "main", actor="test")
    _, made.secret = await dargah.services.endpoints.add_endpoint(
        merchant.id, made.url, storefront="main", actor="test"
    )
    return Shop(dargah.url, gateway_url, merchant.id, terminal.id, token, return_secret, session, made)


@asynccontextmanager
async def outsiders(return_method: HostReturnMethod = HostReturnMethod.GET) -> AsyncIterator[Outsiders]:
    """What stands around a Dargah: the gateway's base URL, a receiver and an HTTP client."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(gateway(SimulatedTerminal(API_KEY, return_method=return_method))),
            await stack.enter_async_context(receiver()),
            await stack.enter_async_context(aiohttp.ClientSession()),
        )


@asynccontextmanager
async def prepared_shop(folder: Path, **more: Any) -> AsyncIterator[Shop]:
    """A shop whose Dargah was set up and has ended: the test starts one of its own on the same database."""
    async with outsiders() as (gateway_url, made, session):
        async with running(settings(folder, **more)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
        yield shop


@asynccontextmanager
async def playground(
    folder: Path, return_method: HostReturnMethod = HostReturnMethod.GET, outside: Outside | None = None, **more: Any
) -> AsyncIterator[tuple[Shop, Dargah]]:
    """All of it, running; `outside` gives Dargah another clock than the system's."""
    async with (
        outsiders(return_method) as (gateway_url, made, session),
        running(settings(folder, **more), outside) as dargah,
    ):
        yield await open_shop(dargah, gateway_url, made, session), dargah
