"""`python -m bench.growth` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import column, tried


async def test_every_step_is_taken_in_each_file_and_compared(tmp_path: Path) -> None:
    found = await tried("growth", tmp_path)
    small, large = column(found, 0, "500"), column(found, 0, "2,000")
    assert {"create", "get by id", "replay", "claim of 25 watches", "paid, with its event"} <= set(small)
    assert small.keys() == large.keys()
    assert all(us > 0 for us in (*small.values(), *large.values()))
    assert all(ratio > 0 for ratio in column(found, 0, "largest to smallest").values())
    assert list(column(found, 1, "MB")) == ["500", "2,000"]
