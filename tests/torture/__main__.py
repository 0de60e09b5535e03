"""The whole campaign: `make torture`, or `python -m tests.torture [--seed N] [--write]`.

Every stage in its long form, as processes of their own, two at a time. Prints one table with its counts; exit code 1
when a promise was broken, a planted bug was missed or a stage did not end. `--write` puts the table into the document.
"""

import asyncio
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import orjson
import structlog
import uvloop

from . import (
    ROOT,
    conformance,
    crash_points,
    disk_faults,
    document,
    markdown,
    met,
    power_cut,
    properties,
    scratch,
    seed_option,
    sigkill,
    simulation,
    state_machine,
)
from .planted import judge
from .planted.judge import PLANTED
from .processes.audit import meaning

BEGIN, END = "<!-- the last run -->", "<!-- end of the last run -->"
MET_BEGIN, MET_END = "<!-- the pairs that were met -->", "<!-- end of the pairs that were met -->"
# More than all of it takes on two idle cores: a busy machine is slow, and breaks no promise by that.
LIMIT_SECONDS: Final = 60 * 60

STEPS: Final = 150
SEEDS_AT_ONCE: Final = 500
SEED_BATCHES: Final = 4
KILLS: Final = 200
CUTS: Final = 60
MACHINE_EXAMPLES: Final = 150
MACHINE_STEPS: Final = 50
PROPERTY_EXAMPLES: Final = 2000
CONFORMANCE_EXAMPLES: Final = 40
# Of a broken promise in the simulation: what it means for the money.
LOST: Final = {"no payment is lost", "nothing stored is lost", "what is confirmed is settled", *meaning("lost")}
WRONG: Final = {"paid has its check", *meaning("wrongly paid")}
KEPT: Final = {*meaning("wrongly kept")}
MISSING: Final = {"every webhook arrives", *meaning("webhooks missing")}


@dataclass(slots=True)
class Report:
    """What a stage did, and what was broken; `rows` are lines for the document."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def _simulation(seed: int, batch: int) -> Report:
    report = Report()
    first = seed + batch * SEEDS_AT_ONCE
    for told in simulation.tell_many(range(first, first + SEEDS_AT_ONCE), STEPS, workers=1):
        report.counts += _renamed(told.counts)
        report.counts["seeds"] += 1
        report.counts["steps"] += STEPS
        if told.violation is not None:
            promise = told.violation.promise
            meant = {"lost": LOST, "wrongly paid": WRONG, "wrongly kept": KEPT, "webhooks missing": MISSING}
            for name, promises in meant.items():
                report.counts[name] += promise in promises
            report.broken.append(f"seed {told.seed}: {told.violation}")
            if len(report.broken) == 1:
                simulation.report_failure(told, STEPS, say=report.broken.append)
    return report


def _crash_points(_seed: int) -> Report:
    report = Report()
    for done in crash_points.enumerate_all():
        points = done.commits + done.calls if isinstance(done, crash_points.Enumerated) else done.statements
        report.counts["crash points"] += points
        report.counts["runs of crash points"] += done.runs
        report.counts += done.counts if isinstance(done, crash_points.Enumerated) else Counter()
        report.broken += [f"{done.name}: {failure}" for failure in done.failures]
    return report


def _sigkill(seed: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="dargah-sigkill-") as folder:
        findings = uvloop.run(sigkill.campaign(Path(folder), sigkill.Plan(seed, KILLS)))
    return Report(_renamed(findings.counts), findings.violations)


def _power_cut(seed: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="dargah-power-") as folder:
        findings = uvloop.run(power_cut.campaign(Path(folder), power_cut.plan_of(seed, CUTS)))
    findings.counts.pop("kills")  # those of the stage of that name
    return Report(_renamed(findings.counts), findings.violations)


def _disk_faults(_seed: int, part: str) -> Report:
    report = Report()
    with scratch() as folder:
        if part == "real":
            told = asyncio.run(disk_faults.real_faults(folder))
            report.counts["real faults of the disk"] = len(told)
            return report
        faults = {"store": disk_faults.store_faults, "flow": disk_faults.flow_faults, "group": disk_faults.group_faults}
        counts = asyncio.run(faults[part](folder, short=False))
    kinds = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY")
    struck = {name: count for name, count in counts.items() if any(kind in name for kind in kinds)}
    report.counts.update({name: count for name, count in counts.items() if met.is_pair(name)})
    report.counts["faults of the disk"] = sum(struck.values()) + counts["groups"]
    report.counts["captured by the ledger"] = report.counts["payments"] = counts["paid, as the ledger says"]
    return report


def _machine(seed: int) -> Report:
    for prop in properties.PROPERTIES:
        properties.hold(prop, seed, PROPERTY_EXAMPLES)
    made = state_machine.in_a_folder(lambda on: state_machine.play(on, seed, MACHINE_EXAMPLES, MACHINE_STEPS))
    counts = _renamed(made.counts + made.hooks.times)
    counts["calls of the state machine"] = counts.pop("calls")
    counts["examples of the state machine"] = counts.pop("examples")
    counts["examples of properties"] = PROPERTY_EXAMPLES * len(properties.PROPERTIES)
    return Report(counts)


def _conformance(seed: int) -> Report:
    told = conformance.campaign(seed, CONFORMANCE_EXAMPLES)
    never = [f"{name} never succeeded" for name in conformance.unanswered(told)]
    counts = Counter({"calls by schemathesis": told.calls, "operations": len(told.statuses)})
    return Report(counts, told.violations + never)


def _planted(_seed: int) -> Report:
    report = Report()
    for verdict in judge.judge_all(PLANTED, workers=1):
        bug = bool(verdict.planted.edits)
        report.counts["planted bugs"] += bug
        report.counts["planted bugs caught"] += bug and verdict.right
        if not verdict.right:
            report.broken.append(judge.line(verdict))
        elif bug:
            report.rows.append([verdict.planted.name, verdict.planted.catcher, verdict.noticed])
    return report


STAGES: Final[dict[str, Callable[[int], Report]]] = {
    # The longest first: the two cores are then busy to the end.
    "sigkill": _sigkill,
    "planted bugs": _planted,
    "power cut": _power_cut,
    **{f"simulation {batch + 1}": partial(_simulation, batch=batch) for batch in range(SEED_BATCHES)},
    **{f"disk faults, {part}": partial(_disk_faults, part=part) for part in ("flow", "store", "group", "real")},
    "crash points": _crash_points,
    "state machine": _machine,
    "schemathesis": _conformance,
}
HEADLINES: Final = (
    "seeds",
    "steps",
    "crash points",
    "kills",
    "power cuts",
    "faults of the disk",
    "real faults of the disk",
    "planted bugs",
    "planted bugs caught",
    "calls of the state machine",
    "examples of properties",
    "calls by schemathesis",
    "payments",
    "captured by the ledger",
    "lost",
    "wrongly paid",
    "wrongly kept",
    "webhooks due",
    "webhooks arrived",
    "webhooks missing",
    "duplicates by id",
)


def _renamed(counts: Counter[str]) -> Counter[str]:
    """The stages' own names of the same things."""
    names = {"captured": "captured by the ledger", "webhook duplicates by id": "duplicates by id"}
    return Counter({names.get(name, name): count for name, count in counts.items()})


def run_stage(name: str, seed: int) -> Report:
    """One stage, here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    try:
        report = STAGES[name](seed)
    except (Exception, ExceptionGroup) as error:  # noqa: BLE001  a stage that fails is told in the table
        report = Report(broken=[f"{type(error).__name__}: {error}"])
    report.seconds, report.cpu_seconds = time.monotonic() - began, _cpu_seconds()
    return report


def _cpu_seconds() -> float:
    """What this process and those that it has waited for used: on a machine with other work the clock says little."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def run_apart(seed: int, name: str) -> tuple[str, Report]:
    """One stage, in a process of its own."""
    command = [sys.executable, "-m", "tests.torture", "--stage", name, "--seed", str(seed)]
    try:
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        told = orjson.loads(ran.stdout.strip().rpartition("\n")[2])
        report = Report(Counter(told["counts"]), told["broken"], told["rows"], told["seconds"], told["cpu_seconds"])
    except subprocess.TimeoutExpired:
        report = Report(broken=["it took too long"])
    except orjson.JSONDecodeError:
        report = Report(broken=[f"it ended without a word: {ran.stderr[-3000:]}"])
    click.echo(f"{name}: {report.seconds:.0f} s, {'ok' if not report.broken else 'BROKEN'}")
    return name, report


def table(reports: Sequence[tuple[str, Report]], seed: int, seconds: float) -> list[str]:
    """The counts of all, as Markdown."""
    total = _total(reports)
    counts = [[name, f"{total[name]:,}"] for name in HEADLINES]
    counts.append(["broken promises", f"{sum(len(report.broken) for _, report in reports):,}"])
    stages = [[name, f"{report.seconds:.0f}", f"{report.cpu_seconds:.0f}"] for name, report in reports]
    stages.append(["all", f"{seconds:.0f}", f"{sum(report.cpu_seconds for _, report in reports):.0f}"])
    lines = [f"Seed {seed}, {seconds / 60:.0f} minutes on {os.cpu_count()} cores.", ""]
    return [*lines, *markdown(["what", "count"], counts), "", *markdown(["stage", "seconds", "of CPU"], stages)]


def _total(reports: Sequence[tuple[str, Report]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for _, report in reports:
        total += report.counts
    return total


@click.command()
@seed_option
@click.option("--stage", type=click.Choice(list(STAGES)), help="Only this stage, with its counts as JSON.")
@click.option("--write", "writes", is_flag=True, help="Put the table into docs/reliability.md.")
def main(seed: int, stage: str | None, writes: bool) -> None:
    """Tries to lose a payment in every way that is known."""
    if stage is not None:
        _print(run_stage(stage, seed))
        return
    click.echo(f"torture: seed {seed}")
    began = time.monotonic()
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        reports = list(pool.map(partial(run_apart, seed), STAGES))
    seconds = time.monotonic() - began
    lines = table(reports, seed, seconds)
    click.echo("\n".join(lines))
    rows = [row for _, report in reports for row in report.rows]
    for name, report in reports:
        for what in report.broken[:20]:
            click.echo(f"BROKEN, {name}: {what}")
    never = met.never_met(_total(reports))
    for pair in never:
        click.echo(f"NEVER MET: {pair}")
    broken = bool(never) or any(report.broken for _, report in reports)
    if writes and not broken:
        document(MET_BEGIN, MET_END, [f"Of the run below, seed {seed}:", "", *met.table(_total(reports))])
        document(BEGIN, END, [*lines, "", *markdown(["planted bug", "stage", "what it noticed"], rows, texts=3)])
    if broken:
        click.echo(f"repeat it: python -m tests.torture --seed {seed}")
        raise SystemExit(1)


def _print(report: Report) -> None:
    told: dict[str, Any] = {"counts": dict(report.counts), "broken": report.broken, "rows": report.rows}
    click.echo(orjson.dumps(told | {"seconds": report.seconds, "cpu_seconds": report.cpu_seconds}))
    if report.broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
