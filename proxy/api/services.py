"""The services that the handlers of the two APIs use."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.api.middleware import RequestSpans
from proxy.api.rate_limiting import RateLimiting, unlimited
from proxy.config.outbound_clients import alert_sender
from proxy.config.settings import Settings
from proxy.gateways.port import Gateway
from proxy.http.listeners import Address
from proxy.http.outbound.egress_proxy import Egress
from proxy.http.trusted_proxies import AllowedHosts, TrustedProxies
from proxy.kernel.background import Repeater, Tasks
from proxy.kernel.clock import MINUTE, Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import SECRET_CHARS, RandomBytes
from proxy.kernel.urls import host_of
from proxy.merchants.cache import MerchantCache
from proxy.merchants.setup import MerchantSetup
from proxy.observability.metrics import Metrics
from proxy.operations.alerts.alerter import Alerter, Clocks
from proxy.operations.alerts.channels import Channel
from proxy.operations.alerts.setup import channels_of, manner_of
from proxy.operations.backups import Backups
from proxy.operations.doctor.base import InspectedSettings, Prober, Repositories
from proxy.operations.doctor.doctor import Doctor
from proxy.operations.recovery import LostPayments, Recovery
from proxy.operations.test_events import EventTester
from proxy.operations.troubles import Troubles
from proxy.operators.operators import Operators, TokenUsage
from proxy.operators.second_factor import SecondFactors
from proxy.payments.checkout import Checkout
from proxy.payments.creation import PaymentCreation
from proxy.payments.long_reads import LongReads
from proxy.payments.next_step import NextSteps
from proxy.payments.settlement import Reviews, Settlement
from proxy.stores.runtime import Runtime
from proxy.stores.store import Store
from proxy.webhooks.endpoint import EndpointSecrets
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.long_poll import LongPollNotifier
from proxy.webhooks.redelivery import Redelivery
from proxy.webhooks.request import Sender
from proxy.webhooks.resends import Resends

if TYPE_CHECKING:
    from proxy.operators.oidc.sign_in import SignIn

Ready = Callable[[], Awaitable[Mapping[str, bool]]]


@dataclass(frozen=True, slots=True)
class Services:
    """For the public listener, under one key of the application.

    `public_url` gives the base of the pay links; `ready` names each check and whether it passes.

    `default_expires_in` is milliseconds. `random_bytes` makes request and span ids.
    """

    store: Store
    merchant_cache: MerchantCache
    creation: PaymentCreation
    checkout: Checkout
    next_steps: NextSteps
    setup: MerchantSetup
    endpoints: EndpointSetup
    tasks: Tasks
    now: Now
    random_bytes: RandomBytes
    public_url: Callable[[], str]
    default_expires_in: int
    ready: Ready
    redelivery: Redelivery
    resends: Resends
    event_tester: EventTester
    long_polls: LongPollNotifier
    metrics: Metrics
    lost: LostPayments
    callers: RateLimiting = field(default_factory=unlimited)
    hsts: str | None = None
    api_docs: bool = True
    spans: RequestSpans | None = None


SERVICES = web.AppKey("services", Services)


@dataclass(frozen=True, slots=True)
class AdminServices:
    """The services of the operator's API. `tasks` holds its background work."""

    setup: MerchantSetup
    endpoints: EndpointSetup
    reviews: Reviews
    recovery: Recovery
    doctor: Doctor
    resends: Resends
    store: Store
    tasks: Tasks
    metrics: Metrics
    random_bytes: RandomBytes
    operators: Operators
    second_factors: SecondFactors
    callers: RateLimiting = field(default_factory=unlimited)
    spans: RequestSpans | None = None
    backups: Backups | None = None
    alerter: Alerter | None = None
    long_reads: LongReads = field(default_factory=LongReads)


# Requests whose work goes on when their caller hangs up; over it a create is told 503.
MAX_TASKS: Final = 5000


def wire_services(
    runtime: Runtime,
    merchant_cache: MerchantCache,
    secrets: EndpointSecrets,
    creation: PaymentCreation,
    checkout: Checkout,
    event_tester: EventTester,
    long_polls: LongPollNotifier,
    *,
    deliver: Repeater,
    resend: Repeater,
) -> Services:
    settings, storage, store, now = runtime.settings, runtime.storage, runtime.storage.store, runtime.storage.now
    changes = store.merchants, store.webhooks, runtime.vault, now, runtime.outside.random_bytes
    tracer = runtime.instrumentation.tracer

    def endpoint_changed() -> None:
        secrets.forget()
        # An endpoint that came back has work that waits.
        deliver.wake()

    return Services(
        store=store,
        merchant_cache=merchant_cache,
        creation=creation,
        checkout=checkout,
        next_steps=NextSteps(store.payments, checkout, merchant_cache.return_secret, now),
        setup=MerchantSetup(
            *(store.merchants, runtime.vault, now, runtime.outside.random_bytes),
            http=settings.http_policy,
            changed=merchant_cache.forget,
        ),
        endpoints=EndpointSetup(*changes, http=settings.http_policy, changed=endpoint_changed),
        tasks=Tasks(MAX_TASKS),
        now=now,
        random_bytes=runtime.outside.random_bytes,
        public_url=lambda: runtime.public_url,
        default_expires_in=settings.payment_expiry_minutes * MINUTE,
        ready=runtime.instrumentation.readiness,
        redelivery=Redelivery(store.webhooks, now, deliver.wake),
        resends=Resends(store.resends, store.webhooks, store.merchants, runtime.ids, now, resend.wake, deliver.wake),
        event_tester=event_tester,
        long_polls=long_polls,
        metrics=runtime.instrumentation.metrics,
        lost=LostPayments(store.recovery, now),
        callers=_callers(settings, storage.steady),
        hsts=settings.hsts,
        api_docs=settings.api_docs,
        spans=None if tracer is None else RequestSpans(tracer, store.payments),
    )


def _callers(settings: Settings, steady: Now) -> RateLimiting:
    return RateLimiting(settings.quotas, steady, TrustedProxies(settings.trusted_proxies, settings.forwarded_header))


def wire_admin_services(
    runtime: Runtime,
    services: Services,
    settlement: Settlement,
    gateway: Gateway,
    egress: Egress | None,
    token_usage: TokenUsage,
    alerter: Alerter,
    sign_in: "SignIn | None" = None,
) -> AdminServices:
    settings, storage, store, now = runtime.settings, runtime.storage, runtime.storage.store, runtime.storage.now
    tokens = settings.admin_tokens()
    operators = Operators(store.operators, store.audit, runtime.ids, now, tokens, token_usage.operator_used)
    return AdminServices(
        services.setup,
        services.endpoints,
        Reviews(store.payments, settlement, runtime.ids, now),
        Recovery(store.payments, services.checkout, now),
        Doctor(
            Repositories(store.heartbeat, store.merchants, store.webhooks, store.retention, store.payments),
            services.merchant_cache,
            gateway,
            services.event_tester,
            Prober(egress=egress),
            runtime.ids,
            storage.signing_time,
            _surroundings(runtime),
            sign_in=sign_in,
        ),
        services.resends,
        store,
        services.tasks,
        services.metrics,
        runtime.outside.random_bytes,
        operators,
        _second_factors(runtime, operators),
        RateLimiting(settings.quotas, storage.steady, services.callers.proxies, AllowedHosts(admin_hosts(settings))),
        services.spans,
        storage.backups,
        alerter,
    )


def _second_factors(runtime: Runtime, operators: Operators) -> SecondFactors:
    store = runtime.storage.store
    return SecondFactors(
        store.second_factors,
        store.merchants,
        store.audit,
        runtime.vault,
        runtime.outside.random_bytes,
        runtime.storage.now,
        operators.forget,
    )


def open_channels(runtime: Runtime, egress: Egress | None) -> tuple[Channel, ...]:
    """The channels of alerts. Raises SettingsError."""

    def open_sender() -> Sender:
        sender = alert_sender(runtime.settings, egress, runtime.storage.now)
        runtime.stack.push_async_callback(sender.close)
        return sender

    return channels_of(runtime.settings, open_sender, runtime.storage.signing_time)


def wire_alerter(runtime: Runtime, troubles: Troubles, channels: Sequence[Channel]) -> Alerter:
    storage = runtime.storage
    alerter = Alerter(
        storage.store.alerts,
        troubles,
        storage.store.merchants,
        channels,
        manner_of(runtime.settings, runtime.public_url),
        Clocks(storage.now, storage.settled, storage.steady),
        runtime.ids.random(SECRET_CHARS),
    )
    runtime.stack.push_async_callback(alerter.stop)
    return alerter


def admin_hosts(settings: Settings) -> tuple[str, ...]:
    """The names that the settings give the operator's listener: where it listens may be one."""
    console = () if settings.console_url is None else (host_of(settings.console_url),)
    listen = [place.host.lower() for place in settings.admin_listen.places if isinstance(place, Address)]
    return (*settings.admin_hosts, *console, *listen)


def _surroundings(runtime: Runtime) -> InspectedSettings:
    settings = runtime.settings
    return InspectedSettings(
        runtime.public_url,
        settings.development,
        settings.database,
        settings.admin_listen.loopback,
        runtime.vault.kek_id,
        str(settings.egress_proxy or ""),
        {each.host: str(each.file) for each in settings.gateway_ca_files},
        {each.host: str(each.file) for each in settings.webhook_ca_files},
    )
