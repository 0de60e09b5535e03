"""Connections to PostgreSQL, kept open and lent to one at a time."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from proxy.errors import StoreUnavailable

CONNECT_SECONDS: Final = 5.0
TAKE_SECONDS: Final = 5.0

# A paused process must not hold a merchant's lock for long: the server ends its transaction, and others wait no longer
# than a lock's wait lasts. All are shorter than the leases.
SETTINGS: Final = {
    "idle_in_transaction_session_timeout": "4000",
    "lock_timeout": "8000",
    "statement_timeout": "10000",
    # A statement is planned once for a connection: planning it for each call costs as much as running it.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is and how it is reached. `url` has the password, so it is kept out of every repr.

    `pooler`: a pooler in transaction mode stands before it, so that nothing may outlive a transaction: no prepared
    statement, no setting, no LISTEN.
    """

    url: str = field(repr=False)
    pooler: bool = False


class Connections:
    """Up to `limit` connections, opened when they are needed. `give` each one back, or `drop` it."""

    def __init__(self, server: Server, limit: int) -> None:
        self._server = server
        self._limit = limit
        self._idle: list[asyncpg.Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open = 0

    async def take(self) -> Any:
        """A connection that is nobody else's. Raises StoreUnavailable when none comes free in time, and what
        connecting raises.
        """
        while True:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._open -= 1
            if self._open < self._limit:
                return await self._connect()
            await self._room()

    def give(self, connection: Any) -> None:
        """Takes a connection back that has no transaction open."""
        if connection.is_closed():
            self._open -= 1
        else:
            self._idle.append(connection)
        self._wake()

    def drop(self, connection: Any) -> None:
        """Ends a connection of which it is not known what state it is in; and those that lie idle, which lead to the
        same server.
        """
        for each in (connection, *self._idle):
            each.terminate()
        self._open -= 1 + len(self._idle)
        self._idle.clear()
        self._wake()

    async def close(self) -> None:
        """Closes those that lie idle; nobody has one any more."""
        idle, self._idle = self._idle, []
        self._open -= len(idle)
        for connection in idle:
            try:
                await connection.close(timeout=CONNECT_SECONDS)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        self._open += 1
        try:
            return await connect(self._server)
        except BaseException:
            self._open -= 1
            self._wake()
            raise

    async def _room(self) -> None:
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                await room
        except BaseException as error:
            if room in self._waiting:
                self._waiting.remove(room)
            else:
                self._wake()  # what was meant for this one is the next one's
            if isinstance(error, TimeoutError):
                raise StoreUnavailable from error
            raise

    def _wake(self) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
                return


async def connect(server: Server) -> Any:
    """A new connection. Raises OSError, TimeoutError or an error of asyncpg's."""
    settings = {"application_name": "dargah"} if server.pooler else {"application_name": "dargah", **SETTINGS}
    return await asyncpg.connect(
        server.url,
        timeout=CONNECT_SECONDS,
        statement_cache_size=0 if server.pooler else 1024,
        max_cached_statement_lifetime=0,
        server_settings=settings,
    )
