"""A process that serves until it is told to end."""

import asyncio
import gc
import signal
from typing import Final

import click
import uvloop

from proxy.app import running
from proxy.config.settings import Settings
from proxy.roles import Role
from proxy.telemetry import logs

# Nearly all garbage goes by its reference count; looking for cycles at CPython's 700 objects is 3 % of a create.
GC_THRESHOLDS: Final = (20_000, 20, 20)


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises what `running` raises."""
    logs.configure(settings.log_level, settings.log_format)

    async def serving() -> None:
        async with running(settings) as dargah:
            # What lives until the end need not be looked at by every collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            told = _told_to_end()
            click.echo(f"dargah ready on {dargah.url if Role.API in settings.roles else dargah.admin_url}")
            # Who presses Ctrl-C has no load balancer that must be told first.
            if await told is signal.SIGTERM:
                dargah.drain.linger_seconds = settings.unready_seconds

    uvloop.run(serving())


def _told_to_end() -> asyncio.Future[signal.Signals]:
    """The signal that will come: SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not came.done():
            came.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return came
