"""A lane: callers that wait in a bounded queue, and one task that takes them in batches."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from proxy.adapters.sqlite.connection import Database
from proxy.adapters.sqlite.group_commit import BatchFailed, BatchRunner
from proxy.adapters.store.steps import MAX_WAITING, Batch, Outcome
from proxy.adapters.store.transaction import Step
from proxy.errors import Overloaded, StoreUnavailable

T = TypeVar("T")
Waiter = tuple[Step[Any], asyncio.Future[Any]]

MAX_BATCH: Final = 256


class Lane:
    """Runs steps in batches on the database's thread. `on_batch` hears of each batch, on the event loop."""

    def __init__(
        self,
        database: Database,
        runner: BatchRunner,
        on_batch: Callable[[Batch], None] | None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._database = database
        self._runner = runner
        self._on_batch = on_batch
        self._max_waiting = max_waiting
        self._waiting: deque[Waiter] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._work(), name="store-lane")

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:  # noqa: ARG002  no two steps run at once here
        """What `step` gives, once its batch is done (for writes: committed).

        Raises what the step raised; Overloaded when the queue is full; StoreUnavailable when the storage failed (then
        nothing of the step is stored) or the store is closed. A caller that is cancelled before its batch begins
        takes its step back; later, the step is done all the same.
        """
        if self._closing:
            raise StoreUnavailable
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((step, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Finishes what waits, then takes nothing more."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            batch = self._take()
            if batch:
                await self._run(batch)

    def _take(self) -> list[Waiter]:
        batch: list[Waiter] = []
        while self._waiting and len(batch) < MAX_BATCH:
            waiter = self._waiting.popleft()
            if not waiter[1].done():
                batch.append(waiter)
        return batch

    async def _run(self, batch: list[Waiter]) -> None:
        started = time.perf_counter()
        steps = [step for step, _ in batch]
        try:
            outcomes = await self._database.run(lambda connection: self._runner(connection, steps))
        except Exception as error:  # noqa: BLE001  whatever it was, every waiter must be answered
            _refuse(batch, error)
            await self._recover(error)
            self._observe(Batch(len(batch), time.perf_counter() - started, failed=True))
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            _answer(future, outcome)
        self._observe(Batch(len(batch), time.perf_counter() - started, failed=False))

    async def _recover(self, error: Exception) -> None:
        """A connection that could not roll back, or that could not be opened, is opened anew by the next batch."""
        if not isinstance(error, BatchFailed) or error.broken:
            with suppress(Exception):  # it is broken: whatever closing it says changes nothing
                await self._database.reopen()

    def _observe(self, batch: Batch) -> None:
        if self._on_batch is not None:
            with suppress(Exception):  # an observer's bug must not end the lane, on which everybody waits
                self._on_batch(batch)


def _answer(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return
    if outcome.error is None:
        future.set_result(outcome.value)
    else:
        future.set_exception(outcome.error)


def _refuse(batch: list[Waiter], error: Exception) -> None:
    cause = error.__cause__ if isinstance(error, BatchFailed) else error
    for _, future in batch:
        if not future.done():
            refusal = StoreUnavailable()
            refusal.__cause__ = cause
            future.set_exception(refusal)
