"""Lists of events: each is read by the index that holds just its rows, a bounded stretch at a time."""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final

import orjson

from proxy.database.repository import bounded_page
from proxy.database.transaction import Row, Transaction
from proxy.kernel.ids import partition_of
from proxy.merchants.merchant import Mode
from proxy.webhooks.event import EventFilter, EventPage, StoredEvent

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
