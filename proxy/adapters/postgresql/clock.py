"""The database's clock, which all replicas share: leases that one of them takes must mean the same to the others."""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from proxy.clock import SECOND

log = structlog.get_logger()

SAMPLES: Final = 5
# More than the clocks of one process and a database drift apart between two looks.
NOTABLE: Final = 1 * SECOND
_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def monotonic_milliseconds() -> float:
    """Of this machine, whatever is done to the time of day."""
    return time.monotonic_ns() / 1e6


class DatabaseClock:
    """`now` is the database's time, by this machine's steady clock and what lay between the two at the last look.

    It never goes back: after a look that says so it stands until the database's clock has come up.
    """

    def __init__(self, monotonic: Callable[[], float] = monotonic_milliseconds) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None
        self._last = 0

    def now(self) -> int:
        """Milliseconds since the epoch. Raises AssertionError before the first look."""
        assert self._ahead is not None, "look first"
        self._last = max(self._last, int(self._monotonic() + self._ahead))
        return self._last

    async def look(self, connection: Any) -> None:
        """Asks the database for its time: the quickest of some answers is the one that says most."""
        best: tuple[float, float] | None = None
        for _ in range(SAMPLES):
            asked = self._monotonic()
            theirs = await connection.fetchval(_CLOCK)
            answered = self._monotonic()
            sample = (answered - asked, theirs - (asked + answered) / 2)
            best = sample if best is None else min(best, sample)
        assert best is not None, "there is more than one sample"
        if self._ahead is not None and abs(best[1] - self._ahead) > NOTABLE:
            log.warning("database_clock_jumped", milliseconds=round(best[1] - self._ahead))
        self._ahead = best[1]
