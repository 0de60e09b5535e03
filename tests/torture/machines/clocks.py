"""A whole Dargah whose time of day jumps both ways under load, as a part of the machines' campaign.

It jumps while the process runs, is wrong for a while, and jumps back; or a process starts with a wrong one, which then
becomes right. Nothing that is asked meanwhile may be lost, and nothing may stay planned for a time that never comes.
"""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from support.process import MovedClock, Process

from .. import sigkill
from ..sigkill.audit import Told, first_create
from ..sigkill.load import Load
from ..sigkill.stage import Stage

RATE: Final = 15.0
CALM_SECONDS, WRONG_SECONDS = 2.0, 5.0
MINUTE, DAY = 60, 86_400
# A little, a time zone, a battery that is empty, and days.
SIZES: Final = (3 * MINUTE, 210 * MINUTE, DAY, 4 * DAY)
WAYS: Final = {"ahead": 1, "back": -1}


async def campaign(folder: Path, seed: int, *, short: bool) -> Told:
    """Each jump both ways, while a process runs and at the start of one, in the order that the seed draws."""
    told, clocks = Told(), list[MovedClock]()
    jumps = [(way, size, restarts) for way in WAYS for size in SIZES for restarts in (False, True)]
    Random(f"{seed}|jumps").shuffle(jumps)
    if short:
        jumps = [("ahead", SIZES[-1], False), ("back", SIZES[-2], True)]

    def make(place: Path, **more: str) -> Process:
        process = Process(place, **more)
        clocks.append(MovedClock(process, place))
        return process

    async def disturb(made: Stage, load: Load, plan: sigkill.Plan) -> Counter[str]:
        assert isinstance(made.process, Process)
        await made.process.start()
        for way, size, restarts in jumps:
            await asyncio.sleep(CALM_SECONDS)
            restarted = made.process if restarts else None
            await _jump(way, size, clocks[0], load, told, restarted)
        return Counter(f"clock {way}" for way, _, _ in jumps)

    told.findings = await sigkill.campaign(folder, sigkill.Plan(seed, 0, rate=RATE, make=make, disturb=disturb))
    return told


async def _jump(way: str, size: int, clock: MovedClock, load: Load, told: Told, restarted: Process | None) -> None:
    if restarted is not None:
        await restarted.kill()
    began = time.monotonic()
    _say(WAYS[way] * size, clock, load)
    if restarted is not None:
        await restarted.start()
    how = f"clock jumps {way}" if restarted is None else f"started with a clock that is {way}"
    told.recoveries[how].append(await first_create(load, began))
    await asyncio.sleep(WRONG_SECONDS)
    righted = time.monotonic()
    _say(0, clock, load)
    told.recoveries[f"{how}, then right again"].append(await first_create(load, righted))


def _say(wrong: int, clock: MovedClock, load: Load) -> None:
    """The time of day is wrong by so many seconds from now on, and the judge hears of it."""
    load.stage.history.note("clock", wrong=wrong * 1000, at=datetime.now(UTC).isoformat())
    clock.say(wrong)
