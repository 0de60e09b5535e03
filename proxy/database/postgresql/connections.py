"""Connections to PostgreSQL, kept open and lent to one at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final, TypeVar

import asyncpg
import structlog

from proxy.database.postgresql.primary import CALL_ERRORS, Failure, Primary, failure_of
from proxy.database.postgresql.transaction import CommitUnclear, FailedSteps
from proxy.kernel.errors import StoreUnavailable
from proxy.kernel.frozen import dataclass

log = structlog.get_logger()

TAKE_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 5.0
# Not all at once, and long enough that the statements that each must learn anew cost nothing.
GREATEST_AGE_SECONDS: Final = (1200.0, 1800.0)
# With fewer connections than wanted: how long until one more is asked for again.
SCARCE_SECONDS: Final = 10.0
_TOO_MANY: Final = "53300"
_POOLER_IS_FULL: Final = "no more connections allowed"


@dataclass(frozen=True, slots=True)
class _Lifetime:
    generation: int
    until: float


class Connections:
    """Up to `limit` connections, opened when they are needed. `give` each one back, `discard` it or `lose` it.

    Where the server allows fewer, a caller waits for one of the connections in use.
    """

    def __init__(
        self,
        primary: Primary,
        limit: int,
        on_scarce: Callable[[], None] | None = None,
        random: Random | None = None,
    ) -> None:
        self._primary = primary
        self.limit = limit
        self._on_scarce = on_scarce
        self._random = random or Random()  # noqa: S311  it spreads load, it keeps no secret
        self._time = asyncio.get_running_loop().time
        self._made: dict[Any, _Lifetime] = {}
        self._idle: list[Any] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._connecting = 0
        self._scarce_until = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        primary.on_left(self._left)

    async def take(self) -> Any:
        """A connection for this caller alone. Raises StoreUnavailable when none comes free in time, and the errors of
        connecting.
        """
        deadline = self._time() + TAKE_SECONDS
        while True:
            while self._idle:
                connection = self._idle.pop()
                if self._is_good(connection):
                    return connection
                self._retire(connection)
            if not self._may_connect():
                await self._room_by(deadline)
                continue
            try:
                return await self._connect()
            except asyncpg.PostgresError as error:
                if not self._is_scarce(error):
                    raise  # otherwise one may have come back meanwhile

    def give(self, connection: Any) -> None:
        """Takes a connection back that has no transaction open."""
        if self._is_good(connection):
            self._idle.append(connection)
            self._wake()
        else:
            self._retire(connection)
        # The newest is taken first, so nobody takes the oldest while there is little to do.
        while len(self._idle) > 1 and not self._is_good(self._idle[0]):
            self._retire(self._idle.pop(0))

    def discard(self, connection: Any) -> None:
        """Ends a connection in an unknown state."""
        self._made.pop(connection, None)
        connection.terminate()
        self._wake()

    def lose(self, connection: Any, *, at_once: bool = False) -> None:
        """Ends a connection to a lost server, and all others that lead to it; `at_once` also the lent ones."""
        made = self._made.get(connection)
        self.discard(connection)
        if made is not None:
            self._primary.leave(made.generation, at_once=at_once)

    async def close(self) -> None:
        """Closes those that lie idle; nobody has one any more."""
        idle, self._idle = self._idle, []
        for connection in idle:
            self._retire(connection)
        if self._closing:
            await asyncio.wait(self._closing)

    def _is_good(self, connection: Any) -> bool:
        """Of few connections none is given up for its age, because another process may take its place."""
        made = self._made[connection]
        if connection.is_closed() or made.generation != self._primary.generation:
            return False
        return self._time() < made.until or self._time() < self._scarce_until

    def _may_connect(self) -> bool:
        there = len(self._made) + self._connecting
        return there < self.limit and (self._time() >= self._scarce_until or not there)

    async def _connect(self) -> Any:
        self._connecting += 1
        try:
            connection = await self._primary.connect()
        except BaseException:
            self._connecting -= 1
            self._wake()
            raise
        self._connecting -= 1
        until = self._time() + self._random.uniform(*GREATEST_AGE_SECONDS)
        self._made[connection] = _Lifetime(self._primary.generation, until)
        return connection

    def _is_scarce(self, error: asyncpg.PostgresError) -> bool:
        """Whether the server refuses more connections, and a caller here has one."""
        if not (error.sqlstate == _TOO_MANY or _POOLER_IS_FULL in str(error)) or not (self._made or self._connecting):
            return False
        if self._time() >= self._scarce_until + SCARCE_SECONDS:
            log.warning("store_connections_scarce", count=len(self._made), limit=self.limit, error=str(error))
        self._scarce_until = self._time() + SCARCE_SECONDS
        if self._on_scarce is not None:
            self._on_scarce()
        return True

    def _left(self, at_once: bool) -> None:
        """A lent connection ends when it is given back, or now: its holder then sees a closed connection."""
        old = [each for each, made in self._made.items() if made.generation != self._primary.generation]
        idle = set(self._idle)
        self._idle = [each for each in self._idle if each not in old]
        for connection in old:
            if connection in idle:
                self.discard(connection)
            elif at_once:
                connection.cut()

    def _retire(self, connection: Any) -> None:
        self._made.pop(connection)
        self._wake()
        if connection.is_closed():
            return
        task = asyncio.create_task(_close(connection), name="store-close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _room_by(self, deadline: float) -> None:
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        try:
            async with asyncio.timeout_at(deadline):
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


class Share:
    """At most `limit` of the connections at once, so that readers leave some to writers, of whom a lane has so many."""

    def __init__(self, connections: Connections, limit: int) -> None:
        self._connections = connections
        self._room = asyncio.Semaphore(limit)

    async def take(self) -> Any:
        """As Connections.take."""
        try:
            async with asyncio.timeout(TAKE_SECONDS if self._room.locked() else None):
                await self._room.acquire()
        except TimeoutError as error:
            raise StoreUnavailable from error
        try:
            return await self._connections.take()
        except BaseException:
            self._room.release()
            raise

    def give(self, connection: Any) -> None:
        self._room.release()
        self._connections.give(connection)

    def discard(self, connection: Any) -> None:
        self._room.release()
        self._connections.discard(connection)

    def lose(self, connection: Any, *, at_once: bool = False) -> None:
        self._room.release()
        self._connections.lose(connection, at_once=at_once)


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except CALL_ERRORS:
        connection.terminate()


T = TypeVar("T")

# A network that swallows everything is noticed by this alone; it is longer than any time-out of the server's.
WORK_SECONDS: Final = 15.0
_ROLLBACK_SECONDS: Final = 5.0


async def with_connection(connections: Connections | Share, work: Callable[[Any], Awaitable[T]]) -> T:
    """The result of `work`, which awaits nothing but its connection.

    Raises its errors, TimeoutError, and the errors of `take`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WORK_SECONDS
    connection = await connections.take()
    end = loop.call_at(deadline, connection.cut)
    try:
        found = await work(connection)
    except BaseException as error:
        if loop.time() >= deadline and failure_of(error) is Failure.LOST:
            connections.lose(connection)
            raise TimeoutError from error
        await _give_back(connections, connection, error)
        raise
    finally:
        end.cancel()
    connections.give(connection)
    return found


async def _give_back(connections: Connections | Share, connection: Any, error: BaseException) -> None:
    """Rolls back a connection after a failed transaction and gives it back; or ends it if that is impossible."""
    failure = failure_of(error.error if isinstance(error, FailedSteps) else error)
    if failure is Failure.MOVED:
        connections.lose(connection, at_once=True)
    elif failure is Failure.LOST or isinstance(error, CommitUnclear | TimeoutError):
        connections.lose(connection)
    elif not isinstance(error, Exception):  # whoever waited has gone, and the server may be well
        connections.discard(connection)
    else:
        await _roll_back(connections, connection)


async def _roll_back(connections: Connections | Share, connection: Any) -> None:
    try:
        await connection.execute("ROLLBACK", timeout=_ROLLBACK_SECONDS)
    except BaseException as error:
        connections.discard(connection)
        if not isinstance(error, Exception):
            raise
    else:
        connections.give(connection)
