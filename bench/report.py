"""docs/performance.md's figures and picture, from what the benchmarks wrote: `--write` puts them in, else they are
compared.

A place for them is `<!-- bench:NAME -->` to `<!-- /bench -->`; a benchmark that has not been run here leaves its own.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from bench.cost_picture import drawn
from bench.results import FOLDER, Table, Target, shown

PAGE = Path("docs/performance.md")
PICTURE = Path("docs/images/create-cost.svg")
PLACE = re.compile(r"(<!-- bench:([a-z_]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def markdown(found: dict[str, Any]) -> str:
    """Tables, targets and what they were measured on."""
    parts = [_table(Table(**each)) for each in found["tables"]]
    if found["targets"]:
        parts.append(_targets([Target(**each) for each in found["targets"]]))
    about = found["about"]
    parts.append(
        f"<sub>`python -m bench.{found['name']}` at {about['commit']}: {about['machine']}, Python {about['python']},"
        f" aiohttp {about['libraries']['aiohttp']}; load average {about['load_average']} at its end.</sub>\n"
    )
    return "\n".join(parts)


def filled(page: str, folder: Path) -> str:
    """The page with each place filled that has a result. Raises ValueError for a short run, which is none."""

    def fill(place: re.Match[str]) -> str:
        result = folder / f"{place[2]}.json"
        if not result.exists():
            return place[0]
        return f"{place[1]}{markdown(read(result))}{place[3]}"

    return PLACE.sub(fill, page)


def read(result: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.read_text())
    if found["about"]["short"]:
        raise ValueError(f"{result} is of a short run, which measures nothing")
    return found


def _table(table: Table) -> str:
    cells = [list(map(shown, row)) for row in (table.heads, *table.rows)]
    rule = ["---", *["---:"] * (len(table.heads) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
    return "\n".join([f"{table.title}:", "", *lines, ""])


def _targets(targets: list[Target]) -> str:
    rows = [
        (each.what, each.got, f"{'≥' if each.at_least else '≤'} {each.wanted:g}", "yes" if each.reached else "**no**")
        for each in targets
    ]
    return _table(Table("What it must show", ("", "measured", "wanted", "reached"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the figures into the page")
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    made = {PAGE: filled(PAGE.read_text(), given.results)}
    cost = given.results / "cost.json"
    if cost.exists():
        raw = read(cost)["raw"]
        made[PICTURE] = drawn(raw["steps_us"], raw["pass_through_us"])
    for path, content in made.items():
        if given.write:
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            raise SystemExit(f"{path} has other figures than {given.results}: python -m bench.report --write")


if __name__ == "__main__":
    main()
