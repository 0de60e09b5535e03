"""The shops' webhook receiver: one server, a path per merchant, which fails at random by the seed while it is told to.

What it accepts it verifies by the specification's library. A clock that jumps ahead must not make it refuse, so the
signature is made again over what came, and the library's tolerance for old timestamps is not asked for.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
from aiohttp import web
from standardwebhooks import Webhook

from .sigkill_moments import Moments


@dataclass(slots=True)
class Receiver:
    """`accepted` are the ids that were answered 2xx; `arrivals` counts every arrival, `bodies` has each id's first."""

    seed: int
    moments: Moments
    fault_rate: float
    url: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    arrivals: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    bodies: dict[str, bytes] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/hook/{merchant_id}", self._handle)
        return made

    def paid(self) -> set[str]:
        """The payments that the shops were told are paid."""
        events = (orjson.loads(self.bodies[event_id]) for event_id in self.accepted)
        return {event["data"]["id"] for event in events if event["type"] == "payment.paid"}

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        event_id = request.headers.get("webhook-id", "")
        self._verify(request, event_id, body)
        self.arrivals[event_id] += 1
        if self.bodies.setdefault(event_id, body) != body:
            self.violations.append(f"event {event_id} came with two bodies")
        self.moments.tell("webhook")
        random = Random(f"{self.seed}|{event_id}|{self.arrivals[event_id]}")
        if random.random() < self.fault_rate:
            return self._fail(request, event_id, random.choice(("500", "503", "cut", "cut")))
        self.accepted.add(event_id)
        return web.Response(status=204)

    def _fail(self, request: web.Request, event_id: str, how: str) -> web.Response:
        if how == "cut":
            # It was taken in, and the sender never hears of it: the same id must come again.
            self.accepted.add(event_id)
            if request.transport is not None:
                request.transport.abort()
        return web.Response(status=503 if how == "503" else 500)

    def _verify(self, request: web.Request, event_id: str, body: bytes) -> None:
        sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        secret = self.secrets[request.match_info["merchant_id"]]
        right = Webhook(secret).sign(event_id, sent_at, body.decode())
        if right not in request.headers["webhook-signature"].split():
            self.violations.append(f"event {event_id} is not signed by its endpoint's key")


def event_of(body: bytes) -> dict[str, Any]:
    """The event as it was sent."""
    event: dict[str, Any] = orjson.loads(body)
    return event
