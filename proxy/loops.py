"""What runs beside the requests: steps that are repeated, and work that goes on when its caller has gone."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from proxy.clock import SECOND
from proxy.errors import Overloaded
from proxy.ports import Now

T = TypeVar("T")
log = structlog.get_logger()

# Polling is the truth and waking a hint: a hint that was lost costs this much at most.
LONGEST_IDLE: Final = 5 * SECOND
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 15.0


class Tasks:
    """Work that must finish although the browser or the storefront hangs up; bounded, and waited for at the end.

    `on_room` is called when one of a full house has finished.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[Any]] = set()
        self.on_room: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._running)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which goes on when the caller is cancelled. Raises Overloaded when too much runs."""
        return await asyncio.shield(self.start(work))

    async def run_here(self, work: Coroutine[Any, Any, T]) -> T:
        """The same in the caller's own task, for a caller that is not cancelled: one task less to make."""
        if len(self._running) >= self._limit:
            work.close()
            raise Overloaded
        task = asyncio.current_task()
        assert task is not None, "a coroutine that runs has a task"
        self._running.add(task)
        try:
            return await work
        finally:
            self._leave(task)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts `work` beside the caller. Raises Overloaded when too much runs."""
        if len(self._running) >= self._limit:
            work.close()
            raise Overloaded
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    async def drain(self) -> None:
        """Returns when all that runs has ended; what was started meanwhile too."""
        while self._running:
            await asyncio.wait(self._running)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        full = len(self._running) >= self._limit
        self._running.discard(task)
        if full:
            self.on_room()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._leave(task)
        # Whoever awaited it has seen the error; this marks it as seen when nobody did any more.
        if not task.cancelled():
            task.exception()


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long a loop idles at most and at least, in milliseconds: the least keeps it from asking again and again for
    work that is due and that somebody else has in hand.
    """

    longest_idle: int = LONGEST_IDLE
    shortest_idle: int = 0


class Repeater:
    """Repeats a step: at once while woken, else when the step says that the next work is due.

    `step` gives the time of the next work in milliseconds since the epoch, or None when nothing is planned. An error
    of a step is logged and the step repeated after a pause that doubles: a loop does not die. `on_failure` then hears
    its name.
    """

    def __init__(
        self, name: str, step: Callable[[], Awaitable[int | None]], now: Now, rhythm: Rhythm | None = None
    ) -> None:
        self._name = name
        self._step = step
        self._now = now
        self._rhythm = rhythm or Rhythm()
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._due: int | None = None
        self._task: asyncio.Task[None] | None = None
        self.on_failure: Callable[[str], None] = lambda _name: None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """There is work now."""
        self._woken.set()

    def wake_by(self, due_at: int) -> None:
        """There will be work at `due_at`: wakes the loop when that is sooner than it meant to sleep."""
        if self._due is None or due_at < self._due:
            self._woken.set()

    async def stop(self) -> None:
        """Returns when the step under way has ended; no other is begun."""
        self._stopping.set()
        self._woken.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._due = await self._step()
                pause = FIRST_PAUSE_SECONDS
            except Exception:
                log.exception("loop_step_failed", loop=self._name)
                self.on_failure(self._name)
                await _set_within(self._stopping, pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            await self._sleep()

    async def _sleep(self) -> None:
        longest = self._rhythm.longest_idle
        idle = longest if self._due is None else min(max(self._due - self._now(), self._rhythm.shortest_idle), longest)
        await _set_within(self._woken, idle / SECOND)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or that time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
