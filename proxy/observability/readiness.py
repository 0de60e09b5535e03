"""Whether this process may be sent work: the checks of /readyz, each with its name."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from proxy.database.repository import Heartbeat
from proxy.kernel.errors import DargahError, VaultError
from proxy.merchants.vault import Vault

WAIT_SECONDS: Final = 2.0
# A ping is a commit with its sync of the disk: whoever probes, and however often, causes one a second at most. One that
# failed is not kept, so that a store that is well again is used again.
KEEP_SECONDS: Final = 1.0


class Readiness:
    """The checks. Never the gateway: its being down is no reason to turn customers away.

    `tick` gives seconds; `draining` is set once the process shuts down.
    """

    def __init__(self, heartbeat: Heartbeat, vault: Vault, tick: Callable[[], float]) -> None:
        self._heartbeat = heartbeat
        self._vault = vault
        self._tick = tick
        self._asking: asyncio.Task[bool] | None = None
        self._written_at: float | None = None
        self.draining = False
        self.commit_seconds = 0.0
        """How long the last ping took."""

    async def __call__(self) -> Mapping[str, bool]:
        """Every check by its name, and whether it passes. Returns within WAIT_SECONDS."""
        return {"store": await self._store_writes(), "keys": self._keys_open(), "accepting": not self.draining}

    async def _store_writes(self) -> bool:
        if self._written_at is not None and self._tick() - self._written_at < KEEP_SECONDS:
            return True
        # Those who ask while it is being found out wait for the same answer.
        asking = self._asking = self._asking or asyncio.create_task(self._ping(), name="readiness")
        done, _ = await asyncio.wait([asking], timeout=WAIT_SECONDS)
        return bool(done) and asking.result()

    async def _ping(self) -> bool:
        began = self._tick()
        try:
            await self._heartbeat.ping()
        except DargahError:
            self._written_at = None
            return False
        finally:
            self._asking = None
        self._written_at = self._tick()
        self.commit_seconds = self._written_at - began
        return True

    def _keys_open(self) -> bool:
        """Whether the key ring seals, and opens its own seal."""
        try:
            return self._vault.open(self._vault.seal("readyz", "readyz", "probe", "sealed")) == "sealed"
        except VaultError:
            return False
