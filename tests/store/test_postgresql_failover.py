"""Another server takes over: frozen, crashed or demoted ones are left at once, by writes, reads and hints alike."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from databases.cluster import SYNCHRONOUS, Postgres, pair, relay
from support.eventually import eventually, until

from proxy.database.postgresql import notifications as hints_module
from proxy.kernel.errors import NotFound, StoreUnavailable
from proxy.payments.payment import Payment
from proxy.stores import postgresql
from store.records import MERCHANT_ID, NOW, create, new_payment
from store.test_postgresql_server import heard

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dargah' AND wait_event_type = 'Lock'"


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Postgres, Postgres]]:
    async with pair(*SYNCHRONOUS) as made:
        yield made


@pytest.fixture(autouse=True)
def _quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mechanism and not its patience is what these look at."""
    monkeypatch.setattr(hints_module, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(hints_module, "ANSWER_SECONDS", 1.0)


@contextmanager
def hanging_port() -> Iterator[int]:
    """A port where nobody answers: its machine takes connections, and what should accept them stands still."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def both(first: int, second: int, more: str = "") -> str:
    hosts = f"127.0.0.1:{first},127.0.0.1:{second}"
    return f"postgresql://dargah@{hosts}/postgres?target_session_attrs=read-write&sslmode=disable{more}"


async def seconds_until_stored(store: postgresql.PostgresqlStore, order: str) -> tuple[Payment, float]:
    """A payment that the storefront asks for again and again until it is there."""
    began = time.monotonic()
    async with asyncio.timeout(40):
        while True:
            try:
                return await create(store, new_payment(order)), time.monotonic() - began
            except StoreUnavailable:
                await asyncio.sleep(0.1)


async def test_a_server_that_is_frozen_is_left_for_the_one_that_is_promoted(
    servers: tuple[Postgres, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints_module, "LOOK_SECONDS", 60.0)  # but for the first one: asking alone is to notice
    first, second = servers
    store = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    before = await asyncio.gather(*(create(store, new_payment(f"before-{number}")) for number in range(8)))
    reader = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    assert await reader.payments.payment(MERCHANT_ID, before[0].id) == before[0]
    # It listens, and its first look at the clock is over.
    await until(lambda: bool(reader.replicas._connection) and time.monotonic() - reader.replicas._looked_at <= 5)
    first.freeze()
    await second.promote()
    async with asyncio.timeout(10):  # it writes nothing that would find out
        assert await reader.payments.payment(MERCHANT_ID, before[0].id) == before[0]
    await reader.close()
    after, seconds = await seconds_until_stored(store, "after")
    assert seconds < 10
    # Nobody reads from the one before, which still lets itself be asked once it wakes up.
    first.thaw()
    for payment in (*before, after):
        assert await store.payments.payment(MERCHANT_ID, payment.id) == payment
    await store.close()
    first.freeze()
    began = time.monotonic()
    again = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    assert time.monotonic() - began < 4
    assert await again.payments.payment(MERCHANT_ID, after.id) == after
    await again.close()


async def test_a_server_that_freezes_inside_a_look_is_left_all_the_same(
    servers: tuple[Postgres, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two statements of one transaction: its ROLLBACK would be waited for until the server wakes up."""
    monkeypatch.setattr(hints_module, "LOOK_SECONDS", 0.0)
    first, second = servers
    store = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    payment = await create(store, new_payment("before"))
    look, frozen = store.replicas._look, asyncio.Event()

    async def freezing(connection: asyncpg.Connection) -> None:
        if not frozen.is_set():
            first.freeze()
            frozen.set()
        await look(connection)

    store.replicas._look = freezing
    await frozen.wait()
    await second.promote()
    async with asyncio.timeout(20):
        assert await store.payments.payment(MERCHANT_ID, payment.id) == payment
    await store.close()


async def test_a_server_that_takes_no_writes_any_more_is_left_by_reads_and_hints_too(
    servers: tuple[Postgres, Postgres],
) -> None:
    """The address has moved; the old server lives on as a standby, with every connection that was open."""
    first, second = servers
    async with relay(first.port) as address:
        url = f"postgresql://dargah@127.0.0.1:{address.port}/postgres?sslmode=disable"
        store = await postgresql.open_store(url, postgresql.ServerOptions(now=lambda: NOW))
        await asyncio.gather(*(create(store, new_payment(f"before-{number}")) for number in range(8)))
        await second.promote()
        address.target = second.port
        await first.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        await first.sql("SELECT pg_reload_conf()")
        payment, seconds = await seconds_until_stored(store, "after")
        assert seconds < 5
        found = await asyncio.gather(*(store.payments.payment(MERCHANT_ID, payment.id) for _ in range(30)))
        assert found == [payment] * 30
        hearing = asyncio.create_task(heard(store.replicas))
        async with asyncio.timeout(20):
            while not hearing.done():
                await second.sql("""SELECT pg_notify('dargah', '{"merchants": ["mer_1"], "watch_at": null}')""")
                await asyncio.wait([hearing], timeout=0.1)
        await store.close()


async def test_a_standby_is_left_before_a_write_finds_out(servers: tuple[Postgres, Postgres]) -> None:
    first, second = servers
    async with relay(first.port) as address:
        url = f"postgresql://dargah@127.0.0.1:{address.port}/postgres?sslmode=disable"
        store = await postgresql.open_store(url, postgresql.ServerOptions(now=lambda: NOW))
        payment = await create(store)
        await second.promote()
        address.target = second.port
        await second.sql("UPDATE payments SET order_id = 'of the new one'")
        await first.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        await first.sql("SELECT pg_reload_conf()")

        async def read_from_the_new_one() -> bool | None:
            found = await store.payments.payment(MERCHANT_ID, payment.id)
            return found.order_id == "of the new one" or None

        await eventually(read_from_the_new_one)
        await store.close()


async def test_an_address_that_is_silent_is_left_for_the_next_one(servers: tuple[Postgres, Postgres]) -> None:
    first, second = servers
    async with relay(first.port) as address:
        store = await postgresql.open_store(
            both(address.port, second.port, "&connect_timeout=2"), postgresql.ServerOptions(now=lambda: NOW)
        )
        await create(store)
        address.silent = True
        await second.promote()
        _, seconds = await seconds_until_stored(store, "after")
        assert seconds < 10
        await store.close()


async def test_a_server_that_crashes_is_left_for_the_one_that_is_promoted(servers: tuple[Postgres, Postgres]) -> None:
    first, second = servers
    store = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    before = await create(store, new_payment("before"))
    first.crash()
    await second.promote()
    after, seconds = await seconds_until_stored(store, "after")
    assert seconds < 10
    assert {payment.id for payment in (before, after)} == {
        (await store.payments.payment(MERCHANT_ID, payment.id)).id for payment in (before, after)
    }
    await store.close()


def through(postgresql_url: str, port: int) -> str:
    """The run's server, which has a socket alone, behind a host that hangs."""
    parts = urlsplit(postgresql_url)
    folder = parts.query.partition("host=")[2]
    return f"postgresql://dargah@{parts.path}?host=127.0.0.1:{port},{folder}&sslmode=disable"


async def test_a_host_that_hangs_takes_half_a_second_and_once(postgresql_url: str) -> None:
    with hanging_port() as port:
        began = time.monotonic()
        store = await postgresql.open_store(through(postgresql_url, port), postgresql.ServerOptions(now=lambda: NOW))
        await asyncio.gather(*(create(store, new_payment(f"order-{number}")) for number in range(20)))
        assert 0.5 <= time.monotonic() - began < 4
        await store.close()


async def test_where_no_host_answers_each_is_told_with_its_reason() -> None:
    with hanging_port() as port:
        url = f"postgresql://dargah:hunter2@127.0.0.1:{port},127.0.0.1:1/dargah?connect_timeout=1&sslmode=disable"
        with pytest.raises(postgresql.CannotConnect) as caught:
            await postgresql.open_store(url)
    told = str(caught.value)
    assert f"127.0.0.1:{port}: it did not answer in time" in told
    assert "127.0.0.1:1: " in told
    assert "hunter2" not in told


async def test_nothing_is_read_from_a_server_that_takes_no_writes(
    servers: tuple[Postgres, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one read, though the connection for hints has not noticed: what is not there is somewhere else."""
    monkeypatch.setattr(hints_module, "ASK_SECONDS", 60.0)
    first, second = servers
    store = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    payment = await create(store)
    await first.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await first.sql("SELECT pg_reload_conf()")
    await second.promote()
    await second.sql("UPDATE payments SET order_id = 'of the new one'")
    found = await asyncio.gather(*(store.payments.payment(MERCHANT_ID, payment.id) for _ in range(30)))
    assert {each.order_id for each in found} == {"of the new one"}
    await store.close()


async def test_a_server_that_is_left_is_left_by_those_who_are_in_the_midst_of_a_statement(
    servers: tuple[Postgres, Postgres],
) -> None:
    """They learn that their connection is gone, and nothing of the driver's own confusion."""
    first, second = servers
    store = await postgresql.open_store(both(first.port, second.port), postgresql.ServerOptions(now=lambda: NOW))
    await create(store, new_payment("before"))
    locking = await asyncpg.connect(first.url)
    looking = await asyncpg.connect(first.url)  # in a transaction the first look at the activity would be the only one
    await locking.execute("BEGIN; LOCK TABLE payments")
    waiting = [asyncio.create_task(create(store, new_payment(f"order-{number}"))) for number in range(5)]
    waiting += [
        asyncio.create_task(store.payments.payment(MERCHANT_ID, payment.id)) for payment in [new_payment("none")] * 5
    ]

    async def two_wait() -> bool | None:
        return await looking.fetchval(WAITING) >= 2 or None

    await eventually(two_wait)
    first.freeze()
    await second.promote()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} <= {Payment, StoreUnavailable, NotFound}
    locking.terminate()
    looking.terminate()
    await store.close()
