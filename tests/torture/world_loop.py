"""An event loop on virtual time: nothing sleeps, nothing comes from outside, and its driver hears when all wait."""

import asyncio
import math
from asyncio.base_events import BaseEventLoop
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Clock:
    """Milliseconds since the epoch, moved by hand."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class VirtualLoop(BaseEventLoop):
    """Runs what is ready, in order, and then answers the one who awaits `idle`. Its time is the clock's."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        # Seconds since the epoch leave a float no room for the fractions that timers are compared by.
        self._began = clock.now
        self._selector = self
        self._driver: asyncio.Future[None] | None = None

    def time(self) -> float:
        return (self._clock.now - self._began) / 1000

    async def idle(self) -> None:
        """Returns when everything else waits for a turn, for the clock or for nothing at all."""
        self._driver = self.create_future()
        await self._driver

    def next_timer(self) -> int | None:
        """The first millisecond after the earliest timer is due."""
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled", [])
        times = [timer.when() for timer in scheduled if not timer.cancelled()]
        return self._began + math.floor(min(times) * 1000) + 1 if times else None

    def select(self, timeout: float | None) -> list[Any]:
        """What the base class asks of a selector: the events of the outside, of which there are none."""
        if timeout != 0:
            driver, self._driver = self._driver, None
            if driver is None:
                raise RuntimeError("everything waits, the driver too")
            driver.set_result(None)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run_virtually(clock: Clock, main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`, run on a virtual loop of its own."""
    loop = VirtualLoop(clock)
    # What a crash abandoned is told by nobody: its errors are the crash's.
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def this_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
