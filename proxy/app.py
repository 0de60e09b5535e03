"""The composition root: everything is wired here, started in one order and stopped in the other.

Start: database, keys, clients, use-cases, listeners, loops. Stop: readiness off, loops claim no more, listeners finish
their handlers, work that goes on by itself ends, clients close, the database last.
"""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from proxy import __version__
from proxy.adapters.connector import tls_context
from proxy.adapters.gateway import HttpGateway
from proxy.adapters.guard import Guard
from proxy.adapters.prober import HttpProber
from proxy.adapters.sender import HttpSender
from proxy.adapters.sqlite import Fault
from proxy.adapters.vault import KeyRing, RingVault
from proxy.bell import Bell
from proxy.clock import MINUTE, system_now
from proxy.config.settings import Settings, SettingsError
from proxy.console.opening import console_of, with_pages
from proxy.console.services import ConsoleServices
from proxy.delivery import Delivery
from proxy.directory import Directory
from proxy.doctor.base import Surroundings
from proxy.doctor.doctor import Doctor
from proxy.drain import Drain
from proxy.gate import Gate, GateLimits
from proxy.ids import Helpings, Ids, RandomBytes
from proxy.last_used import LastUsed
from proxy.listeners import listen, open_sockets
from proxy.loops import Repeater, Tasks
from proxy.metrics import Metrics
from proxy.metrics.observed import KINDS, observe_listeners, observe_payments, observe_store, observe_work
from proxy.operators.operators import Operators
from proxy.ports import Jitter, Now, Store, Vault
from proxy.readiness import Readiness
from proxy.records import Begun
from proxy.recovery.rechecks import Rechecker
from proxy.recovery.recovery import Recovery
from proxy.redelivery import Redelivery
from proxy.retention import Retention
from proxy.reviews import Reviews
from proxy.roles import Role
from proxy.seen import Seen, open_tracer
from proxy.settlement import Settlement
from proxy.setup import Setup
from proxy.sharing import share
from proxy.storage import Storage, open_storage
from proxy.telemetry.tracing import Tracer
from proxy.trial import Trial
from proxy.watcher import Watcher
from proxy.web.admin import create_admin_app
from proxy.web.admin_services import AdminServices
from proxy.web.callers import Callers
from proxy.web.proxies import Proxies
from proxy.web.public import create_public_app
from proxy.web.services import Services
from proxy.web.worker import create_worker_app

log = structlog.get_logger()

# Requests whose work goes on when their caller hangs up; over it a create is told 503.
MAX_TASKS: Final = 5000


@dataclass(frozen=True, slots=True)
class Outside:
    """What a process has of the world beside its settings; tests give theirs, a `fault` of the disk and a `tracer`."""

    now: Now = system_now
    random_bytes: RandomBytes = field(default_factory=lambda: Helpings(os.urandom))
    # In steps, so that what is planned at a time lies in a few places of the index by due time, not one page for each.
    jitter: Jitter = lambda: (int(random.random() * 9) - 4) / 4  # noqa: S311  it spreads load, it keeps no secret
    fault: Fault | None = None
    tracer: Tracer | None = None


@dataclass(frozen=True, slots=True)
class Dargah:
    """A running proxy: where it listens, and its parts for those who look inside."""

    url: str
    admin_url: str
    services: Services
    watcher: Watcher
    delivery: Delivery
    drain: Drain


@asynccontextmanager
async def running(settings: Settings, outside: Outside | None = None) -> AsyncIterator[Dargah]:
    """A whole Dargah, listening, for as long as the context lasts; drained at its end.

    Raises SettingsError, VaultError, StoreLocked, StoreTooNew or OSError (a port is taken) when it cannot start.
    """
    settings.check_serving()
    outside = outside or Outside()
    async with AsyncExitStack() as stack:
        # The sockets first: a taken port is told before anything is touched, and a free one's number is known.
        sockets = open_sockets(settings, stack)
        metrics = Metrics()
        storage = await open_storage(settings, outside.now, metrics.committed, outside.fault)
        store, outside = storage.store, replace(outside, now=storage.now)
        stack.push_async_callback(store.close)
        ring = KeyRing.parse(settings.key_text())
        ring.check(await store.kek_ids())
        vault = RingVault(ring, outside.random_bytes)
        readiness = Readiness(store, vault, asyncio.get_running_loop().time)
        tracer = outside.tracer or open_tracer(settings)
        if tracer is not None:
            stack.push_async_callback(tracer.close)
        seen = Seen(metrics, readiness, tracer)
        dargah, operators, console, loops = _wire(
            settings, outside, storage, vault, seen, sockets.urls(settings), stack
        )
        stack.push_async_callback(dargah.delivery.give_back)
        stack.push_async_callback(dargah.drain.wait_for, _works(dargah))
        services = dargah.services
        apps = with_pages(console, create_admin_app(operators), create_public_app(services), services.callers)
        if Role.API not in settings.roles:
            apps = create_worker_app(services), apps[1]
        listeners = await listen(*apps, sockets, settings, services.callers.proxies, dargah.drain, stack)
        observe_listeners(metrics, listeners)
        stack.push_async_callback(dargah.drain.linger)
        for loop in loops:
            loop.on_failure = metrics.loop_failed
            loop.start()
            stack.push_async_callback(loop.stop)
        stack.callback(setattr, readiness, "draining", True)
        stack.callback(dargah.services.bell.close)
        stack.callback(dargah.delivery.stop)
        stack.callback(dargah.drain.begin)
        log.info("started", version=__version__, url=dargah.url, roles=",".join(settings.roles), **storage.about)
        yield dargah


def _wire(
    settings: Settings,
    outside: Outside,
    storage: Storage,
    vault: Vault,
    seen: Seen,
    urls: tuple[str, str],
    stack: AsyncExitStack,
) -> tuple[Dargah, AdminServices, ConsoleServices, list[Repeater]]:
    store, now, ids = storage.store, outside.now, Ids(outside.random_bytes)
    metrics, (url, admin_url) = seen.metrics, urls
    public_url = (settings.public_url or url).rstrip("/")
    http_gateway = HttpGateway(
        request_seconds=settings.request_timeout_seconds,
        check_seconds=settings.check_timeout_seconds,
        own_tls=_own_tls(settings),
    )
    gateway = seen.gateway(http_gateway)
    guard = Guard([str(target) for target in settings.webhook_allow], development=settings.development)
    http_sender = HttpSender(guard, now=now)
    sender = seen.sender(http_sender)
    for client in (http_gateway, http_sender):
        stack.push_async_callback(client.close)
    directory = Directory(store, vault, now)
    gate = Gate(
        GateLimits(settings.gateway_calls_per_terminal, settings.gateway_calls_total, settings.waiting_limit), now
    )
    settlement = Settlement(store, ids, now, outside.jitter)
    checkout = seen.checkout(store, directory, gateway, gate, settlement, ids, now, public_url)
    watcher = Watcher(store, checkout, settlement, gate, now)
    delivery = Delivery(store, directory, sender, ids, now, outside.jitter, max_in_flight=settings.webhook_in_flight)
    watch = Repeater("watch", watcher.step, now, storage.rhythm)
    deliver = Repeater("deliver", delivery.step, now, storage.rhythm)
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
    delivery.on_event = trial.on_event = happened
    settlement.on_event = bell.ring
    _deliver_at_once(settings, settlement, delivery, deliver)
    share(storage, settlement, (delivery, trial), deliver, watch, bell)
    observe_payments(metrics, checkout, settlement, delivery)
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
        ready=seen.readiness,
        redelivery=redelivery,
        trial=trial,
        bell=bell,
        metrics=metrics,
        callers=Callers(settings.quotas, now, Proxies(settings.trusted_proxies, settings.forwarded_header)),
        hsts=settings.hsts,
        api_docs=settings.api_docs,
        spans=seen.spans(store),
    )
    recovery = Recovery(store, checkout, now)
    people, last_used = Operators(store, ids, now, settings.admin_tokens()), LastUsed(store.note_uses, now)
    directory.on_use, people.on_use = last_used.token_used, last_used.operator_used
    stack.push_async_callback(last_used.end)
    operators = AdminServices(
        services.setup,
        Reviews(store, settlement, ids, now),
        recovery,
        Doctor(store, directory, gateway, trial, HttpProber(), ids, now, _surroundings(settings, vault, public_url)),
        store,
        services.tasks,
        metrics,
        outside.random_bytes,
        people,
        services.callers,
        services.spans,
        storage.backups,
    )
    console = console_of(settings, services, operators, gate)
    stack.push_async_callback(console.day.stop)
    audit = observe_store(metrics, store, now, stack)
    drain = Drain(settings.drain_seconds, asyncio.get_running_loop().time)
    dargah = Dargah(url, admin_url, services, watcher, delivery, drain)
    observe_work(metrics, gate, dict(zip(KINDS, _works(dargah), strict=True)))
    recheck = Repeater("recheck", Rechecker(store, recovery, now).step, now)
    kinds = {Role.WATCH: (watch, audit, recheck), Role.DELIVER: (deliver, forget)}
    loops = [loop for role in settings.roles for loop in kinds.get(role, ())]
    return dargah, operators, console, [*loops, Repeater("last_used", last_used.step, now)]


def _deliver_at_once(settings: Settings, settlement: Settlement, delivery: Delivery, deliver: Repeater) -> None:
    """What the settlement claims with its events is sent without a look of the loop, which sees to what waits."""

    def begun(what: Begun) -> None:
        delivery.begin(what.claims)
        if what.waiting:
            deliver.wake()

    settlement.on_begun = begun
    if Role.DELIVER in settings.roles:
        settlement.offer = delivery.offer


def _works(dargah: Dargah) -> tuple[Tasks, ...]:
    """What runs by itself, in the order of KINDS."""
    return dargah.services.tasks, dargah.watcher.tasks, dargah.delivery.tasks, dargah.services.trial.tasks


def _surroundings(settings: Settings, vault: Vault, public_url: str) -> Surroundings:
    return Surroundings(
        public_url, settings.development, settings.database, settings.admin_listen.loopback, vault.kek_id
    )


def _own_tls(settings: Settings) -> dict[str, ssl.SSLContext]:
    """The contexts of gateways with an authority of their own. Raises SettingsError."""
    contexts = {}
    for authority in settings.gateway_ca_files:
        try:
            contexts[authority.host] = tls_context(authority.file)
        except OSError as error:  # TLS errors are of this class too
            raise SettingsError(f"DARGAH_GATEWAY_CA_FILES: {authority}: {error}") from None
    return contexts


def _retention(settings: Settings, store: Store, now: Now) -> Retention:
    return Retention(
        store, now, events_keep_days=settings.events_keep_days, attempts_keep_days=settings.attempts_keep_days
    )
