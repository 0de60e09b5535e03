"""One life of the Dargah process: the real use-cases over the real store, from its start to its death."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter, ConcurrencyLimits
from proxy.gateways.port import Gateway
from proxy.kernel.clock import WallClock
from proxy.kernel.ids import Ids
from proxy.merchants.cache import GuardedGateway, MerchantCache
from proxy.merchants.setup import MerchantSetup
from proxy.merchants.vault import KeyRing, Vault
from proxy.operations.clock_watch import ClockWatch
from proxy.operations.recovery.recovery import Recovery
from proxy.payments.checkout import Checkout
from proxy.payments.creation import PaymentCreation
from proxy.payments.poller import Poller
from proxy.payments.settlement import Reviews, Settlement, ignore
from proxy.stores.store import Store
from proxy.webhooks.endpoint import EndpointSecrets
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.port import Sender
from proxy.webhooks.worker import DeliveryWorker

from .loop import Dice, Turns, this_loop
from .setup import PUBLIC_URL
from .store import OpenFile, TurnStore

# Small, so that a story of a few dozen payments reaches every limit.
LIMITS = ConcurrencyLimits(per_terminal=3, total=5, waiting=4)
MAX_AT_ONCE = 6


class Process:
    """The parts, wired as `proxy.app` wires them. `crash` drops all that it has in memory."""

    def __init__(
        self, file: OpenFile, time: WallClock, dice: Dice, turns: Turns, gateway: Gateway, sender: Sender, ring: KeyRing
    ) -> None:
        self.now = clock = time.now
        self.file = file
        self.turns = turns
        self.store = cast("Store", TurnStore(file.store, turns))
        vault = Vault(ring, dice.bytes)
        ids = Ids(dice.bytes)
        self.merchant_cache = MerchantCache(self.store.merchants, vault, clock)
        self.setup = MerchantSetup(self.store.merchants, vault, clock, dice.bytes, changed=self.merchant_cache.forget)
        self.endpoint_secrets = EndpointSecrets(self.store.merchants, vault, clock)
        self.endpoints = EndpointSetup(
            self.store.merchants, self.store.webhooks, vault, clock, dice.bytes, changed=self.endpoint_secrets.forget
        )
        self.limiter, self.breaker = ConcurrencyLimiter(LIMITS), CircuitBreaker(time.steady)
        self.delivery = DeliveryWorker(
            self.store.webhooks,
            self.endpoint_secrets,
            sender,
            ids,
            clock,
            dice.jitter,
            max_in_flight=MAX_AT_ONCE,
            signing_time=time.wall,
        )
        self.on_event: Callable[[str], None] = ignore
        self.on_check_due: Callable[[int], None] = ignore
        self.settlement = Settlement(
            self.store.payments,
            ids,
            clock,
            dice.jitter,
            on_event=self._tell_of_event,
            on_check_due=self._tell_of_check,
            offer=self.delivery.offer,
            on_claimed=lambda begun: self.delivery.begin(begun.claims),
        )
        guarded = GuardedGateway(gateway, self.merchant_cache, self.limiter, self.breaker)
        shared = self.store.payments, guarded, self.settlement
        self.creation = PaymentCreation(*shared, ids=ids, now=clock, jitter=dice.jitter, public_url=PUBLIC_URL)
        self.checkout = Checkout(*shared, clock)
        self.reviews = Reviews(self.store.payments, self.settlement, ids, clock)
        self.recovery = Recovery(self.store.payments, self.checkout, clock)
        self.poller = Poller(
            self.store.payments,
            self.checkout,
            self.settlement,
            self.limiter,
            self.breaker,
            clock,
            max_at_once=MAX_AT_ONCE,
            skipped=time.skipped,
        )
        self.clocks = ClockWatch(self.store.heartbeat, self.store.due_times, time, time.look, time.wall)

    def _tell_of_event(self, merchant_id: str) -> None:
        self.on_event(merchant_id)

    def _tell_of_check(self, due_at: int) -> None:
        self.on_check_due(due_at)

    @classmethod
    async def start(
        cls,
        path: Path,
        time: WallClock,
        dice: Dice,
        turns: Turns,
        ring_text: str,
        gateway: Callable[[Turns], Gateway],
        sender: Callable[[Turns], Sender],
    ) -> "Process":
        """What starts on the files at `path`, as `proxy.app.running` would: the ring is looked at first."""
        file = await OpenFile.open(path, time.now)
        ring = KeyRing.parse(ring_text)
        ring.check(await file.store.merchants.kek_ids())
        process = cls(file, time, dice, turns, gateway(turns), sender(turns), ring)
        await process.clocks.begin()
        return process

    async def crash(self, copy: Path) -> None:
        """Dies here and now, between two instructions of whatever was under way, and leaves its files at `copy`."""
        self.turns.dead = True
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        self.file.crash(copy)
        for task in mine:
            task.cancel()
        await this_loop().idle()
        stubborn = [task for task in mine if not task.done()]
        if stubborn:
            raise RuntimeError(f"{stubborn} outlived the process")
        for task in mine:
            _forget(task)

    async def close(self) -> None:
        """The orderly end, when nothing is under way."""
        await self.file.store.close()


def _forget(task: asyncio.Task[Any]) -> None:
    """Looks at what a dead task came to, so that nobody complains about it later."""
    if not task.cancelled():
        task.exception()
