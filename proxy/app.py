"""The composition root: everything is wired here, started in one order and stopped in the other.

Start: database, keys, clients, use-cases, listeners, loops. Stop: readiness off, loops claim no more, listeners finish
their handlers, background work ends, clients close, the database last.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from proxy import __version__
from proxy.api.admin.app import create_admin_app
from proxy.api.health import create_worker_app
from proxy.api.public import create_public_app
from proxy.api.services import (
    AdminServices,
    Services,
    open_channels,
    wire_admin_services,
    wire_alerter,
    wire_services,
)
from proxy.config.open_files import fitted
from proxy.config.outbound_clients import egress_of, gateway_client, sign_in_by, webhook_sender
from proxy.config.settings import Settings
from proxy.config.values import ProcessRole
from proxy.console.routes import pages_of
from proxy.console.services import ConsoleServices, console_of
from proxy.console.viewer import Side
from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter, ConcurrencyLimits
from proxy.gateways.port import Gateway
from proxy.http.listeners import Limits, listen, open_sockets, url_of
from proxy.http.outbound.egress_proxy import Egress
from proxy.http.server import GracefulShutdown
from proxy.http.trusted_proxies import TrustedProxies
from proxy.kernel.background import Repeater, Tasks
from proxy.kernel.frozen import dataclass
from proxy.merchants.cache import GuardedGateway, MerchantCache
from proxy.observability.metrics.observed import (
    KINDS,
    Auditor,
    observe_clocks,
    observe_process,
    observe_store,
    observe_work,
)
from proxy.operations.alerts.alerter import Alerter
from proxy.operations.alerts.setup import ChannelTroubles
from proxy.operations.clock_watch import ClockWatch
from proxy.operations.recovery import Rechecker
from proxy.operations.test_events import EventTester
from proxy.operations.troubles import Troubles
from proxy.operations.troubles.process import ProcessTroubles, Seen, open_files
from proxy.operators.operators import TokenUsage
from proxy.payments.creation import PaymentCreation
from proxy.payments.poller import Poller
from proxy.payments.settlement import Settlement
from proxy.reference import page as reference
from proxy.stores.runtime import Outside, Runtime, open_runtime
from proxy.stores.storage import Notifier, Storage
from proxy.webhooks.delivery import EventClaims
from proxy.webhooks.endpoint import EndpointSecrets
from proxy.webhooks.request import Sender
from proxy.webhooks.retention import Retention
from proxy.webhooks.worker import DeliveryWorker

if TYPE_CHECKING:
    from proxy.operators.oidc.sign_in import SignIn

__all__ = ["Dargah", "Outside", "running"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Dargah:
    """A running proxy: its URLs, and its parts for tests and tools."""

    url: str
    admin_url: str
    services: Services
    poller: Poller
    delivery: DeliveryWorker
    drain: GracefulShutdown


Loop = tuple[Repeater, Callable[[], Awaitable[int | None]]]


@dataclass(frozen=True, slots=True)
class Wiring:
    """All parts, before anything of them runs."""

    services: Services
    admin: AdminServices
    console: ConsoleServices
    poller: Poller
    delivery: DeliveryWorker
    clock_watch: ClockWatch | None
    loops: Sequence[Loop]

    @property
    def tasks(self) -> tuple[Tasks, ...]:
        """The background work, in the order of KINDS."""
        return self.services.tasks, self.poller.tasks, self.delivery.tasks, self.services.event_tester.tasks


@asynccontextmanager
async def running(settings: Settings, outside: Outside | None = None) -> AsyncIterator[Dargah]:
    """A whole Dargah, listening, for as long as the context lasts; drained at its end.

    Raises StartRefused (of the settings, the store, a port) or VaultError when it cannot start.
    """
    settings.check_serving()
    settings, outside = fitted(settings), outside or Outside()
    drain = GracefulShutdown(settings.drain_seconds, asyncio.get_running_loop().time)
    async with AsyncExitStack() as stack:
        stack.callback(_log_stopped, drain)
        # The sockets first: a taken port is told before anything is touched, and a free one's number is known.
        public = settings.listen if ProcessRole.API in settings.roles else None
        sockets = outside.sockets or open_sockets(settings.admin_listen, public, stack)
        # Without a public socket, others of its kind listen at the address.
        url = url_of(sockets.public) if sockets.public else settings.listen.url
        runtime = await open_runtime(settings, outside, (settings.public_url or url).rstrip("/"), stack)
        parts, metrics = _wire(runtime), runtime.instrumentation.metrics
        stack.push_async_callback(parts.delivery.give_back)
        stack.push_async_callback(drain.wait_for, parts.tasks)
        limits = _limits(settings, parts.services.callers.proxies)
        outside.before_listening()
        listeners = await listen(*_apps(parts, settings), sockets, limits, drain, stack)
        observe_process(metrics, listeners, outside.dropped_lines)
        stack.push_async_callback(drain.linger)
        if parts.clock_watch is not None:
            await parts.clock_watch.begin()
        for loop, step in parts.loops:
            loop.start(step)
            stack.push_async_callback(loop.stop)
        stack.callback(setattr, runtime.instrumentation.readiness, "draining", True)
        stack.callback(parts.services.long_polls.close)
        stack.callback(parts.delivery.stop)
        stack.callback(_begin_stop, drain, parts)
        log.info("started", version=__version__, url=url, roles=",".join(settings.roles), **runtime.storage.about)
        yield Dargah(url, url_of(sockets.admin), parts.services, parts.poller, parts.delivery, drain)


def _begin_stop(drain: GracefulShutdown, parts: Wiring) -> None:
    drain.begin()
    log.info("stopping", reason=drain.reason, running=sum(len(tasks) for tasks in parts.tasks))


def _log_stopped(drain: GracefulShutdown) -> None:
    """The last line of a process that had started: what it drained, and what its leases recover."""
    if drain.begun:
        log.info("stopped", reason=drain.reason, seconds=round(drain.spent, 1), unfinished=drain.unfinished)


def _apps(parts: Wiring, settings: Settings) -> tuple[web.Application, web.Application]:
    """The operator's and the public one."""
    console, portal = (
        pages_of(parts.console, side, callers)
        for side, callers in ((Side.CONSOLE, parts.admin.callers), (Side.PORTAL, parts.services.callers))
    )
    public = create_public_app(parts.services, reference.ROUTES, portal)
    if ProcessRole.API not in settings.roles:
        return create_worker_app(parts.services, parts.admin.callers), public
    return create_admin_app(parts.admin, console), public


def _wire(runtime: Runtime) -> Wiring:
    settings, storage, store, now = runtime.settings, runtime.storage, runtime.storage.store, runtime.storage.now
    metrics = runtime.instrumentation.metrics
    watch, deliver, resend = (runtime.loop(name, storage.rhythm) for name in ("watch", "deliver", "resend"))
    notifier = Notifier(storage, watch, deliver)
    egress = egress_of(settings)
    gateway, sender = _gateway(runtime, egress), _sender(runtime, egress)
    token_usage = TokenUsage(store.operators.note_token_uses, now)
    merchant_cache = MerchantCache(store.merchants, runtime.vault, now, token_usage.token_used)
    secrets = EndpointSecrets(store.merchants, runtime.vault, now)
    breaker, limiter = CircuitBreaker(storage.steady), ConcurrencyLimiter(_concurrency_limits(settings))
    delivery = _delivery(runtime, secrets, sender, notifier, deliver)
    settlement = _settlement(runtime, delivery, notifier, deliver)
    guarded = GuardedGateway(gateway, merchant_cache, limiter, breaker)
    creation = _creation(runtime, guarded, settlement)
    checkout = runtime.instrumentation.checkout(store.payments, guarded, settlement, now)
    poller = Poller(
        *(store.payments, checkout, settlement, limiter, breaker, now), skipped=storage.skipped, on_room=watch.wake
    )
    event_tester = EventTester(
        store.webhooks, secrets, sender, runtime.ids, now, storage.signing_time, notifier.event_waits
    )
    services = wire_services(
        *(runtime, merchant_cache, secrets, creation, checkout, event_tester, notifier.long_polls),
        deliver=deliver,
        resend=resend,
    )
    clock_watch = _clock_watch(runtime, notifier)
    channels = open_channels(runtime, egress)
    troubles = _troubles(
        runtime, merchant_cache, breaker, limiter, clock_watch, ChannelTroubles(store.alerts, channels)
    )
    alerter, sign_in = wire_alerter(runtime, troubles, channels), _sign_in(runtime, egress)
    admin = wire_admin_services(runtime, services, settlement, gateway, egress, token_usage, alerter, sign_in)
    runtime.stack.push_async_callback(token_usage.end)
    console = console_of(settings, services, admin, limiter, breaker, troubles, alerter, sign_in)
    runtime.stack.push_async_callback(console.stop)
    observe_store(metrics, store.statistics, now, runtime.stack)
    work = (watch, poller.step), (deliver, delivery.step), (resend, services.resends.step)
    loops = _loops(runtime, work, admin, alerter, token_usage, clock_watch)
    parts = Wiring(services, admin, console, poller, delivery, clock_watch, loops)
    observe_work(metrics, limiter, breaker, dict(zip(KINDS, parts.tasks, strict=True)))
    return parts


def _loops(
    runtime: Runtime,
    work: Sequence[Loop],
    admin: AdminServices,
    alerter: Alerter,
    token_usage: TokenUsage,
    clock_watch: ClockWatch | None,
) -> list[Loop]:
    """Those of this process's roles; `work` are the watch's, the deliveries' and the resends', which others wake."""
    settings, storage = runtime.settings, runtime.storage
    store, metrics = storage.store, runtime.instrumentation.metrics
    watch, deliver, resend = work
    loops: dict[ProcessRole | None, list[Loop]] = {
        ProcessRole.WATCH: [
            watch,
            (runtime.loop("audit"), Auditor(store.statistics, metrics, storage.now).step),
            (runtime.loop("recheck"), Rechecker(store.recovery, admin.recovery.step, storage.now).step),
            (runtime.loop("alerts"), alerter.step),
        ],
        ProcessRole.DELIVER: [deliver, resend, (runtime.loop("forget"), _retention(settings, storage).step)],
        None: [(runtime.loop("last_used"), token_usage.step)],
    }
    if clock_watch is not None:
        loops[None].append((runtime.loop("clock"), clock_watch.step))
    return [loop for role in (*settings.roles, None) for loop in loops.get(role, ())]


def _gateway(runtime: Runtime, egress: Egress | None) -> Gateway:
    client = gateway_client(runtime.settings, egress, runtime.storage.now)
    runtime.stack.push_async_callback(client.close)
    return runtime.instrumentation.gateway(client)


def _sender(runtime: Runtime, egress: Egress | None) -> Sender:
    client = webhook_sender(runtime.settings, egress, runtime.storage.now)
    runtime.stack.push_async_callback(client.close)
    return runtime.instrumentation.sender(client)


def _sign_in(runtime: Runtime, egress: Egress | None) -> "SignIn | None":
    made = sign_in_by(runtime.settings, egress, runtime.ids, runtime.storage.now)
    if made is not None:
        runtime.stack.push_async_callback(made.close)
    return made


def _delivery(
    runtime: Runtime, secrets: EndpointSecrets, sender: Sender, notifier: Notifier, deliver: Repeater
) -> DeliveryWorker:
    return DeliveryWorker(
        runtime.storage.store.webhooks,
        secrets,
        sender,
        runtime.ids,
        runtime.storage.now,
        runtime.outside.jitter,
        schedule=runtime.settings.webhook_retry_schedule,
        max_in_flight=runtime.settings.webhook_in_flight,
        signing_time=runtime.storage.signing_time,
        on_event=notifier.event_waits,
        on_attempt=runtime.instrumentation.metrics.attempted,
        on_room=deliver.wake,
    )


def _creation(runtime: Runtime, gateway: GuardedGateway, settlement: Settlement) -> PaymentCreation:
    return PaymentCreation(
        runtime.storage.store.payments,
        gateway,
        settlement,
        ids=runtime.ids,
        now=runtime.storage.now,
        jitter=runtime.outside.jitter,
        public_url=runtime.public_url,
        on_created=runtime.instrumentation.metrics.created,
    )


def _settlement(runtime: Runtime, delivery: DeliveryWorker, notifier: Notifier, deliver: Repeater) -> Settlement:
    def start_claimed(stored: EventClaims) -> None:
        """Sends the deliveries claimed with their events at once, without a round of the loop; the loop takes the
        waiting ones.
        """
        delivery.begin(stored.claims)
        if stored.waiting:
            deliver.wake()

    return Settlement(
        runtime.storage.store.payments,
        runtime.ids,
        runtime.storage.now,
        runtime.outside.jitter,
        on_event=notifier.event_stored,
        on_check_due=notifier.check_due,
        on_change=runtime.instrumentation.metrics.changed,
        offer=delivery.offer if ProcessRole.DELIVER in runtime.settings.roles else lambda _merchant_id: None,
        on_claimed=start_claimed,
    )


def _clock_watch(runtime: Runtime, notifier: Notifier) -> ClockWatch | None:
    """The watch of the clocks; None where a test gives the time."""
    storage = runtime.storage
    if storage.clock is None:
        return None
    watch = ClockWatch(
        storage.store.heartbeat,
        storage.store.due_times,
        storage.clock,
        storage.look_at_clock,
        on_pulled_in=notifier.due_times_moved,
        schedule=runtime.settings.webhook_retry_schedule,
    )
    observe_clocks(runtime.instrumentation.metrics, watch)
    return watch


def _troubles(
    runtime: Runtime,
    merchant_cache: MerchantCache,
    breaker: CircuitBreaker,
    limiter: ConcurrencyLimiter,
    clock_watch: ClockWatch | None,
    channels: ChannelTroubles,
) -> Troubles:
    """What is wrong now, by the database and by what this process sees."""
    storage, instruments = runtime.storage, runtime.instrumentation
    store, now, database = storage.store, storage.now, runtime.settings.database
    seen = Seen(
        ready=instruments.readiness,
        commit_seconds=lambda: instruments.readiness.commit_seconds,
        broken=lambda: instruments.metrics.broken,
        operators=store.operators.list_operators,
        heartbeat=store.heartbeat,
        merchants=store.merchants,
        merchant_cache=merchant_cache,
        vault=runtime.vault,
        breaker=breaker,
        waiting_calls=lambda: limiter.load().waiting,
        open_files=open_files,
        noticed=instruments.metrics.noticed,
        clock_watch=clock_watch,
        backups=storage.backups,
        database=database if isinstance(database, Path) else None,
    )
    sources = (lambda: store.troubles.troubles(now()), ProcessTroubles(seen, now).troubles, channels.troubles)
    troubles = Troubles(sources, now)
    runtime.stack.push_async_callback(troubles.stop)
    return troubles


def _concurrency_limits(settings: Settings) -> ConcurrencyLimits:
    return ConcurrencyLimits(settings.gateway_calls_per_terminal, settings.gateway_calls_total, settings.waiting_limit)


def _limits(settings: Settings, proxies: TrustedProxies) -> Limits:
    return Limits(
        settings.max_connections,
        settings.max_address_connections,
        proxies.trusts,
        settings.head_timeout_seconds,
        settings.idle_timeout_seconds,
    )


def _retention(settings: Settings, storage: Storage) -> Retention:
    return Retention(
        storage.store.retention,
        storage.now,
        storage.settled,
        events_keep_days=settings.events_keep_days,
        attempts_keep_days=settings.attempts_keep_days,
    )
