"""The server: what is said when it cannot be used, its restarts, and a pooler before it."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from proxy.adapters import postgresql
from proxy.adapters.postgresql.hints import Hints
from proxy.adapters.postgresql.migrations import OLDEST_SERVER, migrate
from proxy.adapters.store.versions import StoreTooNew
from proxy.errors import NotFound, StoreUnavailable
from proxy.records import EventFilter
from store.forgetful import pooler
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant, create, new_payment, paid


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
    store = await postgresql.open_store(postgresql_url, now=lambda: NOW)
    for look in (store.event(MERCHANT_ID, "evt_\0"), store.retry_delivery(MERCHANT_ID, "dlv_\0")):
        with pytest.raises(NotFound):
            await look
    await store.close()


async def test_the_audit_log_takes_no_change(postgresql_url: str) -> None:
    store = await postgresql.open_store(postgresql_url, now=lambda: NOW)
    await add_merchant(store)
    await store.close()
    connection = await asyncpg.connect(postgresql_url)
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(statement)
    await connection.close()


async def test_a_store_works_through_a_pooler_in_transaction_mode(postgresql_url: str) -> None:
    async with pooler(postgresql_url) as pooled:
        store = await postgresql.open_store(pooled, now=lambda: NOW, pooler=True)
        await add_merchant(store)
        endpoint = await add_endpoint(store)
        payments = await asyncio.gather(*(paid(store, f"order-{number}") for number in range(20)))
        assert [await store.payment(MERCHANT_ID, payment.id) for payment in payments] == payments
        events = await store.list_events(MERCHANT_ID, EventFilter(limit=100))
        assert [event.sequence for event in events] == list(range(1, 21))
        assert (await store.endpoint_figures(MERCHANT_ID, endpoint.id, 0)).backlog == 20
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
    store = await postgresql.open_store(postgresql_url, now=lambda: NOW)
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


async def heard(hints: Hints) -> list[str]:
    """The merchants of the next hint."""
    told: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    hints.on_event = lambda merchants: None if told.done() else told.set_result(list(merchants))
    async with asyncio.timeout(20):
        return await told


async def test_replicas_hear_of_each_others_events_also_after_their_connections_were_cut(postgresql_url: str) -> None:
    stores = [await postgresql.open_store(postgresql_url, now=lambda: NOW) for _ in range(2)]
    connection = await asyncpg.connect(postgresql_url)
    for _ in range(2):
        hearing = asyncio.create_task(heard(stores[1].hints))
        async with asyncio.timeout(20):
            while not hearing.done():
                stores[0].hints.happened(MERCHANT_ID)
                await asyncio.wait([hearing], timeout=0.05)
        assert await hearing == [MERCHANT_ID]
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await connection.close()
    await asyncio.gather(*(store.close() for store in stores))
