"""How late the event loop is: what a handler that does not let go costs everybody else."""

import asyncio
from typing import Final

from proxy.metrics.instruments import Spread

PERIOD_SECONDS: Final = 0.5


class Pulse:
    """Asks to be called every half a second, and notes how late that was."""

    def __init__(self, lag: Spread) -> None:
        self._lag = lag
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = self._loop.time() + PERIOD_SECONDS
        self._handle = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        self._lag.observe(max(0.0, self._loop.time() - self._due))
        self.start()
