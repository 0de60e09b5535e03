"""Machines as they are: `make torture-machines`, or `python -m tests.torture.machines [NAME …] [--seed N] [--write]`.

Each part breaks one kind of machine under a whole Dargah with storefronts, customers and receivers: real servers,
poolers, relays and disks. At the end its history is judged; a part tells how long each recovery took. Exit code 1 when
a promise was broken. A part whose tool is absent is NOT RUN, with the reason. `--write` puts the table of a run of all
parts into docs/reliability.md.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import click
from databases import bouncer

from proxy.observability import logs

from . import document, markdown, power_cut, seed_option
from .processes import failover
from .processes.audit import Told
from .processes.surroundings import bad_disk, cannot_mount, clock_jumps, full, read_only, slow_names, two_processes

BEGIN, END = "<!-- the last run of machines -->", "<!-- end of the last run of machines -->"


class Campaign(Protocol):
    def __call__(self, folder: Path, seed: int, *, short: bool) -> Awaitable[Told]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """`missing` says why it cannot run here; the reason is empty where it can."""

    campaign: Campaign
    missing: Callable[[], str] = str


PARTS: Final[dict[str, Part]] = {
    "PostgreSQL: failover, PgBouncer, TLS": Part(failover.campaign, bouncer.missing),
    "disk full": Part(partial(bad_disk, full), cannot_mount),
    "disk read-only": Part(partial(bad_disk, read_only), power_cut.missing),
    "two processes on one file": Part(partial(bad_disk, two_processes)),
    "power cut": Part(power_cut.machines, power_cut.missing),
    "slow name server": Part(slow_names),
    "clock jumps": Part(clock_jumps),
}
MOST_SECONDS: Final = 20 * 60.0  # of the whole
COUNTS: Final = ("payments", "captured", "lost", "wrongly paid", "webhooks missing", "gaps in sequences")


@dataclass(frozen=True, slots=True)
class Ran:
    name: str
    told: Told
    seconds: float


@dataclass(slots=True)
class Table:
    """What the parts showed, as Markdown."""

    seed: int
    ran: Sequence[Ran] = field(default_factory=list)

    def lines(self) -> list[str]:
        lines = [f"Seed {self.seed}, on {os.cpu_count()} cores that other work shares.", ""]
        parts = [[each.name, *self._counts(each), f"{each.seconds:.0f}"] for each in self.ran]
        lines += [*markdown(["part", *COUNTS, "broken promises", "seconds"], parts), ""]
        recoveries = [
            [fault, str(len(took)), f"{median(took):.1f} s", f"{max(took):.1f} s"]
            for each in self.ran
            for fault, took in sorted(each.told.recoveries.items())
        ]
        return lines + markdown(
            ["what broke", "how often", "from then until it commits again: median", "at most"], recoveries
        )

    @staticmethod
    def _counts(ran: Ran) -> list[str]:
        findings = ran.told.findings
        return [f"{findings.counts[name]:,}" for name in COUNTS] + [str(len(findings.violations))]


def run(name: str, seed: int, *, short: bool = False, most_seconds: float = MOST_SECONDS) -> Ran:
    """One part, here. One that breaks off, or takes longer than that, has broken a promise."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dargah-machines-") as folder:
        try:
            told = asyncio.run(_within(most_seconds, PARTS[name].campaign(Path(folder), seed, short=short)))
        except (AssertionError, TimeoutError) as error:
            told = Told()
            told.findings.broken("broken off", f"{name} broke off: {error!r}")
    return Ran(name, told, time.monotonic() - began)


async def _within(seconds: float, campaign: Awaitable[Told]) -> Told:
    async with asyncio.timeout(seconds):
        return await campaign


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
@seed_option
@click.option("--write", "writes", is_flag=True, help="Put the table into docs/reliability.md.")
def main(names: tuple[str, ...], seed: int, writes: bool) -> None:
    """Break machines under a whole Dargah, and look for money that went missing."""
    logs.configure("error", "json")
    table, ends = Table(seed), time.monotonic() + MOST_SECONDS
    for name in names or PARTS:
        if reason := PARTS[name].missing():
            click.echo(f"NOT RUN: {name}: {reason}")
            continue
        click.echo(f"{name}: seed {seed}")
        ran = run(name, seed, most_seconds=ends - time.monotonic())
        table.ran = [*table.ran, ran]
        click.echo("\n".join(ran.told.findings.lines()))
    click.echo("\n".join(table.lines()))
    broken = any(each.told.findings.violations for each in table.ran)
    if writes and not broken and len(table.ran) == len(PARTS):
        document(BEGIN, END, table.lines())
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
