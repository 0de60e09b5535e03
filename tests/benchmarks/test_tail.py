"""`python -m bench.tail` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import column, tried


async def test_each_dargah_is_measured_beside_the_gateway_itself(tmp_path: Path) -> None:
    found = await tried("tail", tmp_path)
    slowest = column(found, 0, "p99.9")
    assert list(slowest) == [
        "the gateway, directly",
        "Dargah",
        "Dargah, the WAL never copied back",
        "Dargah, without waiting for the disk",
    ]
    assert all(slowest[name] >= median > 0 for name, median in column(found, 0, "p50").items())
