"""CPU instructions of a create, a return, a check and a webhook, counted by Valgrind in a real `dargah serve`.

A return has the gateway's check in it; a webhook is what a return costs more where an endpoint listens, and one of a
backlog its share of many that leave together. Beside them stand their bounds: a pass-through, a create's bare
transactions, and a client loop that stores nothing. Two processes count each step and must agree to 1 %.

`--against TREE` (another checkout's folder, or a commit) counts Dargah's steps there too, in turns, and nothing else.
"""

import argparse
import asyncio
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop

from bench.callgrind import Instructions, is_installed
from bench.counted_steps import (
    BACKLOG,
    CHECK,
    CLIENT_LOOP,
    CREATE,
    DURABLE,
    PASS_THROUGH,
    RETURN,
    STEPS,
    Counts,
    Figures,
    bounds,
    dargahs_steps,
    durable,
)
from bench.results import FOLDER, Cell, Result, Run, Table, Target, markdown, publish
from tests.databases.durable import durable_server

SPREAD: Final = 0.01
# A webhook is a difference and has the noise of both of its terms; a backlog leaves in batches of changing sizes.
JUDGED: Final = (CREATE, RETURN, CHECK, PASS_THROUGH, DURABLE)
WITH_LINES: Final = "create, its two log lines at `info`"
ON_POSTGRESQL, DURABLE_ON_POSTGRESQL = "create on PostgreSQL", "its bare transactions on PostgreSQL"
FEW: Final = Counts(batch=5, batches=2, warm_up=10)


async def all_of_it(counts: Counts) -> Figures:
    """Every step of this tree and every bound, each of a new process, side by side."""
    here = Path.cwd()

    async def with_lines() -> Figures:
        steps = await dargahs_steps(here, counts, {"DARGAH_LOG_LEVEL": "info"}, only=(CREATE,))
        return {WITH_LINES: steps[CREATE]}

    async def on_postgresql() -> Figures:
        async with durable_server() as server:
            steps = await dargahs_steps(here, counts, {"DARGAH_DATABASE": server.url}, only=(CREATE,))
        return {ON_POSTGRESQL: steps[CREATE]}

    async def durable_on_postgresql() -> Figures:
        async with durable_server() as server:
            return {DURABLE_ON_POSTGRESQL: await durable(counts, server.url)}

    parts = (dargahs_steps(here, counts), bounds(counts), with_lines(), on_postgresql(), durable_on_postgresql())
    found: Figures = {}
    for figures in await asyncio.gather(*parts):
        found |= figures
    return found


def targets(found: Figures) -> list[Target]:
    """What the figures must show."""
    create, on_postgresql = found[CREATE], found[ON_POSTGRESQL]
    bound = found[PASS_THROUGH].all + create.sqlite
    bare = found[PASS_THROUGH].all + found[DURABLE_ON_POSTGRESQL].all
    return [
        Target("a create, in times of the pass-through and SQLite's thread", create.all / bound, 1.10, at_least=False),
        Target(
            "a create on PostgreSQL, in times of the pass-through and its bare transactions",
            on_postgresql.all / bare, 1.35, at_least=False,
        ),
        Target(
            "the client loop, in times of a webhook of a backlog",
            found[CLIENT_LOOP].all / found[BACKLOG].all, 0.90, at_least=True,
        ),
    ]  # fmt: skip


def apart(runs: Sequence[Figures], step: str) -> float:
    """By which share two runs' counts of the step differ."""
    first, *others = (run[step].all for run in runs)
    return max((abs(first - each) / min(first, each) for each in others), default=0.0)


def result(runs: Sequence[Figures]) -> Result:
    found = {step: sum((run[step] for run in runs), Instructions()) / len(runs) for step in runs[0]}
    rows: list[Sequence[Cell]] = [
        (step, *(_thousands(part) for part in (each.all, each.loop, each.sqlite)), _spread(runs, step))
        for step, each in found.items()
    ]
    heads = ("", "all", "event loop", "SQLite's thread", "runs apart")
    table = Table("Thousands of CPU instructions of one, each alone", heads, rows)
    raw = {step: [asdict(run[step]) for run in runs] for step in found}
    return Result("instructions", {**asdict(Counts()), "runs": len(runs)}, [table], targets(found), raw)


def _spread(runs: Sequence[Figures], step: str) -> str:
    return f"{apart(runs, step):.1%}" if len(runs) > 1 else ""


def _thousands(count: float) -> int:
    return round(count / 1000)


def compared(runs: Mapping[str, Sequence[Figures]]) -> Table:
    """The steps of several trees, in times of the first one's."""
    rows: list[Sequence[Cell]] = []
    for step in STEPS:
        means = {name: (one[step] + other[step]) / 2 for name, (one, other) in runs.items()}
        first = next(iter(means.values())).all
        rows += [
            (f"{step}, {name}", _thousands(each.all), _thousands(each.loop), f"{apart(runs[name], step):.1%}",
             f"{each.all / first:.3f}")
            for name, each in means.items()
        ]  # fmt: skip
    return Table("Thousands of CPU instructions of one", ("", "all", "event loop", "apart", "of the first"), rows)


def require_agreement(runs: Sequence[Figures]) -> None:
    """Ends the process when two runs differ where they should not."""
    for step in JUDGED:
        if step in runs[0] and apart(runs, step) > SPREAD:
            raise SystemExit(f"{step}: two runs are more than {SPREAD:.0%} apart: not a measurement")


def found_tree(against: str, folder: Path) -> Path:
    """That checkout, or the commit's files in the folder."""
    if Path(against).is_dir():
        return Path(against).resolve()
    asked = ["git", "archive", "--format=tar", against]
    files = subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")
    return folder


async def compare(against: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trees = {against: found_tree(against, Path(folder)), "this tree": Path.cwd()}
        runs: dict[str, list[Figures]] = {name: [] for name in trees}
        for _ in range(2):
            for name, tree in trees.items():
                runs[name].append(await dargahs_steps(tree, Counts()))
    print(markdown(compared(runs)))
    for both in runs.values():
        require_agreement(both)


async def measure(run: Run, count: int) -> None:
    runs = [await all_of_it(FEW if run.short else Counts()) for _ in range(count)]
    found = result(runs)
    print(markdown(found.tables[0]))
    if not run.short:
        require_agreement(runs)
    publish(found, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="TREE", help="a checkout's folder, or a commit")
    parser.add_argument("--runs", type=int, default=2, help="of all of it; with 1 nothing is compared")
    parser.add_argument("--short", action="store_true", help="few counts, to see that it works; not a measurement")
    parser.add_argument("--results", type=Path, default=FOLDER, help="where instructions.json goes")
    given = parser.parse_args()
    if not is_installed():
        raise SystemExit("valgrind is not installed: `apt-get install valgrind` does it")
    if given.against is not None:
        uvloop.run(compare(given.against))
    else:
        uvloop.run(measure(Run(given.short, given.results), given.runs))


if __name__ == "__main__":
    main()
