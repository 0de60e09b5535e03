"""docs/performance.md has the figures that were measured, and no others."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import LIMITS
from bench.report import PAGE, PLACE, filled

TWENTY_MINUTES = 20 * 60
EMPTY = "before\n<!-- bench:create -->\n<!-- /bench -->\nafter\n"


def write(folder: Path, *, short: bool = False, got: float = 0.7123) -> None:
    about: dict[str, Any] = {"machine": "a machine, 2 cores", "load_average": 1.0, "python": "3.11", "commit": "abc"}
    about |= {"libraries": {"aiohttp": "3.14"}, "short": short}
    table = {"title": "Creates", "heads": ["", "per s"], "rows": [["Dargah", 12345.6], ["nobody", None]]}
    target = {"what": "of the floor", "got": got, "wanted": 0.75, "at_least": True}
    found = {"name": "create", "about": about, "tables": [table], "targets": [target]}
    (folder / "create.json").write_text(json.dumps(found))


def test_a_place_is_filled_with_the_tables_and_whether_the_targets_were_reached(tmp_path: Path) -> None:
    write(tmp_path)
    page = filled(EMPTY, tmp_path)
    assert "| Dargah | 12,346 |\n| nobody |  |\n" in page
    assert "| of the floor | 0.71 | ≥ 0.75 | **no** |" in page
    assert "at abc: a machine, 2 cores" in page
    assert page.startswith("before\n<!-- bench:create -->\n")
    assert page.endswith("<!-- /bench -->\nafter\n")


def test_newer_figures_take_the_place_of_older_ones(tmp_path: Path) -> None:
    write(tmp_path)
    older = filled(EMPTY, tmp_path)
    write(tmp_path, got=0.8)
    newer = filled(older, tmp_path)
    assert "| of the floor | 0.80 | ≥ 0.75 | yes |" in newer
    assert newer == filled(newer, tmp_path)
    assert newer == filled(EMPTY, tmp_path)


def test_a_benchmark_that_was_not_run_here_keeps_its_figures(tmp_path: Path) -> None:
    assert filled(EMPTY, tmp_path) == EMPTY


def test_a_short_run_has_no_figures_for_the_page(tmp_path: Path) -> None:
    write(tmp_path, short=True)
    with pytest.raises(ValueError, match="short run"):
        filled(EMPTY, tmp_path)


def test_every_benchmark_that_is_run_has_its_place_in_the_page() -> None:
    places = [place[2] for place in PLACE.finditer(PAGE.read_text())]
    assert set(LIMITS) <= set(places)
    assert len(places) == len(set(places))


def test_all_of_them_are_done_within_twenty_minutes() -> None:
    assert sum(LIMITS.values()) <= TWENTY_MINUTES
