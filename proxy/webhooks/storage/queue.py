"""The delivery queue of an endpoint: its in-flight claims, its waiting deliveries, and its next round."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.database.transaction import Row, Transaction
from proxy.kernel.clock import SECOND
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import partition_at, partition_of
from proxy.webhooks.delivery import Claim
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.retry_policy import LONGEST_PROBE_PAUSE, Health, RetrySchedule
from proxy.webhooks.storage.rows import endpoint_of

NONE: Final = "{}"


class InFlightClaims:
    """The attempts that are claimed: by delivery, [attempt, token, until, claimed at].

    They stay the lists that JSON has, because every group commit reads and writes those of each endpoint it serves.
    """

    __slots__ = ("_claims",)

    def __init__(self, text: str = NONE) -> None:
        self._claims: dict[str, list[Any]] = {} if text == NONE else orjson.loads(text)

    @property
    def text(self) -> str:
        return orjson.dumps(self._claims).decode() if self._claims else NONE

    @property
    def ids(self) -> str:
        """The deliveries, as a JSON list."""
        return orjson.dumps([*self._claims]).decode() if self._claims else "[]"

    @property
    def ends(self) -> int | None:
        """When the first claim runs out."""
        return min([until for _, _, until, _ in self._claims.values()], default=None)

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._claims

    def __len__(self) -> int:
        """With those that have run out."""
        return len(self._claims)

    def count_live(self, now: int) -> int:
        """How many have not run out."""
        return len([until for _, _, until, _ in self._claims.values() if until > now])

    def is_live(self, delivery_id: str, now: int) -> bool:
        return delivery_id in self._claims and self._claims[delivery_id][2] > now

    def attempt(self, delivery_id: str) -> tuple[int, int, int] | None:
        """The number of the attempt that is claimed, until when, and since when."""
        claimed = self._claims.get(delivery_id)
        return None if claimed is None else (claimed[0], claimed[2], claimed[3])

    def add(self, claims: Sequence[Claim], until: int) -> None:
        for each in claims:
            self._claims[each.delivery_id] = [each.attempt, each.token, until, each.claimed_at]

    def remove(self, claim: Claim) -> bool:
        """Removes the claim; False when it is gone, or replaced by a later claim with another token or count."""
        claimed = self._claims.get(claim.delivery_id)
        if claimed is None or claimed[1] != claim.token or claimed[0] != claim.attempt:
            return False
        del self._claims[claim.delivery_id]
        return True

    def shorten(self, latest: int) -> None:
        """No claim lasts longer than until `latest`."""
        for claimed in self._claims.values():
            claimed[2] = min(claimed[2], latest)

    def expire(self, now: int) -> list[tuple[str, int, int]]:
        """Removes those that have run out: the delivery, the attempt's number, and since when it was claimed."""
        lost = [(each, claimed[0], claimed[3]) for each, claimed in self._claims.items() if claimed[2] <= now]
        for delivery_id, _, _ in lost:
            del self._claims[delivery_id]
        return lost


Key = tuple[str, str]
# Longer than any lease of an attempt.
LONGEST_LEASE: Final = 30 * SECOND
# Later than every lease.
_NEVER: Final = 1 << 62
# The columns of the queue in a row; its endpoint's columns follow.
QUEUE_COLUMNS: Final = 7
AT_ONCE: Final = 0
"""When a delivery is due that a person sends again: before all others, and alone while its endpoint is held back."""


@dataclass(slots=True)
class EndpointQueue:
    """An endpoint with its health and its in-flight claims. `held` while it is not served."""

    endpoint: Endpoint
    health: Health
    served_at: int
    held: bool
    in_flight: InFlightClaims

    @property
    def key(self) -> Key:
        return (self.endpoint.merchant_id, self.endpoint.id)

    def room(self, now: int, *, asked: bool = False) -> int:
        """How many more attempts may start; below 0 where the limit was lowered. Claims that ran out take no room.

        What a person asked for has a place beside the one probe of an endpoint that does not answer, within its limit.
        """
        most = self.endpoint.max_in_flight
        limit = min(1 + asked, most) if self.health.is_probed else most
        return limit - self.in_flight.count_live(now)


async def pull_in_queue(
    transaction: Transaction, key: Key, schedule: RetrySchedule, now: int, after: int, page: int
) -> tuple[int, int | None]:
    """Of an endpoint served by a clock that was ahead: how many deliveries come sooner, and where to go on."""
    queue = await read_queue(transaction, key)
    if queue is None:
        return 0, None
    health = queue.health
    failing_since = None if health.failing_since is None else min(health.failing_since, now)
    queue.health = Health(health.failures, failing_since, min(health.paused_until, now + LONGEST_PROBE_PAUSE))
    queue.served_at = min(queue.served_at, now)
    queue.in_flight.shorten(now + LONGEST_LEASE)
    rows = await transaction.rows("waiting_deliveries", (*key, max(after, now), page))
    moved = []
    for delivery_id, attempts, scheduled_from, due_at in rows:
        longest = now + schedule.longest_delay(attempts - scheduled_from)
        if due_at > longest:
            moved.append((key[0], delivery_id, partition_of(delivery_id), due_at, longest))
    await transaction.run_all("pull_in_delivery", moved)
    await settle_queue(transaction, queue, now)
    return len(moved), rows[-1][3] if len(rows) == page else None


async def settle(transaction: Transaction, key: Key, now: int) -> None:
    """The same, of the endpoint as it is stored."""
    queue = await read_queue(transaction, key)
    if queue is not None:
        await settle_queue(transaction, queue, now)


async def take_over(transaction: Transaction, now: int) -> None:
    """Ends the claims of a process that is gone: the outcomes of its attempts stay unknown."""
    for merchant_id, endpoint_id in await transaction.rows("endpoints_in_flight"):
        queue = await read_queue(transaction, (merchant_id, endpoint_id))
        if queue is not None:
            await expire_claims(transaction, queue, _NEVER)
            await settle_queue(transaction, queue, now)


async def abandon_claims(transaction: Transaction, key: Key) -> None:
    """Ends an endpoint's in-flight claims with an unknown outcome."""
    queue = await read_queue(transaction, key)
    if queue is not None:
        await expire_claims(transaction, queue, _NEVER)


async def in_flight_at(transaction: Transaction, key: Key) -> InFlightClaims:
    """An endpoint's in-flight claims, with those that ran out and were not expired yet."""
    queue = await read_queue(transaction, key)
    return InFlightClaims() if queue is None else queue.in_flight


async def read_queue(transaction: Transaction, key: Key) -> EndpointQueue | None:
    """The queue; None for an endpoint that was never enabled, or is deleted."""
    row = await transaction.row("turn_of_endpoint", key)
    if row is None:
        return None
    return queue_of(endpoint_of(row[QUEUE_COLUMNS:]), row)


def queue_of(endpoint: Endpoint, row: Row) -> EndpointQueue:
    failures, failing_since, paused_until, served_at, held, in_flight = row[:6]
    return EndpointQueue(
        endpoint, Health(failures, failing_since, paused_until), served_at, bool(held), InFlightClaims(in_flight)
    )


async def expire_claims(transaction: Transaction, queue: EndpointQueue, now: int) -> None:
    """Expires the claims that ran out by `now`: each becomes an attempt with an unknown outcome."""
    lost = queue.in_flight.expire(now)
    if lost:
        merchant_id, endpoint_id = queue.key
        attempts = [
            (merchant_id, each, number, endpoint_id, at, b"", attempt_partition(partition_of(each), at))
            for each, number, at in lost
        ]
        await transaction.run_all("lose_attempt", attempts)
        await transaction.run_all("count_attempt", [delivery_key(merchant_id, each) for each, _, _ in lost])


async def settle_queue(transaction: Transaction, queue: EndpointQueue, now: int) -> None:
    """Finds when the endpoint is due next. One row more than those in flight has one that is not, if there is any."""
    rows = await transaction.rows("oldest_due_times", (*queue.key, len(queue.in_flight) + 1))
    oldest = next((due_at for due_at, delivery_id in rows if delivery_id not in queue.in_flight), None)
    await _settle_at(transaction, queue, now, oldest)


async def _settle_at(transaction: Transaction, queue: EndpointQueue, now: int, oldest_due_at: int | None) -> None:
    await transaction.run("settle_turn", queue_row(queue, now, oldest_due_at))


def queue_row(queue: EndpointQueue, now: int, oldest_due_at: int | None) -> Row:
    """The row of the queue. It is due with the oldest waiting delivery or the first claim that runs out."""
    ends = queue.in_flight.ends
    asked = oldest_due_at == AT_ONCE
    if queue.held:
        due_at = None
    elif queue.room(now, asked=asked) <= 0:
        due_at = ends
    elif asked:
        due_at = AT_ONCE
    else:
        waits = [at for at in (oldest_due_at, ends) if at is not None]
        due_at = max(min(waits), queue.served_at, queue.health.paused_until) if waits else None
    health = queue.health
    state = (health.failures, health.failing_since, health.paused_until, queue.served_at, queue.in_flight.text)
    return (*queue.key, due_at, *state)


def attempt_partition(partition: int, started_at: int) -> int:
    """The partition of an attempt; never one before its delivery's, `partition`, even after a clock went back."""
    return max(partition, partition_at(started_at))


def delivery_key(merchant_id: str, delivery_id: str) -> Row:
    return (merchant_id, delivery_id, partition_of(delivery_id))
