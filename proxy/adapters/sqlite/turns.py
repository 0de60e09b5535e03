"""The endpoints' turns: which delivery may start now, what came of it, and when its endpoint is served next."""

import sqlite3
from collections.abc import Sequence

from proxy.adapters.sqlite.lanes import SQL
from proxy.adapters.sqlite.registry_rows import endpoint_of
from proxy.errors import LeaseLost
from proxy.merchant import Endpoint
from proxy.records import Attempt, Claim, Finished, Judged, Lease, StoredEvent
from proxy.verdict import Health, Verdict, judge
from proxy.webhook import DeliveryStatus

Key = tuple[str, str]
Report = tuple[Finished, Lease | None]
"""An attempt that has ended, and on what terms the endpoint's next delivery is claimed with it, if it is."""


def claim(connection: sqlite3.Connection, now: int, lease: Lease, limit: int) -> list[Claim]:
    """The step behind Store.claim_deliveries."""
    turns: list[Key] = connection.execute(SQL["due_turns"], (now, limit)).fetchall()
    claims: list[Claim] = []
    for key in turns:
        served = _served(connection, key)
        if served is not None:
            # An equal share each: what one endpoint has piled up does not push the others out of this claim.
            claims += _take(connection, *served, now, lease, max(1, limit // len(turns)))
    return claims


def record(connection: sqlite3.Connection, reports: Sequence[Report]) -> list[Judged | Exception]:
    """The step behind Store.record_attempt, for all that wait: those of one endpoint share its turn."""
    groups: dict[Key, list[int]] = {}
    for number, (finished, _) in enumerate(reports):
        groups.setdefault((finished.claim.merchant_id, finished.claim.endpoint.id), []).append(number)
    judged: dict[int, Judged | Exception] = {}
    for key, numbers in groups.items():
        judged |= zip(numbers, _record(connection, key, [reports[number] for number in numbers]), strict=True)
    return [judged[number] for number in range(len(reports))]


def release(connection: sqlite3.Connection, claims: Sequence[Claim], now: int) -> None:
    """The step behind Store.release_deliveries."""
    for each in claims:
        if connection.execute(SQL["release_delivery"], (*_fence(each), now)).rowcount == 1:
            connection.execute(SQL["forget_attempt"], (each.merchant_id, each.delivery_id, each.attempt))
    for key in dict.fromkeys((each.merchant_id, each.endpoint.id) for each in claims):
        settle(connection, key, now)


def settle(connection: sqlite3.Connection, key: Key, now: int) -> None:
    """Finds the endpoint's next turn, which is none while it is not served."""
    served = _served(connection, key)
    if served is not None:
        _settle(connection, *served, now, _in_flight(connection, key, now))


def _record(connection: sqlite3.Connection, key: Key, reports: Sequence[Report]) -> list[Judged | Exception]:
    """One endpoint's attempts, and the deliveries that follow on those of them that bring one along."""
    served = _served(connection, key)
    verdicts, health = _write(connection, [finished for finished, _ in reports], served[1] if served else Health())
    leases = [lease for (_, lease), verdict in zip(reports, verdicts, strict=True) if lease and verdict]
    now = max(finished.at for finished, _ in reports)
    following: list[Claim] = []
    if served is not None and leases and health.paused_until <= now:
        following = _take(connection, served[0], health, now, leases[-1], len(leases))
    elif served is not None:
        _settle(connection, served[0], health, now, _in_flight(connection, key, now))
    judged: list[Judged | Exception] = []
    for (_, lease), verdict in zip(reports, verdicts, strict=True):
        if verdict is None:
            judged.append(LeaseLost())
        else:
            judged.append(Judged(verdict, following.pop(0) if lease and following else None))
    return judged


def _write(
    connection: sqlite3.Connection, attempts: Sequence[Finished], health: Health
) -> tuple[list[Verdict | None], Health]:
    """What each attempt meant, as stored, None when its lease was lost; and the endpoint's health after them."""
    verdicts: list[Verdict | None] = []
    rows = []
    for finished in attempts:
        done, attempt, at = finished.claim, finished.attempt, finished.at
        verdict = judge(health, done.turn, attempt.status, finished.retry_after_seconds, at, finished.jitter)
        delivered_at = at if verdict.status is DeliveryStatus.DELIVERED else None
        state = (verdict.status.value, verdict.due_at, delivered_at, at)
        if connection.execute(SQL["record_delivery"], (*_fence(done), *state)).rowcount == 0:
            verdicts.append(None)
            continue
        verdicts.append(verdict)
        health = verdict.health
        rows.append((done.merchant_id, done.delivery_id, *_columns(attempt)))
    connection.executemany(SQL["record_attempt"], rows)
    return verdicts, health


def _served(connection: sqlite3.Connection, key: Key) -> tuple[Endpoint, Health] | None:
    """The endpoint as it is now, and how it has been answering; None while it is not served."""
    row = connection.execute(SQL["served_endpoint"], key).fetchone()
    return None if row is None else (endpoint_of(row[3:]), Health(*row[:3]))


def _in_flight(connection: sqlite3.Connection, key: Key, now: int) -> int:
    count: int = connection.execute(SQL["in_flight"], (*key, now)).fetchone()[0]
    return count


def _take(
    connection: sqlite3.Connection, endpoint: Endpoint, health: Health, now: int, lease: Lease, share: int
) -> list[Claim]:
    """Up to `share` claims at one endpoint, as far as its health leaves room; then its next turn is known."""
    key = (endpoint.merchant_id, endpoint.id)
    in_flight = _in_flight(connection, key, now)
    room = max(0, min(share, health.limit - in_flight))
    claims = [
        Claim(key[0], row[0], endpoint, StoredEvent(*row[3:]), row[1] + 1, row[1] + 1 - row[2], now, lease.token)
        for row in connection.execute(SQL["due_deliveries"], (*key, now, room))
    ]
    leases = [(each.merchant_id, each.delivery_id, lease.until, lease.token) for each in claims]
    attempts = [(each.merchant_id, each.delivery_id, each.attempt, key[1], now, b"") for each in claims]
    connection.executemany(SQL["take_delivery"], leases)
    connection.executemany(SQL["begin_attempt"], attempts)
    # One that was just served stands behind those that wait.
    _settle(connection, endpoint, health, now, in_flight + len(claims), served_at=now if claims else None)
    return claims


def _settle(
    connection: sqlite3.Connection,
    endpoint: Endpoint,
    health: Health,
    now: int,
    in_flight: int,
    served_at: int | None = None,
) -> None:
    key = (endpoint.merchant_id, endpoint.id)
    after = (health.failures, health.failing_since, health.paused_until)
    connection.execute(SQL["settle_turn"], (*key, now, *after, served_at, int(in_flight >= health.limit)))


def _fence(each: Claim) -> tuple[str, str, str, int]:
    """The delivery as this claim left it: a later claim has another token or a higher count."""
    return (each.merchant_id, each.delivery_id, each.token, each.attempt)


def _columns(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.number,
        attempt.started_at,
        attempt.duration_ms,
        attempt.outcome,
        attempt.status,
        attempt.error,
        attempt.excerpt,
    )
