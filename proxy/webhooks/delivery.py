"""An event on its way to one endpoint, and its attempts."""

from dataclasses import dataclass
from enum import StrEnum

from proxy.merchants.merchant import Mode


class DeliveryStatus(StrEnum):
    """`failed` means that the schedule is used up; nothing else ends an undelivered one but the endpoint's deletion."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


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
