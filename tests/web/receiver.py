"""A shop's webhook server that answers as it is told, and remembers what it got."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from web.lab import Lab, eventually


@dataclass
class Hook:
    """`answers` are given once each, in order; after them `status`."""

    url: str = ""
    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, body=self.body, headers=self.headers)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(body) for _, body in self.requests]

    async def told(self, count: int) -> None:
        async def look() -> bool | None:
            return True if len(self.requests) >= count else None

        await eventually(look)


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    app = web.Application()
    app.router.add_post("/hook", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/hook"))
        yield made


async def endpoint_at(lab: Lab, made: Hook, **fields: Any) -> dict[str, Any]:
    answer = await lab.call("POST", "/v1/webhook-endpoints", json={"url": made.url} | fields)
    assert answer.status == 201, answer.body
    shown: dict[str, Any] = answer.json
    return shown


async def trigger(lab: Lab, event_type: str = "payment.paid") -> dict[str, Any]:
    answer = await lab.call("POST", "/v1/events/test", json={"type": event_type})
    assert answer.status == 201, answer.body
    event: dict[str, Any] = answer.json
    return event


async def deliveries(lab: Lab, endpoint: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    listed = await lab.call("GET", f"/v1/webhook-endpoints/{endpoint['id']}/deliveries{query}")
    assert listed.status == 200, listed.body
    found: list[dict[str, Any]] = listed.json["data"]
    return found


async def settled(lab: Lab, endpoint: dict[str, Any], attempts: int = 1) -> dict[str, Any]:
    """The endpoint's newest delivery, with its log, once so many attempts of it have ended."""

    async def look() -> dict[str, Any] | None:
        rows = await deliveries(lab, endpoint)
        if not rows:
            return None
        shown = (await lab.call("GET", f"/v1/deliveries/{rows[0]['id']}")).json
        ended = [each for each in shown["log"] if each["outcome"] != "unknown"]
        return shown if len(ended) >= attempts else None

    return await eventually(look)
