"""Where steps wait for a connection: those that write in batches by merchant, those that read each on its own."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from proxy.database.postgresql.connections import Connections, Share, with_connection
from proxy.database.postgresql.primary import UNIQUE_VIOLATION, Failure, ReadOnlyServer, failure_of
from proxy.database.postgresql.transaction import (
    CommitUnclear,
    FailedSteps,
    PostgresqlTransaction,
    begin,
    commit_together,
    run_whole,
)
from proxy.database.transaction import MAX_WAITING, Batch, Outcome, SharedStep, Step, WholeStep, observe
from proxy.kernel.errors import Overloaded, StoreUnavailable

T = TypeVar("T")
Waiter = tuple[Step[Any], asyncio.Future[Any]]

MAX_BATCH: Final = 256
# One commits while the other one runs; more would make the batches smaller, and the work per step larger.
BATCHES_OF_NOBODY: Final = 2
# Together two seconds: a restart of the server may fit in, and a caller does not wait for long.
ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.05


class WriteLane:
    """Runs steps in batches: all of a merchant's that wait share one transaction, and so do all that are nobody's.

    A merchant's batches come one after the other, over all processes; those of different merchants run side by side
    and never wait for each other's locks.
    """

    def __init__(
        self,
        connections: Connections,
        writers: int,
        on_batch: Callable[[Batch], None] | None = None,
        max_waiting: int = MAX_WAITING,
        *,
        pooler: bool = False,
    ) -> None:
        self._pooler = pooler
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
        """The result of `step`, once it is committed; the merchant's other steps do not run at the same time.

        Raises the errors of the step; Overloaded when too many wait; StoreUnavailable when the database failed, or the
        store is closed. The step is then not stored, except when the connection broke during the COMMIT. A caller that
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
        """Finishes the waiting steps, then takes no more."""
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
        if self._queues[merchant_id]:
            self._offer(merchant_id)
        try:
            if batch:
                await self._finish(batch, begin(merchant_id, pooler=self._pooler))
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
        left = await self._finish_whole(batch, opening)
        groups = deque([left] if left else [])
        while groups:
            group = groups.popleft()
            started = time.perf_counter()
            try:
                outcomes = await self._attempts(group, opening)
            except FailedSteps as error:
                if len(group) == 1:
                    outcomes = [Outcome(error=error.error)]
                else:
                    groups.extend(_apart(group, error.places))
                    continue
            except Exception as error:  # noqa: BLE001  whatever it was, every waiter must be answered
                outcomes = [Outcome(error=_refusal(error)) for _ in group]
            for (_, future), outcome in zip(group, outcomes, strict=True):
                outcome.resolve(future)
            refused = any(isinstance(outcome.error, StoreUnavailable) for outcome in outcomes)
            self._observe(len(group), started, failed=refused)

    async def _finish_whole(self, batch: list[Waiter], opening: str) -> list[Waiter]:
        """Answers those of the batch that are done by one statement each, where all can be; gives the others.

        After a failure nobody knows what was stored, and who is asked again finds out; but where the server cannot, it
        is not asked again.
        """
        started = time.perf_counter()
        try:
            whole = _whole(batch)
            if whole is None:
                return batch
            own = not self._pooler and len({step.query for step in whole}) == 1
            done = await with_connection(
                self._connections, lambda each: run_whole(each, None if own else opening, whole)
            )
        except Exception as error:  # noqa: BLE001  whatever it was, every waiter must be answered
            if not isinstance(error, StoreUnavailable) and failure_of(error) is not Failure.REFUSED:
                return batch
            for _, future in batch:
                Outcome(error=_refusal(error)).resolve(future)
            self._observe(len(batch), started, failed=True)
            return []
        left = []
        for waiter, step, is_done in zip(batch, whole, done, strict=True):
            if not is_done:
                left.append(waiter)
            elif not waiter[1].done():
                waiter[1].set_result(step.value)
        if len(left) < len(batch):
            self._observe(len(batch) - len(left), started, failed=False)
        return left

    def _observe(self, steps: int, started: float, *, failed: bool) -> None:
        observe(self._on_batch, Batch(steps, time.perf_counter() - started, failed))

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
        return await with_connection(self._connections, lambda each: commit_together(each, opening, steps))


def _whole(batch: list[Waiter]) -> list[WholeStep] | None:
    """The statements that do the batch, one for each; None where not every step is one."""
    whole = []
    for step, _ in batch:
        one = step.whole(step.item) if isinstance(step, SharedStep) and step.whole is not None else None
        if one is None:
            return None
        whole.append(one)
    return whole


def _again(error: Exception, *, alone: bool) -> bool:
    if isinstance(error, FailedSteps):
        # What was not there when the step looked, and was when it wrote: another one did the same at the same time.
        return alone and getattr(error.error, "sqlstate", None) == UNIQUE_VIOLATION
    if isinstance(error, StoreUnavailable | CommitUnclear):
        return False
    return failure_of(error) in {Failure.AGAIN, Failure.LOST, Failure.MOVED}


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


# Which server a pooler gives a transaction to, and what that said at its start, the driver does not learn.
_READ_ONLY: Final = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean"


class ReadLane:
    """Implements proxy.database.transaction.Lane for steps that only read.

    `one_moment`: all queries of a step see the same state, which a step of one query does anyway.
    """

    def __init__(
        self, connections: Share, *, one_moment: bool, max_waiting: int = MAX_WAITING, pooler: bool = False
    ) -> None:
        self._connections = connections
        self._pooler = pooler
        self._max_waiting = max_waiting
        # A pooler gives a statement outside of a transaction to whichever connection is free.
        self._opening = begin(None, pooler=pooler) if pooler or one_moment else None
        if one_moment and self._opening is not None:
            self._opening += "; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        self._running = 0
        self._closing = False
        self._done = asyncio.Event()

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:  # noqa: ARG002  reads wait for nobody
        """The result of `step`. Raises its errors, Overloaded, and StoreUnavailable when the database failed."""
        if self._closing:
            raise StoreUnavailable
        if self._running >= self._max_waiting:
            raise Overloaded
        self._running += 1
        try:
            return await self._attempts(step)
        finally:
            self._running -= 1
            self._done.set()

    async def close(self) -> None:
        """Finishes the running reads, then takes no more."""
        self._closing = True
        while self._running:
            self._done.clear()
            await self._done.wait()

    async def _attempts(self, step: Step[T]) -> T:
        pause = FIRST_PAUSE_SECONDS
        for left in reversed(range(ATTEMPTS)):
            try:
                return await self._attempt(step)
            except Exception as error:
                failure = failure_of(error)
                if failure is Failure.OWN:
                    raise
                if failure is Failure.REFUSED or not left:
                    raise StoreUnavailable from error
            await asyncio.sleep(pause)
            pause *= 3
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, step: Step[T]) -> T:
        return await with_connection(self._connections, lambda each: self._read(each, step))

    async def _read(self, connection: Any, step: Step[T]) -> T:
        """A server that has become read-only may lack data that another server has stored since."""
        if self._opening is not None:
            await connection.execute(self._opening)
        if self._pooler and await connection.fetchval(_READ_ONLY):
            raise ReadOnlyServer
        try:
            found = await step(PostgresqlTransaction(connection))
        except Exception as error:
            if connection.takes_writes:
                raise
            raise ReadOnlyServer from error
        if not connection.takes_writes:
            raise ReadOnlyServer
        if self._opening is not None:
            await connection.execute("COMMIT")
        return found
