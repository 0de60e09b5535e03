"""How many gateway calls are under way: limits per terminal and in all, a bounded queue, and a circuit breaker.

The breaker spares a failing gateway the storefronts' creates, which are told at once. It never gives up a check: a
customer who is back is asked for in any case, and the watch is only put off until the breaker lets a probe through.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from proxy.clock import SECOND
from proxy.errors import CircuitOpen, Overloaded
from proxy.ports import Now

FAILURES_TO_OPEN: Final = 5
FIRST_PAUSE: Final = 5 * SECOND
LONGEST_PAUSE: Final = 60 * SECOND
MAX_WAIT_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Calls in flight per terminal and in all, and how many may wait for their turn."""

    per_terminal: int = 64
    total: int = 256
    waiting: int = 1000


@dataclass(frozen=True, slots=True)
class Load:
    """Calls under way, calls that wait, and terminals whose gateway is being spared."""

    in_flight: int
    waiting: int
    open_circuits: int


@dataclass(slots=True)
class _Terminal:
    in_flight: int = 0
    failures: int = 0
    closed_until: int = 0
    pauses: int = 0
    probing: bool = False
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Slot:
    """One call's place. A class, as a generator's context manager costs each create three times as much."""

    gate: "Gate"
    terminal: _Terminal

    async def __aenter__(self) -> None:
        await self.gate.enter(self.terminal)

    async def __aexit__(self, *_: object) -> None:
        self.gate.leave(self.terminal)


class Gate:
    def __init__(self, limits: GateLimits, now: Now) -> None:
        self._limits = limits
        self._now = now
        self._terminals: dict[str, _Terminal] = {}
        self._in_flight = 0
        self._waiting = 0

    def slot(self, terminal_id: str) -> "Slot":
        """`async with` it: waits for its turn. Raises Overloaded when too many wait, or it does not come in 10 s."""
        return Slot(self, self._terminals.setdefault(terminal_id, _Terminal()))

    async def enter(self, terminal: _Terminal) -> None:
        if not self._free(terminal):
            await self._wait(terminal)
        terminal.in_flight += 1
        self._in_flight += 1

    def leave(self, terminal: _Terminal) -> None:
        terminal.in_flight -= 1
        self._in_flight -= 1
        self._let_next_in(terminal)

    def load(self) -> Load:
        """How busy it is now."""
        now = self._now()
        spared = sum(
            terminal.failures >= FAILURES_TO_OPEN and terminal.closed_until > now
            for terminal in self._terminals.values()
        )
        return Load(self._in_flight, self._waiting, spared)

    def failing(self) -> dict[str, int]:
        """How many unclear answers in a row each terminal's gateway gave, where there was one."""
        return {name: terminal.failures for name, terminal in self._terminals.items() if terminal.failures}

    def has_room(self, terminal_id: str) -> bool:
        """Whether a call could start now without waiting."""
        return self._free(self._terminals.setdefault(terminal_id, _Terminal()))

    def spares(self, terminal_id: str) -> bool:
        """Whether this terminal's gateway is being spared now; to look takes nobody's turn as the probe."""
        terminal = self._terminals.get(terminal_id)
        return terminal is not None and terminal.failures >= FAILURES_TO_OPEN and terminal.closed_until > self._now()

    def refuse_when_open(self, terminal_id: str) -> None:
        """Raises CircuitOpen while this terminal's gateway is being spared."""
        wait = self.spared_for(terminal_id)
        if wait > 0:
            raise CircuitOpen(max(1, -(-wait // SECOND)))

    def spared_for(self, terminal_id: str) -> int:
        """Milliseconds until a call may be made; 0 when one may now.

        After a pause one caller gets the 0 and is the probe; the others wait for what it finds.
        """
        terminal = self._terminals.get(terminal_id)
        if terminal is None or terminal.failures < FAILURES_TO_OPEN:
            return 0
        now = self._now()
        if terminal.closed_until > now:
            return terminal.closed_until - now
        terminal.probing = True
        terminal.closed_until = now + FIRST_PAUSE
        return 0

    def answered(self, terminal_id: str, *, clear: bool) -> None:
        """Tells the breaker of an answer: five unclear ones in a row open it, one clear one closes it."""
        terminal = self._terminals.setdefault(terminal_id, _Terminal())
        if clear:
            terminal.failures = terminal.pauses = terminal.closed_until = 0
            terminal.probing = False
            return
        terminal.failures += 1
        now = self._now()
        # Calls that were under way when it opened say nothing new: only a probe makes the next pause longer.
        if terminal.failures >= FAILURES_TO_OPEN and (terminal.probing or terminal.closed_until <= now):
            terminal.closed_until = now + min(FIRST_PAUSE << min(terminal.pauses, 8), LONGEST_PAUSE)
            terminal.pauses += 1
            terminal.probing = False

    def _free(self, terminal: _Terminal) -> bool:
        return terminal.in_flight < self._limits.per_terminal and self._in_flight < self._limits.total

    async def _wait(self, terminal: _Terminal) -> None:
        deadline = asyncio.get_running_loop().time() + MAX_WAIT_SECONDS
        while not self._free(terminal):
            if self._waiting >= self._limits.waiting:
                raise Overloaded
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            terminal.waiting.append(turn)
            self._waiting += 1
            try:
                async with asyncio.timeout_at(deadline):
                    await turn
            except BaseException as error:
                # A turn that was given but not taken goes to the next one, or nobody would be woken.
                if turn.done() and not turn.cancelled():
                    self._let_next_in(terminal)
                elif turn in terminal.waiting:
                    # It is not there any more when a call that ended meanwhile has passed it over.
                    terminal.waiting.remove(turn)
                if isinstance(error, TimeoutError):
                    raise Overloaded from None
                raise
            finally:
                self._waiting -= 1

    def _let_next_in(self, finished: _Terminal) -> None:
        if self._waiting == 0:
            return
        # The total's limit may have held back another terminal's callers, so all that wait are candidates.
        for terminal in (finished, *self._terminals.values()):
            while terminal.waiting and self._free(terminal):
                turn = terminal.waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
