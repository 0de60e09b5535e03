"""`python -m bench.latency` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import column, tried


async def test_every_return_is_answered_before_or_after_its_webhook_and_both_are_timed(tmp_path: Path) -> None:
    found = await tried("latency", tmp_path)
    for head in ("webhook p50", "answer p50", "CPU µs"):
        by_rate = column(found, 0, head)
        assert list(by_rate) == ["10", "50"]
        assert all(each > 0 for each in by_rate.values())
    assert all(column(found, 0, "webhook p99")[rate] >= p50 for rate, p50 in column(found, 0, "webhook p50").items())
