"""Deadlines of one length for many calls at once: one timer serves them all, where `asyncio.timeout` makes one each."""

import asyncio
from types import TracebackType


class Deadlines:
    """`with deadlines.block():` in a task raises TimeoutError when the block takes longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        # In the order of their start, which is the order of their ends.
        self.running: dict[Block, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def block(self) -> "Block":
        return Block(self)

    def begin(self, block: "Block") -> float:
        """When the block's time is up, on the loop's clock."""
        ends_at = self._loop.time() + self._seconds
        self.running[block] = None
        if self._timer is None:
            self._timer = self._loop.call_at(ends_at, self._look)
        return ends_at

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for block in list(self.running):
            if block.ends_at > now:
                # The earliest end may have moved on by now, but never to an earlier time.
                self._timer = self._loop.call_at(block.ends_at, self._look)
                return
            del self.running[block]
            block.expire()


class Block:
    """One stretch of one task; a cancel from elsewhere stays a cancel."""

    __slots__ = ("_cancels", "_deadlines", "_expired", "_task", "ends_at")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a deadline ends a task's waiting"
        self._task = task
        self._cancels = task.cancelling()
        self.ends_at = self._deadlines.begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._deadlines.running.pop(self, None)
        if self._expired and self._task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()
