"""An event loop on virtual time, and turns in it: nothing sleeps, and nothing comes from outside.

Where a piece of work meets the store or the network, it waits until the driver lets it go on; the driver hears when all
wait. So the order of everything, a crash in the middle included, is the driver's choice and nobody else's.
"""

import asyncio
import hashlib
import math
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeVar

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


LABEL: ContextVar[int] = ContextVar("LABEL", default=0)
"""The number of the action on whose behalf a task runs; tasks inherit it."""

REST: Final = 1_000_000
"""The label of what happens after the story, when faults have stopped."""


@dataclass(frozen=True, slots=True)
class About:
    """What a call or a step of the store is about, as far as it says; the action that began it says the rest."""

    state: str = ""
    operation: str = ""


ABOUT: ContextVar[About] = ContextVar("ABOUT", default=About())  # noqa: B039  it is frozen


class Died(BaseException):
    """The process is dead: what still runs of it gets nothing done any more."""


class Dice:
    """Randomness per action, so that leaving one action out of a story does not change the others'."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._of: dict[int, Random] = {}

    def of_action(self) -> Random:
        """The randomness of the action under way."""
        label = LABEL.get()
        if label not in self._of:
            self._of[label] = Random(f"{self._seed}|{label}")
        return self._of[label]

    def bytes(self, count: int) -> bytes:
        return self.of_action().randbytes(count)

    def jitter(self) -> float:
        return self.of_action().uniform(-1, 1)


class BankRandom(Random):
    """The bank's randomness, which is the action's own too."""

    def __init__(self, dice: Dice) -> None:
        super().__init__(0)
        self._dice = dice

    def random(self) -> float:
        return self._dice.of_action().random()

    def getrandbits(self, k: int, /) -> int:
        return self._dice.of_action().getrandbits(k)


class Trace:
    """What happened, in order: its digest tells two runs apart, and `lines` tells the story when it is kept."""

    def __init__(self, clock: Clock, *, keep: bool) -> None:
        self._clock = clock
        self._digest = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None

    def note(self, what: str) -> None:
        line = f"{self._clock.now} #{LABEL.get()} {what}"
        self._digest.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    def digest(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """One task that waits for its turn, which cannot come before the time `not_before`."""

    label: int
    where: str
    about: About
    not_before: int
    turn: asyncio.Future[None]


class Turns:
    """The turns of one process. `free` lets everything go on by itself; `at_point` may kill the process there."""

    def __init__(self, clock: Clock, trace: Trace) -> None:
        self._clock = clock
        self._trace = trace
        self.free = False
        self.dead = False
        self.died_at: Parked | None = None
        self.parked: list[Parked] = []
        self.at_point: Callable[[str], bool] = lambda _where: False

    async def wait(self, where: str, not_before: int = 0, about: About | None = None) -> None:
        """Returns when this task's turn has come. Raises Died in a process that died."""
        self.check_alive()
        self._trace.note(where)
        turn: asyncio.Future[None] = this_loop().create_future()
        waiting = Parked(LABEL.get(), where, about or ABOUT.get(), not_before, turn)
        if self.at_point(where):
            self.dead, self.died_at = True, waiting
        elif self.free and not_before <= self._clock.now:
            return
        else:
            self.parked.append(waiting)
        await turn
        self.check_alive()

    def check_alive(self) -> None:
        if self.dead:
            raise Died

    def first(self, label: int | None = None) -> Parked | None:
        """The task that has waited longest of those that may go on now, of one action or of all."""
        now = self._clock.now
        return next((one for one in self.parked if one.not_before <= now and label in (None, one.label)), None)

    def let_go(self, one: Parked) -> None:
        self.parked.remove(one)
        one.turn.set_result(None)

    def next_time(self) -> int | None:
        """When the first of those may go on that wait for a time."""
        return min((one.not_before for one in self.parked), default=None)


def start(label: int, work: Any) -> asyncio.Task[Any]:
    """A task on behalf of the action `label`."""
    token = LABEL.set(label)
    try:
        return this_loop().create_task(work)
    finally:
        LABEL.reset(token)
