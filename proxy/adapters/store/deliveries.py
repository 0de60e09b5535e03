"""Events on their way to endpoints: the Deliveries port."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from proxy.adapters.store.flights import Flights
from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.steps import Shared
from proxy.adapters.store.transaction import Row, Transaction
from proxy.adapters.store.transition import write_event
from proxy.adapters.store.turns import claim, record_all, release
from proxy.errors import NotFound
from proxy.ids import part_of
from proxy.merchant import Endpoint
from proxy.records import Attempt, Claim, Delivery, EventFilter, Finished, Judged, Lease, StoredEvent
from proxy.webhook import DeliveryStatus, Event

Key = tuple[str, str]


class StoreDeliveries(StoreParts):
    async def claim_deliveries(self, now: int, lease: Lease, limit: int) -> list[Claim]:
        return await self._write.do(lambda transaction: claim(transaction, now, lease, limit))

    async def record_attempt(self, finished: Finished, follow: Lease | None) -> Judged:
        judged: Judged = await self._write.do(Shared(record_all, (finished, follow)), finished.claim.merchant_id)
        return judged

    async def disable_endpoint(self, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
        return await self._write.do(
            lambda transaction: _disable(transaction, endpoint, reason, now, event), endpoint.merchant_id
        )

    async def release_deliveries(self, claims: Sequence[Claim]) -> None:
        now = self._now()
        for merchant_id, theirs in groupby(sorted(claims, key=_merchant), _merchant):
            await self._write.do(partial(release, claims=list(theirs), now=now), merchant_id)

    async def next_delivery_at(self) -> int | None:
        row = await self._row("next_delivery_at")
        return None if row is None else row[0]

    async def list_deliveries(self, merchant_id: str, event_id: str) -> list[Delivery]:
        rows = await self._rows("list_deliveries", (merchant_id, event_id, part_of(event_id)))
        return [delivery_of(row) for row in rows]

    async def list_attempts(self, merchant_id: str, delivery_id: str) -> list[Attempt]:
        async def step(transaction: Transaction) -> list[Attempt]:
            row = await transaction.row("delivery", (merchant_id, delivery_id, part_of(delivery_id)))
            return [] if row is None else await attempts_of(transaction, row)

        return await self._read.do(step)

    async def event(self, merchant_id: str, event_id: str) -> StoredEvent:
        row = await self._row("event", (merchant_id, event_id, part_of(event_id)))
        if row is None:
            raise NotFound("event")
        return StoredEvent(*row)

    async def list_events(self, merchant_id: str, wanted: EventFilter) -> list[StoredEvent]:
        return [StoredEvent(*row) for row in await self._rows(*_list_query(merchant_id, wanted))]


async def _disable(transaction: Transaction, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
    key = (endpoint.merchant_id, endpoint.id)
    if await transaction.run("disable_endpoint", (*key, reason, now, endpoint.updated_at)) == 0:
        return False
    await transaction.run("hold_turns", key)
    await write_event(transaction, event, None, but=endpoint.id)
    return True


def delivery_of(row: Row) -> Delivery:
    """A delivery with its endpoint's turn: one that is on its way counts that attempt, and is held until its end."""
    delivery_id, merchant_id, endpoint_id, event_id, payment_id, status, attempts, due_at, *times, _ = row
    flight = _flight_of(row)
    if flight is not None:
        attempts, due_at, _ = flight
    state = DeliveryStatus(status)
    return Delivery(delivery_id, merchant_id, endpoint_id, event_id, payment_id, state, attempts, due_at, *times)


async def attempts_of(transaction: Transaction, row: Row) -> list[Attempt]:
    """The attempts of a delivery's row, in order; the outcome of one that is under way is not known."""
    delivery_id, merchant_id = row[:2]
    rows = await transaction.rows("list_attempts", (merchant_id, delivery_id, part_of(delivery_id)))
    attempts = [Attempt(*each) for each in rows]
    flight = _flight_of(row)
    if flight is not None:
        number, _, claimed_at = flight
        attempts.append(Attempt(number, claimed_at, None, "unknown", None, None, b""))
    return attempts


def _flight_of(row: Row) -> tuple[int, int, int] | None:
    delivery_id, in_flight = row[0], row[-1]
    if in_flight is None or delivery_id not in in_flight:  # most rows of a long list need no parsing
        return None
    return Flights(in_flight).attempt(delivery_id)


def _merchant(claim: Claim) -> str:
    return claim.merchant_id


def _list_query(merchant_id: str, wanted: EventFilter) -> tuple[str, tuple[object, ...]]:
    """The query whose index narrows most; each takes as many of the parameters as it names."""
    filters = (wanted.mode, wanted.storefront, wanted.type, wanted.payment_id)
    parameters = (merchant_id, wanted.after, wanted.limit, *filters)
    if wanted.payment_id is not None:
        return "list_events_of_payment", parameters
    if wanted.type is not None:
        return "list_events_of_type", parameters[:6]
    if wanted.storefront is not None:
        return "list_events_of_storefront", parameters[:5]
    return "list_events", parameters[:4]
