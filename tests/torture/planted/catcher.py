"""One stage, looking for what is wrong with the code around it: `python -m tests.torture.planted.catcher STAGE …`.

It runs in the copy of the tree that has the bug. Exit code 3 and a last line that says what was noticed; 0 when
nothing was; anything else means that the stage itself did not run, which is no catch.
"""

import asyncio
import contextlib
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import structlog

import proxy

from .. import scratch

if TYPE_CHECKING:
    from ..processes.audit import Findings
    from ..sigkill import Plan

CAUGHT: Final = 3
SEEDS: Final = 60
STEPS: Final = 150
EXAMPLES: Final = 80
KILLS: Final = 6


def simulation() -> str | None:
    from ..simulation import tell_many  # noqa: PLC0415  only the stage that is asked for is loaded, and can be broken

    for told in tell_many(range(1, SEEDS + 1), STEPS, workers=1):
        if told.violation is not None:
            return f"{told.violation.promise} (seed {told.seed})"
    return None


def state_machine() -> str | None:
    from ..state_machine import in_a_folder, play  # noqa: PLC0415

    try:
        in_a_folder(lambda made: play(made, 1, EXAMPLES, 40, shrinks=False))
    except AssertionError as error:
        return _told(error)
    return None


def disk_faults() -> str | None:
    from ..disk_faults import store_faults  # noqa: PLC0415

    try:
        with scratch() as folder:
            asyncio.run(store_faults(folder, short=True))
    except AssertionError as error:
        return _told(error)
    return None


def power_cut() -> str | None:
    from ..power_cut import campaign  # noqa: PLC0415

    return _judged(campaign)


def history() -> str | None:
    """What the judge of histories alone notices: of the simulation, then of a short SIGKILL campaign."""
    from ..sigkill import campaign  # noqa: PLC0415
    from ..simulation import tell  # noqa: PLC0415

    for seed in range(1, SEEDS + 1):
        told = tell(seed, STEPS, judged_alone=True)
        if told.violation is not None:
            return f"{told.violation.promise} (simulation, seed {seed})"
    noticed = _judged(campaign)
    return None if noticed is None else f"{noticed} (SIGKILL)"


def machines(*words: str) -> str | None:
    """The part of that name, in its short form."""
    from ..machines import PARTS, run  # noqa: PLC0415

    name = " ".join(words)
    if reason := PARTS[name].missing():
        raise RuntimeError(f"{name} does not run here: {reason}")
    return _first(run(name, 1, short=True).told.findings)


def _judged(campaign: "Callable[[Path, Plan], Awaitable[Findings]]") -> str | None:
    """The first promise that the history of a short campaign breaks."""
    from ..sigkill import Plan  # noqa: PLC0415

    async def findings(folder: Path) -> "Findings":
        return await campaign(folder, Plan(1, KILLS, longest_life_seconds=1.5, rate=20.0))

    with tempfile.TemporaryDirectory(prefix="dargah-planted-") as folder:
        try:
            found = asyncio.run(findings(Path(folder)))
        except AssertionError as error:
            return _told(error)
    return _first(found)


def _first(found: "Findings") -> str | None:
    return found.violations[0].partition(":")[0] if found.violations else None


class Names:
    """What pytest ran, and which of it failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.errors: list[str] = []
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed:
            (self.failed if report.when == "call" else self.errors).append(report.nodeid.rpartition("::")[2])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.nodeid)


def contract_tests(*paths: str) -> str | None:
    names = Names()
    with contextlib.redirect_stdout(sys.stderr):
        pytest.main([*paths, "-p", "no:cacheprovider", "-p", "no:xdist", "-x"], plugins=[names])
    if names.errors or not names.ran:
        raise RuntimeError(f"the tests did not run: {names.errors}")
    return names.failed[0] if names.failed else None


STAGES: Final[dict[str, Callable[..., str | None]]] = {
    "simulation": simulation,
    "state machine": state_machine,
    "disk faults": disk_faults,
    "power cut": power_cut,
    "history": history,
    "machines": machines,
    "contract tests": contract_tests,
}


def _told(error: AssertionError) -> str:
    """Which of our checks failed first: one that failed while things were put away is not it."""
    while isinstance(error.__context__, AssertionError):
        error = error.__context__
    trace = error.__traceback__
    name = "?"
    while trace is not None:
        if "torture" in trace.tb_frame.f_code.co_filename:
            name = trace.tb_frame.f_code.co_name
        trace = trace.tb_next
    return name.replace("_", " ").strip()


def main(stage: str, *arguments: str) -> int:
    here = Path.cwd().resolve()
    assert Path(proxy.__file__).resolve().is_relative_to(here), f"{proxy.__file__} is not the copy in {here}"
    if stage != "contract tests":
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    noticed = STAGES[stage](*arguments)
    sys.stdout.write(f"{noticed or 'nothing'}\n")
    return CAUGHT if noticed else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
