"""The engine on a real store, with a sender that does as it is told; and its end without warning."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from databases.places import AnyStore, store_in

from proxy.adapters.vault import KeyRing, RingVault, generate_line
from proxy.delivery import Delivery
from proxy.directory import Directory
from proxy.ids import EVENT, Ids
from proxy.merchant import Endpoint
from proxy.ports import Store
from proxy.records import Answer, Claim, Finished, Judged, Lease, Outgoing
from proxy.setup import HttpPolicy, Setup
from proxy.webhook import Event

RANDOM = random.Random(20261124)  # one for all lives of a process, which must not make an id twice
RING = KeyRing.parse(generate_line("k1"))
OK = Answer(204, None, 3)


@dataclass
class HandClock:
    now: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class FakeSender:
    """Keeps what it was given. `answers` go first, then `usual`; while `hold` is set, nothing is answered."""

    usual: Answer = OK
    answers: list[Answer] = field(default_factory=list)
    hold: asyncio.Event | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Outgoing] = field(default_factory=list)
    lose: bool = False

    async def send(self, outgoing: Outgoing) -> Answer:
        if not self.lose:
            self.sent.append(outgoing)
        self.began.set()
        if self.hold is not None:
            await self.hold.wait()
        return self.answers.pop(0) if self.answers else self.usual

    @property
    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.sent]


@dataclass
class Engine:
    """One life of the process."""

    store: AnyStore
    delivery: Delivery
    setup: Setup
    sender: FakeSender
    clock: HandClock
    ids: Ids
    events: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Steps until nothing can start."""
        while True:
            await self.delivery.step()
            if not len(self.delivery.tasks):
                return
            await self.delivery.tasks.drain()

    async def happen(self, merchant_id: str, count: int = 1) -> list[str]:
        made = []
        for number in range(count):
            event_id = self.ids.record(EVENT, merchant_id, self.clock.now)
            event = Event(event_id, merchant_id, None, "ping", None, self.clock.now, {"number": number})
            made.append((await self.store.add_event(event)).id)
        return made

    async def endpoint(self, merchant_id: str, **fields: str) -> Endpoint:
        endpoint, _ = await self.setup.add_endpoint(merchant_id, "https://shop.example/hook", actor="test", **fields)  # type: ignore[arg-type]  # each test names real fields
        return endpoint


Wrap = Callable[[AnyStore], Store]


@asynccontextmanager
async def life(
    folder: Path, clock: HandClock, sender: FakeSender, wrap: Wrap = lambda store: store, **more: int
) -> AsyncIterator[Engine]:
    """The process from its start to its end; what runs at its end is cut off, as by a kill."""
    store = await store_in(folder, clock)
    vault = RingVault(RING)
    directory = Directory(store, vault, clock)
    ids = Ids(RANDOM.randbytes)
    delivery = Delivery(wrap(store), directory, sender, ids, clock, lambda: 0.0, **more)
    setup = Setup(store, vault, clock, http=HttpPolicy(), changed=directory.forget)
    before = asyncio.all_tasks()
    try:
        yield Engine(store, delivery, setup, sender, clock, ids)
    finally:
        running = [task for task in delivery.tasks._running if task not in before]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()


class Stuck:
    """A store that dies when an attempt is to be recorded: before the commit, or after it."""

    def __init__(self, store: AnyStore, *, committed: bool) -> None:
        self._store = store
        self._committed = committed
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def record_attempt(self, finished: Finished, _follow: Lease | None) -> Judged:
        if self._committed:
            await self._store.record_attempt(finished, None)
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError("it was killed")


class Paused:
    """A store whose claims are brought to a process that was paused meanwhile, once."""

    def __init__(self, store: AnyStore, clock: HandClock, milliseconds: int) -> None:
        self._store = store
        self._clock = clock
        self._milliseconds = milliseconds

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def claim_deliveries(self, now: int, lease: Lease, limit: int) -> list[Claim]:
        claims = await self._store.claim_deliveries(now, lease, limit)
        self._clock.now += self._milliseconds
        self._milliseconds = 0
        return claims


class Crowding:
    """A store in which, while a round claims, a commit claims one delivery of its own, which `begin` gets, once."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self.begin: Callable[[list[Claim]], None] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def claim_deliveries(self, now: int, lease: Lease, limit: int) -> list[Claim]:
        begin, self.begin = self.begin, None
        if begin is not None:
            begin(await self._store.claim_deliveries(now, replace(lease, token="a commit's"), 1))
        return await self._store.claim_deliveries(now, lease, limit)
