"""Webhooks: signatures by the specification's vectors, sizes, docs/webhooks.md, and what each answer means."""

import os
import random
import re
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from support.fakes import FakeSender

from proxy.api.v1.schemas import MAX_METADATA_BYTES, CreatePayment
from proxy.gateways.port import Captured, InvoiceIssued
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.kernel.ids import ENDPOINT, EVENT, PAYMENT, TERMINAL, Ids
from proxy.kernel.money import MAX_RIALS, Currency
from proxy.merchants.merchant import Mode
from proxy.merchants.setup.fields import MAX_URL_CHARS
from proxy.payments.payment import Decision, OperatorDecision, Payment
from proxy.payments.serializers import payment_data
from proxy.payments.transitions import apply
from proxy.webhooks.delivery import AttemptReport, Claim, Lease, RecordedAttempt
from proxy.webhooks.endpoint import (
    MAX_DESCRIPTION_CHARS,
    MAX_HEADERS,
    V1,
    V1A,
    Endpoint,
    EndpointSecrets,
    EndpointState,
    endpoint_data,
)
from proxy.webhooks.event import EVENT_TYPES, MAX_BODY_BYTES, Event, StoredEvent
from proxy.webhooks.request import WebhookResult, new_secret, private_key, public_key, sign
from proxy.webhooks.retry_policy import (
    DEFAULT_SCHEDULE,
    DeliveryStatus,
    DisabledReason,
    Health,
    RetryDecision,
    decide_retry,
)
from proxy.webhooks.sender import TOTAL_SECONDS
from proxy.webhooks.storage.queue import EndpointQueue, InFlightClaims
from proxy.webhooks.storage.repository import WebhookRepository
from proxy.webhooks.worker import ATTEMPTS_IN_A_TURN, LEASE, DeliveryWorker

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
V1_VECTOR = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A_VECTOR = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


@pytest.mark.parametrize(
    ("key", "message_id", "timestamp", "body", "signature"),
    [
        (SECRET, ID, TIMESTAMP, BODY, V1_VECTOR),
        (
            OTHER_SECRET,
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (PRIVATE, ID, TIMESTAMP, BODY, V1A_VECTOR),
    ],
)
def test_the_vectors(key: str, message_id: str, timestamp: int, body: bytes, signature: str) -> None:
    assert sign([key], message_id, timestamp, body) == signature


def test_the_public_key_of_the_vector() -> None:
    assert public_key(PRIVATE) == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def test_several_signatures_are_separated_by_one_space_and_v1_comes_first() -> None:
    assert sign([PRIVATE, SECRET], ID, TIMESTAMP, BODY) == f"{V1_VECTOR} {V1A_VECTOR}"
    assert sign([SECRET, PRIVATE, OTHER_SECRET], ID, TIMESTAMP, BODY).split(" ")[2] == V1A_VECTOR


@pytest.mark.parametrize(
    "key", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!", "whsk_ab", "whpk_1SiA", "WHSEC_MfKQ", "whsec_MfKQ9\n"]
)
def test_what_is_not_a_key_signs_nothing(key: str) -> None:
    with pytest.raises(ValueError):
        sign([key], ID, TIMESTAMP, BODY)


def verifiable(secrets: list[str], body: bytes) -> dict[str, str]:
    """Headers of a message sent now; the library looks at the time."""
    timestamp = int(datetime.now(UTC).timestamp())
    signature = sign(secrets, ID, timestamp, body)
    return {"webhook-id": ID, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def test_the_specifications_library_verifies_what_we_sign_also_during_a_rotation() -> None:
    old, new = new_secret(os.urandom(32)), new_secret(os.urandom(32))
    headers = verifiable([new, old, private_key(os.urandom(32))], BODY)
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    for secret, body in ((new_secret(os.urandom(32)), BODY), (new, BODY + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


@given(st.binary(min_size=32, max_size=32))
def test_made_keys_sign_and_have_the_public_form(random_32_bytes: bytes) -> None:
    private = private_key(random_32_bytes)
    assert public_key(private).startswith("whpk_")
    assert sign([new_secret(random_32_bytes), private], ID, TIMESTAMP, BODY).startswith("v1,")


def test_a_body_has_type_timestamp_and_data_with_the_sequence() -> None:
    at = 1_800_000_000_123
    event = Event("evt_1", "mer_1", "main", Mode.LIVE, "payment.paid", "pay_1", at, {"order_id": "سفارش"})
    assert orjson.loads(event.body(17)) == {
        "type": "payment.paid",
        "timestamp": "2027-01-15T08:00:00.123Z",
        "data": {"order_id": "سفارش", "sequence": 17},
    }
    assert event.body(17) == event.body(17)


def test_the_schedule_takes_75_6_hours_and_then_ends() -> None:
    now, due = 0, list[int]()
    for attempts in range(1, DEFAULT_SCHEDULE.max_attempts + 2):
        planned = DEFAULT_SCHEDULE.retry_at(attempts, now, 0.0)
        if planned is None:
            break
        due.append(planned - now)
        now = planned
    seconds = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert due == [count * SECOND for count in seconds]
    assert len(due) + 1 == DEFAULT_SCHEDULE.max_attempts == 10
    assert round(now / HOUR, 1) == 75.6


@given(st.integers(1, len(DEFAULT_SCHEDULE.delays)), st.floats(-1, 1))
def test_jitter_moves_a_retry_by_a_fifth_at_most(attempts: int, jitter: float) -> None:
    due = DEFAULT_SCHEDULE.retry_at(attempts, 0, jitter)
    assert due is not None
    assert abs(due - DEFAULT_SCHEDULE.delays[attempts - 1]) <= DEFAULT_SCHEDULE.delays[attempts - 1] // 5


IDS = Ids(lambda size: b"\xff" * size)
WIDEST = "\U0001d11e"  # four bytes in UTF-8
NOTE_CHARS = 1000


def size_of(data: dict[str, object]) -> int:
    event_id = IDS.record(EVENT, MERCHANT_ID, TOLD_AT)
    event = Event(event_id, MERCHANT_ID, None, Mode.LIVE, "payment.review_resolved", None, TOLD_AT, data)
    return len(event.body(2**53))


def test_a_payment_with_all_that_fits_is_under_the_limit() -> None:
    metadata = {"k": "x" * (MAX_METADATA_BYTES - len(orjson.dumps({"k": ""})))}
    order = CreatePayment.model_validate(
        {
            "amount": MAX_RIALS,
            "currency": "IRR",
            "order_id": WIDEST * 100 if WIDEST.isprintable() else "x" * 100,
            "description": WIDEST * 500,
            "metadata": metadata,
        }
    )
    payment = Payment(
        id=IDS.record(PAYMENT, MERCHANT_ID, TOLD_AT),
        merchant_id=MERCHANT_ID,
        storefront="x" * 40,
        terminal_id=IDS.record(TERMINAL, MERCHANT_ID, TOLD_AT),
        mode=Mode.LIVE,
        order_id=order.order_id,
        amount_rials=MAX_RIALS,
        currency=Currency.IRR,
        description=order.description,
        metadata=order.metadata,
        return_url=None,
        link="x" * 30,
        expires_at=TOLD_AT,
        created_at=TOLD_AT,
        updated_at=TOLD_AT,
    )
    key = "k" * 200
    for fact in (
        InvoiceIssued(key),
        Captured(key, MAX_RIALS - 1, key),
        OperatorDecision(Decision.REFUNDED, WIDEST * NOTE_CHARS, "x" * 100),
    ):
        payment, _ = apply(payment, fact, TOLD_AT)
    assert 4000 < size_of(payment_data(payment)) < MAX_BODY_BYTES


def test_an_endpoint_with_all_that_fits_is_under_the_limit() -> None:
    endpoint = Endpoint(
        id=IDS.record(ENDPOINT, MERCHANT_ID, TOLD_AT),
        merchant_id=MERCHANT_ID,
        mode=Mode.LIVE,
        url="https://shop.example.ir/" + "x" * (MAX_URL_CHARS - 24),
        storefront="x" * 40,
        event_types=EVENT_TYPES,
        description=WIDEST * MAX_DESCRIPTION_CHARS,
        header_names=tuple(f"x-{number}-" + "n" * 96 for number in range(MAX_HEADERS)),
        state=EndpointState.DISABLED,
        state_reason="no_success_for_5_days",
        state_since=TOLD_AT,
        created_at=TOLD_AT,
        updated_at=TOLD_AT,
        signatures=(V1, V1A),
    )
    assert (
        size_of(endpoint_data(replace(endpoint, previous_until=TOLD_AT, older_keys=((1, TOLD_AT),) * 3)))
        > MAX_HEADERS * 96
    )
    assert size_of(endpoint_data(endpoint)) < MAX_BODY_BYTES


def test_a_lease_outlives_the_longest_attempt_by_five_seconds() -> None:
    assert LEASE >= (TOTAL_SECONDS + 5) * SECOND


TOLD_AT = 1_795_514_400_000  # 2026-11-24T10:00:00Z
MERCHANT_ID = "mer_8Hk2Lm0Q"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")


def test_the_schedule_is_the_codes() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    [told] = re.findall(r"At once, then after (.*?): 75\.6 hours", DOCUMENT, re.DOTALL)
    delays = [int(number) * units[unit] * 1000 for number, unit in re.findall(r"(\d+) (s|min|h)\b", told)]
    assert delays == list(DEFAULT_SCHEDULE.delays)
    assert round(sum(DEFAULT_SCHEDULE.delays) / 3_600_000, 1) == 75.6


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


@pytest.mark.parametrize("most", [1, 2, 8, 64])
@pytest.mark.parametrize("failures", [0, 2, 3, 99])
def test_a_failing_endpoint_has_one_place_and_one_for_a_person(failures: int, most: int) -> None:
    queue = EndpointQueue(replace(HOOK, max_in_flight=most), Health(failures), 0, False, InFlightClaims())
    probed = failures >= 3
    assert queue.room(NOW) == (1 if probed else most)
    assert queue.room(NOW, asked=True) == (min(2, most) if probed else most)


HOOK = Endpoint(
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
STORED = StoredEvent("evt_1", "mer_1", 1, None, "live", "ping", None, NOW, b"{}")


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
    claims = [Claim("mer_1", f"dlv_{n}", HOOK, replace(STORED, id=f"evt_{n}"), 1, 1, NOW, "t") for n in range(count)]
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
