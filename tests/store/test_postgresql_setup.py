"""What a database must be, the least that a role needs, and a real PgBouncer before it, with and without TLS."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
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

from proxy.database.postgresql.primary import Primary, Server
from proxy.database.postgresql.schema import rights
from proxy.database.transaction import load_migrations
from proxy.kernel.clock import system_now
from proxy.kernel.ids import PARTITION_PERIOD, partition_at
from proxy.payments.payment import Status
from proxy.stores import postgresql
from proxy.webhooks.event import EventFilter
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant, create, new_payment, paid
from store.test_postgresql_server import heard

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
            [made] = re.findall(rf"createdb --encoding=UTF8 --locale=C --template=template0 {name}_utf8", ran.error)
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
        assert len(ran.error.strip().splitlines()) == 1


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
