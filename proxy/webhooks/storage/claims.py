"""Claims of due deliveries, and of the deliveries of a new event."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

import orjson

from proxy.database.transaction import Outcome, Row, Transaction
from proxy.kernel.background import FairShares, in_turn
from proxy.kernel.errors import EventNotForEndpoint, LeaseLost
from proxy.kernel.ids import partition_of
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, EventClaims, Lease, RecordedAttempt
from proxy.webhooks.endpoint import Endpoint
from proxy.webhooks.event import StoredEvent
from proxy.webhooks.retry_policy import DeliveryStatus, RetryDecision, decide_retry
from proxy.webhooks.storage.queue import (
    AT_ONCE,
    EndpointQueue,
    Key,
    _settle_at,
    attempt_partition,
    delivery_key,
    expire_claims,
    queue_of,
    queue_row,
    read_queue,
    settle_queue,
)

# A claim chooses among so many endpoints, even with room for fewer, so that merchants are served in turn.
LEAST_LOOK: Final = 32


QueuedDelivery = tuple[Endpoint, Row, str]
"""An endpoint, its queue's row, and its delivery of an event."""


async def claim(transaction: Transaction, now: int, lease: Lease, limit: int, shares: FairShares) -> list[Claim]:
    """The step behind Store.claim_deliveries."""
    full = orjson.dumps(sorted(shares.at_limit())).decode()
    rows = await transaction.rows("due_turns", (now, max(limit, LEAST_LOOK), full))
    keys = in_turn([(row[0], row[1]) for row in rows], itemgetter(0), shares.copy(), limit)
    claims: list[Claim] = []
    for merchant_id, endpoint_id in keys:
        queue = await read_queue(transaction, (merchant_id, endpoint_id))
        if queue is not None and not queue.held:
            # An equal share each: what one endpoint has piled up does not push the others out of this claim.
            share = min(max(1, limit // len(keys)), shares.room(merchant_id))
            taken = await take_due(transaction, queue, now, lease, share)
            for _ in taken:
                shares.take(merchant_id)
            claims += taken
    return claims


async def claim_new(
    transaction: Transaction, event: StoredEvent, deliveries: Sequence[QueuedDelivery], lease: Lease | None
) -> EventClaims:
    """Writes the queue of new deliveries: with a lease it claims those without another delivery before them at their
    endpoint; those without room are left to the next landing. The others wait for their round.
    """
    now, claims, settled, hastened = event.occurred_at, list[Claim](), list[Row](), list[Row]()
    for endpoint, row, delivery_id in deliveries:
        paused_until, held, due_at = row[2], row[4], row[6]
        if lease is None or held != 0 or paused_until > now or (due_at is not None and due_at <= now):
            hastened.append((event.merchant_id, endpoint.id, now))
            continue
        queue = queue_of(endpoint, row)
        if queue.room(now) > 0:
            claimed = Claim(event.merchant_id, delivery_id, endpoint, event, 1, 1, now, lease.token)
            queue.in_flight.add((claimed,), lease.until)
            queue.served_at = now
            claims.append(claimed)
            settled.append(queue_row(queue, now, due_at))
    await transaction.run_all("settle_turn", settled)
    await transaction.run_all("hasten_turn", hastened)
    return EventClaims(claims, waiting=bool(hastened))


async def release(transaction: Transaction, claims: Sequence[Claim], now: int) -> None:
    """The step behind Store.release_deliveries."""
    for key in sorted({(each.merchant_id, each.endpoint.id) for each in claims}):
        queue = await read_queue(transaction, key)
        if queue is None:
            continue
        landed = [
            each for each in claims if (each.merchant_id, each.endpoint.id) == key and queue.in_flight.remove(each)
        ]
        await transaction.run_all(
            "release_delivery", [delivery_key(each.merchant_id, each.delivery_id) for each in landed]
        )
        await settle_queue(transaction, queue, now)


async def take_due(transaction: Transaction, queue: EndpointQueue, now: int, lease: Lease, share: int) -> list[Claim]:
    """Up to `share` claims at one endpoint, as far as its health leaves room; then its next queue is known."""
    await expire_claims(transaction, queue, now)
    room = max(0, min(share, queue.room(now)))
    room_if_asked = max(0, min(share, queue.room(now, asked=True)))
    # One more, whose due time is the queue's next.
    rows = await transaction.rows("oldest_deliveries", (*queue.key, room_if_asked + 1, queue.in_flight.ids))
    foreign = [row for row in rows if not queue.endpoint.may_get(row[8], row[7])]
    if foreign:
        await _refuse(transaction, queue, foreign, now)
        rows = [row for row in rows if row not in foreign]
    due = [row for row in rows[:room_if_asked] if row[0] == AT_ONCE]  # they come first
    if queue.health.paused_until <= now:
        due += [row for row in rows[len(due) : room] if row[0] <= now]
    claims = [_claim(queue, row, now, lease) for row in due]
    queue.in_flight.add(claims, lease.until)
    if claims:  # one that was just served stands behind those that wait
        queue.served_at = now
    following = rows[len(due)][0] if len(rows) > len(due) else None
    await _settle_at(transaction, queue, now, now if foreign else following)
    return claims


async def _refuse(transaction: Transaction, queue: EndpointQueue, rows: Sequence[Row], now: int) -> None:
    """Drops deliveries of events of another mode or storefront, which an older version or setting left behind."""
    merchant_id, endpoint_id = queue.key
    why = (now, None, "failed", None, EventNotForEndpoint.code, b"")
    attempts = [
        (merchant_id, each, attempts + 1, endpoint_id, *why, attempt_partition(partition_of(each), now))
        for _, each, attempts, *_ in rows
    ]
    await transaction.run_all("record_attempt", attempts)
    await transaction.run_all("refuse_delivery", [delivery_key(merchant_id, each) for _, each, *_ in rows])


def _claim(queue: EndpointQueue, row: Row, now: int, lease: Lease) -> Claim:
    _, delivery_id, attempts, scheduled_from, *event = row
    attempt = attempts + 1
    return Claim(
        queue.endpoint.merchant_id,
        delivery_id,
        queue.endpoint,
        StoredEvent(*event),
        attempt,
        attempt - scheduled_from,
        now,
        lease.token,
        asked=row[0] == AT_ONCE and queue.health.holds_back(now),
    )


Report = tuple[AttemptReport, Lease | None]
"""An attempt that has ended, and on what terms the endpoint's next delivery is claimed with it, if it is."""


async def record_all(transaction: Transaction, reports: Sequence[Report]) -> list[Outcome]:
    """The step behind Store.record_attempt, for all that wait: those of one endpoint share its queue."""
    groups: dict[Key, list[int]] = {}
    for number, (finished, _) in enumerate(reports):
        groups.setdefault((finished.claim.merchant_id, finished.claim.endpoint.id), []).append(number)
    outcomes = [Outcome()] * len(reports)
    for key in sorted(groups):  # in one order everywhere, so that no two transactions wait for each other
        numbers = groups[key]
        recorded = await _record(transaction, key, [reports[number] for number in numbers])
        for number, outcome in zip(numbers, recorded, strict=True):
            outcomes[number] = outcome
    return outcomes


async def _record(transaction: Transaction, key: Key, reports: Sequence[Report]) -> list[Outcome]:
    """One endpoint's attempts, and the deliveries that follow on those of them that bring one along."""
    queue = await read_queue(transaction, key)
    if queue is None:
        return [Outcome(error=LeaseLost()) for _ in reports]
    decisions = await _write(transaction, queue, [finished for finished, _ in reports])
    leases = [lease for (_, lease), decision in zip(reports, decisions, strict=True) if lease and decision]
    now = max(finished.at for finished, _ in reports)
    following: list[Claim] = []
    if leases and not queue.held:
        following = await take_due(transaction, queue, now, leases[-1], len(leases))
    else:
        await settle_queue(transaction, queue, now)
    recorded: list[Outcome] = []
    for (_, lease), decision in zip(reports, decisions, strict=True):
        if decision is None:
            recorded.append(Outcome(error=LeaseLost()))
        else:
            recorded.append(Outcome(RecordedAttempt(decision, following.pop(0) if lease and following else None)))
    return recorded


async def _write(
    transaction: Transaction, queue: EndpointQueue, attempts: Sequence[AttemptReport]
) -> list[RetryDecision | None]:
    """Writes the attempts and updates the queue. Gives each decision, None for a lost lease."""
    decisions: list[RetryDecision | None] = []
    states, rows = [], []
    for finished in attempts:
        done, attempt, at = finished.claim, finished.attempt, finished.at
        if not queue.in_flight.remove(done):
            decisions.append(None)
            continue
        answer = (attempt.status, finished.retry_after_seconds)
        decision = decide_retry(
            finished.schedule, queue.health, done.scheduled_attempt, *answer, at, finished.jitter, asked=done.asked
        )
        decisions.append(decision)
        queue.health = decision.health
        delivered_at = at if decision.status is DeliveryStatus.DELIVERED else None
        key = (done.merchant_id, done.delivery_id)
        partition = partition_of(done.delivery_id)
        started_in = attempt_partition(partition, attempt.started_at)
        states.append((*key, decision.status.value, decision.due_at, delivered_at, AT_ONCE, partition))
        rows.append((*key, attempt.number, done.endpoint.id, *_columns(attempt), started_in))
    await transaction.run_all("record_delivery", states)
    await transaction.run_all("record_attempt", rows)
    return decisions


def _columns(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.started_at,
        attempt.duration_ms,
        attempt.outcome,
        attempt.status,
        attempt.error,
        attempt.excerpt,
    )
