"""A lane: callers that wait in a bounded queue, and are taken in batches."""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from proxy.database.sqlite.connection import Database, SqliteTransaction, finished
from proxy.database.sqlite.files import StoreMisplaced, unusable
from proxy.database.transaction import MAX_WAITING, Batch, Outcome, SharedStep, Step, observe
from proxy.kernel.errors import Overloaded, StoreUnavailable

BatchRunner = Callable[[sqlite3.Connection, Sequence[Step[Any]]], list[Outcome]]
"""Gives the outcomes of the first steps, of one at least; the others are given to it again."""


class BatchFailed(Exception):
    """The disk or the database could not: nothing of the batch is stored. `broken` when the connection is of no use."""

    def __init__(self, broken: bool) -> None:
        super().__init__("the transaction failed as a whole")
        self.broken = broken


# What SQLite says of a statement that is wrong in itself, whoever else shares the transaction.
_OWN_CODES: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})
_PRIMARY_CODE_MASK: Final = 0xFF


def commit_together(connection: sqlite3.Connection, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """Runs the steps in one transaction and commits.

    A step that raises is undone alone and its error is its outcome. Raises BatchFailed when the storage fails, a
    failed commit included: then every step is undone. A step may be run twice, the first time undone.
    """
    transaction = SqliteTransaction(connection)
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = _run_without_savepoints(connection, transaction, steps)
        if outcomes is None:
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_run_in_savepoint(connection, transaction, step) for step in steps]
        connection.execute("COMMIT")
    except BaseException as error:
        raise BatchFailed(broken=not _roll_back(connection)) from error
    return outcomes


READ_SECONDS: Final = 0.002
"""Of a batch of reads: no other step is begun after it, because writes wait meanwhile."""


def read_together(connection: sqlite3.Connection, steps: Sequence[Step[Any]]) -> list[Outcome]:
    """Runs steps that only read, the first ones of them that fit into READ_SECONDS. It runs between two batches of
    writes, so no step sees uncommitted data.
    """
    transaction = SqliteTransaction(connection)
    outcomes: list[Outcome] = []
    end = time.monotonic() + READ_SECONDS
    try:
        for step in steps:
            if outcomes and time.monotonic() >= end:
                break
            try:
                outcomes.append(Outcome(finished(step(transaction))))
            except Exception as error:  # noqa: BLE001  the waiter gets it
                _raise_if_storage(error)
                outcomes.append(Outcome(error=error))
    except (sqlite3.Error, MemoryError) as error:
        raise BatchFailed(broken=False) from error
    return outcomes


def _run_without_savepoints(
    connection: sqlite3.Connection, transaction: SqliteTransaction, steps: Sequence[Step[Any]]
) -> list[Outcome] | None:
    """The steps without savepoints, which cost a sixth of a batch; None once one raised after it had written."""
    outcomes: list[Outcome] = [Outcome()] * len(steps)
    shared: dict[Any, list[tuple[int, Any]]] = {}
    before = connection.total_changes
    for place, step in enumerate(steps):
        if isinstance(step, SharedStep):
            shared.setdefault(step.run, []).append((place, step.item))
            continue
        try:
            outcomes[place] = Outcome(finished(step(transaction)))
        except Exception as error:  # noqa: BLE001  the waiter gets it
            _raise_if_storage(error)
            if connection.total_changes != before:
                return None
            outcomes[place] = Outcome(error=error)
        before = connection.total_changes
    for run, waiting in shared.items():
        try:
            results = finished(run(transaction, [item for _, item in waiting]))
        except Exception as error:  # noqa: BLE001  each one then tells its own
            _raise_if_storage(error)
            return None
        for (place, _), outcome in zip(waiting, results, strict=True):
            outcomes[place] = outcome
    return outcomes


def _run_in_savepoint(connection: sqlite3.Connection, transaction: SqliteTransaction, step: Step[Any]) -> Outcome:
    connection.execute("SAVEPOINT step")
    try:
        outcome = Outcome(finished(step(transaction)))
    except Exception as error:  # noqa: BLE001  the waiter gets it
        # Some errors (a full disk, a failed read) roll the transaction back inside SQLite; all of them end it here.
        _raise_if_storage(error)
        connection.execute("ROLLBACK TO step")
        outcome = Outcome(error=error)
    connection.execute("RELEASE step")
    return outcome


def _raise_if_storage(error: Exception) -> None:
    # Without memory, SQLite may have undone the transaction by itself.
    if isinstance(error, MemoryError) or (isinstance(error, sqlite3.Error) and not _own(error)):
        raise error


def _own(error: sqlite3.Error) -> bool:
    if not isinstance(error, sqlite3.DatabaseError):
        return True
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.DataError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE_MASK in _OWN_CODES


def _roll_back(connection: sqlite3.Connection) -> bool:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return not connection.in_transaction


log = structlog.get_logger()

T = TypeVar("T")
Waiter = tuple[Step[Any], asyncio.Future[Any]]

MAX_BATCH: Final = 256
_REPORT_SECONDS: Final = 60.0


class SqliteLane:
    """Runs steps in batches on the database's thread. `on_batch` is called for each batch, on the event loop.

    It works in callbacks: a task would be woken for each batch, between the thread and the callers that wait for it.
    """

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
        self._busy = False
        self._closing = False
        self._idle: asyncio.Future[None] | None = None
        self._reported, self._report_again_at = "", 0.0
        self._loop = asyncio.get_running_loop()
        # Not that of the caller whose step happened to begin a batch.
        self._context = copy_context()

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:  # noqa: ARG002  no two steps run at once here
        """The result of `step`, once its batch is done (for writes: committed).

        Raises the errors of the step; Overloaded when the queue is full; StoreUnavailable when the storage failed (then
        nothing of the step is stored) or the store is closed. A caller that is cancelled before its batch begins takes
        its step back; later, the step is done all the same.
        """
        if self._closing:
            raise StoreUnavailable
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((step, future))
        if not self._busy:
            # Not at once: whoever comes in this turn of the loop shares the batch.
            self._busy = True
            self._loop.call_soon(self._begin, context=self._context)
        return await future

    async def close(self) -> None:
        """Finishes the waiting steps, then takes no more."""
        self._closing = True
        if self._busy:
            self._idle = self._idle or self._loop.create_future()
            await self._idle

    def _begin(self) -> None:
        """Hands the waiting steps over to the thread."""
        batch = self._take()
        if not batch:
            self._busy = False
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        ended = partial(self._ended, batch, time.perf_counter())
        try:
            running = self._database.start(self._runner, [step for step, _ in batch])
        except Exception as error:  # noqa: BLE001  whatever it was, every waiter must be answered
            running = self._loop.create_future()
            running.set_exception(error)
        running.add_done_callback(ended, context=self._context)

    def _take(self) -> list[Waiter]:
        batch: list[Waiter] = []
        while self._waiting and len(batch) < MAX_BATCH:
            waiter = self._waiting.popleft()
            if not waiter[1].done():
                batch.append(waiter)
        return batch

    def _ended(self, batch: list[Waiter], started: float, ran: asyncio.Future[list[Outcome]]) -> None:
        """Answers the waiters, and begins the next batch."""
        error = ran.exception()
        if error is not None:
            _refuse(batch, error)
            self._report(error)
            observe(self._on_batch, Batch(len(batch), time.perf_counter() - started, failed=True))
            recovering = self._loop.create_task(self._recover(error), context=self._context)
            recovering.add_done_callback(lambda _: self._begin(), context=self._context)
            return
        outcomes = ran.result()
        self._waiting.extendleft(reversed(batch[len(outcomes) :]))
        for (_, future), outcome in zip(batch, outcomes, strict=False):
            outcome.resolve(future)
        observe(self._on_batch, Batch(len(outcomes), time.perf_counter() - started, failed=False))
        if self._waiting or self._closing:
            self._begin()
        else:
            self._busy = False

    def _report(self, error: BaseException) -> None:
        """Says why the database cannot, once a minute for one reason."""
        cause = error.__cause__ if isinstance(error, BatchFailed) else error
        if isinstance(cause, sqlite3.Error | OSError):
            why = str(unusable(self._database.path, cause))
        elif isinstance(cause, StoreMisplaced):
            why = str(cause)
        else:
            return
        now = time.monotonic()
        if why == self._reported and now < self._report_again_at:
            return
        self._reported, self._report_again_at = why, now + _REPORT_SECONDS
        if isinstance(cause, StoreMisplaced):
            log.critical("database_misplaced", why=why)
        else:
            log.critical("database_failing", why=why)

    async def _recover(self, error: BaseException) -> None:
        """A connection that could not roll back, or that could not be opened, is opened anew by the next batch."""
        if not isinstance(error, BatchFailed) or error.broken:
            with suppress(Exception):  # it is broken: whatever closing it says changes nothing
                await self._database.reopen()


def _refuse(batch: list[Waiter], error: BaseException) -> None:
    cause = error.__cause__ if isinstance(error, BatchFailed) else error
    for _, future in batch:
        if not future.done():
            refusal = StoreUnavailable()
            refusal.__cause__ = cause
            future.set_exception(refusal)
