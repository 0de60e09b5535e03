"""What the store is asked about deliveries beside sending them: lists, sending again, figures, and forgetting."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.records import StoredEvent
from proxy.verdict import Health
from proxy.webhook import DeliveryStatus


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of an endpoint to list, newest event first; `after` is the last id of the page before."""

    status: DeliveryStatus | None = None
    after: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Requeued:
    """One batch of sending again: how many became due, and the id after which to go on (None: that was all)."""

    count: int
    reached: str | None


@dataclass(frozen=True, slots=True)
class EventSpan:
    """Which events to replay: from `since` to `until` (milliseconds), of these types, or of all when there are none."""

    since: int
    until: int
    types: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, and the sequence up to which was looked; None when there is nothing behind it."""

    events: Sequence[StoredEvent]
    reached: int | None


@dataclass(frozen=True, slots=True)
class RecentAttempt:
    outcome: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """How an endpoint is doing. `attempts` are the newest finished ones; `backlog` counts up to a limit.

    `health` is None while the endpoint is not served (paused or disabled).
    """

    attempts: Sequence[RecentAttempt]
    backlog: int
    oldest_undelivered_at: int | None
    in_flight: int
    health: Health | None


@dataclass(frozen=True, slots=True)
class Swept:
    """One batch of a walk that deletes: how many went, and where it goes on (None: the walk is over)."""

    removed: int
    reached: str | None
