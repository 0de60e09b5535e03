"""Where steps wait for a connection: those that write in batches by merchant, those that read each on its own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from proxy.adapters.postgresql.batch import CommitUnclear, Culprits, begin, commit_together
from proxy.adapters.postgresql.connections import Connections, Server
from proxy.adapters.postgresql.failures import UNIQUE_VIOLATION, Failure, failure_of
from proxy.adapters.store.steps import MAX_WAITING, Batch, Outcome
from proxy.adapters.store.transaction import Step
from proxy.errors import Overloaded, StoreUnavailable

T = TypeVar("T")
Waiter = tuple[Step[Any], asyncio.Future[Any]]

MAX_BATCH: Final = 256
# One commits while the other one runs; more would make the batches smaller, and the work per step larger.
BATCHES_OF_NOBODY: Final = 2
# Together two seconds: a restart of the server may fit in, and a caller does not wait for long.
ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.05
# A network that swallows everything is noticed by this alone; it is longer than any time-out of the server's.
BATCH_SECONDS: Final = 15.0


class WriteLane:
    """Runs steps in batches: all of a merchant's that wait share one transaction, and so do all that are nobody's.

    A merchant's batches come one after the other, over all processes; those of different merchants run side by side
    and never wait for each other's locks.
    """

    def __init__(
        self,
        server: Server,
        connections: Connections,
        writers: int,
        on_batch: Callable[[Batch], None] | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._server = server
        self._connections = connections
        self._writers = writers
        self._on_batch = on_batch
        self._max_waiting = max_waiting
        self._queues: dict[str | None, deque[Waiter]] = {}
        self._ready: deque[str | None] = deque()
        self._running: dict[str | None, int] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:
        """What `step` gives, once it is committed; the merchant's other steps do not run at the same time.

        Raises what the step raised; Overloaded when too many wait; StoreUnavailable when the database could not, or
        the store is closed. It is then not stored, except when the connection broke during the COMMIT. A caller that
        is cancelled before its batch begins takes its step back; later, the step is done all the same.
        """
        if self._closing:
            raise StoreUnavailable
        if self._waiting >= self._max_waiting:
            raise Overloaded
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        queue = self._queues.get(merchant_id)
        if queue is None:
            queue = self._queues[merchant_id] = deque()
        queue.append((step, future))
        self._waiting += 1
        self._offer(merchant_id)
        return await future

    async def close(self) -> None:
        """Finishes what waits, then takes nothing more."""
        self._closing = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _offer(self, merchant_id: str | None) -> None:
        """Has the queue worked on when it waits and may be."""
        allowed = BATCHES_OF_NOBODY if merchant_id is None else 1
        if self._queues[merchant_id] and self._running.get(merchant_id, 0) < allowed and merchant_id not in self._ready:
            self._ready.append(merchant_id)
            if len(self._tasks) < self._writers:
                self._tasks.add(asyncio.create_task(self._work(), name="store-writer"))

    async def _work(self) -> None:
        try:
            while self._ready:
                await self._serve(self._ready.popleft())
        finally:
            # Here, and not when the task is done, which is later: what is offered in between would find no worker.
            task = asyncio.current_task()
            assert task is not None, "a coroutine that runs has a task"
            self._tasks.discard(task)

    async def _serve(self, merchant_id: str | None) -> None:
        self._running[merchant_id] = self._running.get(merchant_id, 0) + 1
        batch = self._take(merchant_id)
        self._offer(merchant_id)
        try:
            if batch:
                await self._finish(batch, begin(self._server, merchant_id))
        finally:
            self._leave(merchant_id)

    def _leave(self, merchant_id: str | None) -> None:
        self._running[merchant_id] -= 1
        if self._queues[merchant_id]:
            self._offer(merchant_id)
        elif not self._running[merchant_id]:
            del self._running[merchant_id], self._queues[merchant_id]

    def _take(self, merchant_id: str | None) -> list[Waiter]:
        queue = self._queues[merchant_id]
        batch: list[Waiter] = []
        while queue and len(batch) < MAX_BATCH:
            waiter = queue.popleft()
            self._waiting -= 1
            if not waiter[1].done():
                batch.append(waiter)
        return batch

    async def _finish(self, batch: list[Waiter], opening: str) -> None:
        """Answers every waiter of the batch: where a step spoils it for the others, that one is done alone."""
        groups = deque([batch])
        while groups:
            group = groups.popleft()
            started = time.perf_counter()
            try:
                outcomes = await self._attempts(group, opening)
            except Culprits as error:
                if len(group) == 1:
                    outcomes = [Outcome(error=error.error)]
                else:
                    groups.extend(_apart(group, error.places))
                    continue
            except Exception as error:  # noqa: BLE001  whatever it was, every waiter must be answered
                outcomes = [Outcome(error=_refusal(error)) for _ in group]
            for (_, future), outcome in zip(group, outcomes, strict=True):
                _answer(future, outcome)
            refused = any(isinstance(outcome.error, StoreUnavailable) for outcome in outcomes)
            self._observe(Batch(len(group), time.perf_counter() - started, failed=refused))

    async def _attempts(self, group: list[Waiter], opening: str) -> list[Outcome]:
        """The outcomes of one transaction, tried again while it is sure that nothing of it is stored."""
        pause = FIRST_PAUSE_SECONDS
        for left in reversed(range(ATTEMPTS)):
            try:
                return await self._attempt([step for step, _ in group], opening)
            except Exception as error:
                if not left or not _again(error, alone=len(group) == 1):
                    raise
            await asyncio.sleep(pause)
            pause *= 3
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, steps: list[Step[Any]], opening: str) -> list[Outcome]:
        async with asyncio.timeout(BATCH_SECONDS):
            connection = await self._connections.take()
            try:
                outcomes = await commit_together(connection, opening, steps)
            except BaseException as error:
                await give_back(self._connections, connection, error)
                raise
            self._connections.give(connection)
            return outcomes

    def _observe(self, batch: Batch) -> None:
        if self._on_batch is not None:
            with suppress(Exception):  # an observer's bug must not end the lane, on which everybody waits
                self._on_batch(batch)


async def give_back(connections: Connections, connection: Any, error: BaseException) -> None:
    """Gives back a connection whose transaction failed, rolled back; or drops it where that cannot be."""
    cause = error.error if isinstance(error, Culprits) else error
    if isinstance(error, CommitUnclear) or not isinstance(error, Exception) or failure_of(cause) is Failure.LOST:
        connections.drop(connection)
        return
    try:
        await connection.execute("ROLLBACK")
    except BaseException as second:
        connections.drop(connection)
        if not isinstance(second, Exception):
            raise
    else:
        connections.give(connection)


def _again(error: Exception, *, alone: bool) -> bool:
    if isinstance(error, Culprits):
        # What was not there when the step looked, and was when it wrote: another one did the same at the same time.
        return alone and getattr(error.error, "sqlstate", None) == UNIQUE_VIOLATION
    if isinstance(error, StoreUnavailable | CommitUnclear):
        return False
    return failure_of(error) in {Failure.AGAIN, Failure.LOST}


def _apart(group: list[Waiter], places: Any) -> list[list[Waiter]]:
    """The others together, then each that failed alone."""
    culprits = set(places)
    others = [waiter for place, waiter in enumerate(group) if place not in culprits]
    return ([others] if others else []) + [[group[place]] for place in places]


def _refusal(error: Exception) -> Exception:
    if isinstance(error, StoreUnavailable):
        return error
    refusal = StoreUnavailable()
    refusal.__cause__ = error
    return refusal


def _answer(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return
    if outcome.error is None:
        future.set_result(outcome.value)
    else:
        future.set_exception(outcome.error)
