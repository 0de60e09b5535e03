"""Milliseconds inside, RFC 3339 outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.clock import parse_rfc3339, rfc3339


def test_a_moment_as_it_is_written() -> None:
    assert rfc3339(1_795_514_400_007) == "2026-11-24T10:00:00.007Z"


@given(st.integers(0, 4_102_444_800_000))
def test_a_moment_survives_the_way_out_and_in(at: int) -> None:
    assert parse_rfc3339(rfc3339(at)) == at


def test_another_offset_is_the_same_moment() -> None:
    assert parse_rfc3339("2026-11-24T13:30:00+03:30") == parse_rfc3339("2026-11-24T10:00:00Z")


@pytest.mark.parametrize("text", ["", "2026-11-24", "2026-11-24T10:00:00", "soon", "1795514400"])
def test_a_time_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)
