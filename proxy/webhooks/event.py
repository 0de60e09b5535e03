"""Events: the one list of their types, and an event with its body."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

import orjson

from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.merchants.merchant import Mode

MAX_BODY_BYTES: Final = 20_000


class EventType(StrEnum):
    PAID = "payment.paid"
    FAILED = "payment.failed"
    CANCELED = "payment.canceled"
    EXPIRED = "payment.expired"
    GIVEN_BACK = "payment.given_back"
    NEEDS_REVIEW = "payment.needs_review"
    REVIEW_RESOLVED = "payment.review_resolved"
    PING = "ping"
    ENDPOINT_DISABLED = "endpoint.disabled"


EVENT_TYPES: Final = frozenset(kind.value for kind in EventType)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `data` is the payload but for the sequence, which the store gives at the commit.

    `mode` is the payment's, or that of the endpoint or token that it is about.
    """

    id: str
    merchant_id: str
    storefront: str | None
    mode: Mode
    type: str
    payment_id: str | None
    occurred_at: int
    data: Mapping[str, Any]

    def body(self, sequence: int) -> bytes:
        """The bytes that are frozen, signed and sent: `{"type", "timestamp", "data"}`, under 20 kB."""
        message = {
            "type": self.type,
            "timestamp": rfc3339(self.occurred_at),
            "data": {**self.data, "sequence": sequence},
        }
        return orjson.dumps(message)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with the per-merchant sequence and the frozen body. Its `traceparent` is read for sending it only.

    `mode` is as stored: None only of an event from before endpoints had one, which was of no payment.
    """

    id: str
    merchant_id: str
    sequence: int
    storefront: str | None
    mode: str | None
    type: str
    payment_id: str | None
    occurred_at: int
    body: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A filter of events, in sequence order, after the given sequence. Events without a mode count as live."""

    storefront: str | None = None
    type: str | None = None
    payment_id: str | None = None
    after: int = 0
    limit: int = 20
    mode: Mode | None = None

    def accepts(self, event: StoredEvent) -> bool:
        """Whether the filter accepts the event, at any place of the list."""
        return (
            self.storefront in {None, event.storefront}
            and self.mode in {None, event.mode or Mode.LIVE}
            and self.type in {None, event.type}
            and self.payment_id in {None, event.payment_id}
        )


@dataclass(frozen=True, slots=True)
class EventSpan:
    """Events to replay: from `since` to `until` (milliseconds), of these types, or of all if there are none."""

    since: int
    until: int
    types: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, and the sequence up to which was looked; None when there is nothing behind it."""

    events: Sequence[StoredEvent]
    reached: int | None
