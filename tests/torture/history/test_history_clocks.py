"""The judge where a time of day was wrong: what a process told by it is no lie, and what a right one tells still is."""

from typing import Final

import pytest

from .lines import call, payment, true_history
from .story import Line
from .test_history import also, promises_broken

FOUR_DAYS: Final = 4 * 86_400_000
# The payment expires at 15:00:00, the webhooks were signed at 14:13:20.
EARLY, LATER, EXPIRY = "2026-09-21T14:00:00.000Z", "2026-09-21T14:00:20.000Z", "2026-09-21T15:00:00.000Z"
BEFORE_SIGNED, SIGNED = "2026-09-21T14:13:19.000Z", "2026-09-21T14:13:20.400Z"


def clock(wrong: int, at: str) -> Line:
    return {"what": "clock", "wrong": wrong, "at": at}


def asked(at: str, number: int = 1) -> Line:
    return {"what": "said", "invoice_key": f"inv_{number}", "outcome": "open", "at": at}


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ((asked(EARLY),), False),
        ((clock(FOUR_DAYS, EARLY),), False),
        ((clock(FOUR_DAYS, EARLY), asked(LATER)), True),
        ((asked(EARLY), clock(FOUR_DAYS, EARLY)), True),
        ((asked(EARLY), clock(FOUR_DAYS, LATER)), False),
        ((clock(FOUR_DAYS, EARLY), clock(0, EARLY), asked(LATER)), False),
        ((asked(EXPIRY),), True),
        ((clock(-FOUR_DAYS, EARLY), asked(EXPIRY)), False),
    ],
)
def test_a_payment_expires_by_the_clock_of_the_process_that_asked(told: tuple[Line, ...], *, right: bool) -> None:
    lines = true_history()
    expired = call("a", "GET", "/v1/payments/pay_1", payment(1, "expired", 2.5), 5.0)
    for line in (*told, asked(EARLY, 9), expired):
        also(lines, line)
    assert ("what ends unpaid was answered" not in promises_broken(lines)) == right


@pytest.mark.parametrize(
    ("clocks", "right"),
    [
        ((), False),
        ((clock(FOUR_DAYS, SIGNED),), True),
        ((clock(FOUR_DAYS, EARLY), clock(0, BEFORE_SIGNED)), True),
        ((clock(FOUR_DAYS, EARLY), clock(0, LATER)), False),
    ],
)
def test_an_attempt_is_told_by_a_clock_that_is_looked_at_a_moment_after_it_jumped(
    clocks: tuple[Line, ...], *, right: bool
) -> None:
    """Its signature is by the right time, the attempt by a clock that is four days ahead."""
    lines = true_history()
    for line in clocks:
        also(lines, line)
    lines["delivery 1"]["answer"]["log"][0]["started_at"] = "2026-09-25T14:13:20.500Z"
    assert promises_broken(lines) == (set() if right else {"every attempt is told once"})
