"""Webhook messages: the specification's vectors, its own library, and the schedule."""

import os
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from proxy.clock import HOUR, SECOND
from proxy.webhook import MAX_ATTEMPTS, RETRY_DELAYS, Event, new_secret, private_key, public_key, retry_at, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


@pytest.mark.parametrize(
    ("key", "message_id", "timestamp", "body", "signature"),
    [
        (SECRET, ID, TIMESTAMP, BODY, V1),
        (
            OTHER_SECRET,
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (PRIVATE, ID, TIMESTAMP, BODY, V1A),
    ],
)
def test_the_vectors(key: str, message_id: str, timestamp: int, body: bytes, signature: str) -> None:
    assert sign([key], message_id, timestamp, body) == signature


def test_the_public_key_of_the_vector() -> None:
    assert public_key(PRIVATE) == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def test_several_signatures_are_separated_by_one_space_and_v1_comes_first() -> None:
    assert sign([PRIVATE, SECRET], ID, TIMESTAMP, BODY) == f"{V1} {V1A}"
    assert sign([SECRET, PRIVATE, OTHER_SECRET], ID, TIMESTAMP, BODY).split(" ")[2] == V1A


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
    event = Event("evt_1", "mer_1", "main", "payment.paid", "pay_1", 1_800_000_000_123, {"order_id": "سفارش"})
    assert orjson.loads(event.body(17)) == {
        "type": "payment.paid",
        "timestamp": "2027-01-15T08:00:00.123Z",
        "data": {"order_id": "سفارش", "sequence": 17},
    }
    assert event.body(17) == event.body(17)


def test_the_schedule_takes_75_6_hours_and_then_ends() -> None:
    now, due = 0, list[int]()
    for attempts in range(1, MAX_ATTEMPTS + 2):
        planned = retry_at(attempts, now, 0.0)
        if planned is None:
            break
        due.append(planned - now)
        now = planned
    seconds = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert due == [count * SECOND for count in seconds]
    assert len(due) + 1 == MAX_ATTEMPTS == 10
    assert round(now / HOUR, 1) == 75.6


@given(st.integers(1, len(RETRY_DELAYS)), st.floats(-1, 1))
def test_jitter_moves_a_retry_by_a_fifth_at_most(attempts: int, jitter: float) -> None:
    due = retry_at(attempts, 0, jitter)
    assert due is not None
    assert abs(due - RETRY_DELAYS[attempts - 1]) <= RETRY_DELAYS[attempts - 1] // 5
