"""Events as they are stored: numbered, frozen, and with a delivery for each endpoint that wants them."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from operator import attrgetter
from typing import Final

import orjson

from proxy.database.repository import LIST_LIMIT, Repository, bounded_page
from proxy.database.transaction import Row, Transaction
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import DELIVERY, base62, partition_of
from proxy.merchants.merchant import Mode
from proxy.webhooks.delivery import EventClaims, Lease
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import Event, EventFilter, EventPage, StoredEvent
from proxy.webhooks.storage.claims import QueuedDelivery, claim_new
from proxy.webhooks.storage.queue import QUEUE_COLUMNS
from proxy.webhooks.storage.rows import endpoint_of

WINDOW: Final = 200
"""How far one page looks for events that were, or were not, delivered."""


async def read_events(transaction: Transaction, merchant_id: str, wanted: EventFilter) -> EventPage:
    """The step behind Store.list_events."""

    async def read(after: int, count: int) -> list[StoredEvent]:
        rows = await _event_rows(transaction, merchant_id, wanted, after, count)
        return [StoredEvent(*row) for row in rows]

    return EventPage(*await bounded_page(read, wanted.accepts, attrgetter("sequence"), wanted.after, wanted.limit))


async def read_events_by_delivery(
    transaction: Transaction, merchant_id: str, wanted: EventFilter, *, delivered: bool
) -> EventPage:
    """The step behind Store.list_events_by_delivery: of a stretch of events, those that it wants."""
    stretch = await read_events(transaction, merchant_id, replace(wanted, limit=WINDOW))
    ids = orjson.dumps([[event.id, partition_of(event.id)] for event in stretch.events]).decode()
    got = {row[0] for row in await transaction.rows("delivered_of_events", (merchant_id, ids)) if row[1]}
    found = [event for event in stretch.events if (event.id in got) is delivered]
    if len(found) > wanted.limit:
        return EventPage(found[: wanted.limit], found[wanted.limit - 1].sequence)
    return EventPage(found, stretch.reached)


async def _event_rows(
    transaction: Transaction, merchant_id: str, wanted: EventFilter, after: int, count: int
) -> Sequence[Row]:
    begin = (merchant_id, after, count)
    if wanted.payment_id is not None:
        return await transaction.rows("list_events_of_payment", (*begin, wanted.payment_id))
    if wanted.storefront is None:
        return await transaction.rows("list_events", begin)
    rows: list[Row] = []
    for mode in modes_of(wanted.mode):
        place = (*begin, wanted.storefront, mode)
        if wanted.type is None:
            rows += await transaction.rows("list_events_of_storefront", place)
        else:
            rows += await transaction.rows("list_events_of_type", (*place, wanted.type))
    return sorted(rows, key=_sequence)[:count]


def modes_of(mode: Mode | None) -> list[str]:
    return [each.value for each in (Mode if mode is None else (mode,))]


def _sequence(row: Row) -> int:
    sequence: int = row[2]
    return sequence


async def write_event(
    transaction: Transaction, event: Event, payment_version: int | None, but: str | None = None
) -> StoredEvent:
    """Numbers and freezes the event, and makes a delivery for each endpoint that wants it, enabled or not.

    The endpoint `but` gets none: it is the subject of the event.
    """
    stored, _ = await _write_event(transaction, event, payment_version, but, None)
    return stored


async def _write_event(
    transaction: Transaction, event: Event, payment_version: int | None, but: str | None, lease: Lease | None
) -> tuple[StoredEvent, EventClaims]:
    [(sequence,)] = await transaction.rows("next_sequence", (event.merchant_id,))
    body = event.body(sequence)
    [(traceparent,)] = await transaction.rows(
        "insert_event",
        (
            event.merchant_id,
            event.id,
            sequence,
            event.storefront,
            event.mode,
            event.type,
            event.payment_id,
            payment_version,
            event.occurred_at,
            body,
            partition_of(event.id),
        ),
    )
    stored = StoredEvent(
        event.id,
        event.merchant_id,
        sequence,
        event.storefront,
        event.mode,
        event.type,
        event.payment_id,
        event.occurred_at,
        body,
        traceparent,
    )
    return stored, await _write_deliveries(transaction, stored, but, lease)


async def _write_deliveries(
    transaction: Transaction, event: StoredEvent, but: str | None, lease: Lease | None
) -> EventClaims:
    written, served = list[Row](), list[QueuedDelivery]()
    for row in await transaction.rows("turns_of_merchant", (event.merchant_id, LIST_LIMIT)):
        endpoint = endpoint_of(row[QUEUE_COLUMNS:])
        if endpoint.id != but and endpoint.wants(event.type, event.mode, event.storefront):
            each = delivery_id(event.id, endpoint.id)
            written.append(_delivery_row(event, endpoint.id, each))
            if endpoint.state is EndpointState.ENABLED:
                served.append((endpoint, row, each))
    await transaction.run_all("insert_delivery", written)
    return await claim_new(transaction, event, served, lease)


def _delivery_row(event: StoredEvent, endpoint_id: str, delivery_id: str) -> Row:
    return (
        event.merchant_id,
        delivery_id,
        endpoint_id,
        event.id,
        event.payment_id,
        event.occurred_at,
        partition_of(event.id),
    )


def delivery_id(event_id: str, endpoint_id: str) -> str:
    """Follows from the event and the endpoint, so that the store needs no randomness of its own.

    It has the event's merchant and time: both are in the same partition.
    """
    number = int.from_bytes(sha256(f"{event_id}/{endpoint_id}".encode()).digest()[:16])
    return f"{DELIVERY}_{event_id[-26:-10]}{base62(number, 10)}"


class EventStorage(Repository):
    async def event(self, merchant_id: str, event_id: str) -> StoredEvent:
        """Raises NotFound."""
        row = await self._row("event", (merchant_id, event_id, partition_of(event_id)))
        if row is None:
            raise NotFound("event")
        return StoredEvent(*row)

    async def list_events(self, merchant_id: str, wanted: EventFilter) -> list[StoredEvent]:
        page = await self._read.do(lambda transaction: read_events(transaction, merchant_id, wanted))
        return list(page.events)

    async def add_event(self, event: Event) -> StoredEvent:
        """An event that is no payment's, with its deliveries."""
        return await self._write.do(lambda transaction: write_event(transaction, event, None), event.merchant_id)

    async def last_sequence(self, merchant_id: str) -> int:
        """The number of the merchant's newest event, from 1; 0 when there is none."""
        rows = await self._rows("last_sequence", (merchant_id,))
        return rows[0][0] if rows else 0

    async def list_events_by_delivery(self, merchant_id: str, wanted: EventFilter, *, delivered: bool) -> EventPage:
        """Of the next 1000 events, those that every endpoint concerned has got; or the others. It may be none of them
        and the list not over.
        """
        return await self._read.do(
            lambda transaction: read_events_by_delivery(transaction, merchant_id, wanted, delivered=delivered)
        )
