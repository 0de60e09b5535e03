"""Deliveries in the store."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Final

from proxy.database.repository import Repository
from proxy.database.transaction import Row, SharedStep, Transaction
from proxy.kernel.background import FairShares
from proxy.kernel.ids import partition_of
from proxy.merchants.merchant import Mode
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, Delivery, Lease, RecordedAttempt
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import Event
from proxy.webhooks.retry_policy import DeliveryStatus
from proxy.webhooks.storage.claims import claim, record_all, release
from proxy.webhooks.storage.events import write_event
from proxy.webhooks.storage.queue import InFlightClaims

Key = tuple[str, str]
# Far more than its schedule has: who asks for it again and again is shown the newest.
LISTED_ATTEMPTS: Final = 500


class DeliveryStorage(Repository):
    async def claim_deliveries(
        self, now: int, lease: Lease, limit: int, shares: FairShares | None = None
    ) -> list[Claim]:
        """Up to `limit` deliveries that may start now, with the attempt counted already.

        Only of enabled endpoints that are not paused, the longest waiting first, in equal shares, and no more of each
        than its limit and its health leave room for. With `shares`, the process's places, no merchant gets more
        than it may take of them, and the one that holds the fewest comes first.
        """
        before = shares.copy() if shares is not None else FairShares.unlimited()
        return await self._write.do(lambda transaction: claim(transaction, now, lease, limit, before.copy()))

    async def record_attempt(self, finished: AttemptReport, follow: Lease | None) -> RecordedAttempt:
        """Writes the attempt and the decision of the retry policy, and with `follow` claims the endpoint's next one.

        Raises LeaseLost when the claim's token is not current.
        """
        recorded: RecordedAttempt = await self._write.do(
            SharedStep(record_all, (finished, follow)), finished.claim.merchant_id
        )
        return recorded

    async def disable_endpoint(self, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
        """Disables it if it is enabled and unchanged since it was read, and notifies the merchant's other endpoints;
        gives whether it did.
        """
        return await self._write.do(
            lambda transaction: _disable(transaction, endpoint, reason, now, event), endpoint.merchant_id
        )

    async def release_deliveries(self, claims: Sequence[Claim]) -> None:
        """Releases claims that did not start: they are due at once, and the attempt does not count."""
        now = self._now()
        for merchant_id, theirs in groupby(sorted(claims, key=_merchant), _merchant):
            await self._write.do(partial(release, claims=list(theirs), now=now), merchant_id)

    async def next_delivery_at(self) -> int | None:
        """When the earliest delivery of an enabled endpoint is due."""
        row = await self._row("next_delivery_at")
        return None if row is None else row[0]

    async def list_deliveries(self, merchant_id: str, event_id: str) -> list[Delivery]:
        rows = await self._rows("list_deliveries", (merchant_id, event_id, partition_of(event_id)))
        return [delivery_of(row) for row in rows]

    async def list_attempts(self, merchant_id: str, delivery_id: str) -> list[Attempt]:
        async def step(transaction: Transaction) -> list[Attempt]:
            row = await transaction.row("delivery", (merchant_id, delivery_id, partition_of(delivery_id)))
            return [] if row is None else await attempts_of(transaction, row)

        return await self._read.do(step)


async def _disable(transaction: Transaction, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
    key = (endpoint.merchant_id, endpoint.id)
    if await transaction.run("disable_endpoint", (*key, reason, now, endpoint.updated_at)) == 0:
        return False
    await transaction.run("hold_turns", key)
    await write_event(transaction, event, None, but=endpoint.id)
    return True


def delivery_of(row: Row) -> Delivery:
    """A delivery with its endpoint's queue: one that is on its way counts that attempt, and is held until its end."""
    delivery_id, merchant_id, endpoint_id, event_id, payment_id, status, attempts, due_at = row[:8]
    created_at, delivered_at, storefront, mode, _ = row[8:]
    claimed = _in_flight_of(row)
    if claimed is not None:
        attempts, due_at, _ = claimed
    if due_at is not None:
        due_at = max(due_at, created_at)  # what a person sends again is due before its time
    state, place = DeliveryStatus(status), (storefront, Mode(mode or Mode.LIVE))
    times = (created_at, delivered_at)
    return Delivery(
        delivery_id, merchant_id, endpoint_id, event_id, payment_id, state, attempts, due_at, *times, *place
    )


async def attempts_of(transaction: Transaction, row: Row) -> list[Attempt]:
    """The newest attempts of a delivery's row, in order; the outcome of one that is under way is not known."""
    delivery_id, merchant_id = row[:2]
    rows = await transaction.rows(
        "list_attempts", (merchant_id, delivery_id, partition_of(delivery_id), LISTED_ATTEMPTS)
    )
    attempts = [Attempt(*each) for each in reversed(rows)]
    claimed = _in_flight_of(row)
    if claimed is not None:
        number, _, claimed_at = claimed
        attempts.append(Attempt(number, claimed_at, None, "unknown", None, None, b""))
    return attempts


def _in_flight_of(row: Row) -> tuple[int, int, int] | None:
    delivery_id, in_flight = row[0], row[-1]
    if in_flight is None or delivery_id not in in_flight:  # most rows of a long list need no parsing
        return None
    return InFlightClaims(in_flight).attempt(delivery_id)


def _merchant(claim: Claim) -> str:
    return claim.merchant_id
