"""Deliveries as their merchant looks at them and sends them again: the Redelivery port."""

from typing import Final

from proxy.adapters.store.deliveries import attempts_of, delivery_of
from proxy.adapters.store.flights import Flights
from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.registry_rows import endpoint_of
from proxy.adapters.store.transaction import Row, Transaction
from proxy.adapters.store.transition import delivery_id, write_event
from proxy.adapters.store.turns import flights_at
from proxy.delivery_records import (
    DeliveryFilter,
    EndpointFigures,
    EventPage,
    EventSpan,
    RecentAttempt,
    Requeued,
)
from proxy.errors import NotFound
from proxy.ids import DELIVERY, EVENT, base62, merchant_key, part_of
from proxy.merchant import Endpoint
from proxy.records import Attempt, Delivery, EventFilter, StoredEvent
from proxy.verdict import Health
from proxy.webhook import Event

# Behind every id: the page before the first one of a list that is newest first.
_BEHIND_ALL_IDS: Final = "~"
# How far one call looks for events that were, or were not, delivered.
WINDOW: Final = 1000
_AT_ONCE: Final = 500
_ATTEMPTS_COUNTED: Final = 1000
_BACKLOG_COUNTED: Final = 10_000

Key = tuple[str, str]


class StoreRedelivery(StoreParts):
    async def delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        return await self._read.do(lambda transaction: _delivery(transaction, (merchant_id, delivery_id)))

    async def delivery_log(self, merchant_id: str, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        key = (merchant_id, delivery_id)

        async def step(transaction: Transaction) -> tuple[Delivery, list[Attempt]]:
            row = await _row(transaction, key)
            return delivery_of(row), await attempts_of(transaction, row)

        return await self._read.do(step)

    async def list_endpoint_deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> list[Delivery]:
        parameters = (merchant_id, endpoint_id, wanted.after or _BEHIND_ALL_IDS, wanted.limit)
        if wanted.status is None:
            rows = await self._rows("list_deliveries_of_endpoint", parameters)
        else:
            rows = await self._rows("list_deliveries_with_status", (*parameters, wanted.status.value))
        return [delivery_of(row) for row in rows]

    async def retry_delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        now = self._now()

        async def step(transaction: Transaction) -> Delivery:
            key = (merchant_id, delivery_id)
            endpoint_id = (await _delivery(transaction, key)).endpoint_id
            await _endpoint(transaction, (merchant_id, endpoint_id))
            flights = await flights_at(transaction, (merchant_id, endpoint_id))
            await transaction.run("hasten_turn", (merchant_id, endpoint_id, now))
            requeued = (*key, now, int(delivery_id in flights), part_of(delivery_id))
            await transaction.run("requeue_delivery", requeued)
            return await _delivery(transaction, key)

        return await self._write.do(step, merchant_id)

    async def recover_deliveries(
        self, merchant_id: str, endpoint_id: str, since: int, after: str | None, limit: int = _AT_ONCE
    ) -> Requeued:
        now, key = self._now(), (merchant_id, endpoint_id)
        point = after or f"{DELIVERY}_{merchant_key(merchant_id)}{base62(since, 8)}"

        async def step(transaction: Transaction) -> Requeued:
            await _endpoint(transaction, key)
            flights = await flights_at(transaction, key)
            await transaction.run("hasten_turn", (*key, now))
            found = [row[0] for row in await transaction.rows("undelivered_after", (*key, point, limit))]
            # What is on its way may get through yet; what ran out is counted when its endpoint is served next.
            waiting = [each for each in found if not flights.lives(each, now)]
            rows = [(merchant_id, each, now, int(each in flights), part_of(each)) for each in waiting]
            await transaction.run_all("requeue_delivery", rows)
            return Requeued(len(rows), found[-1] if len(found) == limit else None)

        return await self._write.do(step, merchant_id)

    async def replay_events(
        self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None, limit: int = _AT_ONCE
    ) -> Requeued:
        now, key = self._now(), (merchant_id, endpoint_id)
        prefix = f"{EVENT}_{merchant_key(merchant_id)}"
        bounds = (after or f"{prefix}{base62(span.since, 8)}", f"{prefix}{base62(span.until + 1, 8)}")

        async def step(transaction: Transaction) -> Requeued:
            endpoint = await _endpoint(transaction, key)
            flights = await flights_at(transaction, key)
            await transaction.run("hasten_turn", (*key, now))
            rows = await transaction.rows("events_between", (merchant_id, *bounds, limit))
            chosen = [row for row in rows if _chosen(endpoint, span, row[2], row[1])]
            deliveries = []
            for event_id, _, _, payment_id, part in chosen:
                each = delivery_id(event_id, endpoint.id)
                row = (merchant_id, each, endpoint.id, event_id, payment_id, now, int(each in flights), part)
                deliveries.append(row)
            await transaction.run_all("replay_delivery", deliveries)
            return Requeued(len(chosen), rows[-1][0] if len(rows) == limit else None)

        return await self._write.do(step, merchant_id)

    async def endpoint_figures(self, merchant_id: str, endpoint_id: str, since: int) -> EndpointFigures:
        now, key = self._now(), (merchant_id, endpoint_id)

        async def step(transaction: Transaction) -> EndpointFigures:
            attempts = await transaction.rows("recent_attempts", (*key, since, _ATTEMPTS_COUNTED))
            oldest = await transaction.row("oldest_undelivered_at", key)
            turn = await transaction.row("turn", key)
            flights = Flights() if turn is None else Flights(turn[4])
            [(backlog,)] = await transaction.rows("backlog", (*key, _BACKLOG_COUNTED))
            return EndpointFigures(
                attempts=[RecentAttempt(*row) for row in attempts],
                backlog=backlog,
                oldest_undelivered_at=None if oldest is None else oldest[0],
                in_flight=flights.live(now),
                health=None if turn is None or turn[3] else Health(*turn[:3]),
            )

        return await self._read.do(step)

    async def add_event(self, event: Event) -> StoredEvent:
        return await self._write.do(lambda transaction: write_event(transaction, event, None), event.merchant_id)

    async def last_sequence(self, merchant_id: str) -> int:
        rows = await self._rows("last_sequence", (merchant_id,))
        return rows[0][0] if rows else 0

    async def list_events_by_delivery(self, merchant_id: str, wanted: EventFilter, *, delivered: bool) -> EventPage:
        async def step(transaction: Transaction) -> EventPage:
            window = (merchant_id, wanted.after, WINDOW)
            [(end, count)] = await transaction.rows("events_window", window)
            if count == 0:
                return EventPage([], None)
            filters = (wanted.storefront, wanted.type, wanted.payment_id, int(delivered), wanted.mode)
            stretch = (merchant_id, wanted.after, end, wanted.limit, *filters)
            events = [StoredEvent(*row) for row in await transaction.rows("list_events_by_delivery", stretch)]
            if len(events) == wanted.limit:
                return EventPage(events, events[-1].sequence)
            return EventPage(events, end if count == WINDOW else None)

        return await self._read.do(step)


async def _delivery(transaction: Transaction, key: Key) -> Delivery:
    return delivery_of(await _row(transaction, key))


async def _row(transaction: Transaction, key: Key) -> Row:
    row = await transaction.row("delivery", (*key, part_of(key[1])))
    if row is None:
        raise NotFound("delivery")
    return row


async def _endpoint(transaction: Transaction, key: Key) -> Endpoint:
    row = await transaction.row("endpoint", key)
    if row is None:
        raise NotFound("webhook endpoint")
    return endpoint_of(row)


def _chosen(endpoint: Endpoint, span: EventSpan, event_type: str, storefront: str | None) -> bool:
    return endpoint.wants(event_type, storefront) and (not span.types or event_type in span.types)
