"""A shop that takes its time and is away at times, and counts how much Dargah, all of it together, sends it at once."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Final

import asyncpg
import orjson
from aiohttp import web
from databases.durable import NOT_THERE

from proxy.webhooks.retry_policy import FAILURES_TO_PROBE, IN_FLIGHT_PER_ENDPOINT

from ..sigkill.receiver import Receiver

LONGEST_HOLD_SECONDS: Final = 0.15
LOOK_SECONDS: Final = 0.1
_TURNS: Final = "SELECT e.url, t.failures, t.in_flight FROM turns AS t JOIN endpoints AS e ON e.id = t.endpoint_id"


@dataclass(slots=True)
class Door:
    """One endpoint: its requests under way, the most there were, and whether there may be one at a time only.

    `seen_well` counts the answers that said that all is well again.
    """

    open: int = 0
    most: int = 0
    seen_well: int = 0
    probed: bool = False
    probes: int = 0


@dataclass(slots=True)
class SlowShop(Receiver):
    """A receiver that holds each request for a while, answers 500 while `away`, and counts."""

    away: bool = False
    doors: dict[str, Door] = field(default_factory=lambda: defaultdict(Door))

    async def _handle(self, request: web.Request) -> web.Response:
        name = request.match_info["door"]
        door = self.doors[name]
        self._enter(door, name)
        try:
            event_id = request.headers.get("webhook-id", "")
            await request.read()  # before its sender may be gone
            random = Random(f"{self.seed}|{event_id}|{self.arrivals[event_id]}|hold")
            await asyncio.sleep(random.uniform(0, LONGEST_HOLD_SECONDS))
            answer = await Receiver._handle(self, request)
            if answer.status < 300:
                door.seen_well += 1
                door.probed = False
            return answer
        finally:
            door.open -= 1

    def _status(self, event_id: str) -> int:
        return 500 if self.away else Receiver._status(self, event_id)

    def _enter(self, door: Door, name: str) -> None:
        door.open += 1
        door.most = max(door.most, door.open)
        door.probes += door.probed
        limit = 1 if door.probed else IN_FLIGHT_PER_ENDPOINT
        if door.open > limit:
            self.violations.append(f"{door.open} at once at the endpoint of {name}, where {limit} may be")

    async def look(self, url: str) -> None:
        """Learns from the database which endpoints are probed, until it is cancelled.

        With nothing under way and three failures on record, only one at a time may come until one of them is answered
        well. What was answered well while the database was asked says nothing about either.
        """
        while True:
            try:
                connection = await asyncpg.connect(url)
                try:
                    while True:
                        await self._look(connection)
                        await asyncio.sleep(LOOK_SECONDS)
                finally:
                    connection.terminate()
            except NOT_THERE:
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, connection: asyncpg.Connection) -> None:
        before = {name: door.seen_well for name, door in self.doors.items()}
        for endpoint_url, failures, in_flight in await connection.fetch(_TURNS):
            base, _, name = endpoint_url.rpartition("/hook/")
            door = self.doors.get(name) if base == self.url else None
            if door is None or door.seen_well != before.get(name):
                continue
            if failures >= FAILURES_TO_PROBE and not orjson.loads(in_flight) and not door.open:
                door.probed = True
