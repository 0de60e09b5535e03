"""A gateway, Dargah and a shop's receiver, all real servers on loopback ports, and the hands to play with them."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import orjson
from aiohttp import web
from databases.places import database_in
from standardwebhooks import Webhook

from proxy.app import Dargah, Outside, running
from proxy.config.settings import Settings
from proxy.merchant import Mode
from proxy.simulator.app import create_app
from proxy.simulator.ledger import ReturnMethod, Terminal

API_KEY = "canary-api-key-7f3a91"
OPERATOR_TOKEN = "operator-token-of-the-tests"
KEY_RING = "k1:" + base64.b64encode(bytes(range(32))).decode()
RETURN_ORIGIN = "https://shop.example"
PATIENCE_SECONDS = 20

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` gives once it gives something; fails after a while."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await look()) is None:  # noqa: ASYNC110  what it looks at is another server's
            await asyncio.sleep(0.01)
        return found


@dataclass(slots=True)
class Receiver:
    """A shop's webhook endpoint. It verifies by the specification's library, and answers `status`.

    Where Dargah has another clock than the system's, set `any_time`: the signature is verified all the same.
    """

    url: str = ""
    secret: str = ""
    status: int = 204
    any_time: bool = False
    hold: tuple[asyncio.Event, asyncio.Event] | None = None  # set when one arrived, and waited for
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(body) for _, body in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._verify(body, request.headers)
        self.requests.append((dict(request.headers), body))
        if self.hold is not None:
            arrived, until = self.hold
            arrived.set()
            await until.wait()
        return web.Response(status=self.status)

    def _verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        verifier = Webhook(self.secret)
        if not self.any_time:
            verifier.verify(body, dict(headers))
            return
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert verifier.sign(headers["webhook-id"], at, body.decode()) in headers["webhook-signature"].split()

    async def told(self, count: int = 1) -> list[dict[str, Any]]:
        async def look() -> list[dict[str, Any]] | None:
            return self.events if len(self.events) >= count else None

        return await eventually(look)


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

    async def act(self, payment: dict[str, Any], act: str) -> dict[str, Any]:
        """The customer at the bank: pay, cancel, fail or back. Gives where they would be sent."""
        visit: dict[str, Any] = await self.control("POST", f"/invoices/{payment['invoice_key']}/{act}")
        return visit

    async def come_back(self, visit: dict[str, Any]) -> aiohttp.ClientResponse:
        """Follows the gateway's return by its own method, as far as Dargah's answer."""
        if visit["return_method"] == "post":
            return await self.session.post(visit["return_url"], data=visit["params"], allow_redirects=False)
        return await self.session.get(visit["return_url"], allow_redirects=False)

    async def fault(self, operation: str, kind: str, **more: Any) -> None:
        await self.control("POST", "/faults", {"operation": operation, "kind": kind, **more})


# For those who try everything from one address: they would soon be told to wait, and what is behind would go untried.
UNLIMITED: Final[Mapping[str, int]] = dict.fromkeys(
    (
        "token_creates_per_minute",
        "address_creates_per_minute",
        "token_calls_per_minute",
        "address_calls_per_minute",
        "address_auth_failures_per_minute",
        "link_visits_per_minute",
        "address_unknown_links_per_minute",
    ),
    0,
)


def settings(folder: Path, **more: Any) -> Settings:
    """A development Dargah on free ports, with its database in `folder`."""
    values: dict[str, Any] = {
        "environment": "development",
        "database": database_in(folder),
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "admin_token": OPERATOR_TOKEN,
        "keys": KEY_RING,
        "log_level": "warning",
    }
    return Settings(**(values | more))


@asynccontextmanager
async def server(app: web.Application) -> AsyncIterator[str]:
    """The base URL of `app` on a free loopback port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(return_method: ReturnMethod = ReturnMethod.GET) -> AsyncIterator[str]:
    async with server(create_app(terminals=[Terminal(API_KEY, return_method=return_method)])) as url:
        yield url


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.handle)
    async with server(app) as url:
        made.url = f"{url}/hook"
        yield made


async def open_shop(dargah: Dargah, gateway_url: str, made: Receiver, session: aiohttp.ClientSession) -> Shop:
    """Sets up a merchant as an operator would, below HTTP: the operator's API has tests of its own."""
    setup = dargah.services.setup
    merchant, return_secret = await setup.create_merchant("فروشگاه", [RETURN_ORIGIN], actor="test")
    terminal = await setup.add_terminal(merchant.id, "main", gateway_url, API_KEY, mode=Mode.LIVE, actor="test")
    _, token = await setup.issue_token(merchant.id, "main", actor="test")
    _, made.secret = await setup.add_endpoint(merchant.id, made.url, actor="test")
    return Shop(dargah.url, gateway_url, merchant.id, terminal.id, token, return_secret, session, made)


@asynccontextmanager
async def playground(
    folder: Path, return_method: ReturnMethod = ReturnMethod.GET, outside: Outside | None = None, **more: Any
) -> AsyncIterator[tuple[Shop, Dargah]]:
    """All of it, running; `outside` gives Dargah another clock than the system's."""
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway(return_method))
        made = await stack.enter_async_context(receiver())
        dargah = await stack.enter_async_context(running(settings(folder, **more), outside))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield await open_shop(dargah, gateway_url, made, session), dargah
