"""The store: the repository of every concept, on the lanes of one database."""

from collections.abc import Awaitable, Callable

from proxy.audit.log import AuditRepository
from proxy.database.repository import Heartbeat, Lanes
from proxy.kernel.clock import Now
from proxy.merchants.storage.repository import MerchantRepository
from proxy.observability.statistics import StatisticsRepository
from proxy.operations.alerts.storage import AlertRepository
from proxy.operations.clock_watch import DueTimeRepository
from proxy.operations.restores import RecoveryRepository
from proxy.operations.troubles.stored import TroubleRepository
from proxy.operators.repository import OperatorRepository
from proxy.operators.saved_filters import SavedFilterRepository
from proxy.operators.second_factor_storage import SecondFactorRepository
from proxy.payments.storage.repository import PaymentRepository
from proxy.webhooks.retention import RetentionRepository
from proxy.webhooks.storage.repository import WebhookRepository
from proxy.webhooks.storage.resends import ResendRepository


class Store:
    """Every method of a repository is one whole step in one transaction, durable when it returns. None is open across
    HTTP. `close` finishes the steps that wait; no step is taken after it.
    """

    def __init__(
        self,
        lanes: Lanes,
        now: Now,
        close: Callable[[], Awaitable[None]],
        retention: type[RetentionRepository] = RetentionRepository,
    ) -> None:
        self.now = now
        self.close = close
        self.heartbeat = Heartbeat(lanes, now)
        self.audit = AuditRepository(lanes, now)
        self.merchants = MerchantRepository(lanes, now)
        self.webhooks = WebhookRepository(lanes, now)
        self.resends = ResendRepository(lanes, now)
        self.retention = retention(lanes, now)
        self.payments = PaymentRepository(lanes, now)
        self.operators = OperatorRepository(lanes, now)
        self.second_factors = SecondFactorRepository(lanes, now)
        self.saved_filters = SavedFilterRepository(lanes, now)
        self.statistics = StatisticsRepository(lanes, now)
        self.recovery = RecoveryRepository(lanes, now)
        self.due_times = DueTimeRepository(lanes, now)
        self.troubles = TroubleRepository(lanes, now)
        self.alerts = AlertRepository(lanes, now)
