"""What each answer means, row by row."""

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from support.fakes import FakeSender

from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode
from proxy.webhooks.claim import AttemptReport, Claim, Lease, RecordedAttempt
from proxy.webhooks.delivery import DeliveryStatus
from proxy.webhooks.endpoint import Endpoint, EndpointSecrets, EndpointState
from proxy.webhooks.event import StoredEvent
from proxy.webhooks.port import WebhookResult
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, DisabledReason, Health, RetryDecision, decide_retry
from proxy.webhooks.storage.repository import WebhookRepository
from proxy.webhooks.worker import ATTEMPTS_IN_A_TURN, DeliveryWorker

NOW = 1_800_000_000_000
PENDING, DELIVERED, FAILED = DeliveryStatus.PENDING, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED
NEW = Health()
SOON = NOW + 5 * SECOND
HOURS_AGO = NOW - 3 * HOUR

TABLE: list[tuple[str, Health, int, int | None, int | None, RetryDecision]] = [
    ("2xx is success", NEW, 1, 204, None, RetryDecision(DELIVERED, None, NEW)),
    ("299 too", NEW, 1, 299, None, RetryDecision(DELIVERED, None, NEW)),
    ("success wipes what was", Health(2, HOURS_AGO, 0), 9, 200, None, RetryDecision(DELIVERED, None, NEW)),
    ("success ends probing", Health(9, HOURS_AGO, NOW), 1, 200, None, RetryDecision(DELIVERED, None, NEW)),
    (
        "success leaves a pause that was asked for",
        Health(0, HOURS_AGO, NOW + MINUTE),
        1,
        200,
        None,
        RetryDecision(DELIVERED, None, Health(paused_until=NOW + MINUTE)),
    ),
    ("a redirect is a failure", NEW, 1, 302, None, RetryDecision(PENDING, SOON, Health(0, NOW, 0))),
    ("1xx is a failure", NEW, 1, 101, None, RetryDecision(PENDING, SOON, Health(0, NOW, 0))),
    ("4xx is retried", NEW, 1, 404, None, RetryDecision(PENDING, SOON, Health(0, NOW, 0))),
    ("no answer counts against it", NEW, 1, None, None, RetryDecision(PENDING, SOON, Health(1, NOW, 0))),
    ("5xx counts against it", NEW, 1, 500, None, RetryDecision(PENDING, SOON, Health(1, NOW, 0))),
    (
        "4xx between keeps the count",
        Health(2, HOURS_AGO, 0),
        2,
        400,
        None,
        RetryDecision(PENDING, NOW + 5 * MINUTE, Health(2, HOURS_AGO, 0)),
    ),
    (
        "the third begins probing",
        Health(2, HOURS_AGO, 0),
        1,
        None,
        None,
        RetryDecision(PENDING, SOON, Health(3, HOURS_AGO, NOW + SECOND)),
    ),
    (
        "probes grow apart",
        Health(6, HOURS_AGO, NOW),
        1,
        502,
        None,
        RetryDecision(PENDING, SOON, Health(7, HOURS_AGO, NOW + 16 * SECOND)),
    ),
    (
        "to a minute at most",
        Health(500, HOURS_AGO, NOW),
        1,
        502,
        None,
        RetryDecision(PENDING, SOON, Health(501, HOURS_AGO, NOW + MINUTE)),
    ),
    (
        "Retry-After pauses the endpoint",
        NEW,
        1,
        429,
        60,
        RetryDecision(PENDING, NOW + MINUTE, Health(0, NOW, NOW + MINUTE)),
    ),
    (
        "and the schedule where it is later",
        NEW,
        3,
        503,
        60,
        RetryDecision(PENDING, NOW + 30 * MINUTE, Health(1, NOW, NOW + MINUTE)),
    ),
    (
        "a day at most",
        NEW,
        1,
        503,
        99 * 24 * 3600,
        RetryDecision(PENDING, NOW + DAY, Health(1, NOW, NOW + DAY)),
    ),
    ("it means nothing on others", NEW, 1, 500, 60, RetryDecision(PENDING, SOON, Health(1, NOW, 0))),
    (
        "a longer pause stays",
        Health(0, HOURS_AGO, NOW + HOUR),
        1,
        429,
        60,
        RetryDecision(PENDING, NOW + MINUTE, Health(0, HOURS_AGO, NOW + HOUR)),
    ),
    (
        "410 disables, and its delivery is held",
        NEW,
        4,
        410,
        None,
        RetryDecision(PENDING, NOW, Health(0, NOW, NOW + MINUTE), DisabledReason.GONE),
    ),
    (
        "five days without success disable",
        Health(5, NOW - 5 * DAY, 0),
        1,
        404,
        None,
        RetryDecision(PENDING, SOON, Health(5, NOW - 5 * DAY, NOW + MINUTE), DisabledReason.NO_SUCCESS),
    ),
    (
        "a moment less does not",
        Health(0, NOW - 5 * DAY + 1, 0),
        1,
        404,
        None,
        RetryDecision(PENDING, SOON, Health(0, NOW - 5 * DAY + 1, 0)),
    ),
    (
        "the last of the schedule",
        NEW,
        DEFAULT_SCHEDULE.max_attempts,
        404,
        None,
        RetryDecision(FAILED, None, Health(0, NOW, 0)),
    ),
    (
        "Retry-After does not lengthen the schedule",
        NEW,
        DEFAULT_SCHEDULE.max_attempts,
        429,
        60,
        RetryDecision(FAILED, None, Health(0, NOW, NOW + MINUTE)),
    ),
]


@pytest.mark.parametrize(
    ("health", "attempt", "status", "retry_after_seconds", "decision"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_table(
    health: Health, attempt: int, status: int | None, retry_after_seconds: int | None, decision: RetryDecision
) -> None:
    assert decide_retry(DEFAULT_SCHEDULE, health, attempt, status, retry_after_seconds, NOW, 0.0) == decision


@pytest.mark.parametrize("attempt", range(1, DEFAULT_SCHEDULE.max_attempts))
@pytest.mark.parametrize("jitter", [-1.0, 1.0])
def test_a_retry_is_within_a_fifth_of_its_schedule(attempt: int, jitter: float) -> None:
    due_at = decide_retry(DEFAULT_SCHEDULE, NEW, attempt, 500, None, NOW, jitter).due_at
    assert due_at == NOW + round(DEFAULT_SCHEDULE.delays[attempt - 1] * (1 + 0.2 * jitter))


@pytest.mark.parametrize(("failures", "limit"), [(0, 8), (2, 8), (3, 1), (99, 1)])
def test_a_failing_endpoint_has_one_place(failures: int, limit: int) -> None:
    assert Health(failures).limit == limit


ENDPOINT = Endpoint(
    "ep_1",
    "mer_1",
    Mode.LIVE,
    "https://shop.example/hook",
    None,
    frozenset(),
    "",
    (),
    EndpointState.ENABLED,
    None,
    NOW,
    NOW,
    NOW,
)
EVENT = StoredEvent("evt_1", "mer_1", 1, None, "live", "ping", None, NOW, b"{}")


@dataclass
class Backlog:
    """A store that lets one delivery at a time start; it notes how many a place was given in a row."""

    waiting: deque[Claim]
    in_a_row: list[int] = field(default_factory=list)

    async def claim_deliveries(self, _now: int, _lease: Lease, limit: int, _shares: object) -> list[Claim]:
        claims = [self.waiting.popleft() for _ in range(min(1, limit, len(self.waiting)))]
        self.in_a_row += [1] * len(claims)
        return claims

    async def record_attempt(self, finished: AttemptReport, follow: Lease | None) -> RecordedAttempt:
        decision = decide_retry(finished.schedule, Health(), 1, finished.attempt.status, None, finished.at, 0.0)
        if follow is None or not self.waiting:
            return RecordedAttempt(decision, None)
        self.in_a_row[-1] += 1
        return RecordedAttempt(decision, self.waiting.popleft())

    async def next_delivery_at(self) -> int | None:
        return NOW if self.waiting else None


class Keys:
    async def signing_keys(self, _endpoint: Endpoint) -> list[str]:
        return []

    async def headers(self, _endpoint: Endpoint) -> dict[str, str]:
        return {}


async def places(count: int, max_in_flight: int, status: int = 204) -> list[int]:
    claims = [Claim("mer_1", f"dlv_{n}", ENDPOINT, replace(EVENT, id=f"evt_{n}"), 1, 1, NOW, "t") for n in range(count)]
    store = Backlog(deque(claims))
    engine = DeliveryWorker(
        cast("WebhookRepository", store),
        cast("EndpointSecrets", cast("Any", Keys())),
        FakeSender(WebhookResult(status, None, 1)),
        Ids(random.Random(1).randbytes),
        lambda: NOW,
        lambda: 0.0,
        max_in_flight=max_in_flight,
    )
    while store.waiting or len(engine.tasks):
        await engine.step()
        await engine.tasks.drain()
    return store.in_a_row


async def test_where_others_wait_a_place_goes_on_after_a_turn() -> None:
    assert await places(2 * ATTEMPTS_IN_A_TURN + 1, max_in_flight=1) == [ATTEMPTS_IN_A_TURN, ATTEMPTS_IN_A_TURN, 1]


@pytest.mark.parametrize("status", [404, 500])
async def test_where_others_wait_a_failure_ends_the_turn(status: int) -> None:
    assert await places(3, max_in_flight=1, status=status) == [1, 1, 1]


async def test_where_nobody_waits_an_endpoint_keeps_its_place() -> None:
    assert await places(3 * ATTEMPTS_IN_A_TURN, max_in_flight=2) == [3 * ATTEMPTS_IN_A_TURN]
