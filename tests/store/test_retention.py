"""What is old is forgotten in batches, and what somebody still waits for is not."""

import pytest

from proxy.kernel.clock import DAY, SECOND
from proxy.kernel.errors import NotFound
from proxy.stores.store import Store
from proxy.webhooks.endpoint import KEY_PREFIXES, EndpointState
from proxy.webhooks.event import EventFilter
from proxy.webhooks.retention import RetentionBatch
from store.records import IDS, MERCHANT_ID, NOW, add_endpoint, add_merchant, new_audit, new_endpoint, sealed
from store.test_deliveries import claim, deliveries_of, finished
from store.test_endpoints import deliver_all, event_at, exhaust

LATER = NOW + 100 * DAY


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    """A merchant, in a store where everything lies in no period that could be dropped as a whole."""
    await add_merchant(store)
    for drop in (store.retention.drop_attempts, store.retention.drop_events):
        while (await drop(LATER + 1000 * DAY, None, 1)).reached is not None:
            pass


async def swept_events(store: Store, before: int, limit: int = 500) -> int:
    removed, after = 0, None
    while True:
        swept = await store.retention.forget_events(before, after, limit)
        removed, after = removed + swept.removed, swept.reached
        if after is None:
            return removed


async def test_old_events_go_with_all_that_was_tried_of_them(store: Store) -> None:
    await add_endpoint(store)
    old = [await event_at(store, NOW + number) for number in range(5)]
    kept = await event_at(store, LATER)
    await deliver_all(store, LATER)
    deliveries = {each.event_id: each for each in await deliveries_of(store)}
    assert await swept_events(store, LATER, limit=2) == 5
    assert [each.id for each in await store.webhooks.list_events(MERCHANT_ID, EventFilter())] == [kept]
    for event_id in old:
        with pytest.raises(NotFound):
            await store.webhooks.delivery(MERCHANT_ID, deliveries[event_id].id)
        assert await store.webhooks.list_attempts(MERCHANT_ID, deliveries[event_id].id) == []
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, deliveries[kept].id)) == 1
    assert await store.webhooks.last_sequence(MERCHANT_ID) == 6


async def test_an_event_that_was_not_delivered_is_never_forgotten(store: Store) -> None:
    await add_endpoint(store, event_types=frozenset({"ping"}))
    failed = await event_at(store, NOW)
    await exhaust(store)
    paused = await add_endpoint(store, event_types=frozenset({"payment.paid"}), state=EndpointState.PAUSED)
    held = await event_at(store, NOW + 1, "payment.paid")
    nobodys = await event_at(store, NOW + 2, "payment.failed")
    assert await swept_events(store, LATER) == 1
    assert [each.id for each in await store.webhooks.list_events(MERCHANT_ID, EventFilter())] == [failed, held]
    for delivery in await deliveries_of(store):
        attempts = await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)
        assert len(attempts) == delivery.attempts
    with pytest.raises(NotFound):
        await store.webhooks.event(MERCHANT_ID, nobodys)
    # Nobody waits for what was to go to an endpoint that is no more.
    await store.webhooks.delete_endpoint(MERCHANT_ID, paused.id)
    assert await swept_events(store, LATER) == 1


async def test_one_endpoint_that_still_waits_keeps_the_event_for_all(store: Store) -> None:
    await add_endpoint(store)
    await add_endpoint(store, state=EndpointState.DISABLED)
    event_id = await event_at(store, NOW)
    await deliver_all(store)
    assert await swept_events(store, LATER) == 0
    assert len(await store.webhooks.list_deliveries(MERCHANT_ID, event_id)) == 2


async def test_old_attempts_go_before_their_deliveries_unless_undelivered(store: Store) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    [first] = await claim(store)
    await store.webhooks.record_attempt(finished(first, status=500, at=NOW), None)
    waiting = await event_at(store, NOW + 1)
    claims = {each.event.id: each for each in await claim(store, NOW + DAY)}
    await store.webhooks.record_attempt(finished(claims[first.event.id], at=NOW + DAY), None)
    await store.webhooks.record_attempt(finished(claims[waiting], status=500, at=NOW + DAY), None)
    assert await store.retention.forget_attempts(NOW + 2 * DAY, None, 500) == RetentionBatch(2, None)
    deliveries = {each.event_id: each for each in await deliveries_of(store)}
    assert await store.webhooks.list_attempts(MERCHANT_ID, deliveries[first.event.id].id) == []
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, deliveries[waiting].id)) == 1


async def test_an_attempt_of_late_is_kept_though_its_event_is_old(store: Store) -> None:
    await add_endpoint(store)
    await event_at(store, NOW - 60 * DAY)
    await deliver_all(store)
    assert await store.retention.forget_attempts(NOW - 30 * DAY, None, 500) == RetentionBatch(0, None)
    [delivery] = await deliveries_of(store)
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)) == 1


async def test_the_walk_is_in_batches_and_over_all_merchants(store: Store) -> None:
    for _ in range(3):
        await event_at(store, NOW)
    others = [IDS.merchant() for _ in range(3)]
    for merchant_id in others:
        await add_merchant(store, merchant_id)
    sizes, after = [], None
    while True:
        swept = await store.retention.forget_events(LATER, after, 1)
        sizes.append(swept.removed)
        after = swept.reached
        if after is None:
            break
    assert sum(sizes) == 3
    assert max(sizes) == 1


async def test_signing_keys_go_when_their_overlap_is_over_and_no_other_secret_does(store: Store) -> None:
    overlaps = ((2, NOW + DAY), (1, NOW + 2 * DAY))
    names = [f"{prefix}{number}" for prefix in KEY_PREFIXES.values() for number in range(1, 5)]
    made = [
        new_endpoint(key_number=4, previous_until=NOW + SECOND, older_keys=overlaps, signatures=signatures)
        for signatures in (("v1",), ("v1", "v1a"))
    ]
    for endpoint in made:
        await store.webhooks.add_endpoint(
            endpoint, [sealed(endpoint.id, name) for name in (*names, "headers")], new_audit()
        )
    fresh = await add_endpoint(store)

    async def left(before: int) -> set[str]:
        after: str | None = None
        while (after := (await store.retention.forget_keys(before, after, 1)).reached) is not None:
            pass
        found = [{secret.name for secret in await store.merchants.secrets(MERCHANT_ID, each.id)} for each in made]
        assert found[0] == found[1]
        return found[0]

    kept = {"signing:4", "signing_v1a:4", "headers"}
    assert await left(NOW) == {*names, "headers"}
    assert await left(NOW + SECOND) == {*names, "headers"} - {"signing:3", "signing_v1a:3"}
    assert await left(NOW + DAY) == kept | {"signing:1", "signing_v1a:1"}
    assert await left(LATER) == kept
    assert len(await store.merchants.secrets(MERCHANT_ID, fresh.id)) == 1
