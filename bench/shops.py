"""A Dargah under test with a merchant, and the requests that its shop sends. Benchmarks only."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, Make
from bench.processes import pin
from proxy.demo.stage import Stage, free_port

# The limits stand, and are counted, but above what a core can do.
ABOVE_ALL = {
    f"DARGAH_{name}_PER_MINUTE": "1000000"
    for name in ("ADDRESS_CREATES", "TOKEN_CREATES", "ADDRESS_CALLS", "TOKEN_CALLS")
}
API_KEY = "bench-key-0123456789"


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test: its address, its process, and the token that creates at it."""

    name: str
    url: str
    pid: int
    token: str = "none"  # noqa: S105  what the servers that ask for none are sent
    merchant_id: str = ""


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
        merchant_id, token = await _set_up(stage, gateway_url, hook_port)
        yield stage, Server("Dargah", stage.url, stage.pids[-1], token, merchant_id)
    finally:
        await stage.stop()


async def _set_up(stage: Stage, gateway_url: str, hook_port: int | None) -> tuple[str, str]:
    merchant = await stage.json("merchant", "create", "--name", "bench", "--return-origin", "https://shop.example")
    owned = ("--merchant", merchant["id"])
    terminal = ("terminal", "create", *owned, "--name", "main", "--gateway-url", gateway_url, "--api-key-stdin")
    await stage.json(*terminal, stdin=API_KEY)
    if hook_port is not None:
        await stage.json("endpoint", "create", *owned, "--url", f"{stage.shop_url}/hook")
    return merchant["id"], (await stage.json("token", "create", *owned, "--storefront", "main"))["token"]


def post(path: str, body: bytes, content_type: str, *headers: bytes) -> bytes:
    """A whole HTTP request."""
    head = [b"POST %s HTTP/1.1" % path.encode(), b"Host: 127.0.0.1", b"Content-Type: " + content_type.encode()]
    return b"\r\n".join([*head, *headers, b"Content-Length: %d" % len(body), b"", body])


def creates(token: str, return_url: bytes | None = None) -> Make:
    """Creates by number, of orders that no run before has had."""
    back = b"" if return_url is None else b',"return_url":"%s"' % return_url
    run_id = secrets.token_hex(4).encode()
    bearer = b"Authorization: Bearer " + token.encode()

    def make(number: int) -> bytes:
        body = b'{"amount":150000,"currency":"IRR","order_id":"%s-%d"%s}' % (run_id, number, back)
        return post("/v1/payments", body, "application/json", bearer, b"Idempotency-Key: %s-%d" % (run_id, number))

    return make


def answered(done: Load, name: str) -> Load:
    """The load, when all of it was answered as it should be. Ends the benchmark otherwise."""
    if done.failures:
        raise SystemExit(f"{name} answered {done.failures}: not a measurement")
    return done
