"""The whole Store on PostgreSQL: any number of processes, each with a few connections."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

from proxy.adapters.postgresql.clock import DatabaseClock
from proxy.adapters.postgresql.connections import CONNECT_SECONDS, Connections, Server, connect
from proxy.adapters.postgresql.hints import Hints
from proxy.adapters.postgresql.lanes import WriteLane
from proxy.adapters.postgresql.migrations import make_parts, migrate
from proxy.adapters.postgresql.periods import PostgresqlRetention
from proxy.adapters.postgresql.reading import ReadLane
from proxy.adapters.store.steps import MAX_WAITING, Batch
from proxy.adapters.store.transaction import Row
from proxy.adapters.store.whole import WholeStore
from proxy.ids import part_at
from proxy.ports import Now

CONNECTIONS: Final = 8
"""How many connections a process has, beside the one for hints."""
_HEARTBEAT: Final = "heartbeat"  # a row that all processes write: a transaction of its own does not hold others up


class CannotConnect(Exception):
    """The database cannot be reached, or does not let us in. The message says why and shows no password."""


class PostgresqlStore(PostgresqlRetention, WholeStore):
    """Implements proxy.ports.Store. Made by `open_store`; `close` it on the loop that opened it.

    `hints` tells other processes what there is to do, and hears it from them.
    """

    def __init__(
        self,
        server: Server,
        connections: int,
        clock: DatabaseClock,
        now: Now,
        on_batch: Callable[[Batch], None] | None,
        max_waiting: int,
    ) -> None:
        writers = max(1, connections // 2)
        self._writing = Connections(server, writers)
        self._reading = Connections(server, max(1, connections - writers))
        self._now = now
        self._write = WriteLane(server, self._writing, writers, on_batch, max_waiting)
        self._read = ReadLane(server, self._reading, one_moment=True, max_waiting=max_waiting)
        self._queries = ReadLane(server, self._reading, one_moment=False, max_waiting=max_waiting)
        self._lanes = (self._write, self._read, self._queries)
        self.hints = Hints(server, clock.look)

    @property
    def now(self) -> Now:
        """The clock by which this store's leases are taken."""
        return self._now

    async def ping(self) -> None:
        at = self._now()
        await self._write.do(lambda transaction: transaction.run("ping", (at,)), _HEARTBEAT)

    async def _row(self, query: str, parameters: Row = ()) -> Row | None:
        # One query sees one moment by itself: it needs no transaction around it, which would be three round trips.
        return await self._queries.do(lambda transaction: transaction.row(query, parameters))

    async def _rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        return await self._queries.do(lambda transaction: transaction.rows(query, parameters))

    async def close(self) -> None:
        await self.hints.close()
        for lane in self._lanes:
            await lane.close()
        for connections in (self._writing, self._reading):
            await connections.close()


async def open_store(
    url: str,
    *,
    now: Now | None = None,
    pooler: bool = False,
    connections: int = CONNECTIONS,
    max_waiting: int = MAX_WAITING,
    on_batch: Callable[[Batch], None] | None = None,
) -> PostgresqlStore:
    """The store in the database at `url`, made or migrated when needed.

    Without `now` the database's own clock is used, which all processes share. `pooler` says that a pooler in
    transaction mode stands before the server. `on_batch` hears of each transaction of the steps that write. Raises
    CannotConnect, ServerTooOld, and StoreTooNew when a newer Dargah migrated it.
    """
    server = Server(url, pooler)
    clock = DatabaseClock()
    connection = await _first_connection(server)
    try:
        await clock.look(connection)
        at = now() if now is not None else clock.now()
        await migrate(connection, at)
        await make_parts(connection, part_at(at))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise CannotConnect(f"the database could not be made ready: {error}") from error
    finally:
        await connection.close(timeout=CONNECT_SECONDS)
    store = PostgresqlStore(server, connections, clock, now or clock.now, on_batch, max_waiting)
    store.hints.start()
    return store


async def _first_connection(server: Server) -> Any:
    try:
        return await connect(server)
    except TimeoutError as error:
        raise CannotConnect(f"the database did not answer within {CONNECT_SECONDS:.0f} s") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise CannotConnect(f"the database cannot be reached: {error}") from error
