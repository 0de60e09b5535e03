"""Disk faults: `python -m tests.torture.disk_faults`.

SQLITE_FULL, SQLITE_IOERR and SQLITE_BUSY at each statement (BEGIN, SAVEPOINT, RELEASE and COMMIT too) of each step of
the store, of its opening and of a payment over HTTP: once, with a rollback that fails as well, and for good. Then
the real things: a full file system, a file that may not grow, a lock that somebody else holds.
"""

import asyncio
import itertools
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Final

import click
import structlog

from . import scratch
from .disk_faults_flow import Scene, group_with_fault, nothing_was_lost, payment_with_fault, scene
from .disk_faults_real import file_that_may_not_grow, full_disk, held_lock
from .disk_faults_steps import STEPS
from .disk_faults_store import CODES, MODES, StoreFaults

# A payment takes about sixty statements; those of an outage and of the loops that go on meanwhile come on top.
MOST_STATEMENTS: Final = 200
# A group of creates that come together has nine, each for all of them: the intents, and the invoices. Some come late.
GROUP_STATEMENTS: Final = 16


async def store_faults(folder: Path, *, short: bool) -> Counter[str]:
    """Faults of the store's steps and of its opening."""
    faults = StoreFaults(folder, short=short)
    await faults.begin()
    for name in STEPS:
        await faults.step(name)
    await faults.opening()
    return faults.counts


async def flow_faults(folder: Path, *, short: bool) -> Counter[str]:
    """Faults of whole payments over HTTP: in short, one kind in one mode per statement, all in their turn."""
    kinds = list(itertools.product(CODES, MODES))
    async with scene(folder) as played:
        if short:
            for at in range(MOST_STATEMENTS):
                code, mode = kinds[at % len(kinds)]
                if not await payment_with_fault(played, at, code, mode):
                    break
        else:
            for code, mode in kinds:
                await _every_statement(played, code, mode)
        await nothing_was_lost(played)
        played.counts["different statements that failed"] = len(played.statements)
        return played.counts


async def _every_statement(played: Scene, code: str, mode: str) -> None:
    for at in range(MOST_STATEMENTS):
        if not await payment_with_fault(played, at, code, mode):
            return


async def group_faults(folder: Path, *, short: bool) -> Counter[str]:
    """Faults under many creates at once."""
    codes = itertools.cycle(CODES)
    async with scene(folder) as played:
        for at in range(GROUP_STATEMENTS):
            for code in CODES if not short else [next(codes)]:
                played.counts["groups"] += await group_with_fault(played, f"group-{code}-{at}", at, code)
        return played.counts


async def real_faults(folder: Path) -> dict[str, str]:
    """The real things; what each of them was."""
    for name in ("full", "lock", "limit"):
        (folder / name).mkdir()
    await held_lock(folder / "lock")
    return {
        "full": await full_disk(folder / "full"),
        "lock": "a write lock of another connection",
        "limit": await file_that_may_not_grow(folder / "limit"),
    }


async def campaign() -> None:
    """All of it in its long form; a broken promise is an AssertionError."""
    for stage in (store_faults, group_faults, flow_faults):
        began = time.monotonic()
        with scratch() as folder:
            counts = await stage(folder, short=False)
        click.echo(f"disk faults, {stage.__name__} in {time.monotonic() - began:.0f} s")
        click.echo("\n".join(f"  {name}: {count:,}" for name, count in sorted(counts.items())))
    with scratch() as folder:
        for name, told in (await real_faults(folder)).items():
            click.echo(f"  real {name}: {told}")


@click.command()
def main() -> None:
    """Fail the disk at every statement, and look for what was acknowledged and is not there."""
    # Each fault is logged with its stack, as it should be; thousands of them are not worth reading.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(campaign())
    click.echo("disk faults: no promise was broken")


if __name__ == "__main__":
    main()
