"""How the store serves endpoints by their health: limits, probes, pauses, disabling, and what is held meanwhile."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.gateways.port import RequestRefused
from proxy.kernel.clock import DAY, SECOND
from proxy.kernel.ids import EVENT
from proxy.stores.store import Store
from proxy.webhooks.delivery import Claim, Lease, RecordedAttempt
from proxy.webhooks.endpoint import Endpoint, EndpointState
from proxy.webhooks.event import Event, EventFilter
from proxy.webhooks.retry_policy import FAILURES_TO_PROBE, IN_FLIGHT_PER_ENDPOINT, DeliveryStatus, DisabledReason
from store.records import (
    IDS,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    create,
    new_audit,
    new_payment,
    paid,
    step,
)
from store.test_deliveries import claim, deliveries_of, finished


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


async def backlog(store: Store, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await paid(store, f"order-{number}")


async def fail(store: Store, claimed: Claim, at: int, status: int | None = None, **more: Any) -> RecordedAttempt:
    return await store.webhooks.record_attempt(finished(claimed, delivered=False, status=status, at=at, **more), None)


async def failing(store: Store, times: int) -> int:
    """An endpoint's attempts fail one after the other; gives when the last one did."""
    claims = await claim(store)
    for claimed in claims[:times]:
        await fail(store, claimed, NOW)
    for claimed in claims[times:]:
        await store.webhooks.release_deliveries([claimed])
    return NOW


def disabled_event(endpoint: Endpoint, at: int) -> Event:
    data = {"id": endpoint.id, "state": "disabled"}
    return Event(
        IDS.record(EVENT, MERCHANT_ID, at), MERCHANT_ID, None, endpoint.mode, "endpoint.disabled", None, at, data
    )


async def test_no_more_are_in_flight_at_an_endpoint_than_its_limit(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, IN_FLIGHT_PER_ENDPOINT + 3)
    first = await claim(store)
    assert len(first) == IN_FLIGHT_PER_ENDPOINT
    assert await claim(store, NOW + 1) == []
    await store.webhooks.record_attempt(finished(first[0]), None)
    assert len(await claim(store, NOW + 30)) == 1


async def test_after_three_failures_one_attempt_at_a_time_is_made_of_the_oldest(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 5)
    oldest = sorted(delivery.id for delivery in await deliveries_of(store))
    now = await failing(store, FAILURES_TO_PROBE)
    assert await claim(store, now) == []
    pauses = []
    for _ in range(4):
        due_at = await store.webhooks.next_delivery_at()
        assert due_at is not None
        pauses.append(due_at - now)
        assert await claim(store, due_at - 1) == []
        [probe] = await claim(store, due_at)
        assert probe.delivery_id in oldest
        assert await claim(store, due_at + 1) == []
        now = due_at + 2
        await fail(store, probe, now, 503)
    assert pauses == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]


async def test_a_probe_that_gets_through_opens_the_endpoint_again(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 12)
    now = await failing(store, FAILURES_TO_PROBE) + SECOND
    [probe] = await claim(store, now)
    recorded = await store.webhooks.record_attempt(finished(probe, at=now), None)
    assert recorded.decision.health.failures == 0
    assert len(await claim(store, now)) == IN_FLIGHT_PER_ENDPOINT


async def test_answers_of_4xx_are_retried_and_do_not_make_it_a_failing_endpoint(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 12)
    for claimed in await claim(store):
        await fail(store, claimed, NOW, 404)
    assert len(await claim(store, NOW + 1)) == 4


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_pauses_the_endpoint(store: Store, status: int) -> None:
    await add_endpoint(store)
    await backlog(store, 3)
    [first, second, third] = await claim(store)
    await fail(store, first, NOW, status, retry_after_seconds=600)
    # What was on its way at the same time and got through does not take the pause back.
    await store.webhooks.record_attempt(finished(second, at=NOW), None)
    await store.webhooks.release_deliveries([third])
    await backlog(store, 1, first=3)
    assert await store.webhooks.next_delivery_at() == NOW + 600 * SECOND
    assert await claim(store, NOW + 599 * SECOND) == []
    assert len(await claim(store, NOW + 600 * SECOND)) == 3


async def test_an_attempt_brings_the_next_delivery_with_it(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 2)
    [first] = await claim(store, limit=1)
    recorded = await store.webhooks.record_attempt(finished(first), Lease(NOW + 40_000, "next"))
    following = recorded.following
    assert following is not None
    assert (following.token, following.attempt) == ("next", 1)
    assert following.delivery_id != first.delivery_id
    assert await claim(store, NOW + 39_000) == []
    assert (await store.webhooks.record_attempt(finished(following), Lease(NOW + 50_000, "n"))).following is None


@pytest.mark.parametrize("status", [410, 429, 503])
async def test_a_paused_endpoint_brings_nothing_with_it(store: Store, status: int) -> None:
    await add_endpoint(store)
    await backlog(store, 2)
    [first] = await claim(store, limit=1)
    done = finished(first, status=status, retry_after_seconds=5)
    assert (await store.webhooks.record_attempt(done, Lease(NOW + 40_000, "next"))).following is None
    assert await claim(store, NOW + 1000) == []


async def test_an_endpoint_that_is_gone_is_disabled_with_an_event_to_the_others(store: Store) -> None:
    gone = await add_endpoint(store, event_types=frozenset({"payment.paid", "endpoint.disabled"}))
    other = await add_endpoint(store, event_types=frozenset({"endpoint.disabled"}))
    await backlog(store, 2)
    claimed, waiting = await claim(store)
    recorded = await fail(store, claimed, NOW, 410)
    assert recorded.decision.disable is DisabledReason.GONE
    assert await store.webhooks.disable_endpoint(gone, "gone", NOW + 5, disabled_event(gone, NOW + 5))
    shown = await store.webhooks.endpoint(MERCHANT_ID, gone.id)
    assert (shown.state, shown.state_reason, shown.state_since) == (EndpointState.DISABLED, "gone", NOW + 5)
    [event] = [each for each in await store.webhooks.list_events(MERCHANT_ID, EventFilter()) if each.payment_id is None]
    assert event.type == "endpoint.disabled"
    assert [each.endpoint_id for each in await store.webhooks.list_deliveries(MERCHANT_ID, event.id)] == [other.id]
    assert [each.endpoint.id for each in await claim(store, NOW + DAY)] == [other.id]
    # It is done once, whoever else saw the same.
    assert not await store.webhooks.disable_endpoint(gone, "gone", NOW + 6, disabled_event(gone, NOW + 6))
    await store.webhooks.record_attempt(finished(waiting), None)


async def test_what_is_held_for_a_disabled_endpoint_drains_when_it_comes_back(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await backlog(store, 2)
    claims = await claim(store)
    for claimed in claims:
        await fail(store, claimed, NOW, 410)
    await store.webhooks.disable_endpoint(endpoint, "gone", NOW, disabled_event(endpoint, NOW))
    await backlog(store, 2, first=2)
    assert await claim(store, NOW + DAY) == []
    assert {delivery.status for delivery in await deliveries_of(store)} == {DeliveryStatus.PENDING}
    disabled = await store.webhooks.endpoint(MERCHANT_ID, endpoint.id)
    enabled = replace(disabled, state=EndpointState.ENABLED, updated_at=NOW + DAY)
    await store.webhooks.save_endpoint(disabled, enabled, new_audit())
    assert len(await claim(store, NOW + DAY)) == 4


async def test_an_endpoint_that_was_moved_meanwhile_is_not_disabled_for_what_the_old_url_said(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await backlog(store, 1)
    [claimed] = await claim(store)
    moved = replace(endpoint, url="https://elsewhere.example/hook", updated_at=NOW + 1)
    await store.webhooks.save_endpoint(endpoint, moved, new_audit())
    await fail(store, claimed, NOW + 2, 410)
    assert not await store.webhooks.disable_endpoint(
        claimed.endpoint, "gone", NOW + 2, disabled_event(endpoint, NOW + 2)
    )
    assert (await store.webhooks.endpoint(MERCHANT_ID, endpoint.id)).state is EndpointState.ENABLED
    assert await store.webhooks.next_delivery_at() is not None


async def test_five_days_without_success_disable_an_endpoint(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 1)
    [claimed] = await claim(store)
    assert (await fail(store, claimed, NOW, 404)).decision.disable is None
    later = NOW + 5 * DAY
    await backlog(store, 1, first=1)
    claims = await claim(store, later)
    recorded = await fail(store, claims[0], later - 1, 404)
    assert recorded.decision.disable is None
    recorded = await fail(store, claims[1], later, 404)
    assert recorded.decision.disable is DisabledReason.NO_SUCCESS
    assert recorded.decision.status is DeliveryStatus.PENDING


async def test_a_dead_endpoint_costs_the_others_nothing(store: Store) -> None:
    await add_endpoint(store, event_types=frozenset({"payment.paid"}))
    await backlog(store, 20)
    await failing(store, FAILURES_TO_PROBE)
    alive = await add_endpoint(store, event_types=frozenset({"payment.failed"}))
    for number in range(4):
        await step(store, await create(store, new_payment(f"f-{number}")), RequestRefused(101))
    claims = await claim(store, NOW + SECOND, limit=5)
    endpoints = [claimed.endpoint.id for claimed in claims]
    assert endpoints.count(alive.id) == 2
    assert len(endpoints) == 3
