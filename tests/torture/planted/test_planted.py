"""The short form of the planted bugs: each still fits the code, the document names each, and a handful is caught."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from .. import DOCUMENT, ROOT
from . import Edit, Planted
from .catcher import STAGES
from .judge import CONTROL, PLANTED, NoLongerFits, apply, copy_of_the_tree, judge, line

LEAST: Final = 20
# Those that their stage notices within seconds; `make torture` plants them all.
QUICK: Final = (
    "the return's status is trusted",
    "the webhook goes out before the state is committed",
    "callers are answered before the COMMIT",
    "a COMMIT that fails is answered as done",
    "an event has a new id on every attempt",
)


def plant(planted: Planted, folder: Path) -> None:
    """The files that the bug changes, changed, in the folder."""
    for edit in planted.edits:
        target = folder / "proxy" / edit.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / "proxy" / edit.path).read_bytes())
    apply(planted, folder)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_the_bug_still_fits_the_code(planted: Planted, tmp_path: Path) -> None:
    plant(planted, tmp_path)


def test_no_bug_is_noticed_for_a_name_that_is_not_there_any_more(tmp_path: Path) -> None:
    for number, planted in enumerate(PLANTED):
        plant(planted, tmp_path / str(number))
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821,E9", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, "All checks passed!"), ran.stdout


def test_there_are_enough_of_them_and_each_has_its_name() -> None:
    names = [planted.name for planted in PLANTED]
    assert len(set(names)) == len(names) >= LEAST
    assert set(QUICK) <= set(names)


@pytest.mark.parametrize("name", QUICK)
def test_the_bug_is_caught(name: str) -> None:
    verdict = judge(next(planted for planted in PLANTED if planted.name == name))
    assert verdict.right, line(verdict)


def test_without_a_bug_nothing_is_noticed() -> None:
    verdict = judge(CONTROL, "contract tests", "tests/core/test_money.py")
    assert verdict.right, line(verdict)


def test_an_edit_that_no_longer_fits_fails_loudly() -> None:
    stale = Planted("stale", (Edit("payments/payment.py", "what nobody wrote", ""),))
    with copy_of_the_tree() as folder, pytest.raises(NoLongerFits, match=r"payment\.py has 0 times"):
        apply(stale, folder)


def test_a_stage_that_does_not_run_has_not_noticed_anything() -> None:
    broken = Planted("broken", (Edit("payments/payment.py", "from collections.abc import", "from nowhere import"),))
    verdict = judge(broken, "contract tests", "tests/core/test_money.py tests/core/test_payment.py")
    assert not verdict.right
    assert "exit code" in verdict.broken


def test_the_document_says_of_each_bug_by_what_it_is_caught() -> None:
    run = DOCUMENT.read_text("utf-8").partition("<!-- the last run -->")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", run, re.MULTILINE)
    told = {name: stage for name, stage in rows if stage in STAGES}
    assert told == {planted.name: planted.catcher for planted in PLANTED}
