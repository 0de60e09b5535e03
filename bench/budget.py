"""Holds the CPU instructions of a create, a return, a webhook and a check: none may grow unseen. `make check` runs it.

bench/budget.json has what each takes in times of the pass-through's instructions beside it. Within 3 % it is held;
`--write` writes what is counted now, for a change that means it. Without Valgrind, and on another Python, compiler of
it, processor or SQLite, it says NOT RUN.
"""

import argparse
import json
import platform
import sqlite3
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench.callgrind import is_installed
from bench.counted_steps import CHECK, CREATE, RETURN, WEBHOOK, Counts, dargahs_steps, pass_through

WRITTEN: Final = Path(__file__).parent / "budget.json"
BAND: Final = 0.03
COUNTS: Final = Counts(batch=20, batches=4, warm_up=25)
TRIES: Final = 3

Shares = dict[str, float]
"""Of each step."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`place` is what it was counted on, and `shares` are in times of the pass-through's instructions."""

    place: Mapping[str, str]
    shares: Shares


def place() -> dict[str, str]:
    """What decides how many instructions the same code takes."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "python": python,
        "compiler": platform.python_compiler(),
        "processor": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
    }


async def counted_now() -> Budget:
    unit = (await pass_through(COUNTS)).all
    found = await dargahs_steps(Path.cwd(), COUNTS, only=(CREATE, RETURN, CHECK, WEBHOOK))
    # By itself a webhook is a difference, which has the noise of both of its terms.
    steps = {CREATE: found[CREATE], RETURN: found[RETURN], CHECK: found[CHECK]}
    steps["return and webhook"] = found[RETURN] + found[WEBHOOK]
    return Budget(place(), {step: round(each.all / unit, 3) for step, each in steps.items()})


def grown(found: Shares, written: Shares) -> list[str]:
    """The steps over their band, in words."""
    return [
        f"{step}: grew from {wanted} to {found[step]} times the pass-through's instructions"
        for step, wanted in written.items()
        if found[step] > wanted * (1 + BAND)
    ]


def fallen(found: Shares, written: Shares) -> list[str]:
    """Those below it."""
    return [
        f"{step}: fell from {wanted} to {found[step]}; good: write it with --write"
        for step, wanted in written.items()
        if found[step] < wanted * (1 - BAND)
    ]


def held(written: Shares, count: Callable[[], Shares]) -> list[str]:
    """What grew, after up to TRIES counts, of which each step's least is taken: how many creates share a commit is
    chance, and what has grown is so each time.
    """
    least: Shares = {}
    for _ in range(TRIES):
        found = count()
        print(f"CPU instructions, in times of the pass-through's: {found}")
        least = {step: min(share, least.get(step, share)) for step, share in found.items()}
        if not grown(least, written):
            print(*fallen(least, written), sep="\n", end="")
            return []
    return grown(least, written)


def reason_not_to_run(written: Budget) -> str | None:
    if not is_installed():
        return "valgrind is not installed (`apt-get install valgrind` does it)"
    if written.place != place():
        return f"the budget was counted on {written.place}, and this is {place()}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what is counted now")
    if parser.parse_args().write:
        WRITTEN.write_text(json.dumps(asdict(uvloop.run(counted_now())), indent=1) + "\n")
        print(WRITTEN.read_text())
        return
    written = Budget(**json.loads(WRITTEN.read_text()))
    if (reason := reason_not_to_run(written)) is not None:
        print(f"NOT RUN: the budget of CPU instructions: {reason}")
        return
    if said := held(written.shares, lambda: uvloop.run(counted_now()).shares):
        sys.exit("\n".join(said))


if __name__ == "__main__":
    main()
