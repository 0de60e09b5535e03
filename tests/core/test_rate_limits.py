"""The limits themselves: how much passes, when more does, and that memory is bounded."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.clock import MINUTE
from proxy.errors import RateLimited
from proxy.rate_limits import RateLimit, Standing


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


def passes(limit: RateLimit, key: str) -> bool:
    try:
        limit.spend(key)
    except RateLimited:
        return False
    return True


def test_a_minutes_worth_passes_at_once_and_the_next_is_told_when_to_come_back() -> None:
    clock = Clock()
    limit = RateLimit("creates", 30, clock)
    assert all(passes(limit, "a") for _ in range(30))
    with pytest.raises(RateLimited) as refused:
        limit.spend("a")
    assert (refused.value.limit, refused.value.per_minute, refused.value.retry_after_seconds) == ("creates", 30, 2)
    clock.now += 1999
    assert not passes(limit, "a")
    clock.now += 1
    assert passes(limit, "a")
    assert not passes(limit, "a")


def test_a_refusal_costs_nothing() -> None:
    clock = Clock()
    limit = RateLimit("creates", 1, clock)
    assert passes(limit, "a")
    for _ in range(59):
        clock.now += 1000
        assert not passes(limit, "a")
    clock.now += 1000
    assert passes(limit, "a")


def test_keys_do_not_share() -> None:
    limit = RateLimit("creates", 1, Clock())
    assert passes(limit, "a")
    assert passes(limit, "b")
    assert not passes(limit, "a")


def test_zero_turns_it_off() -> None:
    limit = RateLimit("creates", 0, Clock())
    assert all(passes(limit, "a") for _ in range(10_000))
    limit.check("a")
    assert len(limit) == 0


def test_a_look_counts_nothing_and_refuses_what_a_call_would_be_refused() -> None:
    clock = Clock()
    limit = RateLimit("failures", 2, clock)
    limit.check("a")
    assert "a" not in limit
    limit.spend("a")
    limit.check("a")
    limit.spend("a")
    with pytest.raises(RateLimited):
        limit.check("a")
    clock.now += MINUTE // 2
    limit.check("a")


def test_who_nears_the_limit_is_told_where_he_stands() -> None:
    clock = Clock()
    limit = RateLimit("creates", 4, clock)
    assert [limit.spend("a") for _ in range(2)] == [None, None]
    assert limit.spend("a") == Standing("creates", 4, remaining=1, reset_seconds=45)
    assert limit.spend("a") == Standing("creates", 4, remaining=0, reset_seconds=60)


def test_memory_is_bounded_and_who_was_longest_away_is_forgotten_first() -> None:
    limit = RateLimit("creates", 1, Clock(), max_keys=3)
    for key in ("a", "b", "c"):
        limit.spend(key)
    assert not passes(limit, "a")
    limit.spend("d")
    assert len(limit) == 3
    assert "a" not in limit
    assert not passes(limit, "b")


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    clock = Clock()
    limit = RateLimit("creates", 5, clock)
    while passes(limit, "a"):
        pass
    clock.now -= 10 * MINUTE
    assert passes(limit, "a")


@given(st.integers(1, 20), st.lists(st.integers(0, 20_000), max_size=80))
def test_never_more_than_the_quota_and_what_a_span_earns(per_minute: int, pauses: list[int]) -> None:
    """In any span, at most the quota at once and one more for each share of a minute in it; and no less is given."""
    clock = Clock()
    limit = RateLimit("creates", per_minute, clock)
    passed: deque[int] = deque()
    for pause in pauses:
        clock.now += pause
        owed = all(
            (len(passed) - i + 1) * MINUTE <= (clock.now - since) * per_minute + per_minute * MINUTE
            for i, since in enumerate(passed)
        )
        assert passes(limit, "a") == owed
        if owed:
            passed.append(clock.now)
