"""Deliveries as their merchant looks at them and sends them again: the Redelivery port on SQLite."""

import sqlite3
from typing import Final

from proxy.adapters.sqlite.deliveries import delivery_of
from proxy.adapters.sqlite.lanes import SQL, Lanes
from proxy.adapters.sqlite.transition import delivery_id, write_event
from proxy.adapters.store.registry_rows import endpoint_of
from proxy.delivery_records import (
    DeliveryFilter,
    EndpointFigures,
    EventPage,
    EventSpan,
    RecentAttempt,
    Requeued,
)
from proxy.errors import NotFound
from proxy.ids import DELIVERY, EVENT, base62, merchant_key
from proxy.merchant import Endpoint
from proxy.ports import Now
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


class SqliteRedelivery(Lanes):
    _now: Now

    async def delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        return await self._read.do(lambda connection: _delivery(connection, (merchant_id, delivery_id)))

    async def delivery_log(self, merchant_id: str, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        key = (merchant_id, delivery_id)

        def step(connection: sqlite3.Connection) -> tuple[Delivery, list[Attempt]]:
            delivery = _delivery(connection, key)
            return delivery, [Attempt(*row) for row in connection.execute(SQL["list_attempts"], key)]

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

        def step(connection: sqlite3.Connection) -> Delivery:
            key = (merchant_id, delivery_id)
            endpoint_id = _delivery(connection, key).endpoint_id
            _endpoint(connection, (merchant_id, endpoint_id))
            connection.execute(SQL["requeue_delivery"], (*key, now))
            connection.execute(SQL["hasten_turn"], (merchant_id, endpoint_id, now))
            return _delivery(connection, key)

        return await self._write.do(step)

    async def recover_deliveries(
        self, merchant_id: str, endpoint_id: str, since: int, after: str | None, limit: int = _AT_ONCE
    ) -> Requeued:
        now, key = self._now(), (merchant_id, endpoint_id)
        point = after or f"{DELIVERY}_{merchant_key(merchant_id)}{base62(since, 8)}"

        def step(connection: sqlite3.Connection) -> Requeued:
            _endpoint(connection, key)
            rows = connection.execute(SQL["undelivered_after"], (*key, point, limit, now)).fetchall()
            connection.executemany(SQL["requeue_delivery"], [(merchant_id, row[0], now) for row in rows])
            connection.execute(SQL["hasten_turn"], (*key, now))
            return Requeued(len(rows), rows[-1][0] if len(rows) == limit else None)

        return await self._write.do(step)

    async def replay_events(
        self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None, limit: int = _AT_ONCE
    ) -> Requeued:
        now, key = self._now(), (merchant_id, endpoint_id)
        prefix = f"{EVENT}_{merchant_key(merchant_id)}"
        bounds = (after or f"{prefix}{base62(span.since, 8)}", f"{prefix}{base62(span.until + 1, 8)}")

        def step(connection: sqlite3.Connection) -> Requeued:
            endpoint = _endpoint(connection, key)
            rows = connection.execute(SQL["events_between"], (merchant_id, *bounds, limit)).fetchall()
            chosen = [row for row in rows if _chosen(endpoint, span, row[2], row[1])]
            deliveries = [
                (merchant_id, delivery_id(merchant_id, row[0], row[4], endpoint.id), endpoint.id, row[0], row[3], now)
                for row in chosen
            ]
            connection.executemany(SQL["replay_delivery"], deliveries)
            connection.execute(SQL["hasten_turn"], (*key, now))
            return Requeued(len(chosen), rows[-1][0] if len(rows) == limit else None)

        return await self._write.do(step)

    async def endpoint_figures(self, merchant_id: str, endpoint_id: str, since: int) -> EndpointFigures:
        now, key = self._now(), (merchant_id, endpoint_id)

        def step(connection: sqlite3.Connection) -> EndpointFigures:
            attempts = connection.execute(SQL["recent_attempts"], (*key, since, _ATTEMPTS_COUNTED)).fetchall()
            oldest = connection.execute(SQL["oldest_undelivered_at"], key).fetchone()
            turn = connection.execute(SQL["turn"], (*key, now)).fetchone()
            return EndpointFigures(
                attempts=[RecentAttempt(*row) for row in attempts],
                backlog=connection.execute(SQL["backlog"], (*key, _BACKLOG_COUNTED)).fetchone()[0],
                oldest_undelivered_at=None if oldest is None else oldest[0],
                in_flight=0 if turn is None else turn[3],
                health=None if turn is None else Health(*turn[:3]),
            )

        return await self._read.do(step)

    async def add_event(self, event: Event) -> StoredEvent:
        return await self._write.do(lambda connection: write_event(connection, event, None))

    async def last_sequence(self, merchant_id: str) -> int:
        rows = await self._rows("last_sequence", (merchant_id,))
        return rows[0][0] if rows else 0

    async def list_events_by_delivery(self, merchant_id: str, wanted: EventFilter, *, delivered: bool) -> EventPage:
        def step(connection: sqlite3.Connection) -> EventPage:
            window = (merchant_id, wanted.after, WINDOW)
            end, count = connection.execute(SQL["events_window"], window).fetchone()
            if count == 0:
                return EventPage([], None)
            filters = (wanted.storefront, wanted.type, wanted.payment_id, int(delivered), wanted.mode)
            found = connection.execute(
                SQL["list_events_by_delivery"], (merchant_id, wanted.after, end, wanted.limit, *filters)
            ).fetchall()
            events = [StoredEvent(*row) for row in found]
            if len(events) == wanted.limit:
                return EventPage(events, events[-1].sequence)
            return EventPage(events, end if count == WINDOW else None)

        return await self._read.do(step)


def _delivery(connection: sqlite3.Connection, key: Key) -> Delivery:
    row = connection.execute(SQL["delivery"], key).fetchone()
    if row is None:
        raise NotFound("delivery")
    return delivery_of(row)


def _endpoint(connection: sqlite3.Connection, key: Key) -> Endpoint:
    row = connection.execute(SQL["endpoint"], key).fetchone()
    if row is None:
        raise NotFound("webhook endpoint")
    return endpoint_of(row)


def _chosen(endpoint: Endpoint, span: EventSpan, event_type: str, storefront: str | None) -> bool:
    return endpoint.wants(event_type, storefront) and (not span.types or event_type in span.types)
