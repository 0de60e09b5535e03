"""Events on their way to endpoints: the Deliveries port on SQLite."""

from collections.abc import Sequence

from proxy.adapters.sqlite.lanes import SQL, Lanes
from proxy.adapters.sqlite.turns import Report, claim, release
from proxy.adapters.store.together import Together
from proxy.adapters.store.transaction import Transaction
from proxy.adapters.store.transition import write_event
from proxy.errors import NotFound
from proxy.merchant import Endpoint
from proxy.ports import Now
from proxy.records import Attempt, Claim, Delivery, EventFilter, Finished, Judged, Lease, StoredEvent
from proxy.webhook import DeliveryStatus, Event


class SqliteDeliveries(Lanes):
    _now: Now
    _records: Together[Report, Judged]

    async def claim_deliveries(self, now: int, lease: Lease, limit: int) -> list[Claim]:
        return await self._write.do(lambda connection: claim(connection, now, lease, limit))

    async def record_attempt(self, finished: Finished, follow: Lease | None) -> Judged:
        return await self._records.do((finished, follow))

    async def disable_endpoint(self, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
        return await self._write.do(
            lambda transaction: _disable(transaction, endpoint, reason, now, event), endpoint.merchant_id
        )

    async def release_deliveries(self, claims: Sequence[Claim]) -> None:
        now = self._now()
        await self._write.do(lambda connection: release(connection, claims, now))

    async def next_delivery_at(self) -> int | None:
        due_at: int | None = await self._read.do(
            lambda connection: connection.execute(SQL["next_delivery_at"]).fetchone()[0]
        )
        return due_at

    async def list_deliveries(self, merchant_id: str, event_id: str) -> list[Delivery]:
        key = (merchant_id, event_id)
        rows = await self._read.do(lambda connection: connection.execute(SQL["list_deliveries"], key).fetchall())
        return [delivery_of(row) for row in rows]

    async def list_attempts(self, merchant_id: str, delivery_id: str) -> list[Attempt]:
        key = (merchant_id, delivery_id)
        rows = await self._read.do(lambda connection: connection.execute(SQL["list_attempts"], key).fetchall())
        return [Attempt(*row) for row in rows]

    async def event(self, merchant_id: str, event_id: str) -> StoredEvent:
        key = (merchant_id, event_id)
        row = await self._read.do(lambda connection: connection.execute(SQL["event"], key).fetchone())
        if row is None:
            raise NotFound("event")
        return StoredEvent(*row)

    async def list_events(self, merchant_id: str, wanted: EventFilter) -> list[StoredEvent]:
        query, parameters = _list_query(merchant_id, wanted)
        rows = await self._read.do(lambda connection: connection.execute(query, parameters).fetchall())
        return [StoredEvent(*row) for row in rows]


async def _disable(transaction: Transaction, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
    key = (endpoint.merchant_id, endpoint.id)
    if await transaction.run("disable_endpoint", (*key, reason, now, endpoint.updated_at)) == 0:
        return False
    await transaction.run("end_turns", key)
    await write_event(transaction, event, None, but=endpoint.id)
    return True


def delivery_of(row: Sequence[object]) -> Delivery:
    delivery_id, merchant_id, endpoint_id, event_id, payment_id, status, *rest = row
    return Delivery(delivery_id, merchant_id, endpoint_id, event_id, payment_id, DeliveryStatus(status), *rest)  # type: ignore[arg-type]  # a star loses each column's type


def _list_query(merchant_id: str, wanted: EventFilter) -> tuple[str, tuple[object, ...]]:
    """The query whose index narrows most; each takes as many of the parameters as it names."""
    filters = (wanted.mode, wanted.storefront, wanted.type, wanted.payment_id)
    parameters = (merchant_id, wanted.after, wanted.limit, *filters)
    if wanted.payment_id is not None:
        return SQL["list_events_of_payment"], parameters
    if wanted.type is not None:
        return SQL["list_events_of_type"], parameters[:6]
    if wanted.storefront is not None:
        return SQL["list_events_of_storefront"], parameters[:5]
    return SQL["list_events"], parameters[:4]
