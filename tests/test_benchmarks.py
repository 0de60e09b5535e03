"""Benchmarks work, with counts too small for figures; docs/performance.md has the figures that were measured."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import LIMITS
from bench.report import PAGE, PLACE, filled, section
from bench.soak import Course, growth

ENOUGH_SECONDS = 100


async def tried(name: str, folder: Path) -> dict[str, Any]:
    """What `python -m bench.NAME --short` wrote, which is sane for a page too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"bench.{name}", "--short", "--results", str(folder), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(ENOUGH_SECONDS):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    assert found["name"] == name
    assert found["about"]["short"]
    assert found["parameters"]
    for table in found["tables"]:
        assert table["rows"]
        assert {len(row) for row in table["rows"]} == {len(table["heads"])}
        assert table["title"] in printed.decode()
        assert table["title"] in section(found)
    return found


def column(found: dict[str, Any], at: int, head: str) -> dict[str, Any]:
    """A column of a table, by the rows' names."""
    table = found["tables"][at]
    where = table["heads"].index(head)
    return {row[0]: row[where] for row in table["rows"]}


async def test_creates_are_measured_through_all_proxies_and_directly(tmp_path: Path) -> None:
    found = await tried("create", tmp_path)
    proxies = ["pass-through", "Dargah"]
    rates = column(found, 0, "per s")
    assert list(rates) == proxies
    assert all(rate > 0 for rate in rates.values())
    assert all(us > 0 for us in column(found, 0, "CPU µs").values())
    waits = column(found, 1, "p99")
    assert list(waits) == ["the gateway, directly", *proxies]
    assert all(column(found, 1, "p50")[name] <= wait for name, wait in waits.items())
    assert len(found["targets"]) == 3


async def test_growth_compares_every_step_in_each_file(tmp_path: Path) -> None:
    found = await tried("growth", tmp_path)
    small, large = column(found, 0, "500"), column(found, 0, "2,000")
    assert {"create", "get by id", "replay", "claim of 25 watches", "paid, with its event"} <= set(small)
    assert small.keys() == large.keys()
    assert all(us > 0 for us in (*small.values(), *large.values()))
    assert all(ratio > 0 for ratio in column(found, 0, "largest to smallest").values())
    assert list(column(found, 1, "MB")) == ["500", "2,000"]


async def test_webhooks_times_good_merchants_beside_each_kind_of_bad_one(tmp_path: Path) -> None:
    found = await tried("webhooks", tmp_path)
    waits = column(found, 0, "p99")
    assert list(waits) == ["none", "refuse", "hang", "drip", "huge"]
    assert all(column(found, 0, "p50")[name] <= wait for name, wait in waits.items())
    assert len(found["raw"]["hang"][0]["taken_ms"]) == 16


@pytest.mark.parametrize(
    ("memory", "grew"), [([50, 80, 80, 80, 80, 80, 80, 81], 1), ([50, 80, 90, 99, 110, 120, 130, 140], 60)]
)
def test_memory_grows_from_the_first_quarter_on(memory: list[float], grew: float) -> None:
    payments = [0, 25, 30, 50, 60, 80, 90, 100]
    assert growth(Course(list(map(float, payments)), payments, memory, memory, memory)) == grew


async def test_soak_watches_memory_and_files_while_payments_are_made_and_told(tmp_path: Path) -> None:
    found = await tried("soak", tmp_path)
    assert "300 payments" in found["tables"][0]["title"]
    assert "270 of them paid" in found["tables"][0]["title"]
    assert column(found, 0, "at the end")["WAL, MB"] > 0
    assert found["raw"]["payments"][-1] == 300


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
