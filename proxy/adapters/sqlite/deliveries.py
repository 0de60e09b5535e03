"""Events on their way to endpoints: the Deliveries port on SQLite."""

import sqlite3
from collections.abc import Sequence

from proxy.adapters.sqlite.lanes import SQL, Lanes
from proxy.adapters.sqlite.registry_rows import endpoint_of
from proxy.errors import LeaseLost, NotFound
from proxy.merchant import Endpoint
from proxy.ports import Now
from proxy.records import Attempt, Claim, Delivery, EventFilter, Recorded, StoredEvent
from proxy.webhook import DeliveryStatus


class SqliteDeliveries(Lanes):
    _now: Now

    async def claim_deliveries(self, now: int, lease_until: int, limit: int, token: str) -> list[Claim]:
        return await self._write.do(lambda connection: _claim(connection, now, lease_until, limit, token))

    async def record_attempt(self, recorded: Recorded) -> None:
        await self._write.do(lambda connection: _record(connection, recorded))

    async def release_deliveries(self, claims: Sequence[Claim]) -> None:
        now = self._now()
        await self._write.do(lambda connection: _release(connection, claims, now))

    async def next_delivery_at(self) -> int | None:
        due_at: int | None = await self._read.do(
            lambda connection: connection.execute(SQL["next_delivery_at"]).fetchone()[0]
        )
        return due_at

    async def list_deliveries(self, merchant_id: str, event_id: str) -> list[Delivery]:
        key = (merchant_id, event_id)
        rows = await self._read.do(lambda connection: connection.execute(SQL["list_deliveries"], key).fetchall())
        return [_delivery_of(row) for row in rows]

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


def _claim(connection: sqlite3.Connection, now: int, lease_until: int, limit: int, token: str) -> list[Claim]:
    turns = connection.execute(SQL["due_turns"], (now, limit)).fetchall()
    claims: list[Claim] = []
    for merchant_id, endpoint_id in turns:
        # An equal share each: what one endpoint has piled up does not push the others out of this claim.
        share = max(1, limit // len(turns))
        row = connection.execute(SQL["endpoint"], (merchant_id, endpoint_id)).fetchone()
        mine = _claim_share(connection, endpoint_of(row), now, share, token)
        leases = [(claim.merchant_id, claim.delivery_id, lease_until, token) for claim in mine]
        attempts = [(claim.merchant_id, claim.delivery_id, claim.attempt, now, b"") for claim in mine]
        connection.executemany(SQL["take_delivery"], leases)
        connection.executemany(SQL["begin_attempt"], attempts)
        connection.execute(SQL["serve_turn"], (merchant_id, endpoint_id, now))
        connection.execute(SQL["settle_turn"], (merchant_id, endpoint_id))
        claims += mine
    return claims


def _claim_share(connection: sqlite3.Connection, endpoint: Endpoint, now: int, share: int, token: str) -> list[Claim]:
    key = (endpoint.merchant_id, endpoint.id)
    return [
        Claim(endpoint.merchant_id, row[0], endpoint, StoredEvent(*row[2:]), row[1] + 1, now, token)
        for row in connection.execute(SQL["due_deliveries"], (*key, now, share))
    ]


def _record(connection: sqlite3.Connection, recorded: Recorded) -> None:
    claim, attempt = recorded.claim, recorded.attempt
    delivered = recorded.status is DeliveryStatus.DELIVERED
    delivered_at = attempt.started_at + (attempt.duration_ms or 0) if delivered else None
    state = (recorded.status.value, recorded.due_at, delivered_at)
    if connection.execute(SQL["record_delivery"], (*_fence(claim), *state)).rowcount == 0:
        raise LeaseLost
    connection.execute(
        SQL["record_attempt"],
        (
            claim.merchant_id,
            claim.delivery_id,
            claim.attempt,
            attempt.started_at,
            attempt.duration_ms,
            attempt.outcome,
            attempt.status,
            attempt.error,
            attempt.excerpt,
        ),
    )
    connection.execute(SQL["settle_turn"], (claim.merchant_id, claim.endpoint.id))


def _release(connection: sqlite3.Connection, claims: Sequence[Claim], now: int) -> None:
    for claim in claims:
        if connection.execute(SQL["release_delivery"], (*_fence(claim), now)).rowcount == 1:
            connection.execute(SQL["forget_attempt"], (claim.merchant_id, claim.delivery_id, claim.attempt))
    for merchant_id, endpoint_id in dict.fromkeys((claim.merchant_id, claim.endpoint.id) for claim in claims):
        connection.execute(SQL["settle_turn"], (merchant_id, endpoint_id))


def _fence(claim: Claim) -> tuple[str, str, str, int]:
    """The delivery as this claim left it: a later claim has another token or a higher count."""
    return (claim.merchant_id, claim.delivery_id, claim.token, claim.attempt)


def _delivery_of(row: Sequence[object]) -> Delivery:
    delivery_id, merchant_id, endpoint_id, event_id, payment_id, status, *rest = row
    return Delivery(delivery_id, merchant_id, endpoint_id, event_id, payment_id, DeliveryStatus(status), *rest)  # type: ignore[arg-type]  # a star loses each column's type


def _list_query(merchant_id: str, wanted: EventFilter) -> tuple[str, tuple[object, ...]]:
    """The query whose index narrows most; each takes as many of the parameters as it names."""
    parameters = (merchant_id, wanted.after, wanted.limit, wanted.storefront, wanted.type, wanted.payment_id)
    if wanted.payment_id is not None:
        return SQL["list_events_of_payment"], parameters
    if wanted.type is not None:
        return SQL["list_events_of_type"], parameters[:5]
    if wanted.storefront is not None:
        return SQL["list_events_of_storefront"], parameters[:4]
    return SQL["list_events"], parameters[:3]
