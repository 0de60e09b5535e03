"""`python -m bench.startup` works; what it measures is not for tests."""

from pathlib import Path

from benchmarks.trying import column, tried


async def test_a_start_is_timed_on_both_files_and_the_watches_that_are_due_are_asked_about(tmp_path: Path) -> None:
    found = await tried("startup", tmp_path)
    for head in ("s until /readyz", "of it CPU", "MB at rest"):
        figures = column(found, 0, head)
        assert list(figures) == ["empty", "2,000 payments"]
        assert all(each > 0 for each in figures.values())
    assert column(found, 1, "asked about, and paid")["2,000 payments"] > 0
    layers = list(column(found, 2, "MB").values())
    assert layers[:-1] == sorted(layers[:-1]), "each has what those above it have, but for the last: a start of its own"
