"""The server: what is said when it cannot be used, its restarts, and a pooler before it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from proxy.database.postgresql import connections
from proxy.database.postgresql.notifications import ReplicaNotifications
from proxy.database.postgresql.primary import Primary, Server
from proxy.database.postgresql.schema import OLDEST_SERVER, migrate
from proxy.database.versions import StoreTooNew
from proxy.kernel.errors import NotFound, StoreUnavailable
from proxy.stores import postgresql
from proxy.webhooks.event import EventFilter
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant, create, new_payment, paid

_IDLE = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, outside of a transaction
_DISCARD = b"DISCARD ALL\x00"


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[str]:
    """The URL of the database at `url`, which is behind a unix socket, through a pooler in transaction mode, as far as
    its clients can tell: nothing that a session knows outlives a transaction.
    """
    socket = f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(socket)
        writers.update((writer, server_writer))
        there = asyncio.create_task(_forward(reader, server_writer))
        try:
            await _answers(server_reader, server_writer, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            server_writer.close()
            await there

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"postgresql://dargah@127.0.0.1:{port}{urlsplit(url).path}?sslmode=disable"
    finally:
        listener.close()
        for writer in writers:
            writer.close()
        await listener.wait_closed()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _answers(reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: asyncio.StreamWriter) -> None:
    while True:
        message = await _message(reader)
        if message == _IDLE:
            server.write(b"Q" + (len(_DISCARD) + 4).to_bytes(4, "big") + _DISCARD)
            while await _message(reader) != _IDLE:
                pass
        client.write(message)
        await client.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://dargah:hunter2@127.0.0.1:1/dargah", "cannot be reached"),
        ("postgresql://dargah:hunter2@/dargah?host=/nowhere", "cannot be reached"),
        ("postgresql://dargah:hunter2@127.0.0.1/dargah?sslmode=certainly", "cannot be reached: .*sslmode"),
    ],
)
async def test_a_server_that_is_not_there_is_told_without_the_password(url: str, told: str) -> None:
    with pytest.raises(postgresql.CannotConnect, match=told) as caught:
        await postgresql.open_store(url)
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_is_not_there_is_told_by_name(postgresql_url: str) -> None:
    elsewhere = urlsplit(postgresql_url)._replace(path="/elsewhere")
    with pytest.raises(postgresql.CannotConnect, match='database "elsewhere" does not exist'):
        await postgresql.open_store(elsewhere.geturl().replace("postgresql:/elsewhere", "postgresql:///elsewhere"))


async def test_a_newer_database_is_refused(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', 0, 9999)")
    await connection.close()
    with pytest.raises(StoreTooNew, match="9999"):
        await postgresql.open_store(postgresql_url)


async def test_an_old_server_is_refused() -> None:
    class Old:
        def get_server_version(self) -> asyncpg.types.ServerVersion:
            return asyncpg.types.ServerVersion(OLDEST_SERVER - 1, 4, 0, "final", 0)

    with pytest.raises(postgresql.ServerTooOld, match=f"needs {OLDEST_SERVER}"):
        await migrate(Old(), NOW)


async def test_what_text_cannot_hold_is_not_found(postgresql_url: str) -> None:
    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    for look in (store.webhooks.event(MERCHANT_ID, "evt_\0"), store.webhooks.retry_delivery(MERCHANT_ID, "dlv_\0")):
        with pytest.raises(NotFound):
            await look
    await store.close()


async def test_the_audit_log_takes_no_change(postgresql_url: str) -> None:
    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    await add_merchant(store)
    await store.close()
    connection = await asyncpg.connect(postgresql_url)
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(statement)
    await connection.close()


async def test_a_store_works_through_a_pooler_in_transaction_mode(postgresql_url: str) -> None:
    async with pooler(postgresql_url) as pooled:
        store = await postgresql.open_store(pooled, postgresql.ServerOptions(now=lambda: NOW, pooler=True))
        await add_merchant(store)
        endpoint = await add_endpoint(store)
        payments = await asyncio.gather(*(paid(store, f"order-{number}") for number in range(20)))
        assert [await store.payments.payment(MERCHANT_ID, payment.id) for payment in payments] == payments
        events = await store.webhooks.list_events(MERCHANT_ID, EventFilter(limit=100))
        assert [event.sequence for event in events] == list(range(1, 21))
        assert (await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, 0)).backlog == 20
        await store.close()


async def test_a_pooler_that_was_not_told_of_would_show(postgresql_url: str) -> None:
    """The pooler of these tests is one: what keeps statements for its connection fails on it."""
    async with pooler(postgresql_url) as pooled:
        connection = await asyncpg.connect(pooled)
        await connection.fetchval("SELECT $1::bigint", 1)
        with pytest.raises(asyncpg.InvalidSQLStatementNameError):
            await connection.fetchval("SELECT $1::bigint", 2)
        await connection.close()


async def test_a_standby_takes_no_write_and_a_primary_does_again(postgresql_url: str) -> None:
    """A server that became a standby answers, and refuses: as far as its clients see, by a setting."""
    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    await create(store)
    database = postgresql_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(postgresql_url)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
    await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await connection.fetch(cut, database)
    with pytest.raises(StoreUnavailable):
        await create(store, new_payment("x"))
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    await create(store, new_payment("y"))
    await connection.close()
    await store.close()


async def heard(replicas: ReplicaNotifications) -> list[str]:
    """The merchants of the next hint."""
    told: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    def hear(merchants: Sequence[str]) -> None:
        if not told.done():
            told.set_result(list(merchants))

    replicas.hear(hear, lambda _due_at: None)
    async with asyncio.timeout(20):
        return await told


async def test_replicas_hear_of_each_others_events_also_after_their_connections_were_cut(postgresql_url: str) -> None:
    stores = [await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW)) for _ in range(2)]
    connection = await asyncpg.connect(postgresql_url)
    for _ in range(2):
        hearing = asyncio.create_task(heard(stores[1].replicas))
        async with asyncio.timeout(20):
            while not hearing.done():
                stores[0].replicas.notify_event(MERCHANT_ID)
                await asyncio.wait([hearing], timeout=0.05)
        assert await hearing == [MERCHANT_ID]
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await connection.close()
    await asyncio.gather(*(store.close() for store in stores))


class Refused(Primary):
    """A server that gives one connection, and takes its time to refuse another."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.given = False
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def connect(self) -> Any:
        if not self.given:
            self.given = True
            return await super().connect()
        self.asked.set()
        await self.answer.wait()
        raise asyncpg.TooManyConnectionsError("too many connections for role")


async def test_a_connection_that_came_back_while_another_was_refused_is_taken(postgresql_url: str) -> None:
    primary = Refused(Server(postgresql_url))
    pool = connections.Connections(primary, 2)
    first = await pool.take()
    second = asyncio.create_task(pool.take())
    await primary.asked.wait()
    pool.give(first)
    primary.answer.set()
    async with asyncio.timeout(2):
        assert await second is first
    pool.give(first)
    await pool.close()


async def backends(url: str) -> set[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    await connection.close()
    return {pid for (pid,) in rows}


async def test_no_connection_outlives_its_greatest_age(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "GREATEST_AGE_SECONDS", (0.0, 0.0))
    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    for number in range(3):
        await create(store, new_payment(f"order-{number}"))
        assert not store._server._connections._made
    monkeypatch.undo()
    await create(store, new_payment("kept"))
    before = await backends(postgresql_url)
    await create(store, new_payment("on the same one"))
    assert await backends(postgresql_url) & before
    await store.close()


async def test_a_caller_who_goes_away_ends_no_connection_but_its_own(postgresql_url: str) -> None:
    store = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    await asyncio.gather(*(create(store, new_payment(f"order-{number}")) for number in range(8)))
    held = await store._server._connections.take()
    store._server._connections.give(held)
    began, never = asyncio.Event(), asyncio.Event()

    async def wait(_transaction: object) -> None:
        began.set()
        await never.wait()

    reading = asyncio.create_task(store.payments._query.do(wait))
    await began.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert store._server._connections._primary.generation == 0
    await create(store, new_payment("after"))
    await store.close()
