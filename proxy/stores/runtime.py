"""The runtime of a process: its settings, store, keys, clock and instruments, from which all parts are made."""

import asyncio
import os
import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

import structlog

from proxy.config.settings import Settings
from proxy.database.sqlite import Fault
from proxy.http.listeners import Sockets
from proxy.kernel.background import IdleTimes, Repeater
from proxy.kernel.clock import Jitter, Now, system_now
from proxy.kernel.errors import VaultError
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import Ids, RandomBytes
from proxy.kernel.tracing import Tracer
from proxy.merchants.setup.binding import Binding
from proxy.merchants.vault import KeyRing, Vault
from proxy.observability.metrics import Metrics
from proxy.observability.readiness import Readiness
from proxy.observability.traced import Instrumentation, open_tracer
from proxy.stores.storage import Storage, open_storage, opening

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside of a process beside its settings; tests give their own, with a `fault` of the disk and a `tracer`."""

    now: Now = system_now
    random_bytes: RandomBytes = os.urandom
    # In steps, so that what is planned at a time lies in a few places of the index by due time, not one page for each.
    jitter: Jitter = lambda: (int(random.random() * 9) - 4) / 4  # noqa: S311  it spreads load, it keeps no secret
    fault: Fault | None = None
    tracer: Tracer | None = None
    dropped_lines: Callable[[], int] = lambda: 0  # of the log
    before_listening: Callable[[], None] = lambda: None  # nobody is answered before it
    sockets: Sockets | None = None  # of a worker, opened by its supervisor


@dataclass(frozen=True, slots=True)
class Runtime:
    """The common dependencies of all parts of a process. `stack` ends those that have an end."""

    settings: Settings
    outside: Outside
    storage: Storage
    vault: Vault
    instrumentation: Instrumentation
    public_url: str
    stack: AsyncExitStack

    @property
    def ids(self) -> Ids:
        return Ids(self.outside.random_bytes)

    def loop(self, name: str, rhythm: IdleTimes | None = None) -> Repeater:
        return Repeater(name, self.storage.now, rhythm, self.instrumentation.metrics.loop_failed)


async def open_runtime(settings: Settings, outside: Outside, public_url: str, stack: AsyncExitStack) -> Runtime:
    """Opens the store with its keys, and the instruments of the process."""
    metrics = Metrics(outside.now)
    storage = await open_storage(settings, outside.now, metrics.committed, outside.fault, metrics.connection_refused)
    store = storage.store
    stack.push_async_callback(store.close)
    ring = KeyRing.parse(settings.key_text())
    for name in settings.readable_secrets():
        log.warning("secret_file_readable", kind=name)
    with opening(settings.database):
        _check_ring(ring, await store.merchants.kek_ids(), settings)
    vault = Vault(ring, outside.random_bytes)
    readiness = Readiness(store.heartbeat, vault, asyncio.get_running_loop().time)
    tracer = outside.tracer or open_tracer(settings)
    if tracer is not None:
        stack.push_async_callback(tracer.close)
    with opening(settings.database):
        await Binding(store.merchants, vault, storage.now, outside.random_bytes).bind_secrets()
    return Runtime(settings, outside, storage, vault, Instrumentation(metrics, readiness, tracer), public_url, stack)


def _check_ring(ring: KeyRing, kek_ids: Iterable[str], settings: Settings) -> None:
    """Raises VaultError for a database whose secrets the ring does not open, with the ways out."""
    try:
        ring.check(kek_ids)
    except VaultError as error:
        raise VaultError(
            f"{error}. The ring is {settings.key_source()}, the database {settings.database}: where they do not belong "
            "together, set the other one of them; where the key is lost, so are the secrets under it: begin another "
            "database"
        ) from None
