"""One life of the Dargah process: the real use-cases over the real store, from its start to its death."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from proxy.adapters.vault import KeyRing, RingVault
from proxy.checkout import Checkout
from proxy.delivery import Delivery
from proxy.directory import Directory
from proxy.gate import Gate, GateLimits
from proxy.ids import Ids
from proxy.ports import Gateway, Sender, Store
from proxy.recovery.recovery import Recovery
from proxy.reviews import Reviews
from proxy.settlement import Settlement
from proxy.setup import Setup
from proxy.watcher import Watcher

from .world_loop import Clock, this_loop
from .world_setup import PUBLIC_URL
from .world_store import OpenFile, TurnStore
from .world_turns import Dice, Turns

# Small, so that a story of a few dozen payments reaches every limit.
LIMITS = GateLimits(per_terminal=3, total=5, waiting=4)
MAX_AT_ONCE = 6


class Process:
    """The parts, wired as `proxy.app` wires them. `crash` drops all that it has in memory."""

    def __init__(
        self, file: OpenFile, clock: Clock, dice: Dice, turns: Turns, gateway: Gateway, sender: Sender, ring: KeyRing
    ) -> None:
        self.file = file
        self.turns = turns
        self.store = cast("Store", TurnStore(file.store, turns))
        vault = RingVault(ring, dice.bytes)
        ids = Ids(dice.bytes)
        self.directory = Directory(self.store, vault, clock)
        self.setup = Setup(self.store, vault, clock, dice.bytes, changed=self.directory.forget)
        self.gate = Gate(LIMITS, clock)
        self.settlement = Settlement(self.store, ids, clock, dice.jitter)
        self.checkout = Checkout(
            self.store, self.directory, gateway, self.gate, self.settlement, ids, clock, PUBLIC_URL
        )
        self.reviews = Reviews(self.store, self.settlement, ids, clock)
        self.recovery = Recovery(self.store, self.checkout, clock)
        self.watcher = Watcher(self.store, self.checkout, self.settlement, self.gate, clock, max_at_once=MAX_AT_ONCE)
        self.delivery = Delivery(self.store, self.directory, sender, ids, clock, dice.jitter, max_in_flight=MAX_AT_ONCE)
        self.settlement.offer = self.delivery.offer
        self.settlement.on_begun = lambda begun: self.delivery.begin(begun.claims)

    @classmethod
    async def start(
        cls,
        path: Path,
        clock: Clock,
        dice: Dice,
        turns: Turns,
        ring_text: str,
        gateway: Callable[[Turns], Gateway],
        sender: Callable[[Turns], Sender],
    ) -> "Process":
        """What starts on the files at `path`, as `proxy.app.running` would: the ring is looked at first."""
        file = await OpenFile.open(path, clock)
        ring = KeyRing.parse(ring_text)
        ring.check(await file.store.kek_ids())
        return cls(file, clock, dice, turns, gateway(turns), sender(turns), ring)

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
