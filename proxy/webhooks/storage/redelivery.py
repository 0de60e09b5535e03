"""Redelivery in the store: a merchant's reads of deliveries, and requests to send them again."""

from collections.abc import Sequence
from typing import Final

from proxy.database.repository import Repository
from proxy.database.transaction import Row, Transaction
from proxy.kernel.errors import EventNotForEndpoint, NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import DELIVERY, EVENT, base62, merchant_key, partition_of
from proxy.webhooks.delivery import Attempt, Delivery, DeliveryFilter
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import EventSpan, StoredEvent
from proxy.webhooks.retry_policy import Health
from proxy.webhooks.storage.deliveries import attempts_of, delivery_of
from proxy.webhooks.storage.events import delivery_id
from proxy.webhooks.storage.queue import AT_ONCE, InFlightClaims, in_flight_at
from proxy.webhooks.storage.rows import endpoint_of


@dataclass(frozen=True, slots=True)
class RedeliveryBatch:
    """One batch of redelivery: how many became due, and the id after which the next one begins (None: the end)."""

    count: int
    reached: str | None


@dataclass(frozen=True, slots=True)
class RecentAttempt:
    outcome: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """An endpoint's statistics. `attempts` are the newest finished ones; `backlog` counts up to a limit.

    `health` is None while the endpoint is not served (paused or disabled).
    """

    attempts: Sequence[RecentAttempt]
    backlog: int
    oldest_undelivered_at: int | None
    in_flight: int
    health: Health | None


# Behind every id: the page before the first one of a list that is newest first.
_BEHIND_ALL_IDS: Final = "~"
_AT_ONCE: Final = 500
_ATTEMPTS_COUNTED: Final = 1000
_BACKLOG_COUNTED: Final = 10_000

Key = tuple[str, str]


class RedeliveryStorage(Repository):
    async def delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        """Raises NotFound."""
        return await self._read.do(lambda transaction: _delivery(transaction, (merchant_id, delivery_id)))

    async def delivery_log(self, merchant_id: str, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        """The delivery and its attempts as they are at one moment. Raises NotFound."""
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

    async def retry_delivery(self, merchant_id: str, delivery_id: str, seen_attempts: int | None = None) -> Delivery:
        """Makes it due before all others, with the schedule from its start, in any state; once more after a running
        attempt. With `seen_attempts`, those that the person saw, nothing changes where another began since.

        Raises NotFound, also when its endpoint is no more.
        """

        async def step(transaction: Transaction) -> Delivery:
            key = (merchant_id, delivery_id)
            delivery = await _delivery(transaction, key)
            if seen_attempts is not None and delivery.attempts > seen_attempts:
                return delivery
            endpoint_id = delivery.endpoint_id
            endpoint = await _endpoint(transaction, (merchant_id, endpoint_id))
            event = await _event(transaction, (merchant_id, delivery.event_id))
            if not endpoint.may_get(event.mode, event.storefront):
                raise EventNotForEndpoint
            in_flight = await in_flight_at(transaction, (merchant_id, endpoint_id))
            await transaction.run("call_turn", (merchant_id, endpoint_id, AT_ONCE))
            requeued = (*key, AT_ONCE, int(delivery_id in in_flight), partition_of(delivery_id))
            await transaction.run("requeue_delivery", requeued)
            return await _delivery(transaction, key)

        return await self._write.do(step, merchant_id)

    async def hasten_deliveries(self, merchant_id: str, endpoint_id: str, limit: int = _AT_ONCE) -> bool:
        """Has a batch of what waits there for a later time go now, schedules kept; gives whether more may wait."""
        now, key = self._now(), (merchant_id, endpoint_id)

        async def step(transaction: Transaction) -> bool:
            rows = await transaction.rows("waiting_deliveries", (*key, now, limit))
            hastened = [(merchant_id, each, partition_of(each), due_at, now) for each, _, _, due_at in rows]
            await transaction.run_all("pull_in_delivery", hastened)
            await transaction.run("hasten_turn", (*key, now))
            return len(rows) == limit

        return await self._write.do(step, merchant_id)

    async def recover_deliveries(
        self, merchant_id: str, endpoint_id: str, since: int, after: str | None, limit: int = _AT_ONCE
    ) -> RedeliveryBatch:
        """The same for one batch of failed or waiting deliveries there, of events since a time. Raises NotFound."""
        now, key = self._now(), (merchant_id, endpoint_id)
        point = after or f"{DELIVERY}_{merchant_key(merchant_id)}{base62(since, 8)}"

        async def step(transaction: Transaction) -> RedeliveryBatch:
            endpoint = await _endpoint(transaction, key)
            in_flight = await in_flight_at(transaction, key)
            await transaction.run("hasten_turn", (*key, now))
            found = await transaction.rows("undelivered_after", (*key, point, limit))
            # Claims in flight may still succeed; those that ran out are counted when the endpoint is served next.
            theirs = [each for each, mode, storefront in found if endpoint.may_get(mode, storefront)]
            waiting = [each for each in theirs if not in_flight.is_live(each, now)]
            rows = [(merchant_id, each, now, int(each in in_flight), partition_of(each)) for each in waiting]
            await transaction.run_all("requeue_delivery", rows)
            return RedeliveryBatch(len(rows), found[-1][0] if len(found) == limit else None)

        return await self._write.do(step, merchant_id)

    async def replay_events(
        self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None, limit: int = _AT_ONCE
    ) -> RedeliveryBatch:
        """The same for one batch of events that the endpoint wants, delivered there before or not. Raises NotFound."""
        now, key = self._now(), (merchant_id, endpoint_id)
        prefix = f"{EVENT}_{merchant_key(merchant_id)}"
        bounds = (after or f"{prefix}{base62(span.since, 8)}", f"{prefix}{base62(span.until + 1, 8)}")

        async def step(transaction: Transaction) -> RedeliveryBatch:
            endpoint = await _endpoint(transaction, key)
            in_flight = await in_flight_at(transaction, key)
            await transaction.run("hasten_turn", (*key, now))
            rows = await transaction.rows("events_between", (merchant_id, *bounds, limit))
            chosen = [row for row in rows if _chosen(endpoint, span, row)]
            deliveries = []
            for event_id, _, _, _, payment_id, partition in chosen:
                each = delivery_id(event_id, endpoint.id)
                row = (merchant_id, each, endpoint.id, event_id, payment_id, now, int(each in in_flight), partition)
                deliveries.append(row)
            await transaction.run_all("replay_delivery", deliveries)
            return RedeliveryBatch(len(chosen), rows[-1][0] if len(rows) == limit else None)

        return await self._write.do(step, merchant_id)

    async def endpoint_statistics(self, merchant_id: str, endpoint_id: str, since: int) -> EndpointStatistics:
        """Its newest 1000 finished attempts since a time, and its backlog up to 10,000."""
        now, key = self._now(), (merchant_id, endpoint_id)

        async def step(transaction: Transaction) -> EndpointStatistics:
            attempts = await transaction.rows("recent_attempts", (*key, since, _ATTEMPTS_COUNTED))
            oldest = await transaction.row("oldest_undelivered_at", key)
            queue = await transaction.row("turn", key)
            in_flight = InFlightClaims() if queue is None else InFlightClaims(queue[4])
            [(backlog,)] = await transaction.rows("backlog", (*key, _BACKLOG_COUNTED))
            return EndpointStatistics(
                attempts=[RecentAttempt(*row) for row in attempts],
                backlog=backlog,
                oldest_undelivered_at=None if oldest is None else oldest[0],
                in_flight=in_flight.count_live(now),
                health=None if queue is None or queue[3] else Health(*queue[:3]),
            )

        return await self._read.do(step)

    async def last_attempt(self, merchant_id: str, endpoint_id: str) -> Attempt | None:
        """The newest finished attempt there."""
        rows = await self._rows("last_attempt", (merchant_id, endpoint_id))
        return Attempt(*rows[0]) if rows else None


async def _delivery(transaction: Transaction, key: Key) -> Delivery:
    return delivery_of(await _row(transaction, key))


async def _row(transaction: Transaction, key: Key) -> Row:
    row = await transaction.row("delivery", (*key, partition_of(key[1])))
    if row is None:
        raise NotFound("delivery")
    return row


async def _endpoint(transaction: Transaction, key: Key) -> Endpoint:
    row = await transaction.row("endpoint", key)
    if row is None:
        raise NotFound("webhook endpoint")
    return endpoint_of(row)


async def _event(transaction: Transaction, key: Key) -> StoredEvent:
    row = await transaction.row("event", (*key, partition_of(key[1])))
    if row is None:
        raise NotFound("event")
    return StoredEvent(*row)


def _chosen(endpoint: Endpoint, span: EventSpan, row: Row) -> bool:
    _, storefront, mode, event_type, *_ = row
    return endpoint.wants(event_type, mode, storefront) and (not span.types or event_type in span.types)
