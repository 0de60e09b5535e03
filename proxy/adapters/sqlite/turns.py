"""The endpoints' turns: which delivery may start now, what came of it, and when its endpoint is served next."""

import sqlite3
from collections.abc import Sequence

from proxy.adapters.sqlite.lanes import SQL
from proxy.adapters.sqlite.registry_rows import endpoint_of
from proxy.errors import LeaseLost
from proxy.records import Claim, Finished, Judged, Lease, StoredEvent
from proxy.verdict import Health, judge
from proxy.webhook import DeliveryStatus

Key = tuple[str, str]


def claim(connection: sqlite3.Connection, now: int, lease: Lease, limit: int) -> list[Claim]:
    """The step behind Store.claim_deliveries."""
    turns: list[Key] = connection.execute(SQL["due_turns"], (now, limit)).fetchall()
    claims: list[Claim] = []
    for key in turns:
        # An equal share each: what one endpoint has piled up does not push the others out of this claim.
        claims += _claim_share(connection, key, now, lease, max(1, limit // len(turns)))
    return claims


def record(connection: sqlite3.Connection, finished: Finished, follow: Lease | None) -> Judged:
    """The step behind Store.record_attempt."""
    done, attempt = finished.claim, finished.attempt
    key = (done.merchant_id, done.endpoint.id)
    turn = connection.execute(SQL["turn"], (*key, finished.at)).fetchone()
    health = Health() if turn is None else Health(*turn[:3])
    verdict = judge(health, done.turn, attempt.status, finished.retry_after_seconds, finished.at, finished.jitter)
    delivered_at = finished.at if verdict.status is DeliveryStatus.DELIVERED else None
    state = (verdict.status.value, verdict.due_at, delivered_at, finished.at)
    if connection.execute(SQL["record_delivery"], (*_fence(done), *state)).rowcount == 0:
        raise LeaseLost
    connection.execute(SQL["record_attempt"], (done.merchant_id, done.delivery_id, *_columns(finished)))
    if verdict.health != health:
        after = verdict.health
        connection.execute(SQL["set_health"], (*key, after.failures, after.failing_since, after.paused_until))
    paused = verdict.health.paused_until > finished.at
    if turn is not None and follow is not None and not paused:
        return Judged(verdict, next(iter(_claim_share(connection, key, finished.at, follow, 1)), None))
    settle(connection, key, finished.at, verdict.health)
    return Judged(verdict, None)


def release(connection: sqlite3.Connection, claims: Sequence[Claim], now: int) -> None:
    """The step behind Store.release_deliveries."""
    for each in claims:
        if connection.execute(SQL["release_delivery"], (*_fence(each), now)).rowcount == 1:
            connection.execute(SQL["forget_attempt"], (each.merchant_id, each.delivery_id, each.attempt))
    for key in dict.fromkeys((each.merchant_id, each.endpoint.id) for each in claims):
        health, _ = _health(connection, key, now)
        settle(connection, key, now, health)


def _claim_share(connection: sqlite3.Connection, key: Key, now: int, lease: Lease, share: int) -> list[Claim]:
    """Up to `share` claims at one endpoint, as far as its health leaves room; then its next turn is known."""
    health, in_flight = _health(connection, key, now)
    room = min(share, health.limit - in_flight)
    claims: list[Claim] = []
    if room > 0:
        endpoint = endpoint_of(connection.execute(SQL["endpoint"], key).fetchone())
        claims = [
            Claim(key[0], row[0], endpoint, StoredEvent(*row[3:]), row[1] + 1, row[1] + 1 - row[2], now, lease.token)
            for row in connection.execute(SQL["due_deliveries"], (*key, now, room))
        ]
    if claims:
        leases = [(each.merchant_id, each.delivery_id, lease.until, lease.token) for each in claims]
        attempts = [(each.merchant_id, each.delivery_id, each.attempt, key[1], now, b"") for each in claims]
        connection.executemany(SQL["take_delivery"], leases)
        connection.executemany(SQL["begin_attempt"], attempts)
        connection.execute(SQL["serve_turn"], (*key, now))
    settle(connection, key, now, health)
    return claims


def _health(connection: sqlite3.Connection, key: Key, now: int) -> tuple[Health, int]:
    """How the endpoint has been answering, and how much is in flight there; as new when it is not served at all."""
    row = connection.execute(SQL["turn"], (*key, now)).fetchone()
    return (Health(), 0) if row is None else (Health(*row[:3]), row[3])


def settle(connection: sqlite3.Connection, key: Key, now: int, health: Health) -> None:
    """Finds the endpoint's next turn, which is none while it is not served."""
    connection.execute(SQL["settle_turn"], (*key, now, health.limit))


def _fence(each: Claim) -> tuple[str, str, str, int]:
    """The delivery as this claim left it: a later claim has another token or a higher count."""
    return (each.merchant_id, each.delivery_id, each.token, each.attempt)


def _columns(finished: Finished) -> tuple[object, ...]:
    attempt = finished.attempt
    return (
        attempt.number,
        attempt.started_at,
        attempt.duration_ms,
        attempt.outcome,
        attempt.status,
        attempt.error,
        attempt.excerpt,
    )
