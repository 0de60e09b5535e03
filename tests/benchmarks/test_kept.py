"""`python -m bench.kept` measures Dargah without an idea and with it, and not with it twice."""

import asyncio
import sys
from pathlib import Path

import pytest

from bench.kept import SHORT
from bench.kept_ideas import IDEAS
from bench.undone import check_uses
from bench.undos import UNDOS
from benchmarks.trying import column, tried

ALL_AT_ONCE = """
from bench.undos import UNDOS
for undo in UNDOS.values():
    undo.do([lambda: None] * len(undo.parts))
"""


async def test_creates_are_measured_without_an_idea_and_with_it(tmp_path: Path) -> None:
    found = await tried("kept", tmp_path)
    assert list(found["raw"]) == list(SHORT.ideas)
    for head in ("CPU µs without", "of it", "per s without", "ms alone without"):
        assert all(figure > 0 for figure in column(found, 0, head).values())


async def test_every_undo_finds_what_it_replaces() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ALL_AT_ONCE)
    assert await process.wait() == 0
    assert {name for idea in IDEAS for name in (idea.without, idea.beside) if name} <= set(UNDOS)


def test_an_undo_that_not_every_create_came_to_ends_the_run() -> None:
    check_uses("commits", SHORT.creates, SHORT.creates)
    with pytest.raises(SystemExit, match="not a measurement"):
        check_uses("commits", SHORT.creates - 1, SHORT.creates)
    with pytest.raises(SystemExit, match="not a measurement"):
        check_uses("loop", 0, SHORT.creates)
