"""The endpoints' turns: which delivery may start now, what came of it, and when its endpoint is served next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.adapters.store.flights import Flights
from proxy.adapters.store.registry_rows import endpoint_of
from proxy.adapters.store.steps import Outcome
from proxy.adapters.store.transaction import Row, Transaction
from proxy.errors import LeaseLost
from proxy.ids import part_at, part_of
from proxy.merchant import Endpoint
from proxy.records import Attempt, Begun, Claim, Finished, Judged, Lease, StoredEvent
from proxy.verdict import Health, Verdict, judge
from proxy.webhook import DeliveryStatus

Key = tuple[str, str]
# Later than every lease.
_NEVER: Final = 1 << 62
# What a row says of a turn; its endpoint's columns follow.
TURN_COLUMNS: Final = 7
Told = tuple[Endpoint, Row, str]
"""An endpoint, its turn's row, and its delivery of an event."""
Report = tuple[Finished, Lease | None]
"""An attempt that has ended, and on what terms the endpoint's next delivery is claimed with it, if it is."""


@dataclass(slots=True)
class Turn:
    """An endpoint as it is now, how it has been answering, and what is on its way there. `held` while not served."""

    endpoint: Endpoint
    health: Health
    served_at: int
    held: bool
    flights: Flights

    @property
    def key(self) -> Key:
        return (self.endpoint.merchant_id, self.endpoint.id)

    def room(self, now: int) -> int:
        """How many more attempts may start. What has run out takes no room any more."""
        return self.health.limit - self.flights.live(now)


async def claim(transaction: Transaction, now: int, lease: Lease, limit: int) -> list[Claim]:
    """The step behind Store.claim_deliveries."""
    keys = await transaction.rows("due_turns", (now, limit))
    claims: list[Claim] = []
    for merchant_id, endpoint_id in keys:
        turn = await _turn(transaction, (merchant_id, endpoint_id))
        if turn is not None and not turn.held:
            # An equal share each: what one endpoint has piled up does not push the others out of this claim.
            claims += await _take(transaction, turn, now, lease, max(1, limit // len(keys)))
    return claims


async def begin(transaction: Transaction, event: StoredEvent, told: Sequence[Told], lease: Lease | None) -> Begun:
    """Deliveries that are written just now: with a lease those are claimed that nothing else at their endpoint is
    before, and what has no room there is left to whatever lands. The others' turns come.
    """
    now, claims, settled, hastened = event.occurred_at, list[Claim](), list[Row](), list[Row]()
    for endpoint, row, delivery_id in told:
        paused_until, held, due_at = row[2], row[4], row[6]
        if lease is None or held != 0 or paused_until > now or (due_at is not None and due_at <= now):
            hastened.append((event.merchant_id, endpoint.id, now))
            continue
        turn = _turn_of(endpoint, row)
        if turn.room(now) > 0:
            claimed = Claim(event.merchant_id, delivery_id, endpoint, event, 1, 1, now, lease.token)
            turn.flights.take_off((claimed,), lease.until)
            turn.served_at = now
            claims.append(claimed)
            settled.append(_settled(turn, now, due_at))
    await transaction.run_all("settle_turn", settled)
    await transaction.run_all("hasten_turn", hastened)
    return Begun(claims, waiting=bool(hastened))


async def record_all(transaction: Transaction, reports: Sequence[Report]) -> list[Outcome]:
    """The step behind Store.record_attempt, for all that wait: those of one endpoint share its turn."""
    groups: dict[Key, list[int]] = {}
    for number, (finished, _) in enumerate(reports):
        groups.setdefault((finished.claim.merchant_id, finished.claim.endpoint.id), []).append(number)
    outcomes = [Outcome()] * len(reports)
    for key in sorted(groups):  # in one order everywhere, so that no two wait for each other's turn
        numbers = groups[key]
        judged = await _record(transaction, key, [reports[number] for number in numbers])
        for number, outcome in zip(numbers, judged, strict=True):
            outcomes[number] = outcome
    return outcomes


async def release(transaction: Transaction, claims: Sequence[Claim], now: int) -> None:
    """The step behind Store.release_deliveries."""
    for key in sorted({(each.merchant_id, each.endpoint.id) for each in claims}):
        turn = await _turn(transaction, key)
        if turn is None:
            continue
        landed = [each for each in claims if (each.merchant_id, each.endpoint.id) == key and turn.flights.land(each)]
        await transaction.run_all("release_delivery", [_place(each.merchant_id, each.delivery_id) for each in landed])
        await _settle(transaction, turn, now)


async def settle(transaction: Transaction, key: Key, now: int) -> None:
    """Finds the endpoint's next turn."""
    turn = await _turn(transaction, key)
    if turn is not None:
        await _settle(transaction, turn, now)


async def take_over(transaction: Transaction, now: int) -> None:
    """Whoever made the attempts that are on their way is no more: what they came to will not be known."""
    for merchant_id, endpoint_id in await transaction.rows("endpoints_in_flight"):
        turn = await _turn(transaction, (merchant_id, endpoint_id))
        if turn is not None:
            await _lose(transaction, turn, _NEVER)
            await _settle(transaction, turn, now)


async def ground(transaction: Transaction, key: Key) -> None:
    """Of the attempts that are on their way to an endpoint it will not be known what they came to."""
    turn = await _turn(transaction, key)
    if turn is not None:
        await _lose(transaction, turn, _NEVER)


async def flights_at(transaction: Transaction, key: Key) -> Flights:
    """What is on its way to an endpoint, or has run out and was not looked at since."""
    turn = await _turn(transaction, key)
    return Flights() if turn is None else turn.flights


async def _record(transaction: Transaction, key: Key, reports: Sequence[Report]) -> list[Outcome]:
    """One endpoint's attempts, and the deliveries that follow on those of them that bring one along."""
    turn = await _turn(transaction, key)
    if turn is None:
        return [Outcome(error=LeaseLost()) for _ in reports]
    verdicts = await _write(transaction, turn, [finished for finished, _ in reports])
    leases = [lease for (_, lease), verdict in zip(reports, verdicts, strict=True) if lease and verdict]
    now = max(finished.at for finished, _ in reports)
    following: list[Claim] = []
    if leases and not turn.held and turn.health.paused_until <= now:
        following = await _take(transaction, turn, now, leases[-1], len(leases))
    else:
        await _settle(transaction, turn, now)
    judged: list[Outcome] = []
    for (_, lease), verdict in zip(reports, verdicts, strict=True):
        if verdict is None:
            judged.append(Outcome(error=LeaseLost()))
        else:
            judged.append(Outcome(Judged(verdict, following.pop(0) if lease and following else None)))
    return judged


async def _write(transaction: Transaction, turn: Turn, attempts: Sequence[Finished]) -> list[Verdict | None]:
    """What each attempt meant, as stored, None when its lease was lost; the turn then knows of them."""
    verdicts: list[Verdict | None] = []
    states, rows = [], []
    for finished in attempts:
        done, attempt, at = finished.claim, finished.attempt, finished.at
        if not turn.flights.land(done):
            verdicts.append(None)
            continue
        verdict = judge(turn.health, done.turn, attempt.status, finished.retry_after_seconds, at, finished.jitter)
        verdicts.append(verdict)
        turn.health = verdict.health
        delivered_at = at if verdict.status is DeliveryStatus.DELIVERED else None
        key = (done.merchant_id, done.delivery_id)
        part = part_of(done.delivery_id)
        states.append((*key, verdict.status.value, verdict.due_at, delivered_at, at, part))
        rows.append((*key, attempt.number, done.endpoint.id, *_columns(attempt), _later(part, attempt.started_at)))
    await transaction.run_all("record_delivery", states)
    await transaction.run_all("record_attempt", rows)
    return verdicts


async def _turn(transaction: Transaction, key: Key) -> Turn | None:
    """None for an endpoint that was never enabled, or is no more."""
    row = await transaction.row("turn_of_endpoint", key)
    if row is None:
        return None
    return _turn_of(endpoint_of(row[TURN_COLUMNS:]), row)


def _turn_of(endpoint: Endpoint, row: Row) -> Turn:
    failures, failing_since, paused_until, served_at, held, in_flight = row[:6]
    return Turn(endpoint, Health(failures, failing_since, paused_until), served_at, bool(held), Flights(in_flight))


async def _take(transaction: Transaction, turn: Turn, now: int, lease: Lease, share: int) -> list[Claim]:
    """Up to `share` claims at one endpoint, as far as its health leaves room; then its next turn is known."""
    await _lose(transaction, turn, now)
    room = max(0, min(share, turn.room(now)))
    # One more, which tells when the next turn is.
    rows = await transaction.rows("oldest_deliveries", (*turn.key, room + 1, *turn.flights.ids))
    due = [row for row in rows[:room] if row[0] <= now]
    claims = [_claim(turn, row, now, lease) for row in due]
    turn.flights.take_off(claims, lease.until)
    if claims:  # one that was just served stands behind those that wait
        turn.served_at = now
    await _settle_at(transaction, turn, now, rows[len(due)][0] if len(rows) > len(due) else None)
    return claims


def _claim(turn: Turn, row: Row, now: int, lease: Lease) -> Claim:
    _, delivery_id, attempts, scheduled_from, *event = row
    attempt = attempts + 1
    return Claim(
        turn.endpoint.merchant_id,
        delivery_id,
        turn.endpoint,
        StoredEvent(*event),
        attempt,
        attempt - scheduled_from,
        now,
        lease.token,
    )


async def _lose(transaction: Transaction, turn: Turn, now: int) -> None:
    """What has run out by `now` is counted, and shown as an attempt whose outcome is not known."""
    lost = turn.flights.lose(now)
    if lost:
        merchant_id, endpoint_id = turn.key
        attempts = [
            (merchant_id, each, number, endpoint_id, at, b"", _later(part_of(each), at)) for each, number, at in lost
        ]
        await transaction.run_all("lose_attempt", attempts)
        await transaction.run_all("count_attempt", [_place(merchant_id, each) for each, _, _ in lost])


async def _settle(transaction: Transaction, turn: Turn, now: int) -> None:
    row = await transaction.row("oldest_due_at", (*turn.key, *turn.flights.ids))
    await _settle_at(transaction, turn, now, None if row is None else row[0])


async def _settle_at(transaction: Transaction, turn: Turn, now: int, oldest_due_at: int | None) -> None:
    await transaction.run("settle_turn", _settled(turn, now, oldest_due_at))


def _settled(turn: Turn, now: int, oldest_due_at: int | None) -> Row:
    """The turn's row: when it comes is known from the oldest delivery that waits and the first claim that runs out."""
    ends = turn.flights.ends
    if turn.held:
        due_at = None
    elif turn.room(now) <= 0:
        due_at = ends
    else:
        waits = [at for at in (oldest_due_at, ends) if at is not None]
        due_at = max(min(waits), turn.served_at, turn.health.paused_until) if waits else None
    health = turn.health
    state = (health.failures, health.failing_since, health.paused_until, turn.served_at, turn.flights.text)
    return (*turn.key, due_at, *state)


def _columns(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.started_at,
        attempt.duration_ms,
        attempt.outcome,
        attempt.status,
        attempt.error,
        attempt.excerpt,
    )


def _later(part: int, started_at: int) -> int:
    """The period of an attempt; never one before its delivery's, `part`, though a clock may have been put back."""
    return max(part, part_at(started_at))


def _place(merchant_id: str, delivery_id: str) -> Row:
    return (merchant_id, delivery_id, part_of(delivery_id))
