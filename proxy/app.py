"""The composition root: everything is wired here, started in one order and stopped in the other.

Start: database, keys, clients, use-cases, listeners, loops. Stop: readiness off, loops claim no more, listeners finish
their handlers, work that goes on by itself ends, clients close, the database last.
"""

import asyncio
import gc
import os
import random
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import click
import structlog
import uvloop
from aiohttp import web

from proxy import __version__, logs
from proxy.adapters.gateway import HttpGateway
from proxy.adapters.guard import Guard
from proxy.adapters.prober import HttpProber
from proxy.adapters.sender import HttpSender
from proxy.adapters.sqlite import Fault, open_store
from proxy.adapters.vault import KeyRing, RingVault
from proxy.bell import Bell
from proxy.checkout import Checkout
from proxy.clock import MINUTE, system_now
from proxy.config import Settings
from proxy.config_values import Address
from proxy.delivery import Delivery
from proxy.directory import Directory
from proxy.doctor import Doctor
from proxy.doctor_base import Surroundings
from proxy.errors import StoreUnavailable
from proxy.gate import Gate, GateLimits
from proxy.ids import Helpings, Ids, RandomBytes
from proxy.loops import Repeater, Tasks
from proxy.metrics import Metrics
from proxy.ports import Jitter, Now, Store, Vault
from proxy.recovery import Recovery
from proxy.redelivery import Redelivery
from proxy.retention import Retention
from proxy.reviews import Reviews
from proxy.settlement import Settlement
from proxy.setup import Setup
from proxy.trial import Trial
from proxy.watcher import Watcher
from proxy.web.admin import create_admin_app
from proxy.web.admin_services import AdminServices
from proxy.web.public import create_public_app
from proxy.web.services import Services

log = structlog.get_logger()

# Requests whose work goes on when their caller hangs up; over it a create is told 503.
MAX_TASKS: Final = 5000
MAX_HEADER_BYTES: Final = 16 * 1024
BACKLOG: Final = 1024
# Nearly all garbage goes by its reference count; looking for cycles at CPython's 700 objects is 3 % of a create.
GC_THRESHOLDS: Final = (20_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a process has of the world beside its settings; tests give their own, and a `fault` of the disk."""

    now: Now = system_now
    random_bytes: RandomBytes = field(default_factory=lambda: Helpings(os.urandom))
    # In steps, so that what is planned at a time lies in a few places of the index by due time, not one page for each.
    jitter: Jitter = lambda: (int(random.random() * 9) - 4) / 4  # noqa: S311  it spreads load, it keeps no secret
    fault: Fault | None = None


@dataclass(slots=True)
class Readiness:
    """The checks of /readyz. Never the gateway: its being down is no reason to turn customers away."""

    store: Store
    draining: bool = False

    async def __call__(self) -> Mapping[str, bool]:
        try:
            await self.store.ping()
            writable = True
        except StoreUnavailable:
            writable = False
        return {"store": writable, "accepting": not self.draining}


@dataclass(frozen=True, slots=True)
class Dargah:
    """A running proxy: where it listens, and its parts for those who look inside."""

    url: str
    admin_url: str
    services: Services
    watcher: Watcher
    delivery: Delivery


@asynccontextmanager
async def running(settings: Settings, outside: Outside | None = None) -> AsyncIterator[Dargah]:
    """A whole Dargah, listening, for as long as the context lasts; drained at its end.

    Raises SettingsError, VaultError, StoreLocked, StoreTooNew or OSError (a port is taken) when it cannot start.
    """
    settings.check_serving()
    outside = outside or Outside()
    async with AsyncExitStack() as stack:
        # The sockets first: a taken port is told before anything is touched, and a free one's number is known.
        public, admin = (_bind(address, stack) for address in (settings.listen, settings.admin_listen))
        store = await open_store(settings.database, now=outside.now, fault=outside.fault)
        stack.push_async_callback(store.close)
        ring = KeyRing.parse(settings.key_text())
        ring.check(await store.kek_ids())
        readiness = Readiness(store)
        dargah, operators, loops = _wire(
            settings, outside, store, RingVault(ring, outside.random_bytes), readiness, _url(public), _url(admin), stack
        )
        stack.push_async_callback(_drain, dargah, settings.drain_seconds)
        await _serve(create_admin_app(operators), admin, settings, stack)
        await _serve(create_public_app(dargah.services), public, settings, stack)
        for loop in loops:
            loop.start()
            stack.push_async_callback(loop.stop)
        stack.callback(setattr, readiness, "draining", True)
        stack.callback(dargah.services.bell.close)
        stack.callback(dargah.delivery.stop)
        log.info("started", version=__version__, sqlite_version=sqlite3.sqlite_version, url=dargah.url)
        yield dargah


def _wire(
    settings: Settings,
    outside: Outside,
    store: Store,
    vault: Vault,
    readiness: Readiness,
    url: str,
    admin_url: str,
    stack: AsyncExitStack,
) -> tuple[Dargah, AdminServices, list[Repeater]]:
    now, ids = outside.now, Ids(outside.random_bytes)
    public_url = (settings.public_url or url).rstrip("/")
    gateway = HttpGateway(
        request_seconds=settings.request_timeout_seconds, check_seconds=settings.check_timeout_seconds
    )
    guard = Guard([str(target) for target in settings.webhook_allow], development=settings.development)
    sender = HttpSender(guard, now=now)
    for client in (gateway, sender):
        stack.push_async_callback(client.close)
    directory = Directory(store, vault, now)
    gate = Gate(
        GateLimits(settings.gateway_calls_per_terminal, settings.gateway_calls_total, settings.waiting_limit), now
    )
    settlement = Settlement(store, ids, now, outside.jitter)
    checkout = Checkout(store, directory, gateway, gate, settlement, ids, now, public_url)
    watcher = Watcher(store, checkout, settlement, gate, now)
    delivery = Delivery(store, directory, sender, ids, now, outside.jitter, max_in_flight=settings.webhook_in_flight)
    watch, deliver = Repeater("watch", watcher.step, now), Repeater("deliver", delivery.step, now)
    forget = Repeater("forget", _retention(settings, store, now).step, now)
    redelivery, trial, bell = Redelivery(store, now), Trial(store, directory, sender, ids, now), Bell()

    def happened(merchant_id: str) -> None:
        deliver.wake()
        bell.ring(merchant_id)

    def changed() -> None:
        directory.forget()
        # An endpoint that came back has work that waits.
        deliver.wake()

    settlement.on_watch, redelivery.on_due = watch.wake_by, deliver.wake
    settlement.on_event = delivery.on_event = trial.on_event = happened
    watcher.tasks.on_room, delivery.tasks.on_room = watch.wake, deliver.wake
    services = Services(
        store=store,
        directory=directory,
        checkout=checkout,
        setup=Setup(store, vault, now, outside.random_bytes, http=settings.http_policy, changed=changed),
        tasks=Tasks(MAX_TASKS),
        now=now,
        random_bytes=outside.random_bytes,
        public_url=lambda: public_url,
        default_expires_in=settings.payment_expiry_minutes * MINUTE,
        ready=readiness,
        redelivery=redelivery,
        trial=trial,
        bell=bell,
        metrics=Metrics(),
    )
    operators = AdminServices(
        services.setup,
        Reviews(store, settlement, ids, now),
        Recovery(store, checkout, now),
        Doctor(store, directory, gateway, trial, HttpProber(), ids, now, _surroundings(settings, vault, public_url)),
        store,
        services.tasks,
        services.metrics,
        outside.random_bytes,
        settings.admin_tokens(),
    )
    return Dargah(url, admin_url, services, watcher, delivery), operators, [watch, deliver, forget]


def _surroundings(settings: Settings, vault: Vault, public_url: str) -> Surroundings:
    return Surroundings(
        public_url, settings.development, settings.database, settings.admin_listen.loopback, vault.kek_id
    )


def _retention(settings: Settings, store: Store, now: Now) -> Retention:
    return Retention(
        store, now, events_keep_days=settings.events_keep_days, attempts_keep_days=settings.attempts_keep_days
    )


def _bind(address: Address, stack: AsyncExitStack) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    stack.callback(listener.close)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return Address(host, port).url


async def _serve(app: web.Application, listener: socket.socket, settings: Settings, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=settings.drain_seconds,
        handler_cancellation=False,  # a create goes on in its request's task when the storefront hangs up
        max_field_size=MAX_HEADER_BYTES,
        max_line_size=MAX_HEADER_BYTES,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()


async def _drain(dargah: Dargah, seconds: float) -> None:
    """What runs by itself has its time to end; the leases find again what did not."""
    services = dargah.services
    kinds = (services.tasks, services.trial.tasks, dargah.watcher.tasks, dargah.delivery.tasks)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(tasks.drain() for tasks in kinds))
    except TimeoutError:
        log.warning("drain_ended_early", running=sum(len(tasks) for tasks in kinds))


async def _until_signal() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises what `running` raises."""
    logs.configure(settings.log_level, settings.log_format)

    async def serve() -> None:
        async with running(settings) as dargah:
            # What lives until the end need not be looked at by every collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            click.echo(f"dargah ready on {dargah.url}")
            await _until_signal()

    uvloop.run(serve())
