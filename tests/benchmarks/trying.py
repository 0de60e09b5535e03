"""Benchmarks as they are run, with counts so small that they only show that they work."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bench.report import markdown

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
        assert table["title"] in markdown(found)
    return found


def column(found: dict[str, Any], at: int, head: str) -> dict[str, Any]:
    """A column of a table, by the rows' names."""
    table = found["tables"][at]
    where = table["heads"].index(head)
    return {row[0]: row[where] for row in table["rows"]}
