"""The services that the pages use."""

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.api.services import AdminServices, Services
from proxy.config.settings import Settings
from proxy.config.shown import SettingLine, setting_lines
from proxy.console.daily_totals import DailyTotals
from proxy.console.jobs import Jobs
from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter
from proxy.kernel.background import Tasks
from proxy.kernel.clock import Now
from proxy.kernel.ids import Ids
from proxy.merchants.cache import MerchantCache
from proxy.merchants.setup import HttpPolicy, MerchantSetup
from proxy.operations.doctor.doctor import Doctor
from proxy.operations.test_events import EventTester
from proxy.operators.operators import Operators
from proxy.operators.sessions import Sessions
from proxy.payments.checkout import Checkout
from proxy.payments.creation import PaymentCreation
from proxy.payments.settlement import Reviews
from proxy.stores.store import Store
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.redelivery import Redelivery


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """`public_url` is the base of pay links and of the portal; `default_expires_in` is milliseconds."""

    store: Store
    setup: MerchantSetup
    endpoints: EndpointSetup
    merchant_cache: MerchantCache
    creation: PaymentCreation
    checkout: Checkout
    reviews: Reviews
    redelivery: Redelivery
    event_tester: EventTester
    doctor: Doctor
    operators: Operators
    sessions: Sessions
    limiter: ConcurrencyLimiter
    breaker: CircuitBreaker
    daily_totals: DailyTotals
    jobs: Jobs
    tasks: Tasks
    ids: Ids
    now: Now
    public_url: str
    default_expires_in: int
    http: HttpPolicy
    settings: Sequence[SettingLine]


def console_of(
    settings: Settings,
    services: Services,
    operators: AdminServices,
    limiter: ConcurrencyLimiter,
    breaker: CircuitBreaker,
) -> ConsoleServices:
    """The services of the console and the portal. Stop their `daily_totals` before the store is closed."""
    ids = Ids(services.random_bytes)
    return ConsoleServices(
        store=services.store,
        setup=services.setup,
        endpoints=services.endpoints,
        merchant_cache=services.merchant_cache,
        creation=services.creation,
        checkout=services.checkout,
        reviews=operators.reviews,
        redelivery=services.redelivery,
        event_tester=services.event_tester,
        doctor=operators.doctor,
        operators=operators.operators,
        sessions=Sessions(services.store.operators, ids, services.now),
        limiter=limiter,
        breaker=breaker,
        daily_totals=DailyTotals(services.store, services.now),
        jobs=Jobs(services.tasks, services.random_bytes),
        tasks=services.tasks,
        ids=ids,
        now=services.now,
        public_url=services.public_url().rstrip("/"),
        default_expires_in=services.default_expires_in,
        http=settings.http_policy,
        settings=tuple(setting_lines(settings)),
    )
