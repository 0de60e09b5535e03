"""What each answer means, row by row."""

import pytest

from proxy.clock import DAY, HOUR, MINUTE, SECOND
from proxy.verdict import DisabledReason, Health, Verdict, judge
from proxy.webhook import MAX_ATTEMPTS, RETRY_DELAYS, DeliveryStatus

NOW = 1_800_000_000_000
PENDING, DELIVERED, FAILED = DeliveryStatus.PENDING, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED
NEW = Health()
SOON = NOW + 5 * SECOND
HOURS_AGO = NOW - 3 * HOUR

TABLE: list[tuple[str, Health, int, int | None, int | None, Verdict]] = [
    ("2xx is success", NEW, 1, 204, None, Verdict(DELIVERED, None, NEW)),
    ("299 too", NEW, 1, 299, None, Verdict(DELIVERED, None, NEW)),
    ("success wipes what was", Health(2, HOURS_AGO, 0), 9, 200, None, Verdict(DELIVERED, None, NEW)),
    ("success ends probing", Health(9, HOURS_AGO, NOW), 1, 200, None, Verdict(DELIVERED, None, NEW)),
    (
        "success leaves a pause that was asked for",
        Health(0, HOURS_AGO, NOW + MINUTE),
        1,
        200,
        None,
        Verdict(DELIVERED, None, Health(paused_until=NOW + MINUTE)),
    ),
    ("a redirect is a failure", NEW, 1, 302, None, Verdict(PENDING, SOON, Health(0, NOW, 0))),
    ("1xx is a failure", NEW, 1, 101, None, Verdict(PENDING, SOON, Health(0, NOW, 0))),
    ("4xx is retried", NEW, 1, 404, None, Verdict(PENDING, SOON, Health(0, NOW, 0))),
    ("no answer counts against it", NEW, 1, None, None, Verdict(PENDING, SOON, Health(1, NOW, 0))),
    ("5xx counts against it", NEW, 1, 500, None, Verdict(PENDING, SOON, Health(1, NOW, 0))),
    (
        "4xx between keeps the count",
        Health(2, HOURS_AGO, 0),
        2,
        400,
        None,
        Verdict(PENDING, NOW + 5 * MINUTE, Health(2, HOURS_AGO, 0)),
    ),
    (
        "the third begins probing",
        Health(2, HOURS_AGO, 0),
        1,
        None,
        None,
        Verdict(PENDING, SOON, Health(3, HOURS_AGO, NOW + SECOND)),
    ),
    (
        "probes grow apart",
        Health(6, HOURS_AGO, NOW),
        1,
        502,
        None,
        Verdict(PENDING, SOON, Health(7, HOURS_AGO, NOW + 16 * SECOND)),
    ),
    (
        "to a minute at most",
        Health(500, HOURS_AGO, NOW),
        1,
        502,
        None,
        Verdict(PENDING, SOON, Health(501, HOURS_AGO, NOW + MINUTE)),
    ),
    (
        "Retry-After pauses the endpoint",
        NEW,
        1,
        429,
        60,
        Verdict(PENDING, NOW + MINUTE, Health(0, NOW, NOW + MINUTE)),
    ),
    (
        "and the schedule where it is later",
        NEW,
        3,
        503,
        60,
        Verdict(PENDING, NOW + 30 * MINUTE, Health(1, NOW, NOW + MINUTE)),
    ),
    (
        "a day at most",
        NEW,
        1,
        503,
        99 * 24 * 3600,
        Verdict(PENDING, NOW + DAY, Health(1, NOW, NOW + DAY)),
    ),
    ("it means nothing on others", NEW, 1, 500, 60, Verdict(PENDING, SOON, Health(1, NOW, 0))),
    (
        "a longer pause stays",
        Health(0, HOURS_AGO, NOW + HOUR),
        1,
        429,
        60,
        Verdict(PENDING, NOW + MINUTE, Health(0, HOURS_AGO, NOW + HOUR)),
    ),
    (
        "410 disables, and its delivery is held",
        NEW,
        4,
        410,
        None,
        Verdict(PENDING, NOW, Health(0, NOW, NOW + MINUTE), DisabledReason.GONE),
    ),
    (
        "five days without success disable",
        Health(5, NOW - 5 * DAY, 0),
        1,
        404,
        None,
        Verdict(PENDING, SOON, Health(5, NOW - 5 * DAY, NOW + MINUTE), DisabledReason.NO_SUCCESS),
    ),
    (
        "a moment less does not",
        Health(0, NOW - 5 * DAY + 1, 0),
        1,
        404,
        None,
        Verdict(PENDING, SOON, Health(0, NOW - 5 * DAY + 1, 0)),
    ),
    ("the last of the schedule", NEW, MAX_ATTEMPTS, 404, None, Verdict(FAILED, None, Health(0, NOW, 0))),
    (
        "Retry-After does not lengthen the schedule",
        NEW,
        MAX_ATTEMPTS,
        429,
        60,
        Verdict(FAILED, None, Health(0, NOW, NOW + MINUTE)),
    ),
]


@pytest.mark.parametrize(
    ("health", "attempt", "status", "retry_after_seconds", "verdict"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_table(
    health: Health, attempt: int, status: int | None, retry_after_seconds: int | None, verdict: Verdict
) -> None:
    assert judge(health, attempt, status, retry_after_seconds, NOW, 0.0) == verdict


@pytest.mark.parametrize("attempt", range(1, MAX_ATTEMPTS))
@pytest.mark.parametrize("jitter", [-1.0, 1.0])
def test_a_retry_is_within_a_fifth_of_its_schedule(attempt: int, jitter: float) -> None:
    due_at = judge(NEW, attempt, 500, None, NOW, jitter).due_at
    assert due_at == NOW + round(RETRY_DELAYS[attempt - 1] * (1 + 0.2 * jitter))


@pytest.mark.parametrize(("failures", "limit"), [(0, 8), (2, 8), (3, 1), (99, 1)])
def test_a_failing_endpoint_has_one_place(failures: int, limit: int) -> None:
    assert Health(failures).limit == limit
