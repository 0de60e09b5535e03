"""Planted bugs: `python -m tests.torture.planted [NAME …]`.

Each bug of planted_bugs is put into a copy of the tree, alone, and the stage that it names must notice it there. The
same stages notice nothing in a copy without a bug. An edit that no longer fits the code fails loudly.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click

from .planted_bugs import PLANTED, Planted
from .planted_catcher import CAUGHT

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("proxy", "tests", "bench", "openapi.yaml", "pyproject.toml", "README.md")
TIMEOUT_SECONDS: Final = 300
CONTROL: Final = Planted("no bug at all", (), "")


class NoLongerFits(Exception):
    """The code that a bug changes is not there any more, or stands there more than once."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stage noticed of a bug; `noticed` is empty when it noticed nothing, `broken` says why it did not run."""

    planted: Planted
    noticed: str
    seconds: float
    broken: str = ""

    @property
    def right(self) -> bool:
        """A bug was noticed; or there is none, and nothing was."""
        return not self.broken and bool(self.noticed) == bool(self.planted.edits)


def apply(planted: Planted, folder: Path) -> None:
    """Puts the bug into the package below `folder`. Raises NoLongerFits."""
    for edit in planted.edits:
        path = folder / "proxy" / edit.path
        text = path.read_text("utf-8")
        if text.count(edit.old) != 1:
            raise NoLongerFits(f"{planted.name}: {edit.path} has {text.count(edit.old)} times {edit.old!r}")
        path.write_text(text.replace(edit.old, edit.new), "utf-8")
        if path.suffix == ".py":
            compile(path.read_text("utf-8"), str(path), "exec")


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A copy of what the stages need, which goes away again."""
    with tempfile.TemporaryDirectory(prefix="dargah-planted-") as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                # The compiled files come along: they hold as long as their source is as it was.
                shutil.copytree(source, folder / part)
            elif source.exists():
                shutil.copy2(source, folder / part)
        yield folder


def judge(planted: Planted, catcher: str = "", tests: str = "") -> Verdict:
    """Runs the bug's stage on a copy that has it."""
    began = time.monotonic()
    stage, arguments = catcher or planted.catcher, (tests or planted.tests).split()
    with copy_of_the_tree() as folder:
        apply(planted, folder)
        try:
            ran = subprocess.run(
                [sys.executable, "-m", "tests.torture.planted_catcher", stage, *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(folder)},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(planted, "", time.monotonic() - began, broken=f"{stage} took too long")
    seconds = time.monotonic() - began
    last = ran.stdout.strip().rpartition("\n")[2]
    if ran.returncode == CAUGHT:
        return Verdict(planted, last, seconds)
    if ran.returncode == 0 and last == "nothing":
        return Verdict(planted, "", seconds)
    return Verdict(planted, "", seconds, broken=f"exit code {ran.returncode}: {ran.stderr[-2000:]}")


def judge_all(chosen: Sequence[Planted], workers: int = 2) -> Iterator[Verdict]:
    """Every bug by its stage, and each of those stages on the code as it is."""
    controls = dict.fromkeys((planted.catcher, planted.tests) for planted in chosen)
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(judge, chosen)
        yield from pool.map(partial(judge, CONTROL), *zip(*controls, strict=True))


def line(verdict: Verdict) -> str:
    """What came of it, for a person."""
    planted = verdict.planted
    if verdict.broken:
        return f"BROKEN  {planted.name}: {verdict.broken}"
    if not planted.edits:
        return (
            "ok      no bug at all: nothing was noticed" if verdict.right else f"WRONG   no bug, but {verdict.noticed}"
        )
    if not verdict.noticed:
        return f"MISSED  {planted.name} ({planted.catcher}, {verdict.seconds:.0f} s)"
    return f"caught  {planted.name} | {planted.catcher} | {verdict.noticed} ({verdict.seconds:.0f} s)"


def row(verdict: Verdict) -> str:
    """A row of the table in docs/reliability.md."""
    return f"| {verdict.planted.name} | {verdict.planted.catcher} | {verdict.noticed} |"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--workers", default=os.cpu_count() or 1, help="Stages at once.")
def main(names: tuple[str, ...], workers: int) -> None:
    """Plants each bug, and sees whether its stage notices; exit code 1 when one does not."""
    chosen = [planted for planted in PLANTED if not names or planted.name in names]
    began, wrong, caught = time.monotonic(), 0, 0
    for verdict in judge_all(chosen, workers):
        click.echo(line(verdict))
        wrong += not verdict.right
        caught += bool(verdict.noticed and verdict.right)
    click.echo(f"planted bugs {len(chosen)}, caught {caught}, wrong {wrong}, {time.monotonic() - began:.0f} s")
    raise SystemExit(1 if wrong or not chosen else 0)


if __name__ == "__main__":
    main()
