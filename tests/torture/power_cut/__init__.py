"""Power cuts: `python -m tests.torture.power_cut --cuts 60 [--seed N]`.

The SIGKILL campaign on a disk that forgets what was not synced: most kills take the power with them. What was
acknowledged must be there afterwards, and the ledger, the storefronts and the receivers must agree to the rial.
"""

import math
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from databases.places import database_in
from support.process import Process

from .. import met, sigkill
from ..sigkill.audit import Findings, Told
from .disk import Disk

# The others are kills alone: what the next process then finds and was never synced must not be believed for good.
SHARE_OF_KILLS: Final = 0.8
CUTS: Final = 60
# `make torture` has many more.
MACHINES_KILLS: Final = 25
RATE, SHORT_RATE = 40.0, 12.0
SYNC_MICROSECONDS: Final = 10_000


class Powered(Process):
    """A Dargah whose `kill` cuts the power too, most times."""

    def __init__(self, folder: Path, *, seed: int, **more: str) -> None:
        self.disk = Disk(Path(database_in(folder)), seed, SYNC_MICROSECONDS)
        self._random = Random(f"{seed}|cuts")
        self.cuts = False
        # Seconds from a start until it serves, by what had ended the process before.
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        self._launched, self._ended_by = 0.0, ""
        super().__init__(folder, **more, **self.disk.environment)

    async def launch(self) -> None:
        self.cuts = self._random.random() < SHARE_OF_KILLS
        self.disk.resume()
        self._launched = time.monotonic()
        await super().launch()

    async def ready(self) -> None:
        await super().ready()
        if self._ended_by:
            self.recoveries[self._ended_by].append(time.monotonic() - self._launched)

    async def kill(self) -> None:
        running = self._process is not None
        await super().kill()
        if running and self.cuts:
            self._ended_by = "power cut"
            self.disk.cut()
        else:
            self._ended_by = "killed alone"
            self.disk.pause()


def plan_of(seed: int, cuts: int) -> sigkill.Plan:
    return sigkill.Plan(seed, math.ceil(cuts / SHARE_OF_KILLS), rate=RATE)


async def campaign(folder: Path, plan: sigkill.Plan) -> Findings:
    """The whole of it, in `folder`, with the power that fails at most kills."""
    return (await _told(folder, plan)).findings


async def machines(folder: Path, seed: int, *, short: bool) -> Told:
    """As a part of the machines' campaign."""
    if short:
        return await _told(folder, sigkill.Plan(seed, kills=6, longest_life_seconds=1.0, rate=SHORT_RATE))
    return await _told(folder, sigkill.Plan(seed, MACHINES_KILLS, rate=RATE))


async def _told(folder: Path, plan: sigkill.Plan) -> Told:
    made: list[Powered] = []

    def make(place: Path, **more: str) -> Powered:
        made.append(Powered(place, seed=plan.seed, **more))
        return made[-1]

    def fault(process: Process) -> str:
        return met.POWER_CUT if isinstance(process, Powered) and process.cuts else met.SIGKILL

    findings = await sigkill.campaign(folder, replace(plan, make=make, fault=fault))
    findings.counts.update(made[0].disk.counts)
    return Told(findings, made[0].recoveries)
