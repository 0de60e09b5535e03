"""The end of a process: one span of time that all of it shares."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog
from aiohttp import web

from proxy.loops import Tasks

log = structlog.get_logger()

# What is left of a connection whose handler outlived the time is cut within this.
CUT_SECONDS: Final = 0.1


class Drain:
    """`begin` starts the time; each part of the end then takes what is `left`. `tick` gives seconds.

    `linger_seconds` of it the listeners stay open while /readyz says 503, so that load balancers send nobody more.
    """

    def __init__(self, seconds: float, tick: Callable[[], float]) -> None:
        self._seconds = seconds
        self._tick = tick
        self._ends_at: float | None = None
        self.linger_seconds = 0.0

    def begin(self) -> None:
        if self._ends_at is None:
            self._ends_at = self._tick() + self._seconds

    @property
    def left(self) -> float:
        """Seconds until it must be over; 0 when it should be."""
        self.begin()
        assert self._ends_at is not None
        return max(0.0, self._ends_at - self._tick())

    async def linger(self) -> None:
        if self.linger_seconds > 0:
            await asyncio.sleep(min(self.linger_seconds, self.left))

    async def close(self, runner: web.AppRunner) -> None:
        """Takes no more connections, ends those that are idle, lets running requests finish, and cuts the rest."""
        for site in list(runner.sites):
            await site.stop()
        server = runner.server
        if server is not None:
            await asyncio.sleep(0)  # what has just arrived is handled, not taken for idle
            server.pre_shutdown()
            await self._within([server.shutdown(self.left + CUT_SECONDS)])
        await runner.cleanup()

    async def wait_for(self, kinds: Sequence[Tasks]) -> None:
        """What runs by itself has its time to end; the leases find again what did not."""
        if not await self._within([tasks.drain() for tasks in kinds]):
            log.warning("drain_ended_early", running=sum(len(tasks) for tasks in kinds))

    async def _within(self, waiting: Sequence[Coroutine[Any, Any, None]]) -> bool:
        """Whether all of it ended in time; what did not is waited for no more."""
        tasks = [asyncio.create_task(each) for each in waiting]
        _, late = await asyncio.wait(tasks, timeout=max(self.left, CUT_SECONDS))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late
