"""The whole Store on PostgreSQL: any number of processes, each with a few connections."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg
import structlog

from proxy.database.postgresql.connections import CLOSE_SECONDS, Connections, Share
from proxy.database.postgresql.lanes import ReadLane, WriteLane
from proxy.database.postgresql.notifications import ReplicaNotifications
from proxy.database.postgresql.primary import APPLICATION, CALL_ERRORS, Primary, Server, reason
from proxy.database.postgresql.remedies import remedy
from proxy.database.postgresql.schema import ServerRefused, grant, make_partitions, migrate, schema_version, settled
from proxy.database.repository import Lanes
from proxy.database.transaction import MAX_WAITING, Batch
from proxy.kernel.clock import Now, ProcessClock
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import partition_at

SAMPLES: Final = 5


_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class DatabaseClock(ProcessClock):
    """The database's time: this machine's steady clock, plus the difference at the last reading."""

    async def look(self, connection: Any) -> None:
        """Asks the database for its time: the quickest of some answers is the one that says most."""
        best: tuple[float, float] | None = None
        for _ in range(SAMPLES):
            asked = self._steady()
            theirs = await connection.fetchval(_CLOCK)
            answered = self._steady()
            sample = (answered - asked, theirs - (asked + answered) / 2)
            best = sample if best is None else min(best, sample)
        assert best is not None, "there is more than one sample"
        self.follow(best[1])


log = structlog.get_logger()

CONNECTIONS: Final = 8
"""How many connections a process has, beside the one for notifications."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of a process's connections to the server.

    Without `now` the database's own clock is used, which all processes share. `pooler`: a pooler in transaction mode
    stands before the server. `on_batch` gets each transaction of the steps that write; `on_scarce` is called each time
    that the server refuses another connection.
    """

    now: Now | None = None
    pooler: bool = False
    connections: int = CONNECTIONS
    max_waiting: int = MAX_WAITING
    on_batch: Callable[[Batch], None] | None = None
    on_scarce: Callable[[], None] | None = None


_DEFAULT: Final = ServerOptions()


class CannotConnect(ServerRefused):
    """The database cannot be reached, or does not let us in. The message says why and shows no password."""


class PostgresqlServer:
    """An open database. Made by `open_server`; `close` it on the loop that opened it.

    `replicas` notifies other processes of work, and hears their notifications. `now` is the clock of its leases.
    """

    def __init__(
        self,
        primary: Primary,
        connections: Connections,
        clock: DatabaseClock,
        on_batch: Callable[[Batch], None] | None,
        max_waiting: int,
    ) -> None:
        writers = max(1, connections.limit // 2)
        self._connections = connections
        reading = Share(connections, max(1, connections.limit - writers))
        pooler = primary.pooler
        self.clock = clock
        write = WriteLane(connections, writers, on_batch, max_waiting, pooler=pooler)
        read = ReadLane(reading, one_moment=True, max_waiting=max_waiting, pooler=pooler)
        # One query sees one moment by itself: it needs no transaction around it, which would be three round trips.
        query = ReadLane(reading, one_moment=False, max_waiting=max_waiting, pooler=pooler)
        self._closing = (write, read, query)
        self.lanes = Lanes(write, read, query)
        self.replicas = ReplicaNotifications(primary, clock.look)

    async def close(self) -> None:
        """Finishes the steps that wait, then closes. No step is taken after it."""
        await self.replicas.close()
        for lane in self._closing:
            await lane.close()
        await self._connections.close()


async def open_server(url: str, options: ServerOptions = _DEFAULT) -> PostgresqlServer:
    """The database at `url`, made or migrated when needed.

    Raises CannotConnect, ServerTooOld, WrongEncoding, NeedsMigration, and StoreTooNew when a newer Dargah migrated it.
    """
    primary = connected_to(url, pooler=options.pooler)
    clock = DatabaseClock()
    connection = await first_connection(primary)
    try:
        async with connection.transaction():  # of which a pooler keeps all parts on one server
            await clock.look(connection)
        at = (options.now or clock.now)()
        await migrate(connection, at)
        await _make_partitions(connection, at)
    except CALL_ERRORS as error:
        raise CannotConnect(f"the database could not be made ready: {reason(error)}; {remedy(error)}") from error
    finally:
        await connection.close(timeout=CLOSE_SECONDS)
    made = Connections(primary, max(2, options.connections), options.on_scarce)
    server = PostgresqlServer(primary, made, clock, options.on_batch, options.max_waiting)
    server.replicas.start()
    return server


async def _make_partitions(connection: Any, now: int) -> None:
    try:
        await make_partitions(connection, partition_at(await settled(connection, now)))
    except asyncpg.InsufficientPrivilegeError:
        log.warning("store_periods_not_made")  # rows go to the default partition, and doctor reports it


def connected_to(url: str, *, pooler: bool, name: str = APPLICATION) -> Primary:
    """Raises CannotConnect where the URL, or a file that it names, cannot be used."""
    try:
        return Primary(Server(url, pooler, name))
    except ValueError as error:
        raise CannotConnect(f"the database cannot be reached: {error}") from error


async def first_connection(primary: Primary) -> Any:
    """Raises CannotConnect."""
    try:
        return await primary.connect()
    except (*CALL_ERRORS, ValueError) as error:
        raise CannotConnect(f"the database cannot be reached: {reason(error)}; {remedy(error)}") from error


NAME: Final = "dargah-migrate"


@dataclass(frozen=True, slots=True)
class UpkeepResult:
    """The schema's version before and now, and the grants that were made, as SQL."""

    before: int
    version: int
    grants: Sequence[str]


async def keep_up(url: str, now: int, role: str | None) -> UpkeepResult:
    """Brings the schema to this code's, makes the missing partitions, and lets `role` do what Dargah does.

    That is for the database's owner, because the role of Dargah owns nothing.

    Raises StoreRefused.
    """
    # As through a pooler: no setting of a session's that would end a migration, and no statement that is kept.
    connection = await first_connection(connected_to(url, pooler=True, name=NAME))
    try:
        return await _keep_up(connection, now, role)
    except CALL_ERRORS as error:
        raise CannotConnect(f"the database says: {reason(error)}; {remedy(error)}") from error
    finally:
        connection.terminate()


async def _keep_up(connection: Any, now: int, role: str | None) -> UpkeepResult:
    before = await schema_version(connection)
    await migrate(connection, now)
    await make_partitions(connection, partition_at(await settled(connection, now)))
    grants = [] if role is None else await grant(connection, role)
    return UpkeepResult(before, await schema_version(connection), grants)


async def peek(url: str, table: str, query: str) -> Sequence[Any]:
    """The first column of the query, from a database as it is; nothing where it does not have the table yet.

    Raises CannotConnect.
    """
    connection = await first_connection(connected_to(url, pooler=True))
    try:
        if await connection.fetchval("SELECT to_regclass($1)", table) is None:
            return ()
        return [row[0] for row in await connection.fetch(query)]
    except CALL_ERRORS as error:
        raise CannotConnect(f"the database says: {error}") from error
    finally:
        connection.terminate()
