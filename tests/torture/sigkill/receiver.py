"""The shops' webhook receiver, and the moments of the load at which a kill hurts most.

The receiver is one server, a path per storefront, which fails at random by the seed. What came is noted for the judge,
who verifies it.
"""

import asyncio
from asyncio import Transport
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Final
from weakref import WeakSet

from aiohttp import web

from ..history_lines import Recorder

MOMENTS: Final = ("creating", "created", "paying", "returning", "returned", "checking", "webhook")


class Moments:
    """`tell` wakes who waits for that moment; nobody need be waiting."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = defaultdict(list)

    def tell(self, moment: str) -> None:
        for future in self._waiting.pop(moment, ()):
            if not future.done():
                future.set_result(None)

    async def next(self, moment: str, seconds: float) -> bool:
        """Whether the moment came within `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[moment].append(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class Receiver:
    """`arrivals` counts what came, by the event's id; `used` are the connections that have carried a webhook."""

    seed: int
    moments: Moments
    history: Recorder
    fault_rate: float
    url: str = ""
    arrivals: Counter[str] = field(default_factory=Counter)
    used: WeakSet[Transport] = field(default_factory=WeakSet)
    violations: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/hook/{door}", self._handle)
        return made

    def endpoint_of(self, door: str) -> str:
        return f"{self.url}/hook/{door}"

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        event_id = request.headers.get("webhook-id", "")
        self.arrivals[event_id] += 1
        self.moments.tell("webhook")
        status = self._status(event_id)
        self.history.note(
            "webhook",
            endpoint=self.endpoint_of(request.match_info["door"]),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            status=status,
            kept=self._is_kept(request.transport),
        )
        if status == 0 and request.transport is not None:
            # It was taken in, and the sender never hears of it: the same id must come again.
            request.transport.abort()
        return web.Response(status=status or 500)

    def _is_kept(self, connection: Transport | None) -> bool:
        """Whether it had carried a webhook before: what is cut off on such a one is sent once more."""
        if connection is None:
            return False
        kept = connection in self.used
        self.used.add(connection)
        return kept

    def _status(self, event_id: str) -> int:
        """What it answers; 0 to hang up."""
        random = Random(f"{self.seed}|{event_id}|{self.arrivals[event_id]}")
        return random.choice((500, 503, 0, 0)) if random.random() < self.fault_rate else 204
