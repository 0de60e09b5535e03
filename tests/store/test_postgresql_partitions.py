"""PostgreSQL keeps events, deliveries and attempts by partition, and drops a partition that is over as a whole."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from proxy.kernel.clock import DAY
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import PARTITION_PERIOD, partition_at, partition_of
from proxy.stores import postgresql
from proxy.stores.store import Store
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import EventFilter, EventSpan
from proxy.webhooks.retention import Retention, RetentionBatch
from proxy.webhooks.retry_policy import DeliveryStatus
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant
from store.test_deliveries import claim, deliveries_of, finished
from store.test_endpoints import deliver_all, event_at, exhaust

PARTITION = partition_at(NOW)
OVER = (PARTITION + 1) * PARTITION_PERIOD
LIMIT = 50
PARTED = ("events", "deliveries", "attempts")


@pytest.fixture
async def server(postgresql_url: str) -> AsyncIterator[Any]:
    """A connection to a database that has no partitions but the rest; it is given back without triggers."""
    connection = await asyncpg.connect(postgresql_url)
    for name in await partitions(connection):
        await connection.execute(f"DROP TABLE {name}")
    yield connection
    await connection.execute("".join(f"DROP TRIGGER IF EXISTS stays ON {table};" for table in PARTED))
    await connection.close()


@pytest.fixture
async def store(server: Any, postgresql_url: str) -> AsyncIterator[Store]:
    assert server
    opened = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    await add_merchant(opened)
    yield opened
    await opened.close()


async def partitions(server: Any) -> set[str]:
    rows = await server.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition AND relname !~ '_rest$'"
    )
    return {name for (name,) in rows}


def of_parts(*parts: int) -> set[str]:
    return {f"{table}_{partition}" for table in PARTED for partition in parts}


async def drop_all(store: Store, before: int = OVER) -> int:
    """How many partitions went."""
    dropped = 0
    for drop in (store.retention.drop_attempts, store.retention.drop_events):
        swept = await drop(before, None, LIMIT)
        dropped += swept.removed
        while swept.reached is not None:
            swept = await drop(before, swept.reached, LIMIT)
            dropped += swept.removed
    return dropped


async def listed(store: Store) -> list[str]:
    return [each.id for each in await store.webhooks.list_events(MERCHANT_ID, EventFilter(limit=1000))]


async def test_the_present_partition_has_its_partitions_and_the_next_ones_too(store: Store, server: Any) -> None:
    assert await partitions(server) == of_parts(PARTITION, PARTITION + 1, PARTITION + 2)
    await store.retention.make_partitions(NOW + PARTITION_PERIOD)
    await store.retention.make_partitions(NOW + PARTITION_PERIOD)
    assert await partitions(server) == of_parts(PARTITION, PARTITION + 1, PARTITION + 2, PARTITION + 3)


@pytest.mark.usefixtures("store")
async def test_partitions_are_kept_as_the_rest_is(server: Any) -> None:
    for table in PARTED:
        options = [
            await server.fetchval("SELECT reloptions FROM pg_class WHERE relname = $1", f"{table}_{name}")
            for name in ("rest", PARTITION)
        ]
        assert options[0] == options[1]
    assert await server.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


async def test_a_partition_goes_as_a_whole_and_no_row_is_deleted(store: Store, server: Any) -> None:
    await server.execute(
        "CREATE OR REPLACE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'a row is deleted'; END $$;"
        + "".join(
            f"CREATE TRIGGER stays BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stays();" for table in PARTED
        )
    )
    await add_endpoint(store)
    old = [await event_at(store, NOW + number) for number in range(5)]
    kept = await event_at(store, OVER)
    await deliver_all(store, OVER)
    deliveries = {each.event_id: each for each in await deliveries_of(store)}
    assert await store.retention.drop_events(OVER - 1, None, LIMIT) == RetentionBatch(0, None)
    assert await drop_all(store) == 2
    assert await partitions(server) == of_parts(PARTITION + 1, PARTITION + 2)
    assert await listed(store) == [kept]
    for event_id in old:
        with pytest.raises(NotFound):
            await store.webhooks.event(MERCHANT_ID, event_id)
        with pytest.raises(NotFound):
            await store.webhooks.delivery(MERCHANT_ID, deliveries[event_id].id)
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, deliveries[kept].id)) == 1


async def test_what_was_not_delivered_outlives_its_partition_and_can_be_delivered_after_it(
    store: Store, server: Any
) -> None:
    await add_endpoint(store, event_types=frozenset({"ping"}))
    failed = await event_at(store, NOW)
    late = await exhaust(store)
    await add_endpoint(store, event_types=frozenset({"payment.paid"}), state=EndpointState.PAUSED)
    held = await event_at(store, NOW + 1, "payment.paid")
    nobodys = await event_at(store, NOW + 2, "payment.failed")
    assert await drop_all(store) == 2
    assert await partitions(server) == of_parts(PARTITION + 1, PARTITION + 2)
    assert await listed(store) == [failed, held]
    with pytest.raises(NotFound):
        await store.webhooks.event(MERCHANT_ID, nobodys)
    for delivery in await deliveries_of(store):
        assert len(await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)) == delivery.attempts
        assert await store.webhooks.delivery(MERCHANT_ID, delivery.id) == delivery
    # It is sent, recorded and forgotten like any other.
    [delivery] = await store.webhooks.list_deliveries(MERCHANT_ID, failed)
    await store.webhooks.retry_delivery(MERCHANT_ID, delivery.id)
    [again] = await claim(store, late)
    assert again.event.id == failed
    await store.webhooks.record_attempt(finished(again, at=late), None)
    assert (await store.webhooks.delivery(MERCHANT_ID, delivery.id)).status is DeliveryStatus.DELIVERED
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)) == delivery.attempts + 1
    assert (await store.retention.forget_events(OVER, None, LIMIT)).removed == 1
    assert await listed(store) == [held]


async def test_an_event_that_outlived_its_partition_is_replayed_to_its_one_delivery(store: Store) -> None:
    endpoint = await add_endpoint(store)
    failed = await event_at(store, NOW)
    late = await exhaust(store)
    await drop_all(store)
    [before] = await store.webhooks.list_deliveries(MERCHANT_ID, failed)
    assert (await store.webhooks.replay_events(MERCHANT_ID, endpoint.id, EventSpan(NOW - 1, NOW + 1), None)).count == 1
    [after] = await store.webhooks.list_deliveries(MERCHANT_ID, failed)
    assert (after.id, after.status) == (before.id, DeliveryStatus.PENDING)
    assert [each.delivery_id for each in await claim(store, late)] == [before.id]


async def test_what_is_on_its_way_while_it_is_moved_is_recorded(store: Store) -> None:
    await add_endpoint(store)
    event_id = await event_at(store, NOW)
    [claimed] = await claim(store)
    await drop_all(store)
    await store.webhooks.record_attempt(finished(claimed), None)
    [delivery] = await store.webhooks.list_deliveries(MERCHANT_ID, event_id)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)) == 1


async def test_a_partition_is_not_dropped_when_something_of_it_was_asked_for_just_before(
    store: Store, server: Any
) -> None:
    await add_endpoint(store)
    event_id = await event_at(store, NOW)
    await deliver_all(store)
    [delivery] = await store.webhooks.list_deliveries(MERCHANT_ID, event_id)
    await store.webhooks.retry_delivery(MERCHANT_ID, delivery.id)
    # What the step does last, when it has found nothing to move.
    assert not await server.fetchval("SELECT drop_events($1)", PARTITION)
    assert await listed(store) == [event_id]
    await deliver_all(store)
    assert await server.fetchval("SELECT drop_events($1)", PARTITION)


async def test_batches_are_bounded_and_go_on_where_they_ended(store: Store, server: Any) -> None:
    for _ in range(3):
        await add_endpoint(store)
    for number in range(4):
        await event_at(store, NOW + number)
    for claimed in await claim(store):
        await store.webhooks.record_attempt(finished(claimed, status=500), None)
    tried = {each.id: each.attempts for each in await deliveries_of(store)}
    assert sum(tried.values()) >= 3
    steps = 0
    after: str | None = None
    while True:
        swept = await store.retention.drop_attempts(OVER, after, 2)
        steps, after = steps + 1, swept.reached
        if after is None:
            break
    assert steps > 12 // 2
    moved = await server.fetch("SELECT delivery_id, count(*) FROM attempts WHERE part = 0 GROUP BY 1")
    assert {row[0]: row[1] for row in moved} == {each: count for each, count in tried.items() if count}
    while (await store.retention.drop_events(OVER, None, 2)).reached is not None:
        left = await server.fetchval("SELECT count(*) FROM events WHERE part = 0")
        assert await server.fetchval("SELECT count(DISTINCT event_id) FROM deliveries WHERE part = 0") == left
    assert len(await listed(store)) == 4


async def test_a_partition_that_somebody_reads_stays_and_holds_nobody_up_for_long(
    store: Store, server: Any, postgresql_url: str
) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    await deliver_all(store)
    reader = await asyncpg.connect(postgresql_url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM events, attempts")
            began = time.monotonic()
            _, _, added = await asyncio.gather(
                store.retention.drop_attempts(OVER, None, LIMIT),
                store.retention.drop_events(OVER, None, LIMIT),
                event_at(store, NOW + 1),
            )
            assert time.monotonic() - began < 5
            assert of_parts(PARTITION) <= await partitions(server)
        assert added in await listed(store)
        await deliver_all(store)
        assert await drop_all(store) == 2
    finally:
        await reader.close()


async def test_two_replicas_make_and_drop_partitions_at_once(store: Store, server: Any, postgresql_url: str) -> None:
    other = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW))
    try:
        await add_endpoint(store)
        failed = await event_at(store, NOW)
        await exhaust(store)
        dropped = await asyncio.gather(*(drop_all(each) for each in (store, other)))
        assert sum(dropped) == 2
        await asyncio.gather(*(each.retention.make_partitions(NOW + 5 * PARTITION_PERIOD) for each in (store, other)))
        assert await partitions(server) == of_parts(*(PARTITION + ahead for ahead in (1, 2, 5, 6, 7)))
        assert await listed(other) == [failed]
    finally:
        await other.close()


async def test_a_missing_partition_loses_nothing(store: Store, server: Any) -> None:
    for name in await partitions(server):
        await server.execute(f"DROP TABLE {name}")
    await add_endpoint(store)
    event_id = await event_at(store, NOW)
    await deliver_all(store)
    [delivery] = await store.webhooks.list_deliveries(MERCHANT_ID, event_id)
    assert delivery.status is DeliveryStatus.DELIVERED
    # A partition whose rows lie in the default one is not made; others are.
    await store.retention.make_partitions(NOW)
    assert await partitions(server) == of_parts(PARTITION + 1, PARTITION + 2)
    later = await event_at(store, NOW + 1)
    assert await listed(store) == [event_id, later]
    await deliver_all(store, NOW + 1)
    assert await drop_all(store) == 0
    assert (await store.retention.forget_attempts(OVER, None, LIMIT)).removed == 2
    assert (await store.retention.forget_events(OVER, None, LIMIT)).removed == 2
    assert await listed(store) == []


async def test_an_event_and_its_deliveries_share_the_partition_that_their_ids_say(store: Store, server: Any) -> None:
    await add_endpoint(store)
    await event_at(store, OVER)
    for table in ("events", "deliveries"):
        rows = await server.fetch(f"SELECT id, part, tableoid::regclass::text FROM {table}")  # noqa: S608  one of two names
        assert [(partition_of(row[0]), row[1], row[2]) for row in rows] == [
            (PARTITION + 1, PARTITION + 1, f"{table}_{PARTITION + 1}")
        ]


async def test_the_daily_walk_drops_what_is_over_and_makes_the_next_partitions(store: Store, server: Any) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    await deliver_all(store)
    now = OVER + 90 * DAY
    retention = Retention(store.retention, lambda: now, lambda: now, events_keep_days=90, attempts_keep_days=30)
    while (due_at := await retention.step()) is not None and due_at < now + DAY:
        now = due_at
    made = {PARTITION + 4, PARTITION + 5, PARTITION + 6}
    assert await partitions(server) == (
        {f"attempts_{partition}" for partition in made}
        | {
            f"{table}_{partition}"
            for table in ("events", "deliveries")
            for partition in made | {PARTITION + 1, PARTITION + 2}
        }
    )
    assert await listed(store) == []


async def test_a_start_by_a_clock_that_is_years_ahead_makes_no_partitions_of_then(
    server: Any, store: Store, postgresql_url: str
) -> None:
    await store.heartbeat.ping(NOW)
    before = await partitions(server)
    ahead = await postgresql.open_store(postgresql_url, postgresql.ServerOptions(now=lambda: NOW + 10 * 365 * DAY))
    await ahead.close()
    assert await partitions(server) == before == of_parts(PARTITION, PARTITION + 1, PARTITION + 2)
