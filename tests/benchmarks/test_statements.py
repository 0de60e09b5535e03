"""`python -m bench.statements` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import column, tried


async def test_every_statement_of_both_steps_is_there_and_they_add_up(tmp_path: Path) -> None:
    found = await tried("statements", tmp_path)
    for head in ("each step in a commit alone", "31 in each commit"):
        costs = column(found, 0, head)
        whole = costs.pop("all of it")
        assert {"BEGIN", "insert_payment", "update_payment", "COMMIT"} < set(costs)
        assert abs(sum(costs.values()) - whole) < 0.01
        assert all(us > 0 for us in costs.values())
    assert found["raw"]["pages"] > 1
