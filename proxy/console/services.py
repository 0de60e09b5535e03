"""The services that the pages use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.api.services import AdminServices, Services
from proxy.config.settings import Settings
from proxy.config.shown import SettingLine, setting_lines
from proxy.console.daily_totals import DailyTotals
from proxy.console.jobs import Jobs
from proxy.console.merchant_totals import MerchantTotals
from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter
from proxy.kernel.background import Tasks
from proxy.kernel.clock import Now
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import Ids
from proxy.merchants.cache import MerchantCache
from proxy.merchants.setup import HttpPolicy, MerchantSetup
from proxy.operations.alerts.alerter import Alerter
from proxy.operations.doctor.doctor import Doctor
from proxy.operations.test_events import EventTester
from proxy.operations.troubles import Troubles
from proxy.operations.troubles.of_merchant import MerchantTroubles
from proxy.operators.operators import Operators
from proxy.operators.saved_filters import SavedFilters
from proxy.operators.second_factor import SecondFactors
from proxy.operators.sessions import Sessions
from proxy.payments.checkout import Checkout
from proxy.payments.creation import PaymentCreation
from proxy.payments.long_reads import LongReads
from proxy.payments.settlement import Reviews
from proxy.stores.store import Store
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.redelivery import Redelivery
from proxy.webhooks.resends import Resends

if TYPE_CHECKING:
    from proxy.operators.oidc.sign_in import SignIn


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """`settings_tokens` is whether the tokens of the settings open the console, and `second_factor_required` whether
    operators' tokens open it only with a second factor. `sign_in` is by the provider of the settings, where they name
    one. `public_url` is the base of pay links and of the portal; `default_expires_in` is milliseconds.
    """

    store: Store
    setup: MerchantSetup
    endpoints: EndpointSetup
    merchant_cache: MerchantCache
    creation: PaymentCreation
    checkout: Checkout
    reviews: Reviews
    redelivery: Redelivery
    resends: Resends
    event_tester: EventTester
    doctor: Doctor
    operators: Operators
    sessions: Sessions
    second_factors: SecondFactors
    second_factor_required: bool
    settings_tokens: bool
    saved_filters: SavedFilters
    limiter: ConcurrencyLimiter
    breaker: CircuitBreaker
    daily_totals: DailyTotals
    merchant_totals: MerchantTotals
    troubles: Troubles
    merchant_troubles: MerchantTroubles
    jobs: Jobs
    tasks: Tasks
    ids: Ids
    now: Now
    public_url: str
    default_expires_in: int
    http: HttpPolicy
    sign_in: "SignIn | None"
    console_url: str | None
    settings: Sequence[SettingLine]
    alerter: Alerter
    long_reads: LongReads

    async def stop(self) -> None:
        """Ends the readings of totals that are under way."""
        await self.daily_totals.stop()
        await self.merchant_totals.stop()


def console_of(
    settings: Settings,
    services: Services,
    operators: AdminServices,
    limiter: ConcurrencyLimiter,
    breaker: CircuitBreaker,
    troubles: Troubles,
    alerter: Alerter,
    sign_in: "SignIn | None",
) -> ConsoleServices:
    """The services of the console and the portal. Stop them before the store is closed."""
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
        resends=services.resends,
        event_tester=services.event_tester,
        doctor=operators.doctor,
        operators=operators.operators,
        sessions=Sessions(services.store.operators, ids, services.now),
        second_factors=operators.second_factors,
        second_factor_required=settings.second_factor == "required",
        settings_tokens=settings.console_settings_tokens,
        saved_filters=SavedFilters(services.store.saved_filters, ids, services.now),
        limiter=limiter,
        breaker=breaker,
        daily_totals=DailyTotals(services.store, services.now),
        merchant_totals=MerchantTotals(services.store, services.now),
        troubles=troubles,
        merchant_troubles=MerchantTroubles(services.store.troubles, breaker, services.merchant_cache, services.now),
        jobs=Jobs(services.tasks, services.random_bytes),
        tasks=services.tasks,
        ids=ids,
        now=services.now,
        public_url=services.public_url().rstrip("/"),
        default_expires_in=services.default_expires_in,
        http=settings.http_policy,
        sign_in=sign_in,
        console_url=settings.console_url,
        settings=tuple(setting_lines(settings)),
        alerter=alerter,
        long_reads=operators.long_reads,
    )
