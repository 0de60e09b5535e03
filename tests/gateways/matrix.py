# ruff: noqa: T201  a program, which prints its table
"""`make drop-in-matrix`: shops of three protocols in front of Dargah, every family behind, through all that can happen.

Each row is a client that others wrote, unmodified, on a store; each cell how many stories went as they must, or the
names of those that did not. On PostgreSQL two replicas serve: a payment is made at one and verified at the other.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import _pytest.outcomes
from databases.places import Databases, served, server_of_run

from gateways.drop_in_shops import PLUGINS, Plugin
from gateways.drop_in_stories import STORIES, Stand, stand_of, tell
from proxy.gateways.registry import FAMILIES
from proxy.observability.logs import configure

STORES: Final = {"sqlite": 1, "postgresql": 2}
"""How many Dargahs serve on each store."""
TITLES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL, two replicas"}


@dataclass
class Matrix:
    """What became of each story, by store, client and family; empty texts are those that went well."""

    families: Sequence[str]
    plugins: Sequence[Plugin]
    cells: dict[tuple[str, Plugin, str], dict[str, str]] = field(default_factory=dict)

    def green(self) -> bool:
        return bool(self.cells) and not any(text for cell in self.cells.values() for text in cell.values())

    def lines(self) -> Iterator[str]:
        """The table, as Markdown, and below it what went wrong."""
        yield f"| shop speaks | client | store | {' | '.join(self.families)} |"
        yield "| --- " * (3 + len(self.families)) + "|"
        for plugin in self.plugins:
            for store in STORES:
                found = [self.cells.get((store, plugin, family)) for family in self.families]
                if any(found):
                    told = " | ".join("–" if cell is None else self.told(cell) for cell in found)
                    yield f"| {plugin.protocol} | {plugin.name} | {TITLES[store]} | {told} |"
        stories = [text for cell in self.cells.values() for text in cell.values()]
        yield f"\n{stories.count('')} of {len(stories)} stories went as they must: {', '.join(STORIES)}."
        for (store, plugin, family), cell in self.cells.items():
            yield from (f"{plugin} before {family} on {store}: {name}: {text}" for name, text in cell.items() if text)

    @staticmethod
    def told(cell: dict[str, str]) -> str:
        """A cell as it is printed."""
        wrong = [name for name, text in cell.items() if text]
        return "FAILED: " + ", ".join(wrong) if wrong else f"{len(cell)} ok"


async def play(stand: Stand, plugin: Plugin) -> dict[str, str]:
    """The stories of a client's shop at the stand, each with what went wrong."""
    try:
        async with stand.trade_of(plugin) as trade:
            return {name: await tell(trade, story) for name, story in STORIES.items()}
    except (_pytest.outcomes.Skipped, _pytest.outcomes.Failed) as error:
        return {"NOT RUN": str(error)}


async def fill(matrix: Matrix, store: str, databases: Databases | None, base: Path) -> None:
    for family in matrix.families:
        folder = base / family
        folder.mkdir()
        async with AsyncExitStack() as stack:
            if databases is not None:
                stack.enter_context(served(folder, await stack.enter_async_context(databases.lent())))
            stand = await stack.enter_async_context(stand_of(folder, family, replicas=STORES[store]))
            for plugin in matrix.plugins:
                cell = await play(stand, plugin)
                matrix.cells[store, plugin, family] = cell
                print(f"{store} {family} {plugin}: {matrix.told(cell)}", file=sys.stderr)


def filled(store: str, families: Sequence[str], plugins: Sequence[Plugin]) -> Matrix:
    """The matrix of one store."""
    configure("error", "json")
    matrix = Matrix(families, plugins)
    with TemporaryDirectory() as folder:
        databases = None if store == "sqlite" else Databases(server_of_run(Path(folder)), f"{os.getpid()}")
        asyncio.run(fill(matrix, store, databases, Path(folder)))
        if databases is not None:
            asyncio.run(databases.drop())
    return matrix


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateways.matrix", description=__doc__)
    parser.add_argument("--family", action="append", choices=list(FAMILIES), help="only this family; may be repeated")
    parser.add_argument("--client", help="only clients whose name has this in it")
    parser.add_argument("--store", action="append", choices=list(STORES), help="only this store")
    given = parser.parse_args()
    plugins = [plugin for plugin in PLUGINS if (given.client or "") in str(plugin)]
    play_store = partial(filled, families=given.family or list(FAMILIES), plugins=plugins)
    whole = Matrix(given.family or list(FAMILIES), plugins)
    # A process for each store: nothing is shared, and a machine has two cores.
    with ProcessPoolExecutor(len(STORES), get_context("spawn")) as processes:
        for matrix in processes.map(play_store, given.store or STORES):
            whole.cells |= matrix.cells
    print("\n".join(whole.lines()))
    sys.exit(not whole.green())


if __name__ == "__main__":
    main()
