"""Planted bugs: `python -m tests.torture.planted [NAME …]`.

They are small wrong versions of the code, each as people have shipped it. Each is put into a copy of the tree, alone,
and the stage that it names must notice it there. The same stages notice nothing in a copy without a bug. A bug is an
edit of the source: one that no longer fits the code fails loudly.
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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from .. import ROOT
from . import Planted
from .catcher import CAUGHT
from .gateways import GATEWAYS
from .money import MONEY
from .security import SECURITY
from .storage import STORAGE

# Those of the simulation's and the state machine's oracles, and two whose moments the campaigns make: the judge of
# histories alone must notice them too, by `python -m tests.torture.planted --by history`.
_OF_THE_TESTS: Final = ("the claim's token is not compared", "an endpoint that a test token makes is live")

COPIED: Final = ("proxy", "tests", "bench", "openapi.yaml", "pyproject.toml", "README.md")
TIMEOUT_SECONDS: Final = 300
CONTROL: Final = Planted("no bug at all", (), "")
_ANY_TEST: Final = "tests/core/test_money.py"
PLANTED: Final = MONEY + GATEWAYS + STORAGE + SECURITY
JUDGED: Final = tuple(
    planted
    for planted in PLANTED
    if planted.name in _OF_THE_TESTS or planted.catcher in {"simulation", "state machine", "history"}
)


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
                [sys.executable, "-m", "tests.torture.planted.catcher", stage, *arguments],
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


def judge_all(chosen: Sequence[Planted], workers: int = 2, by: str = "") -> Iterator[Verdict]:
    """Every bug by its stage, or `by` another one, and each of those stages on the code as it is.

    Contract tests are seen to pass on that by `make test`: one of them shows that they do so in a copy, too.
    """
    if by:
        chosen = [replace(planted, catcher=by, tests="") for planted in chosen]
    stages = ((planted.catcher, planted.tests) for planted in chosen)
    controls = dict.fromkeys((stage, _ANY_TEST if stage == "contract tests" else tests) for stage, tests in stages)
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
