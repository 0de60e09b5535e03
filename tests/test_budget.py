"""The budget of CPU instructions that `make check` holds: what it says, and when it says nothing."""

from importlib import import_module
from typing import Any

import pytest
from test_performance import COSTS

from bench import budget
from bench.budget import Budget, held, place, reason_not_to_run
from bench.callgrind import Instructions
from bench.counted_steps import CREATE
from proxy.database.transaction import Dialect

WRITTEN = {"create": 3.0}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([3.08], []),
        ([3.2, 3.02], []),  # chance
        ([3.2, 3.1, 3.15], ["create: grew from 3.0 to 3.1 times the pass-through's instructions"]),
        ([2.8], []),
    ],
)
def test_what_grew_in_every_count_is_named(counts: list[float], said: list[str]) -> None:
    left = iter(counts)
    assert held(WRITTEN, lambda: {"create": next(left)}) == said
    assert next(left, None) is None


def test_what_fell_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    held(WRITTEN, lambda: {"create": 2.8})
    assert "create: fell from 3.0 to 2.8; good: write it with --write" in capsys.readouterr().out


def test_the_budget_holds_where_it_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "is_installed", lambda: True)
    assert reason_not_to_run(Budget(place(), WRITTEN)) is None
    elsewhere = place() | {"python": "3.0"}
    assert "3.0" in (reason_not_to_run(Budget(elsewhere, WRITTEN)) or "")
    monkeypatch.setattr(budget, "is_installed", lambda: False)
    assert "apt-get install valgrind" in (reason_not_to_run(Budget(place(), WRITTEN)) or "")


def test_without_valgrind_it_says_that_it_was_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "is_installed", lambda: False)
    monkeypatch.setattr("sys.argv", ["budget"])
    budget.main()
    assert capsys.readouterr().out.startswith("NOT RUN: the budget of CPU instructions: valgrind")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_bound_of_a_create_runs_its_statements(dialect: Dialect) -> None:
    # Not by name: it has the store's test records, which mypy knows as another module here.
    both: list[Any] = list(import_module("bench.bare").transactions(dialect, 1))
    begun_and_committed = 2 * len(both)
    assert len(both) == COSTS[CREATE].commits
    assert sum(map(len, both)) + begun_and_committed == COSTS[CREATE].statements


def test_instructions_are_told_by_kind_of_thread() -> None:
    both = Instructions(loop=10, sqlite=4) + Instructions(loop=2, other=2)
    assert both / 2 == Instructions(loop=6, sqlite=2, other=1)
    assert (both - Instructions(sqlite=4)).all == 14
