"""A shop's webhook receiver, which keeps what it gets and answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web
from standardwebhooks import Webhook
from web.openapi_check import check_event

from support.dargah import server
from support.eventually import until


@dataclass(slots=True)
class Receiver:
    """A webhook endpoint. It verifies by the specification's library where it has a `secret`, and answers `status`.

    Where Dargah has another clock than the system's, set `any_time`: the signature is verified all the same. Where a
    test wrote the events by hand, set `any_event`.
    """

    url: str = ""
    secret: str = ""
    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    any_time: bool = False
    any_event: bool = False
    hold: tuple[asyncio.Event, asyncio.Event] | None = None  # set when one arrived, and waited for
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The bodies, each of its event type's schema."""
        found = [orjson.loads(body) for _, body in self.requests]
        for event in found if not self.any_event else ():
            check_event(event)
        return found

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/hook", self.handle)
        return made

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.secret:
            self._verify(body, request.headers)
        self.requests.append((dict(request.headers), body))
        if self.hold is not None:
            arrived, let_go = self.hold
            arrived.set()
            await let_go.wait()
        return web.Response(status=self.status, body=self.body, headers=self.headers)

    def _verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        verifier = Webhook(self.secret)
        if not self.any_time:
            verifier.verify(body, dict(headers))
            return
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert verifier.sign(headers["webhook-id"], at, body.decode()) in headers["webhook-signature"].split()

    async def told(self, count: int = 1) -> list[dict[str, Any]]:
        """The events, once there are so many."""
        await until(lambda: len(self.requests) >= count)
        return self.events


@asynccontextmanager
async def receiver(status: int = 204, body: bytes = b"") -> AsyncIterator[Receiver]:
    made = Receiver(status=status, body=body)
    async with server(made.app()) as url:
        made.url = f"{url}/hook"
        yield made
