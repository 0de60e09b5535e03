"""Machines as they are: `make torture-machines`, or `python -m tests.torture.machines [NAME …] [--seed N] [--write]`.

Each part breaks one kind of machine under a whole Dargah with storefronts, customers and receivers: real servers,
poolers, relays and disks. At the end its history is judged; a part tells how long each recovery took. Exit code 1 when
a promise was broken. A part whose tool is absent is NOT RUN, with the reason. `--write` puts the table of a run of all
parts into docs/reliability.md.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Protocol

from databases import bouncer

from .. import markdown, power_cut
from ..sigkill.audit import Told
from . import clocks, disks, failover, names

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
    "disk full": Part(partial(disks.campaign, disks.full), disks.cannot_mount),
    "disk read-only": Part(partial(disks.campaign, disks.read_only), power_cut.missing),
    "two processes on one file": Part(partial(disks.campaign, disks.two_processes)),
    "power cut": Part(power_cut.machines, power_cut.missing),
    "slow name server": Part(names.campaign),
    "clock jumps": Part(clocks.campaign),
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
