"""An event on its way to one endpoint: the delivery, the claim that one process holds of it, and its attempts."""

from collections.abc import Sequence

from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import StoredEvent
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, DeliveryStatus, RetryDecision, RetrySchedule


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery. `outcome` is delivered, failed or unknown (its lease was lost)."""

    number: int
    started_at: int
    duration_ms: int | None
    outcome: str
    status: int | None
    error: str | None
    excerpt: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one endpoint. `due_at` is None when nothing more is planned; `storefront` and `mode` are
    the event's.
    """

    id: str
    merchant_id: str
    endpoint_id: str
    event_id: str
    payment_id: str | None
    status: DeliveryStatus
    attempts: int
    due_at: int | None
    created_at: int
    delivered_at: int | None
    storefront: str | None
    mode: Mode


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """A filter of an endpoint's deliveries, newest event first; `after` is the last id of the page before."""

    status: DeliveryStatus | None = None
    after: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Lease:
    """The terms of a claim: its end, and the token that fences the writes of its holder."""

    until: int
    token: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that belongs to this process until the lease ends.

    `attempt` counts this one, from 1; `scheduled_attempt` counts from where the schedule began, the last time. `asked`
    is one that a person sends again at an endpoint that is held back.
    """

    merchant_id: str
    delivery_id: str
    endpoint: Endpoint
    event: StoredEvent
    attempt: int
    scheduled_attempt: int
    claimed_at: int
    token: str
    asked: bool = False


@dataclass(frozen=True, slots=True)
class EventClaims:
    """The deliveries of a change's events that are claimed with it, and whether others wait."""

    claims: Sequence[Claim]
    waiting: bool


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """An attempt that ended at `at`. `schedule` and `jitter`, which is in [-1, 1], give the time of the next one."""

    claim: Claim
    attempt: Attempt
    retry_after_seconds: int | None
    at: int
    jitter: float
    schedule: RetrySchedule = DEFAULT_SCHEDULE


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """A recorded attempt's decision, and the endpoint's next delivery if it was claimed with it."""

    decision: RetryDecision
    following: Claim | None
