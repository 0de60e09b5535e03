"""Claims of deliveries: the lease, the claim itself, and the report of its attempt."""

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.webhooks.delivery import Attempt
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import StoredEvent
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, RetryDecision, RetrySchedule


@dataclass(frozen=True, slots=True)
class Lease:
    """The terms of a claim: its end, and the token that fences the writes of its holder."""

    until: int
    token: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that belongs to this process until the lease ends.

    `attempt` counts this one, from 1; `scheduled_attempt` counts from where the schedule began, the last time.
    """

    merchant_id: str
    delivery_id: str
    endpoint: Endpoint
    event: StoredEvent
    attempt: int
    scheduled_attempt: int
    claimed_at: int
    token: str


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
