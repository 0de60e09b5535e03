"""The limits themselves: how much passes, when more does, and that memory is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import RateLimited
from proxy.kernel.rate_limits import LimitState, RateLimit

NOW = 1_800_000_000_000


def passes(limit: RateLimit, key: str, now: int = NOW) -> bool:
    try:
        limit.spend(key, now)
    except RateLimited:
        return False
    return True


def test_a_minutes_worth_passes_at_once_and_the_next_is_told_when_to_come_back() -> None:
    limit = RateLimit("creates", 30)
    assert all(passes(limit, "a") for _ in range(30))
    with pytest.raises(RateLimited) as refused:
        limit.spend("a", NOW)
    assert (refused.value.limit, refused.value.per_minute, refused.value.retry_after_seconds) == ("creates", 30, 2)
    assert not passes(limit, "a", NOW + 1999)
    assert passes(limit, "a", NOW + 2000)
    assert not passes(limit, "a", NOW + 2000)


def test_a_refusal_costs_nothing() -> None:
    limit = RateLimit("creates", 1)
    assert passes(limit, "a")
    assert not any(passes(limit, "a", NOW + second * 1000) for second in range(60))
    assert passes(limit, "a", NOW + MINUTE)


def test_keys_do_not_share() -> None:
    limit = RateLimit("creates", 1)
    assert passes(limit, "a")
    assert passes(limit, "b")
    assert not passes(limit, "a")


def test_zero_turns_it_off() -> None:
    limit = RateLimit("creates", 0)
    assert all(passes(limit, "a") for _ in range(10_000))
    limit.check("a", NOW)
    assert len(limit) == 0


def test_a_look_counts_nothing_and_refuses_what_a_call_would_be_refused() -> None:
    limit = RateLimit("failures", 2)
    limit.check("a", NOW)
    assert "a" not in limit
    limit.spend("a", NOW)
    limit.check("a", NOW)
    limit.spend("a", NOW)
    for later in (0, MINUTE // 2 - 1):
        with pytest.raises(RateLimited):
            limit.check("a", NOW + later)
    limit.check("a", NOW + MINUTE // 2)


def test_who_nears_the_limit_is_told_where_he_stands() -> None:
    limit = RateLimit("creates", 4)
    assert [limit.spend("a", NOW) for _ in range(2)] == [None, None]
    assert limit.spend("a", NOW) == LimitState("creates", 4, remaining=1, reset_seconds=45)
    assert limit.spend("a", NOW) == LimitState("creates", 4, remaining=0, reset_seconds=60)


def test_memory_is_bounded_and_who_was_longest_away_is_forgotten_first() -> None:
    limit = RateLimit("creates", 2, max_keys=100)
    for number in range(1000):
        limit.spend(str(number), NOW)
        limit.spend("busy", NOW + number * MINUTE)
        assert len(limit) <= 100
    assert "900" not in limit
    assert all(str(number) in limit for number in range(960, 1000))
    assert not all(passes(limit, "busy", NOW + 999 * MINUTE) for _ in range(2))


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    limit = RateLimit("creates", 5)
    while passes(limit, "a"):
        pass
    assert passes(limit, "a", NOW - 10 * MINUTE)
    limit.check("a", NOW - 10 * MINUTE)


@given(st.integers(1, 20), st.lists(st.integers(0, 20_000), max_size=80))
def test_never_more_than_the_quota_and_what_a_span_earns(per_minute: int, pauses: list[int]) -> None:
    """In any span, at most the quota at once and one more for each share of a minute in it; and no less is given."""
    limit = RateLimit("creates", per_minute)
    passed, now = list[int](), NOW
    for pause in pauses:
        now += pause
        owed = all(
            (len(passed) - i + 1) * MINUTE <= (now - since) * per_minute + per_minute * MINUTE
            for i, since in enumerate(passed)
        )
        assert passes(limit, "a", now) == owed
        if owed:
            passed.append(now)
