"""Replicas of Dargah as processes: PostgreSQL, a balancer, and a shop that counts what all of them send it at once."""

import asyncio
import itertools
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import asyncpg
import orjson
from aiohttp import web
from databases.durable import NOT_THERE, Server, durable_server
from databases.places import served
from support.dargah import server
from support.process import Process

from proxy.kernel.clock import SECOND
from proxy.webhooks.retry_policy import FAILURES_TO_PROBE

from ..history_lines import Recorder
from .stage import HISTORY, SETTINGS, Moments, Receiver, Stage, client, open_shops, simulator

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
    """A receiver that holds each request for a while, answers 500 while `away`, and counts.

    `limits` are how many each door's endpoint may get at once.
    """

    away: bool = False
    limits: dict[str, int] = field(default_factory=dict)
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
        limit = 1 if door.probed else self.limits[name]
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


# A balancer needs a moment to notice that one does not answer; until then calls go there, and come to nothing.
NOTICED_SECONDS: Final = 2.0
START_TRIES: Final = 60
# Longer than what the server lets a paused process keep a merchant's lock for, as the real ones are.
LEASE_SECONDS: Final = 9
# `dargah serve` with leases that end after a third of their time: for a short run that pauses a holder for longer.
_SHORT_LEASES: Final = f"""
from proxy.payments import checkout, creation, poller
from proxy.webhooks import worker

creation.REQUEST_LEASE = checkout.RETURN_LEASE = worker.LEASE = poller.LEASE = {LEASE_SECONDS * SECOND}
"""


class Replica(Process):
    """`up` starts it, however long the database is away; `kill` (SIGKILL), `pause` (SIGSTOP), `resume` (SIGCONT)."""

    def __init__(self, folder: Path, log: Path, *, short_leases: bool, **more: str) -> None:
        super().__init__(folder, **more)
        self.log = log  # one for all: the balancer's clients do not know which one it was
        self.down_since: float | None = 0.0
        self.paused = False
        if short_leases:
            self.first, self.forked = _SHORT_LEASES, True

    async def up(self) -> int:
        """Gives how often it ended at once, as it does where there is no database, and was started again."""
        for tries in itertools.count():
            await self.launch()
            try:
                await self.ready()
            except (AssertionError, TimeoutError):
                if tries == START_TRIES:
                    raise
                await self.kill()
                await asyncio.sleep(0.2)
            else:
                self.down_since = None
                return tries
        raise AssertionError("counting does not end")

    async def kill(self) -> None:
        self.down_since = time.monotonic()
        self.paused = False
        await super().kill()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)
        self.paused = True
        self.down_since = time.monotonic()

    def resume(self) -> None:
        """Does nothing to one that was killed meanwhile."""
        if self.paused:
            self._send(signal.SIGCONT)
            self.paused = False
            self.down_since = None

    @property
    def died(self) -> bool:
        """Whether it ended without being told to."""
        return self._process is not None and self._process.returncode is not None

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # one that nobody ended is seen by `died`
                self._process.send_signal(number)


class Fleet:
    """Implements Served by several processes."""

    def __init__(self, folder: Path, make: Callable[[Path], Replica], count: int) -> None:
        self.log = folder / "dargah.log"
        self.replicas = [make(self.log) for _ in range(count)]
        self._turns = itertools.cycle(self.replicas)

    @property
    def url(self) -> str:
        """Of the next replica that is up, as far as the balancer knows."""
        replica = next(self._turns)
        for _ in self.replicas:
            if replica.down_since is None or time.monotonic() - replica.down_since < NOTICED_SECONDS:
                break
            replica = next(self._turns)
        return replica.url

    @property
    def running(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.down_since is None]

    async def start(self) -> None:
        await asyncio.gather(*(replica.up() for replica in self.replicas if replica.down_since is not None))

    async def kill(self) -> None:
        await asyncio.gather(*(replica.kill() for replica in self.replicas))


REPLICAS: Final = 3
PUBLIC_URL: Final = "http://pay.shop.test"
RECEIVER_FAULT_RATE: Final = 0.1
# A balancer's patience. Longer than the gateway's and the database's time-outs together, shorter than a pause.
CALL_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Replicas:
    """`stage` is all that the load and the audit know of; the rest is for whoever breaks something."""

    stage: Stage
    fleet: Fleet
    server: Server
    slow: SlowShop


@asynccontextmanager
async def replicas_stage(folder: Path, seed: int, *, short_leases: bool) -> AsyncIterator[Replicas]:
    """All of it; the Dargahs are not started yet."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(durable_server())
        stack.enter_context(served(folder, database.url))
        moments, history = Moments(), Recorder(folder / HISTORY)
        stack.callback(history.close)
        quick = Receiver(seed, moments, history, RECEIVER_FAULT_RATE)
        slow = SlowShop(seed, moments, history, RECEIVER_FAULT_RATE)
        for receiver in (quick, slow):
            receiver.url = await stack.enter_async_context(server(receiver.app()))
        gateway_url = await stack.enter_async_context(simulator(folder / "ledger.db", seed))
        session = await stack.enter_async_context(client(CALL_SECONDS))
        storefronts = await open_shops(folder, seed, gateway_url, [quick, slow], history)
        slow.limits = {each.door: each.max_in_flight for each in storefronts}
        looking = asyncio.create_task(slow.look(database.url))
        stack.push_async_callback(_end, looking)

        def make(log: Path) -> Replica:
            return Replica(folder, log, short_leases=short_leases, DARGAH_PUBLIC_URL=PUBLIC_URL, **SETTINGS)

        fleet = Fleet(folder, make, REPLICAS)
        stack.push_async_callback(fleet.kill)
        stage = Stage(folder, fleet, PUBLIC_URL, gateway_url, storefronts, [quick, slow], moments, session, history)
        yield Replicas(stage, fleet, database, slow)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
