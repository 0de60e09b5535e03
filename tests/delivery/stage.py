"""The engine on a real store, with a sender that does as it is told; and its end without warning."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from databases.places import AnyStore, store_in
from support.clock import ManualClock
from support.fakes import FakeSender

from proxy.kernel.background import FairShares
from proxy.kernel.ids import EVENT, Ids
from proxy.merchants.merchant import Mode
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault, generate_line
from proxy.webhooks.delivery import AttemptReport, Claim, Lease, RecordedAttempt
from proxy.webhooks.endpoint import Endpoint, EndpointSecrets
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.event import Event
from proxy.webhooks.storage.repository import WebhookRepository
from proxy.webhooks.worker import DeliveryWorker

RANDOM = random.Random(20261124)  # one for all lives of a process, which must not make an id twice
ENDPOINT_URL: Final = "https://shop.example/hook"
RING = KeyRing.parse(generate_line("k1"))


@dataclass
class Engine:
    """One life of the process."""

    store: AnyStore
    delivery: DeliveryWorker
    setup: MerchantSetup
    endpoints: EndpointSetup
    sender: FakeSender
    clock: ManualClock
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
            event = Event(event_id, merchant_id, None, Mode.LIVE, "ping", None, self.clock.now, {"number": number})
            made.append((await self.store.webhooks.add_event(event)).id)
        return made

    async def endpoint(self, merchant_id: str, **fields: str) -> Endpoint:
        endpoint, _ = await self.endpoints.add_endpoint(merchant_id, ENDPOINT_URL, actor="test", **fields)  # type: ignore[arg-type]  # each test names real fields
        return endpoint


Wrap = Callable[[WebhookRepository], WebhookRepository]


@asynccontextmanager
async def life(
    folder: Path, clock: ManualClock, sender: FakeSender, wrap: Wrap = lambda webhooks: webhooks, **more: Any
) -> AsyncIterator[Engine]:
    """The process from its start to its end; what runs at its end is cut off, as by a kill."""
    store = await store_in(folder, clock)
    vault = Vault(RING)
    secrets = EndpointSecrets(store.merchants, vault, clock)
    ids = Ids(RANDOM.randbytes)
    delivery = DeliveryWorker(wrap(store.webhooks), secrets, sender, ids, clock, lambda: 0.0, **more)
    setup = MerchantSetup(store.merchants, vault, clock)
    endpoints = EndpointSetup(store.merchants, store.webhooks, vault, clock, changed=secrets.forget)
    before = asyncio.all_tasks()
    try:
        yield Engine(store, delivery, setup, endpoints, sender, clock, ids)
    finally:
        running = [task for task in delivery.tasks._running if task not in before]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await store.close()


class Stuck:
    """A store that dies when an attempt is to be recorded: before the commit, or after it."""

    def __init__(self, webhooks: WebhookRepository, *, committed: bool) -> None:
        self._webhooks = webhooks
        self._committed = committed
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._webhooks, name)

    async def record_attempt(self, finished: AttemptReport, _follow: Lease | None) -> RecordedAttempt:
        if self._committed:
            await self._webhooks.record_attempt(finished, None)
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError("it was killed")


class Paused:
    """A store whose claims are brought to a process that was paused meanwhile, once."""

    def __init__(self, webhooks: WebhookRepository, clock: ManualClock, milliseconds: int) -> None:
        self._webhooks = webhooks
        self._clock = clock
        self._milliseconds = milliseconds

    def __getattr__(self, name: str) -> object:
        return getattr(self._webhooks, name)

    async def claim_deliveries(self, now: int, lease: Lease, limit: int, shares: FairShares) -> list[Claim]:
        claims = await self._webhooks.claim_deliveries(now, lease, limit, shares)
        self._clock.now += self._milliseconds
        self._milliseconds = 0
        return claims


class Crowding:
    """A store in which, while a round claims, a commit claims one delivery of its own, which `begin` gets, once."""

    def __init__(self, webhooks: WebhookRepository) -> None:
        self._webhooks = webhooks
        self.begin: Callable[[list[Claim]], None] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._webhooks, name)

    async def claim_deliveries(self, now: int, lease: Lease, limit: int, shares: FairShares) -> list[Claim]:
        begin, self.begin = self.begin, None
        if begin is not None:
            begin(await self._webhooks.claim_deliveries(now, replace(lease, token="a commit's"), 1))
        return await self._webhooks.claim_deliveries(now, lease, limit, shares)
