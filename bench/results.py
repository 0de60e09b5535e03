"""What a benchmark found: tables for people and JSON for machines, from the same figures.

`bench.report` puts the tables into docs/performance.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path("bench/results")
LIBRARIES = ("aiohttp", "uvloop", "aiosqlite", "asyncpg", "pydantic", "orjson", "cryptography")
Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Floats are shown with as many digits as tell something."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must be: at least `wanted`, or at most that."""

    what: str
    got: float
    wanted: float
    at_least: bool

    @property
    def reached(self) -> bool:
        return self.got >= self.wanted if self.at_least else self.got <= self.wanted


@dataclass(frozen=True, slots=True)
class Result:
    """`parameters` are what a run can be repeated by, `raw` what the tables were made of, round by round."""

    name: str
    parameters: dict[str, Any]
    tables: Sequence[Table]
    targets: Sequence[Target] = ()
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """How a benchmark is run: `short` is to try that it works, and is not judged by its figures."""

    short: bool
    folder: Path


def arguments(doc: str | None) -> Run:
    """The command line of every benchmark: `--short`, `--results FOLDER`."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--short", action="store_true", help="tiny counts, to see that it works; not a measurement")
    parser.add_argument("--results", type=Path, default=FOLDER, help="where NAME.json goes")
    given = parser.parse_args()
    return Run(given.short, given.results)


def publish(result: Result, run: Run, *, judged: bool = True) -> None:
    """Prints the tables and writes NAME.json. Ends the process with 1 when a target was missed, unless it was short or
    is not `judged`, because the machine decides.
    """
    for table in (*result.tables, *([verdicts(result.targets)] if result.targets else ())):
        print(markdown(table))
    run.folder.mkdir(parents=True, exist_ok=True)
    content = {"about": about(short=run.short), **asdict(result)}
    (run.folder / f"{result.name}.json").write_text(json.dumps(content, indent=1) + "\n")
    if judged and not run.short and not all(target.reached for target in result.targets):
        raise SystemExit(f"{result.name}: not as wanted")


def about(*, short: bool = False) -> dict[str, Any]:
    """The machine, the versions and the commit that figures belong to."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "commit": _commit(),
        "short": short,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def share(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' quotients: what disturbs one round disturbs both of its servers."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def shown(cell: Cell) -> str:
    """A figure with as many digits as tell something."""
    if not isinstance(cell, float):
        return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"


def markdown(table: Table) -> str:
    cells = [list(map(shown, row)) for row in (table.heads, *table.rows)]
    rule = ["---", *["---:"] * (len(table.heads) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
    return "\n".join([f"{table.title}:", "", *lines, ""])


def verdicts(targets: Sequence[Target]) -> Table:
    rows = [
        (each.what, each.got, f"{'≥' if each.at_least else '≤'} {each.wanted:g}", "yes" if each.reached else "**no**")
        for each in targets
    ]
    return Table("What it must show", ("", "measured", "wanted", "reached"), rows)


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _commit() -> str | None:
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
