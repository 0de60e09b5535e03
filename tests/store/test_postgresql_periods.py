"""PostgreSQL keeps events, deliveries and attempts by period, and drops a period that is over as a whole."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from proxy.adapters import postgresql
from proxy.clock import DAY
from proxy.delivery_records import EventSpan, Swept
from proxy.errors import NotFound
from proxy.ids import PART_PERIOD, part_at, part_of
from proxy.merchant import EndpointState
from proxy.ports import Store
from proxy.records import EventFilter
from proxy.retention import Retention
from proxy.webhook import DeliveryStatus
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant
from store.test_deliveries import claim, deliveries_of, finished
from store.test_redelivery import deliver_all, event_at, exhaust

PART = part_at(NOW)
OVER = (PART + 1) * PART_PERIOD
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
    opened = await postgresql.open_store(postgresql_url, now=lambda: NOW)
    await add_merchant(opened)
    yield opened
    await opened.close()


async def partitions(server: Any) -> set[str]:
    rows = await server.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition AND relname !~ '_rest$'"
    )
    return {name for (name,) in rows}


def of_parts(*parts: int) -> set[str]:
    return {f"{table}_{part}" for table in PARTED for part in parts}


async def drop_all(store: Store, before: int = OVER) -> int:
    """How many periods went."""
    dropped = 0
    for drop in (store.drop_attempts, store.drop_events):
        swept = await drop(before, None, LIMIT)
        dropped += swept.removed
        while swept.reached is not None:
            swept = await drop(before, swept.reached, LIMIT)
            dropped += swept.removed
    return dropped


async def listed(store: Store) -> list[str]:
    return [each.id for each in await store.list_events(MERCHANT_ID, EventFilter(limit=1000))]


async def test_the_present_period_has_its_partitions_and_the_next_ones_too(store: Store, server: Any) -> None:
    assert await partitions(server) == of_parts(PART, PART + 1, PART + 2)
    await store.make_parts(NOW + PART_PERIOD)
    await store.make_parts(NOW + PART_PERIOD)
    assert await partitions(server) == of_parts(PART, PART + 1, PART + 2, PART + 3)


@pytest.mark.usefixtures("store")
async def test_partitions_are_kept_as_the_rest_is(server: Any) -> None:
    for table in PARTED:
        options = [
            await server.fetchval("SELECT reloptions FROM pg_class WHERE relname = $1", f"{table}_{name}")
            for name in ("rest", PART)
        ]
        assert options[0] == options[1]
    assert await server.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


async def test_a_period_goes_as_a_whole_and_no_row_is_deleted(store: Store, server: Any) -> None:
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
    assert await store.drop_events(OVER - 1, None, LIMIT) == Swept(0, None)
    assert await drop_all(store) == 2
    assert await partitions(server) == of_parts(PART + 1, PART + 2)
    assert await listed(store) == [kept]
    for event_id in old:
        with pytest.raises(NotFound):
            await store.event(MERCHANT_ID, event_id)
        with pytest.raises(NotFound):
            await store.delivery(MERCHANT_ID, deliveries[event_id].id)
    assert len(await store.list_attempts(MERCHANT_ID, deliveries[kept].id)) == 1


async def test_what_was_not_delivered_outlives_its_period_and_can_be_delivered_after_it(
    store: Store, server: Any
) -> None:
    await add_endpoint(store, event_types=frozenset({"ping"}))
    failed = await event_at(store, NOW)
    late = await exhaust(store)
    await add_endpoint(store, event_types=frozenset({"payment.paid"}), state=EndpointState.PAUSED)
    held = await event_at(store, NOW + 1, "payment.paid")
    nobodys = await event_at(store, NOW + 2, "payment.failed")
    assert await drop_all(store) == 2
    assert await partitions(server) == of_parts(PART + 1, PART + 2)
    assert await listed(store) == [failed, held]
    with pytest.raises(NotFound):
        await store.event(MERCHANT_ID, nobodys)
    for delivery in await deliveries_of(store):
        assert len(await store.list_attempts(MERCHANT_ID, delivery.id)) == delivery.attempts
        assert await store.delivery(MERCHANT_ID, delivery.id) == delivery
    # It is sent, recorded and forgotten like any other.
    [delivery] = await store.list_deliveries(MERCHANT_ID, failed)
    await store.retry_delivery(MERCHANT_ID, delivery.id)
    [again] = await claim(store, late)
    assert again.event.id == failed
    await store.record_attempt(finished(again, at=late), None)
    assert (await store.delivery(MERCHANT_ID, delivery.id)).status is DeliveryStatus.DELIVERED
    assert len(await store.list_attempts(MERCHANT_ID, delivery.id)) == delivery.attempts + 1
    assert (await store.forget_events(OVER, None, LIMIT)).removed == 1
    assert await listed(store) == [held]


async def test_an_event_that_outlived_its_period_is_replayed_to_its_one_delivery(store: Store) -> None:
    endpoint = await add_endpoint(store)
    failed = await event_at(store, NOW)
    late = await exhaust(store)
    await drop_all(store)
    [before] = await store.list_deliveries(MERCHANT_ID, failed)
    assert (await store.replay_events(MERCHANT_ID, endpoint.id, EventSpan(NOW - 1, NOW + 1), None)).count == 1
    [after] = await store.list_deliveries(MERCHANT_ID, failed)
    assert (after.id, after.status) == (before.id, DeliveryStatus.PENDING)
    assert [each.delivery_id for each in await claim(store, late)] == [before.id]


async def test_what_is_on_its_way_while_it_is_moved_is_recorded(store: Store) -> None:
    await add_endpoint(store)
    event_id = await event_at(store, NOW)
    [claimed] = await claim(store)
    await drop_all(store)
    await store.record_attempt(finished(claimed), None)
    [delivery] = await store.list_deliveries(MERCHANT_ID, event_id)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert len(await store.list_attempts(MERCHANT_ID, delivery.id)) == 1


async def test_a_period_is_not_dropped_when_something_of_it_was_asked_for_just_before(
    store: Store, server: Any
) -> None:
    await add_endpoint(store)
    event_id = await event_at(store, NOW)
    await deliver_all(store)
    [delivery] = await store.list_deliveries(MERCHANT_ID, event_id)
    await store.retry_delivery(MERCHANT_ID, delivery.id)
    # What the step does last, when it has found nothing to move.
    assert not await server.fetchval("SELECT drop_events($1)", PART)
    assert await listed(store) == [event_id]
    await deliver_all(store)
    assert await server.fetchval("SELECT drop_events($1)", PART)


async def test_batches_are_bounded_and_go_on_where_they_ended(store: Store, server: Any) -> None:
    for _ in range(3):
        await add_endpoint(store)
    for number in range(4):
        await event_at(store, NOW + number)
    for claimed in await claim(store):
        await store.record_attempt(finished(claimed, status=500), None)
    tried = {each.id: each.attempts for each in await deliveries_of(store)}
    assert sum(tried.values()) >= 3
    steps = 0
    after: str | None = None
    while True:
        swept = await store.drop_attempts(OVER, after, 2)
        steps, after = steps + 1, swept.reached
        if after is None:
            break
    assert steps > 12 // 2
    moved = await server.fetch("SELECT delivery_id, count(*) FROM attempts WHERE part = 0 GROUP BY 1")
    assert {row[0]: row[1] for row in moved} == {each: count for each, count in tried.items() if count}
    while (await store.drop_events(OVER, None, 2)).reached is not None:
        left = await server.fetchval("SELECT count(*) FROM events WHERE part = 0")
        assert await server.fetchval("SELECT count(DISTINCT event_id) FROM deliveries WHERE part = 0") == left
    assert len(await listed(store)) == 4


async def test_a_period_that_somebody_reads_stays_and_holds_nobody_up_for_long(
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
                store.drop_attempts(OVER, None, LIMIT),
                store.drop_events(OVER, None, LIMIT),
                event_at(store, NOW + 1),
            )
            assert time.monotonic() - began < 5
            assert of_parts(PART) <= await partitions(server)
        assert added in await listed(store)
        await deliver_all(store)
        assert await drop_all(store) == 2
    finally:
        await reader.close()


async def test_two_replicas_make_and_drop_periods_at_once(store: Store, server: Any, postgresql_url: str) -> None:
    other = await postgresql.open_store(postgresql_url, now=lambda: NOW)
    try:
        await add_endpoint(store)
        failed = await event_at(store, NOW)
        await exhaust(store)
        dropped = await asyncio.gather(*(drop_all(each) for each in (store, other)))
        assert sum(dropped) == 2
        await asyncio.gather(*(each.make_parts(NOW + 5 * PART_PERIOD) for each in (store, other)))
        assert await partitions(server) == of_parts(*(PART + ahead for ahead in (1, 2, 5, 6, 7)))
        assert await listed(other) == [failed]
    finally:
        await other.close()


async def test_a_missing_partition_loses_nothing(store: Store, server: Any) -> None:
    for name in await partitions(server):
        await server.execute(f"DROP TABLE {name}")
    await add_endpoint(store)
    event_id = await event_at(store, NOW)
    await deliver_all(store)
    [delivery] = await store.list_deliveries(MERCHANT_ID, event_id)
    assert delivery.status is DeliveryStatus.DELIVERED
    # The period that the rest has rows of stays there; others are made.
    await store.make_parts(NOW)
    assert await partitions(server) == of_parts(PART + 1, PART + 2)
    later = await event_at(store, NOW + 1)
    assert await listed(store) == [event_id, later]
    await deliver_all(store, NOW + 1)
    assert await drop_all(store) == 0
    assert (await store.forget_attempts(OVER, None, LIMIT)).removed == 2
    assert (await store.forget_events(OVER, None, LIMIT)).removed == 2
    assert await listed(store) == []


async def test_an_event_and_its_deliveries_share_the_period_that_their_ids_say(store: Store, server: Any) -> None:
    await add_endpoint(store)
    await event_at(store, OVER)
    for table in ("events", "deliveries"):
        rows = await server.fetch(f"SELECT id, part, tableoid::regclass::text FROM {table}")  # noqa: S608  one of two names
        assert [(part_of(row[0]), row[1], row[2]) for row in rows] == [(PART + 1, PART + 1, f"{table}_{PART + 1}")]


async def test_the_daily_walk_drops_what_is_over_and_makes_the_next_periods(store: Store, server: Any) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    await deliver_all(store)
    now = OVER + 90 * DAY
    retention = Retention(store, lambda: now, events_keep_days=90, attempts_keep_days=30)
    while (due_at := await retention.step()) is not None and due_at < now + DAY:
        now = due_at
    made = {PART + 4, PART + 5, PART + 6}
    assert await partitions(server) == (
        {f"attempts_{part}" for part in made}
        | {f"{table}_{part}" for table in ("events", "deliveries") for part in made | {PART + 1, PART + 2}}
    )
    assert await listed(store) == []
