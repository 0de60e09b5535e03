"""The concurrency limiter: how many gateway calls run at once, per terminal, per merchant and in all.

Calls over a limit wait, and are served by merchant in turn: a merchant whose gateway hangs holds its share of the
places and its own queue, and nobody else's. A create does not wait in vain: its waiting time follows from the number of
calls before it and their duration (Little's law), and over WAIT_TARGET_SECONDS it is refused at once. The queue is then
never longer than the number of calls served in that time.
"""

import asyncio
from collections import deque
from dataclasses import field
from typing import Final

from proxy.kernel.background import FairShares
from proxy.kernel.errors import Overloaded
from proxy.kernel.frozen import dataclass

# How long a caller waits for its place at most; a create's estimate may be wrong, where a gateway begins to hang.
MAX_WAIT_SECONDS: Final = 10.0
MAX_CREATE_WAIT_SECONDS: Final = 1.5
WAIT_TARGET_SECONDS: Final = 1.0
# The part of the newest call in the moving average of how long a terminal's calls take.
_NEWEST: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """Limits of the calls in flight, per terminal and in all, and of the waiting calls."""

    per_terminal: int = 64
    total: int = 256
    waiting: int = 1000


@dataclass(frozen=True, slots=True)
class Load:
    """Calls under way, and calls that wait."""

    in_flight: int
    waiting: int


@dataclass(slots=True)
class _Terminal:
    """A terminal with calls under way or waiting. `began_total` is the sum of the times at which the former began."""

    id: str
    merchant_id: str
    in_flight: int = 0
    began_total: float = 0.0
    usual_seconds: float = 0.0
    waiting: deque[asyncio.Future[float]] = field(default_factory=deque)

    def call_seconds(self, now: float) -> float:
        """The duration of its calls: their average, or longer if those in flight have already taken longer."""
        under_way = now - self.began_total / self.in_flight if self.in_flight else 0.0
        return max(self.usual_seconds, under_way)

    def wait_seconds(self, now: float) -> float:
        """The wait of a newcomer: for the calls before it, at the rate at which calls end, and half a call."""
        return (len(self.waiting) + 0.5) * self.call_seconds(now) / max(1, self.in_flight)


class Slot:
    """One call's place. A class, because a generator's context manager costs each create three times as much."""

    __slots__ = ("_began", "_deadline", "_limiter", "_sheds", "_terminal")

    def __init__(self, limiter: "ConcurrencyLimiter", terminal: _Terminal, deadline: float | None, sheds: bool) -> None:
        self._limiter = limiter
        self._terminal = terminal
        self._deadline = deadline
        self._sheds = sheds
        self._began = 0.0

    async def __aenter__(self) -> None:
        self._began = await self._limiter.enter(self._terminal, self._deadline, sheds=self._sheds)

    async def __aexit__(self, *_: object) -> None:
        self._limiter.leave(self._terminal, self._began)


class ConcurrencyLimiter:
    """`slot` gives a place; times are those of the event loop."""

    def __init__(self, limits: ConcurrencyLimits) -> None:
        self._per_terminal = limits.per_terminal
        self._calls = FairShares(limits.total)
        self._waiting = FairShares(limits.waiting)
        self._terminals: dict[str, _Terminal] = {}
        # Whose calls wait, those served longest ago first; and of each merchant the terminals, in the same order.
        self._queues: dict[str, dict[str, _Terminal]] = {}

    def slot(self, merchant_id: str, terminal_id: str) -> Slot:
        """`async with` it: waits for its turn. Raises Overloaded when too many wait, or it does not come in 10 s."""
        return Slot(self, self._terminal(merchant_id, terminal_id), None, sheds=False)

    def slot_of_create(self, merchant_id: str, terminal_id: str, deadline: float | None) -> Slot:
        """The same for a create, which is refused at once where it would wait for long, or past its caller's deadline.

        That is a time of the event loop; None where the caller named none.
        """
        return Slot(self, self._terminal(merchant_id, terminal_id), deadline, sheds=True)

    def load(self) -> Load:
        """The calls in flight and waiting now."""
        return Load(self._calls.taken, self._waiting.taken)

    def has_room(self, merchant_id: str, terminal_id: str) -> bool:
        """Whether a call could start now without waiting."""
        terminal = self._terminals.get(terminal_id)
        full = terminal is not None and terminal.in_flight >= self._per_terminal
        return not full and self._calls.has_room(merchant_id)

    async def enter(self, terminal: _Terminal, deadline: float | None, *, sheds: bool) -> float:
        """Takes a place, and gives the time at which that was."""
        now = asyncio.get_running_loop().time()
        if self._may_start(terminal):
            return self._start(terminal, now)
        return await self._wait(terminal, self._last_start(terminal, deadline, now, sheds=sheds))

    def leave(self, terminal: _Terminal, began: float) -> None:
        now = asyncio.get_running_loop().time()
        newest = _NEWEST if terminal.usual_seconds else 1
        terminal.usual_seconds += (now - began - terminal.usual_seconds) * newest
        self._end(terminal, began, now)

    def _terminal(self, merchant_id: str, terminal_id: str) -> _Terminal:
        terminal = self._terminals.get(terminal_id)
        if terminal is None:
            terminal = self._terminals[terminal_id] = _Terminal(terminal_id, merchant_id)
        return terminal

    def _may_start(self, terminal: _Terminal) -> bool:
        return terminal.in_flight < self._per_terminal and self._calls.has_room(terminal.merchant_id)

    def _start(self, terminal: _Terminal, now: float) -> float:
        terminal.in_flight += 1
        terminal.began_total += now
        self._calls.take(terminal.merchant_id)
        return now

    def _end(self, terminal: _Terminal, began: float, now: float) -> None:
        terminal.in_flight -= 1
        # Nothing is left of what additions have rounded off.
        terminal.began_total = terminal.began_total - began if terminal.in_flight else 0.0
        self._calls.give_back(terminal.merchant_id)
        while self._serve_next(now):
            pass

    def _last_start(self, terminal: _Terminal, deadline: float | None, now: float, *, sheds: bool) -> float:
        """The time until which a caller waits for its place. Raises Overloaded for one that would wait in vain."""
        if not self._waiting.has_room(terminal.merchant_id):
            raise Overloaded(_seconds(terminal.wait_seconds(now)))
        if not sheds:
            return now + MAX_WAIT_SECONDS
        wait, last_start = terminal.wait_seconds(now), now + MAX_CREATE_WAIT_SECONDS
        in_vain = False
        if deadline is not None:
            last_start = min(last_start, deadline - terminal.call_seconds(now))
            in_vain = now + wait > last_start
        # One may always wait: a place that is free again is then taken at once, however slow the calls are.
        if in_vain or (terminal.waiting and wait > WAIT_TARGET_SECONDS):
            raise Overloaded(_seconds(wait))
        return last_start

    async def _wait(self, terminal: _Terminal, until: float) -> float:
        """Waits for a place that another call hands over, and gives the time at which that was."""
        loop = asyncio.get_running_loop()
        admission: asyncio.Future[float] = loop.create_future()
        terminal.waiting.append(admission)
        self._waiting.take(terminal.merchant_id)
        self._queues.setdefault(terminal.merchant_id, {})[terminal.id] = terminal
        try:
            async with asyncio.timeout_at(until):
                return await admission
        except BaseException as error:
            if admission.done() and not admission.cancelled():
                # The place was given, and nobody is there to take it.
                self._end(terminal, admission.result(), loop.time())
            elif admission in terminal.waiting:
                # It is not there any more when a call that ended meanwhile has passed it over.
                terminal.waiting.remove(admission)
                self._leave_queue(terminal)
            if isinstance(error, TimeoutError):
                raise Overloaded(_seconds(terminal.wait_seconds(loop.time()))) from None
            raise

    def _leave_queue(self, terminal: _Terminal) -> None:
        """Counts one waiting call less, and drops an empty queue."""
        self._waiting.give_back(terminal.merchant_id)
        if not terminal.waiting:
            queue = self._queues[terminal.merchant_id]
            del queue[terminal.id]
            if not queue:
                del self._queues[terminal.merchant_id]

    def _serve_next(self, now: float) -> bool:
        """Gives a place to the first call that may have one; its merchant and terminal then queue behind the others."""
        for merchant_id, queue in self._queues.items():
            if not self._calls.has_room(merchant_id):
                continue
            for terminal in queue.values():
                if terminal.in_flight < self._per_terminal:
                    admission = terminal.waiting.popleft()
                    self._leave_queue(terminal)
                    if not admission.done():  # else its caller has just given up
                        admission.set_result(self._start(terminal, now))
                        self._queue_last(terminal)
                    return True
        return False

    def _queue_last(self, terminal: _Terminal) -> None:
        queue = self._queues.pop(terminal.merchant_id, None)
        if queue is not None:
            self._queues[terminal.merchant_id] = queue
            if queue.pop(terminal.id, None) is not None:
                queue[terminal.id] = terminal


def _seconds(wait: float) -> int:
    """The Retry-After of a refused caller: when the calls that wait now will have been served."""
    return max(1, -int(-wait // 1))
