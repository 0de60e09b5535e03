"""Background work: repeated steps, and work that goes on after its caller has left, in places that merchants share."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from heapq import heapify, heappop, heappush
from typing import Any, Final, TypeVar

import structlog

from proxy.kernel.clock import SECOND, Now
from proxy.kernel.errors import Overloaded
from proxy.kernel.frozen import dataclass

T = TypeVar("T")

GREED: Final = 3


class FairShares:
    """How many of `total` places each merchant holds: one alone takes most of them, and leaves some for the next.

    Work that holds a place cannot be stopped, and a hanging gateway or receiver holds its places for as long as it may.
    So the reserve is kept beforehand: a merchant takes another place only while it holds less than GREED times the free
    ones. Alone it gets three quarters; several that want everything get equal parts, and a part of the same size stays
    free.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held: dict[str, int] = {}
        self.taken = 0

    @classmethod
    def unlimited(cls) -> "FairShares":
        """More places than anybody asks for."""
        return cls(1 << 40)

    def copy(self) -> "FairShares":
        """A copy of the places, to try a distribution without taking any."""
        copy = FairShares(self._total)
        copy._held, copy.taken = dict(self._held), self.taken
        return copy

    def held(self, merchant_id: str) -> int:
        return self._held.get(merchant_id, 0)

    @property
    def free(self) -> int:
        return max(0, self._total - self.taken)

    def has_room(self, merchant_id: str) -> bool:
        """Whether the merchant may take a place now."""
        return self._held.get(merchant_id, 0) < GREED * (self._total - self.taken)

    def keeps_room(self, merchant_id: str) -> bool:
        """Whether the merchant could take the place that it gives back now."""
        return self._held.get(merchant_id, 0) - 1 < GREED * (self._total - self.taken + 1)

    def room(self, merchant_id: str) -> int:
        """How many places the merchant may take now, one after the other."""
        short = GREED * self.free - self._held.get(merchant_id, 0)
        return min(self.free, max(0, -(-short // (1 + GREED))))

    def at_limit(self) -> set[str]:
        """The merchants that hold places and may not take another one."""
        return {merchant_id for merchant_id in self._held if not self.has_room(merchant_id)}

    def take(self, merchant_id: str) -> None:
        self._held[merchant_id] = self._held.get(merchant_id, 0) + 1
        self.taken += 1

    def give_back(self, merchant_id: str) -> None:
        held = self._held[merchant_id] - 1
        self.taken -= 1
        if held:
            self._held[merchant_id] = held
        else:
            del self._held[merchant_id]


def in_turn(waiting: Iterable[T], merchant_of: Callable[[T], str], shares: FairShares, limit: int) -> list[T]:
    """Up to `limit` of those that may take a place: of the merchant that holds the fewest, else in the order given.

    `shares` has them taken then.
    """
    queues: dict[str, deque[T]] = {}
    for each in waiting:
        queues.setdefault(merchant_of(each), deque()).append(each)
    heap = [(shares.held(merchant_id), number, merchant_id) for number, merchant_id in enumerate(queues)]
    heapify(heap)
    chosen: list[T] = []
    while heap and len(chosen) < limit:
        held, number, merchant_id = heappop(heap)
        if shares.has_room(merchant_id):
            shares.take(merchant_id)
            chosen.append(queues[merchant_id].popleft())
            if queues[merchant_id]:
                heappush(heap, (held + 1, number, merchant_id))
    return chosen


log = structlog.get_logger()

# Polling is the truth and waking a hint: a hint that was lost costs this much at most.
LONGEST_IDLE: Final = 5 * SECOND
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 15.0


class Tasks:
    """Work that must finish although the browser or the storefront hangs up; bounded, and waited for at the end.

    Merchants share the places; work without a merchant is counted together. `on_room` is called when one of a merchant
    at its limit has finished, or any while `short` records that a caller found no place.
    """

    def __init__(self, limit: int, on_room: Callable[[], None] = lambda: None) -> None:
        self.shares = FairShares(limit)
        self.short = False
        self.on_room = on_room
        self._running: dict[asyncio.Task[Any], str] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def run(self, work: Coroutine[Any, Any, T], merchant_id: str = "") -> T:
        """The result of `work`, which continues when the caller is cancelled. Raises Overloaded when too much runs."""
        return await asyncio.shield(self.start(work, merchant_id))

    async def run_within(self, work: Coroutine[Any, Any, T], seconds: float, merchant_id: str = "") -> T | None:
        """The result of `work`; None when it takes longer than `seconds`, and continues in the background. Raises
        Overloaded.
        """
        task = self.start(work, merchant_id)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        return task.result() if done else None

    async def run_here(self, work: Coroutine[Any, Any, T], merchant_id: str = "") -> T:
        """The same in the caller's own task, for a caller that is not cancelled: one task less to make."""
        task = asyncio.current_task()
        assert task is not None, "a coroutine that runs has a task"
        self._enter(work, merchant_id)
        self._running[task] = merchant_id
        try:
            return await work
        finally:
            self._leave(task)

    def start(self, work: Coroutine[Any, Any, T], merchant_id: str = "") -> asyncio.Task[T]:
        """Starts `work` beside the caller. Raises Overloaded when too much runs."""
        self._enter(work, merchant_id)
        task = asyncio.create_task(work)
        self._running[task] = merchant_id
        task.add_done_callback(self._finished)
        return task

    async def drain(self) -> None:
        """Returns when all running work has ended, including work started meanwhile."""
        while self._running:
            await asyncio.wait(self._running)

    def _enter(self, work: Coroutine[Any, Any, T], merchant_id: str) -> None:
        if not self.shares.has_room(merchant_id):
            work.close()
            raise Overloaded
        self.shares.take(merchant_id)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        merchant_id = self._running.pop(task)
        wanted = self.short or not self.shares.has_room(merchant_id)
        self.shares.give_back(merchant_id)
        if wanted:
            self.short = False
            self.on_room()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._leave(task)
        # Whoever awaited it has seen the error; this marks it as seen when nobody did any more.
        if not task.cancelled():
            task.exception()


@dataclass(frozen=True, slots=True)
class IdleTimes:
    """The longest and the shortest idle time of a loop, in milliseconds: the shortest keeps it from asking again and
    again for due work that another process has claimed.
    """

    longest_idle: int = LONGEST_IDLE
    shortest_idle: int = 0


class Repeater:
    """Repeats a step: at once while woken, else when the step says that the next work is due.

    A step gives the time of the next work in milliseconds since the epoch, or None when nothing is planned. An error of
    a step is logged and the step repeated after a pause that doubles: a loop does not die. `on_failure` is called with
    its name.
    """

    def __init__(
        self,
        name: str,
        now: Now,
        rhythm: IdleTimes | None = None,
        on_failure: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._name = name
        self._now = now
        self._rhythm = rhythm or IdleTimes()
        self._on_failure = on_failure
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._due: int | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, step: Callable[[], Awaitable[int | None]]) -> None:
        self._task = asyncio.create_task(self._run(step), name=self._name)

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

    async def _run(self, step: Callable[[], Awaitable[int | None]]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._due = await step()
                pause = FIRST_PAUSE_SECONDS
            except Exception:
                log.exception("loop_step_failed", loop=self._name)
                self._on_failure(self._name)
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
