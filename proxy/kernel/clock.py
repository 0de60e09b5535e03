"""Time as Dargah keeps it: integer milliseconds since the epoch inside, RFC 3339 in UTC outside."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Self

import structlog

Now = Callable[[], int]


Jitter = Callable[[], float]
"""Uniform in [-1, 1]."""


SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def system_now() -> int:
    """Milliseconds since the epoch, by the system's clock."""
    return time.time_ns() // 1_000_000


def rfc3339(at: int) -> str:
    """`at` as `2026-11-24T10:00:00.000Z`."""
    second, millisecond = divmod(at, 1000)
    return f"{utc_second(second)}.{millisecond:03}Z"


@lru_cache(maxsize=4096)
def utc_second(second: int) -> str:
    """`second` of the epoch as `2026-11-24T10:00:00`."""
    # Kept, as a payment shows five times, most of them within the second that others show too.
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time with an offset; ValueError when it is not one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset, such as the Z of 2026-11-24T10:00:00Z")
    return round(moment.timestamp() * 1000)


log = structlog.get_logger()

# More than clocks that are slewed, or those of a process and a database, drift apart between two looks.
NOTABLE: Final = 1 * SECOND
# Beyond it a receiver that compares with real time is soon near the five minutes that it tolerates.
NOTABLE_SKEW: Final = 5 * SECOND
MAX_SKIPPED: Final = 16
LOOK_EVERY: Final = 1 * SECOND
BEAT_EVERY: Final = 1 * MINUTE
# After a jump, what was under way may still be stored as it was planned by the old time: longer than any of it lasts.
AGAIN_AFTER: Final = 1 * MINUTE
# How fast the settled time follows: a clock that is a year ahead for a day costs a day of history and not a year's.
CATCH_UP: Final = 2


# A process that did not run for so long is believed to have been away; one ahead by more makes no partitions.
REACH: Final = 365 * DAY


def within_reach(now: int, settled_at: int | None) -> int:
    """The time whose partitions are made: `now`, unless only a clock that is far ahead says so."""
    return now if settled_at is None or now <= settled_at + REACH else settled_at


def steady_milliseconds() -> float:
    """Milliseconds of this machine's steady clock, which no change of the time of day affects."""
    return time.monotonic() * SECOND


class ProcessClock:
    """`now` is the last time given to `follow`, carried on by the steady clock; it goes back only by a jump."""

    def __init__(self, steady: Callable[[], float] = steady_milliseconds) -> None:
        self._steady = steady
        self._offset: float | None = None
        self._last = 0
        self._skipped: list[tuple[int, int]] = []
        self._settled: float | None = None
        self._settled_steady = 0.0
        self.jumps = 0
        self._jumped_at: int | None = None
        self.on_jump: Callable[[int], None] = lambda _milliseconds: None

    def now(self) -> int:
        """Milliseconds since the epoch. Raises AssertionError before anybody looked."""
        assert self._offset is not None, "look first"
        now = int(self._steady() + self._offset)
        if now > self._last:  # noqa: PLR1730  max() takes half as much as all the rest, ten times in each create
            self._last = now
        return self._last

    def steady(self) -> int:
        """Milliseconds of elapsed time since an arbitrary start: for durations inside a process."""
        return int(self._steady())

    def settle(self, at: int | None) -> None:
        """Begins with the settled time that the process before left."""
        self._settled, self._settled_steady = at, self._steady()

    def settled(self) -> int:
        """The time for irreversible steps: it follows `now`, but no faster than CATCH_UP times the steady clock.

        So it lags after a jump ahead, and after a time at which no process ran, because the two look the same. It never
        goes back: a clock that was behind for a moment, then right, would look like one that jumped ahead.
        """
        now, steady = self.now(), self._steady()
        if self._settled is None:
            self._settled = now
        passed, self._settled_steady = steady - self._settled_steady, steady
        self._settled = max(self._settled, min(now, self._settled + CATCH_UP * passed))
        return int(self._settled)

    def since_jump(self) -> int | None:
        """Milliseconds of elapsed time since the last jump; None when there was none."""
        return None if self._jumped_at is None else self.steady() - self._jumped_at

    def follow(self, offset: float) -> None:
        """Takes the difference between the steady clock and the followed one, as just read."""
        before, self._offset = self._offset, offset
        if before is None:
            return
        jump = round(offset - before)
        if abs(jump) > NOTABLE:
            self._jumped(jump)

    def skip(self, begin: int, end: int) -> None:
        """No process ran from `begin` until `end`: due times between them were skipped."""
        self._skipped = [*self._skipped, (begin, end)][-MAX_SKIPPED:]

    def skipped(self, at: int) -> bool:
        """Whether `at` is a time that the clock jumped over, or at which no process ran: nothing was due then."""
        return any(begin < at <= end for begin, end in self._skipped)

    def _jumped(self, jump: int) -> None:
        old = self._last
        now = self._last = int(self._steady() + (self._offset or 0))
        if jump > 0:
            self.skip(old, now)
        else:
            self._skipped = [(begin, min(end, now)) for begin, end in self._skipped if begin < now]
        self.jumps += 1
        self._jumped_at = self.steady()
        log.warning("clock_jumped", milliseconds=jump)
        self.on_jump(jump)


class WallClock(ProcessClock):
    """A process clock that follows the machine's time of day."""

    def __init__(self, wall: Callable[[], int] = system_now, steady: Callable[[], float] = steady_milliseconds) -> None:
        super().__init__(steady)
        self.wall = wall
        self.look()

    def look(self) -> None:
        self.follow(self.wall() - self._steady())


class Deadline:
    """`asyncio.timeout` for a task's call whose time nobody changes, at a third of the instructions. Leaving the
    context raises TimeoutError when the time has passed in it.
    """

    __slots__ = ("_at", "_cancelling", "_passed", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a coroutine that runs has a task"
        self._task, self._cancelling = task, task.cancelling()
        self._at = loop.time() + self._seconds
        self._timer = loop.call_at(self._at, self._pass)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._timer.cancel()
        # Whoever else cancelled the task meanwhile is obeyed.
        if self._passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def when(self) -> float:
        """The event loop's time at which it passes."""
        return self._at

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()
