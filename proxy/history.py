"""The whole story of one payment in one list: gateway calls, returns, events, and what became of each webhook."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.clock import rfc3339
from proxy.delivery_ports import Deliveries
from proxy.payment import Payment
from proxy.ports import Payments
from proxy.records import Attempt, Delivery, Entry, EventFilter, StoredEvent

MAX_ENTRIES: Final = 1000


class Stories(Payments, Deliveries, Protocol):
    """What a history is read from."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery with its attempts."""

    delivery: Delivery
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Told:
    """An event with its deliveries."""

    event: StoredEvent
    sent: Sequence[Sent]


@dataclass(frozen=True, slots=True)
class History:
    """Oldest first. `truncated` when there was more than MAX_ENTRIES: then the oldest are left out."""

    entries: Sequence[Entry]
    truncated: bool


async def read_history(store: Stories, payment: Payment) -> History:
    """The payment's history as it is stored now."""
    calls = await store.timeline(payment.merchant_id, payment.id, MAX_ENTRIES + 1)
    wanted = EventFilter(payment_id=payment.id, limit=MAX_ENTRIES + 1)
    told: list[Told] = []
    count = len(calls)
    # The newest first: what would be cut off in any case is not read.
    for event in reversed(await store.list_events(payment.merchant_id, wanted)):
        told.append(Told(event, await _sent(store, event) if count <= MAX_ENTRIES else ()))
        count += 1 + sum(1 + len(each.attempts) for each in told[-1].sent)
    return merged(calls, told[::-1])


def merged(calls: Sequence[Entry], told: Sequence[Told]) -> History:
    """One list by time; of what happened in one millisecond, the call stands before what came of it."""
    entries = [*calls, *_entries(told)]
    entries.sort(key=lambda entry: (entry.at, _RANK.get(entry.kind, 0)))
    return History(entries[-MAX_ENTRIES:], len(entries) > MAX_ENTRIES)


_RANK: Final = {"event": 1, "delivery": 2, "attempt": 3}


async def _sent(store: Stories, event: StoredEvent) -> list[Sent]:
    deliveries = await store.list_deliveries(event.merchant_id, event.id)
    attempts = await asyncio.gather(*(store.list_attempts(each.merchant_id, each.id) for each in deliveries))
    return [Sent(delivery, made) for delivery, made in zip(deliveries, attempts, strict=True)]


def _entries(told: Sequence[Told]) -> Iterator[Entry]:
    for each in told:
        event = each.event
        yield Entry(event.occurred_at, "event", None, {"id": event.id, "type": event.type, "sequence": event.sequence})
        for sent in each.sent:
            yield _delivery(sent.delivery)
            yield from (_attempt(sent.delivery, attempt) for attempt in sent.attempts)


def _delivery(delivery: Delivery) -> Entry:
    """A delivery as it stands now, at the time when it was made."""
    data = {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "endpoint_id": delivery.endpoint_id,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "due_at": None if delivery.due_at is None else rfc3339(delivery.due_at),
        "delivered_at": None if delivery.delivered_at is None else rfc3339(delivery.delivered_at),
    }
    return Entry(delivery.created_at, "delivery", None, data)


def _attempt(delivery: Delivery, attempt: Attempt) -> Entry:
    """A try of a webhook. What the receiver answered with is left out: it is anybody's text."""
    data = {
        "delivery_id": delivery.id,
        "event_id": delivery.event_id,
        "endpoint_id": delivery.endpoint_id,
        "number": attempt.number,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "error": attempt.error,
    }
    return Entry(attempt.started_at, "attempt", attempt.duration_ms, data)
