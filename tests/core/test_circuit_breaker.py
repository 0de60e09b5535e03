"""The circuit breaker: five unclear answers open it, one probe goes through after a pause, a clear answer closes it."""

import pytest

from proxy.errors import CircuitOpen
from proxy.gate import FAILURES_TO_OPEN, FIRST_PAUSE, LONGEST_PAUSE, Gate, GateLimits

TERMINAL = "trm_1"


class Hand:
    def __init__(self) -> None:
        self.at = 1_000_000

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def gate(hand: Hand) -> Gate:
    return Gate(GateLimits(), hand)


def fail(gate: Gate, times: int) -> None:
    for _ in range(times):
        gate.answered(TERMINAL, clear=False)


def test_it_opens_after_five_unclear_answers_in_a_row(gate: Gate) -> None:
    fail(gate, FAILURES_TO_OPEN - 1)
    gate.refuse_when_open(TERMINAL)
    gate.answered(TERMINAL, clear=True)
    fail(gate, FAILURES_TO_OPEN - 1)
    gate.refuse_when_open(TERMINAL)
    fail(gate, 1)
    with pytest.raises(CircuitOpen) as refused:
        gate.refuse_when_open(TERMINAL)
    assert refused.value.retry_after_seconds == FIRST_PAUSE // 1000
    gate.refuse_when_open("trm_other")


def test_after_the_pause_one_call_probes_and_the_others_wait_for_it(gate: Gate, hand: Hand) -> None:
    fail(gate, FAILURES_TO_OPEN)
    hand.at += FIRST_PAUSE
    gate.refuse_when_open(TERMINAL)
    with pytest.raises(CircuitOpen):
        gate.refuse_when_open(TERMINAL)
    gate.answered(TERMINAL, clear=True)
    for _ in range(3):
        gate.refuse_when_open(TERMINAL)


def test_a_probe_that_fails_doubles_the_pause_and_what_was_under_way_does_not(gate: Gate, hand: Hand) -> None:
    fail(gate, FAILURES_TO_OPEN + 50)
    assert gate.spared_for(TERMINAL) == FIRST_PAUSE
    for doubled in (2, 4, 8):
        hand.at += gate.spared_for(TERMINAL)
        assert gate.spared_for(TERMINAL) == 0
        fail(gate, 1)
        assert gate.spared_for(TERMINAL) == min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def test_a_probe_that_is_never_heard_of_is_followed_by_another(gate: Gate, hand: Hand) -> None:
    fail(gate, FAILURES_TO_OPEN)
    hand.at += FIRST_PAUSE
    assert gate.spared_for(TERMINAL) == 0
    hand.at += FIRST_PAUSE
    assert gate.spared_for(TERMINAL) == 0
