"""A Dargah under test with a merchant, and the requests that its shop sends. Benchmarks only."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
import orjson

from bench.load import Connection, Load, Make, NotAnsweredError
from bench.processes import Child, child, pin
from proxy.demo.stage import Stage, free_port

# The limits stand, and are counted, but above what a core can do.
ABOVE_ALL = {
    f"DARGAH_{name}_PER_MINUTE": "1000000"
    for name in ("ADDRESS_CREATES", "TOKEN_CREATES", "ADDRESS_CALLS", "TOKEN_CALLS")
}
API_KEY = "bench-key-0123456789"
RETURN_URL: Final = "https://shop.example/back"
PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test: its address, its process, and the token that creates at it."""

    name: str
    url: str
    pid: int
    token: str = "none"  # noqa: S105  what the servers that ask for none are sent


def gateway(core: int | None = None) -> AbstractAsyncContextManager[Child]:
    return child(core, "bench/servers.py", "gateway")


def pass_through(core: int | None, gateway_url: str) -> AbstractAsyncContextManager[Child]:
    return child(core, "bench/servers.py", "pass-through", gateway_url)


@asynccontextmanager
async def dargah(
    folder: Path,
    gateway_url: str,
    core: int,
    *,
    settings: Mapping[str, str] | None = None,
    hook_port: int | None = None,
) -> AsyncIterator[tuple[Stage, Server]]:
    """`dargah serve` on that core, on a new SQLite file in the folder, with one merchant, terminal and token.

    `hook_port` is where webhooks go, if they go anywhere.
    """
    stage = Stage(folder, shop_port=hook_port or free_port(), settings=ABOVE_ALL | dict(settings or {}))
    try:
        await stage.start_dargah()
        pin(stage.pids[-1], core)
        yield stage, Server("Dargah", stage.url, stage.pids[-1], await set_up(stage, gateway_url, hook_port))
    finally:
        await stage.stop()


async def set_up(stage: Stage, gateway_url: str, hook_port: int | None) -> str:
    """A new merchant's token, with an endpoint at the port if there is one."""
    return await open_shop(stage.admin_url, stage.admin_token, gateway_url, hook_port)


async def open_shop(admin_url: str, admin_token: str, gateway_url: str, hook_port: int | None = None) -> str:
    """The same by the operator's API: each command would be a process that imports the program."""
    auth = {"Authorization": f"Bearer {admin_token}"}
    async with aiohttp.ClientSession(f"{admin_url}/admin/v1/", headers=auth, raise_for_status=True) as session:

        async def made(path: str, **fields: Any) -> Any:
            async with session.post(path, json=fields) as answer:
                return await answer.json()

        merchant = f"merchants/{(await made('merchants', name='bench', return_origins=['https://shop.example']))['id']}"
        await made(f"{merchant}/terminals", name="main", gateway_url=gateway_url, api_key=API_KEY)
        if hook_port is not None:
            await made(f"{merchant}/endpoints", url=f"http://127.0.0.1:{hook_port}/hook")
        token: str = (await made(f"{merchant}/tokens", storefront="main"))["token"]
        return token


def post(path: str, body: bytes, content_type: str, *headers: bytes) -> bytes:
    """A whole HTTP request."""
    head = [b"POST %s HTTP/1.1" % path.encode(), b"Host: 127.0.0.1", b"Content-Type: " + content_type.encode()]
    return b"\r\n".join([*head, *headers, b"Content-Length: %d" % len(body), b"", body])


def creates(*tokens: str, **more: str) -> Make:
    """Creates by number, of one merchant after the other and orders that no run before has had; `more` are fields."""
    fields = orjson.dumps({"amount": 150_000, "currency": "IRR"} | more)[:-1]
    run_id = secrets.token_hex(4).encode()
    bearers = [b"Authorization: Bearer " + token.encode() for token in tokens]

    def make(number: int) -> bytes:
        body = b'%s,"order_id":"%s-%d"}' % (fields, run_id, number)
        headers = bearers[number % len(bearers)], b"Idempotency-Key: %s-%d" % (run_id, number)
        return post("/v1/payments", body, "application/json", *headers)

    return make


async def pay(connection: Connection, create: bytes, *, returns: bool = True) -> None:
    """The payment is created, and its customer returns from the gateway unless they leave."""
    status, body = await connection.ask(create)
    must_be(status, 201)
    if returns:
        status, _ = await connection.ask(come_back(json.loads(body)["pay_url"]))
        must_be(status, 303)


def come_back(pay_url: str) -> bytes:
    """A customer's return to the payment of that link."""
    return b"GET /return/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % pay_url.rpartition("/")[2].encode()


def must_be(status: int, wanted: int) -> None:
    if status != wanted:
        raise NotAnsweredError(f"Dargah answered {status}: not a measurement")


def answered(done: Load, name: str) -> Load:
    """The load, when all of it was answered as it should be. Ends the benchmark otherwise."""
    if done.failures:
        raise SystemExit(f"{name} answered {done.failures}: not a measurement")
    return done


class Shop:
    """Hears webhooks: when the first byte of each was there, and how long after its event, both by payment.

    The event's time is taken just before its commit, in whole milliseconds.
    """

    def __init__(self) -> None:
        self.payments: dict[str, float] = {}
        self.after_ms: dict[str, float] = {}
        self._wanted = 0
        self._all_heard = asyncio.Event()

    def heard(self, payment_id: str, at: float, after_ms: float) -> None:
        self.payments.setdefault(payment_id, at)
        self.after_ms.setdefault(payment_id, after_ms)
        if len(self.payments) >= self._wanted:
            self._all_heard.set()

    async def wait_for(self, count: int) -> None:
        """Until so many payments have been heard of since the last `forget`."""
        self._wanted = count
        if len(self.payments) < count:
            self._all_heard.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._all_heard.wait()

    def forget(self) -> None:
        self.payments.clear()
        self.after_ms.clear()


class Hook(asyncio.Protocol):
    """A connection to the shop, which answers each webhook with 204."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._buffer = b""
        self._began = self._began_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._began, self._began_at = time.monotonic(), time.time()
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if mark and len(rest) >= length:
            self._buffer = b""
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            message = json.loads(rest)
            after = self._began_at - datetime.fromisoformat(message["timestamp"]).timestamp()
            self._shop.heard(message["data"]["id"], self._began, after * 1000)


@asynccontextmanager
async def listening(shop: Shop) -> AsyncIterator[int]:
    """The shop's port."""
    server = await asyncio.get_running_loop().create_server(lambda: Hook(shop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
