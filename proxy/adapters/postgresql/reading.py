"""Reads: each step on a connection of its own, which sees what is committed when each of its queries begins."""

import asyncio
from typing import Any, Final, TypeVar

from proxy.adapters.postgresql.batch import begin
from proxy.adapters.postgresql.connections import Connections, Server
from proxy.adapters.postgresql.failures import Failure, failure_of
from proxy.adapters.postgresql.lanes import BATCH_SECONDS, FIRST_PAUSE_SECONDS, give_back
from proxy.adapters.postgresql.transaction import PostgresqlTransaction
from proxy.adapters.store.steps import MAX_WAITING
from proxy.adapters.store.transaction import Step
from proxy.errors import Overloaded, StoreUnavailable

T = TypeVar("T")

ATTEMPTS: Final = 5


class ReadLane:
    """Implements proxy.adapters.store.steps.Lane for steps that only read.

    `one_moment`: all queries of a step see the same state, which a step of one query does anyway.
    """

    def __init__(
        self, server: Server, connections: Connections, *, one_moment: bool, max_waiting: int = MAX_WAITING
    ) -> None:
        self._connections = connections
        self._max_waiting = max_waiting
        # A pooler gives a statement outside of a transaction to whichever connection is free.
        self._opening = begin(server, None) if server.pooler or one_moment else None
        if one_moment and self._opening is not None:
            self._opening += "; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        self._running = 0
        self._closing = False
        self._done = asyncio.Event()

    async def do(self, step: Step[T], merchant_id: str | None = None) -> T:  # noqa: ARG002  reads wait for nobody
        """What `step` gives. Raises what it raises, Overloaded, and StoreUnavailable when the database cannot."""
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
        """Finishes what is under way, then takes nothing more."""
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
        async with asyncio.timeout(BATCH_SECONDS):
            connection = await self._connections.take()
            try:
                found = await self._read(connection, step)
            except BaseException as error:
                await give_back(self._connections, connection, error)
                raise
            self._connections.give(connection)
            return found

    async def _read(self, connection: Any, step: Step[T]) -> T:
        if self._opening is None:
            return await step(PostgresqlTransaction(connection))
        await connection.execute(self._opening)
        found = await step(PostgresqlTransaction(connection))
        await connection.execute("COMMIT")
        return found
