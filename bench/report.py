"""docs/performance.md's figures, from what the benchmarks wrote: `--write` puts them in, else they are compared.

A place for them is `<!-- bench:NAME -->` to `<!-- /bench -->`; a benchmark that has not been run here leaves its own.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from bench.results import FOLDER, Table, Target, markdown, verdicts

PAGE = Path("docs/performance.md")
PLACE = re.compile(r"(<!-- bench:([a-z_]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def section(found: dict[str, Any]) -> str:
    """Tables, targets and what they were measured on."""
    tables = [Table(**each) for each in found["tables"]]
    if found["targets"]:
        tables.append(verdicts([Target(**each) for each in found["targets"]]))
    about = found["about"]
    source = (
        f"<sub>`python -m bench.{found['name']}` at {about['commit']}: {about['machine']}, Python {about['python']},"
        f" aiohttp {about['libraries']['aiohttp']}; load average {about['load_average']} at its end.</sub>\n"
    )
    return "\n".join([*map(markdown, tables), source])


def filled(page: str, folder: Path) -> str:
    """The page with each place filled that has a result. Raises ValueError for a short run, which is none."""

    def fill(place: re.Match[str]) -> str:
        result = folder / f"{place[2]}.json"
        if not result.exists():
            return place[0]
        return f"{place[1]}{section(read(result))}{place[3]}"

    return PLACE.sub(fill, page)


def read(result: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.read_text())
    if found["about"]["short"]:
        raise ValueError(f"{result} is of a short run, which measures nothing")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the figures into the page")
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    before = PAGE.read_text()
    after = filled(before, given.results)
    if given.write:
        PAGE.write_text(after)
    elif before != after:
        raise SystemExit(f"{PAGE} has other figures than {given.results}: python -m bench.report --write")


if __name__ == "__main__":
    main()
