"""`python -m bench.overhead` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import tried


async def test_the_direct_way_and_both_through_dargah_are_taken_with_one_connection_and_with_many(
    tmp_path: Path,
) -> None:
    found = await tried("overhead", tmp_path)
    rows = found["tables"][0]["rows"]
    ways = ["the gateway, directly", "Dargah's API", "Dargah's drop-in"]
    assert [(row[1], row[0]) for row in rows] == [(connections, way) for connections in (1, 64) for way in ways]
    assert all(row[-1] > 0 for row in rows)
    assert [row[5] is None for row in rows] == [True, False, False] * 2
