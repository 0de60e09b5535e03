"""The server: what a database must be, the least that a role needs, what is said when it cannot be used, its restarts.

And a pooler before it: one of the tests, and a real PgBouncer with and without TLS.
"""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from adapters.servers import Authority
from databases.bouncer import PROGRAM, Bouncer, bouncer
from databases.places import Databases, served
from structlog.testing import capture_logs
from support.command import Cli
from support.dargah import KEY_RING, OPERATOR_TOKEN
from support.shop import playground

from proxy.database.postgresql import connections
from proxy.database.postgresql.notifications import ReplicaNotifications
from proxy.database.postgresql.primary import Primary, Server
from proxy.database.postgresql.schema import OLDEST_SERVER, migrate, rights
from proxy.database.transaction import load_migrations
from proxy.database.versions import StoreTooNew
from proxy.kernel.clock import system_now
from proxy.kernel.errors import NotFound, StoreUnavailable
from proxy.kernel.ids import PARTITION_PERIOD, partition_at
from proxy.payments.payment import Status
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


async def test_a_connection_that_broke_off_within_the_driver_ends_no_hints(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver calls it its own internal error, as in a campaign that killed the server again and again."""
    ask = ReplicaNotifications._ask

    async def broken_once(replicas: ReplicaNotifications, connection: Any) -> None:
        monkeypatch.setattr(ReplicaNotifications, "_ask", ask)
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    monkeypatch.setattr(ReplicaNotifications, "_ask", broken_once)
    stores = [await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW)) for _ in range(2)]
    hearing = asyncio.create_task(heard(stores[1].replicas))
    async with asyncio.timeout(20):
        while not hearing.done():
            stores[0].replicas.notify_event(MERCHANT_ID)
            await asyncio.wait([hearing], timeout=0.05)
    assert await hearing == [MERCHANT_ID]
    assert ReplicaNotifications._ask is ask
    await asyncio.gather(*(store.close() for store in stores))


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


ROLE = "dargah_run"


@asynccontextmanager
async def database_of_its_own(databases: Databases, name: str, how: str = "") -> AsyncIterator[str]:
    connection = await asyncpg.connect(databases.server)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {name} {how}")
    try:
        yield databases.url(name)
    finally:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"DROP DATABASE IF EXISTS {name}_utf8 WITH (FORCE)")
        await connection.close()


@pytest.fixture
async def role(databases: Databases) -> AsyncIterator[str]:
    """A role that may connect four times, and nothing else."""
    connection = await asyncpg.connect(databases.server)
    name = f"{ROLE}_{databases.run}"
    await connection.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 4")
    yield name
    await connection.execute(f"DROP OWNED BY {name}")
    await connection.execute(f"DROP ROLE {name}")
    await connection.close()


def as_role(url: str, role: str) -> str:
    return url.replace("//dargah@", f"//{role}@")


def cli(folder: Path, url: str, **more: str) -> Cli:
    listen = {"DARGAH_LISTEN": "127.0.0.1:0", "DARGAH_ADMIN_LISTEN": "127.0.0.1:0"}  # others may serve at the default
    return Cli({"DARGAH_DATABASE": url, "DARGAH_ENVIRONMENT": "development", **listen, **more}, folder)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_persian_is_refused_with_what_makes_one_that_can(
    databases: Databases, tmp_path: Path, encoding: str
) -> None:
    how = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    name = f"latin_{databases.run}"
    async with database_of_its_own(databases, name, how) as url:
        run = cli(tmp_path, url, DARGAH_ADMIN_TOKEN=OPERATOR_TOKEN, DARGAH_KEYS=KEY_RING)
        for arguments in (("serve",), ("migrate",), ("migrate-store", "--from", "sqlite:a.db", "--to", url)):
            (tmp_path / "a.db").touch()
            ran = await run.run(*arguments)
            assert ran.code in {1, 2}
            assert "Traceback" not in ran.error
            assert f"its encoding is {encoding}, which cannot hold Persian" in ran.error
            made, *_ = re.findall(rf"createdb --encoding=UTF8 --locale=C --template=template0 {name}_utf8", ran.error)
        connection = await asyncpg.connect(url)
        # What createdb says to the server for that command.
        await connection.execute(
            f"CREATE DATABASE {name}_utf8 ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        await connection.close()
        assert made
        assert (await cli(tmp_path, databases.url(f"{name}_utf8")).run("migrate")).code == 0


async def test_a_role_without_ddl_runs_everything_with_what_migrate_grants(
    databases: Databases, tmp_path: Path, role: str
) -> None:
    async with database_of_its_own(databases, f"roles_{databases.run}") as url:
        owner = cli(tmp_path, as_role(url, role), DARGAH_MIGRATION_DATABASE=url)
        done = await owner.json("migrate", "--grant", role)
        assert (done["before"], done["version"]) == (0, len(load_migrations("postgresql")))
        with served(tmp_path, as_role(url, role)):
            async with playground(tmp_path) as (shop, _dargah):
                payment = await shop.created(description="کفش")
                await shop.come_back(await shop.act(payment, "pay"))
                assert (await shop.payment(payment["id"]))["status"] == "paid"
                await shop.receiver.told(1)
            store = await postgresql.open_store(as_role(url, role), postgresql.ServerOptions(now=lambda: NOW))
            await retention_of_all(store)
            await store.close()
        connection = await asyncpg.connect(as_role(url, role))
        for statement in (
            "CREATE TABLE more (id int)",
            "DROP TABLE payments",
            "DELETE FROM audit",
            "DELETE FROM payments",
            "ALTER TABLE payments ADD COLUMN x int",
            "UPDATE schema_versions SET version = 1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


async def retention_of_all(store: postgresql.PostgresqlStore) -> None:
    """Periods are made and dropped, and rows of no period forgotten, as the daily walk does."""
    await paid(store)
    later = NOW + 40 * PARTITION_PERIOD
    await store.retention.make_partitions(later)
    assert (await store.retention.condition(later)).missing_partitions == 0
    for forget in (
        store.retention.drop_attempts,
        store.retention.forget_attempts,
        store.retention.drop_events,
        store.retention.forget_events,
    ):
        reached: str | None = None
        while (swept := await forget(later, reached, 100)).reached is not None:
            reached = swept.reached


async def test_a_role_that_may_not_migrate_is_told_what_to_run(databases: Databases, tmp_path: Path, role: str) -> None:
    async with database_of_its_own(databases, f"behind_{databases.run}") as url:
        serve = cli(tmp_path, as_role(url, role), DARGAH_ADMIN_TOKEN=OPERATOR_TOKEN, DARGAH_KEYS=KEY_RING)
        ran = await serve.run("serve")
        assert ran.code in {1, 2}
        assert "run `dargah migrate` with the owner's URL in DARGAH_MIGRATION_DATABASE" in ran.error
        logged, told = ran.error.strip().splitlines()
        assert '"start_refused"' in logged
        assert told.startswith("Error: ")


async def test_the_owners_password_is_in_no_argument_and_no_output(databases: Databases, tmp_path: Path) -> None:
    async with database_of_its_own(databases, f"secret_{databases.run}") as url:
        secrets = tmp_path / "secrets"
        secrets.mkdir(mode=0o700)
        file = secrets / "dargah_migration_database"
        file.write_text(url.replace("//dargah@", "//dargah:hunter2@"))
        file.chmod(0o600)
        ran = await cli(tmp_path, "unused.db", DARGAH_SECRETS_DIR=str(secrets)).run("migrate")
        assert ran.code == 0, ran.error
        assert "hunter2" not in ran.out + ran.error
        shown = await cli(tmp_path, "unused.db", DARGAH_SECRETS_DIR=str(secrets)).run("config")
        assert "hunter2" not in shown.out + shown.error


async def test_nothing_is_granted_that_no_query_needs(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    tables = {name for (name,) in await connection.fetch("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")}
    await connection.close()
    granted = rights(tables)
    assert granted["audit"] == {"SELECT", "INSERT"}
    assert granted["schema_versions"] == {"SELECT"}
    assert granted["payments"] == {"SELECT", "INSERT", "UPDATE"}
    assert not {table for table in granted if re.search("_[0-9]+$", table)}


async def test_periods_that_are_missing_are_told_by_doctor_and_lose_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    async with database_of_its_own(databases, f"periods_{databases.run}") as url:
        with served(tmp_path, url):
            async with playground(tmp_path) as (shop, dargah):
                partition = partition_at(system_now())
                connection = await asyncpg.connect(url)
                for table in ("deliveries", "events", "attempts"):
                    await connection.execute(f"DROP TABLE {table}_{partition}")
                await connection.close()
                payment = await shop.created()
                await shop.come_back(await shop.act(payment, "pay"))
                await shop.receiver.told(1)
                doctor = Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, tmp_path)
                found = {each["check"]: each for each in await doctor.json("doctor")}
                assert found["encoding"]["level"] == "ok"
                assert found["periods"]["level"] == "warning"
                assert "dargah migrate" in found["periods"]["advice"]
                assert "dargah migrate" in found["periods"]["advice_fa"]


@pytest.fixture
async def scarce(postgresql_url: str, role: str) -> AsyncIterator[tuple[postgresql.PostgresqlStore, list[None]]]:
    """A store whose role may have fewer connections than it wants, and each time that it was refused one."""
    refused: list[None] = []
    await (
        await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    ).close()  # the role may not migrate
    owner = await asyncpg.connect(postgresql_url)
    # A test before may have made the schema anew, which nobody may use then.
    await owner.execute(f"GRANT USAGE ON SCHEMA public TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    store = await postgresql.open_store(
        as_role(postgresql_url, role), postgresql.ServerOptions(now=lambda: NOW, on_scarce=lambda: refused.append(None))
    )
    yield store, refused
    await store.close()
    await owner.execute(f"DROP OWNED BY {role}")
    await owner.close()


async def test_with_fewer_connections_than_wanted_those_that_there_are_go_round(
    scarce: tuple[postgresql.PostgresqlStore, list[None]],
) -> None:
    """A role may have four, and a process wants nine: nobody is refused, and it is told once."""
    store, refused = scarce
    with capture_logs() as told:
        created = await asyncio.gather(
            *(create(store, new_payment(f"order-{number}", merchant_id=f"mer_{number:08}")) for number in range(30))
        )
        reads = await asyncio.gather(*(store.payments.payment(each.merchant_id, each.id) for each in created))
    assert {payment.status for payment in reads} == {Status.CREATED}
    assert refused
    assert [each["event"] for each in told].count("store_connections_scarce") == 1


needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


def behind(postgresql_url: str) -> tuple[str, str]:
    """The run's server, as PgBouncer names it, and the database."""
    parts = urlsplit(postgresql_url)
    return f"host={parse_qs(parts.query)['host'][0]}", parts.path[1:]


@needs_pgbouncer
async def test_everything_works_through_it_in_transaction_mode(postgresql_url: str) -> None:
    server, database = behind(postgresql_url)
    async with bouncer(server) as pooler:
        store = await postgresql.open_store(
            pooler.url(database), postgresql.ServerOptions(now=lambda: NOW, pooler=True)
        )
        await add_merchant(store)
        endpoint = await add_endpoint(store)
        payments = await asyncio.gather(*(paid(store, f"order-{number}") for number in range(20)))
        assert [await store.payments.payment(MERCHANT_ID, payment.id) for payment in payments] == payments
        events = await store.webhooks.list_events(MERCHANT_ID, EventFilter(limit=100))
        assert [event.sequence for event in events] == list(range(1, 21))
        assert (await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, 0)).backlog == 20
        await store.close()


@needs_pgbouncer
async def test_one_that_the_settings_do_not_name_is_told_with_the_setting(postgresql_url: str) -> None:
    server, database = behind(postgresql_url)
    async with bouncer(server) as pooler:
        with pytest.raises(postgresql.CannotConnect, match="set DARGAH_DATABASE_POOLER=true"):
            await postgresql.open_store(pooler.url(database))


@needs_pgbouncer
async def test_where_it_is_full_the_connections_that_there_are_go_round(postgresql_url: str) -> None:
    server, database = behind(postgresql_url)
    async with bouncer(server, max_client_conn=3) as pooler:
        store = await postgresql.open_store(
            pooler.url(database), postgresql.ServerOptions(now=lambda: NOW, pooler=True)
        )
        created = await asyncio.gather(
            *(create(store, new_payment("one", merchant_id=f"mer_{number:08}")) for number in range(30))
        )
        assert len({payment.id for payment in created}) == 30
        await store.close()


@needs_pgbouncer
async def test_it_may_be_restarted(postgresql_url: str) -> None:
    server, database = behind(postgresql_url)
    async with bouncer(server) as pooler:
        store = await postgresql.open_store(
            pooler.url(database), postgresql.ServerOptions(now=lambda: NOW, pooler=True)
        )
        await create(store, new_payment("before"))
        port = pooler.port
    async with bouncer(server, port=port) as pooler:
        await create(store, new_payment("after"))
        await store.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "own-authority")


@pytest.fixture
async def encrypted(postgresql_url: str, authority: Authority, tmp_path: Path) -> AsyncIterator[tuple[Bouncer, str]]:
    """One that wants TLS, and hands whole sessions out, as a server does."""
    server, database = behind(postgresql_url)
    authority.server()
    pem = (tmp_path / "own-authority-1.pem").read_bytes()
    async with bouncer(
        server,
        files={"server.pem": pem, "authority.pem": authority.file.read_bytes()},
        pool_mode="session",
        default_pool_size=20,
        ignore_startup_parameters=(
            "idle_in_transaction_session_timeout,lock_timeout,statement_timeout,plan_cache_mode,jit,options"
        ),
        client_tls_sslmode="require",
        client_tls_key_file="{folder}/server.pem",
        client_tls_cert_file="{folder}/server.pem",
        client_tls_ca_file="{folder}/authority.pem",
    ) as pooler:
        yield pooler, database


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_tls_is_spoken_as_the_url_says(encrypted: tuple[Bouncer, str], authority: Authority, mode: str) -> None:
    pooler, database = encrypted
    store = await postgresql.open_store(
        pooler.url(database, f"sslmode={mode}&sslrootcert={authority.file}"), postgresql.ServerOptions(now=lambda: NOW)
    )
    payment = await create(store)
    assert await store.payments.payment(MERCHANT_ID, payment.id) == payment
    hearing = asyncio.create_task(heard(store.replicas))
    other = await postgresql.open_store(
        pooler.url(database, f"sslrootcert={authority.file}"), postgresql.ServerOptions(now=lambda: NOW)
    )
    async with asyncio.timeout(20):
        while not hearing.done():
            other.replicas.notify_event(MERCHANT_ID)
            await asyncio.wait([hearing], timeout=0.05)
    await asyncio.gather(store.close(), other.close())


@needs_pgbouncer
@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("sslmode=disable", "cannot be reached: .*SSL required"),
        ("sslmode=verify-full&sslrootcert=system", "cannot be reached: .*CERTIFICATE_VERIFY_FAILED"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "sslrootcert: /nowhere.pem cannot be read"),
        ("sslmode=verify-full", "has no authority to compare with: name the authority's file by sslrootcert"),
        ("sslmode=require&sslcert=/nowhere.crt", "sslcert, sslkey: /nowhere.crt cannot be read"),
    ],
)
async def test_what_cannot_be_believed_is_refused_in_words(
    encrypted: tuple[Bouncer, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parameters: str, told: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    pooler, database = encrypted
    with pytest.raises(postgresql.CannotConnect, match=told):
        await postgresql.open_store(pooler.url(database, parameters))


@needs_pgbouncer
async def test_a_certificate_of_another_name_is_refused(encrypted: tuple[Bouncer, str], authority: Authority) -> None:
    pooler, database = encrypted
    url = pooler.url(database, f"sslmode=verify-full&sslrootcert={authority.file}").replace("127.0.0.1", "localhost")
    with pytest.raises(postgresql.CannotConnect, match="CERTIFICATE_VERIFY_FAILED"):
        await postgresql.open_store(url)


@needs_pgbouncer
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("mode", ["prefer", "require"])
async def test_a_home_of_another_user_does_not_stop_the_start(
    encrypted: tuple[Bouncer, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    """sudo keeps HOME at times: libpq's files in there are not ours to read."""
    private = tmp_path / "home" / ".postgresql"
    private.mkdir(parents=True)
    for name in ("root.crt", "root.crl", "postgresql.crt", "postgresql.key"):
        (private / name).write_text("of somebody else")
    (tmp_path / "home").chmod(0o700)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    pooler, database = encrypted
    os.seteuid(65534)
    try:
        store = await postgresql.open_store(
            pooler.url(database, f"sslmode={mode}"), postgresql.ServerOptions(now=lambda: NOW)
        )
    finally:
        os.seteuid(0)
    await create(store)
    await store.close()


@needs_pgbouncer
async def test_a_silent_peer_is_noticed_by_the_socket_as_the_url_says(encrypted: tuple[Bouncer, str]) -> None:
    pooler, database = encrypted
    more = "keepalives_idle=7&keepalives_interval=2&keepalives_count=4&tcp_user_timeout=4321"
    connection = await Primary(Server(pooler.url(database, more))).connect()
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    assert [sock.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [7, 2, 4, 4321]
    await connection.close()
