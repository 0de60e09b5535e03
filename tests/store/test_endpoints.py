"""How endpoints are served by their health: limits, probes, pauses, disabling, and what is held meanwhile.

And how their deliveries are looked at and sent again.
"""

import random
from dataclasses import replace
from typing import Any

import pytest

from proxy.gateways.port import RequestRefused
from proxy.kernel.clock import DAY, HOUR, SECOND
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import DELIVERY, ENDPOINT, EVENT
from proxy.merchants.merchant import Mode
from proxy.stores.store import Store
from proxy.webhooks.delivery import Claim, Delivery, DeliveryFilter, Lease, RecordedAttempt
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, Endpoint, EndpointState
from proxy.webhooks.event import Event, EventFilter, EventSpan
from proxy.webhooks.retry_policy import (
    DEFAULT_SCHEDULE,
    FAILURES_TO_PROBE,
    LONGEST_PROBE_PAUSE,
    DeliveryStatus,
    DisabledReason,
    Health,
)
from proxy.webhooks.storage.claims import LEAST_LOOK
from proxy.webhooks.storage.events import WINDOW
from proxy.webhooks.storage.redelivery import EndpointStatistics, RecentAttempt
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
    await backlog(store, DEFAULT_IN_FLIGHT + 3)
    first = await claim(store)
    assert len(first) == DEFAULT_IN_FLIGHT
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
    assert len(await claim(store, now)) == DEFAULT_IN_FLIGHT


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


OTHER = IDS.merchant()


async def event_at(
    store: Store, at: int, event_type: str = "ping", storefront: str | None = None, mode: Mode = Mode.LIVE
) -> str:
    event = Event(IDS.record(EVENT, MERCHANT_ID, at), MERCHANT_ID, storefront, mode, event_type, None, at, {"at": at})
    return (await store.webhooks.add_event(event)).id


async def exhaust(store: Store, now: int = NOW) -> int:
    """Attempts all that is due until the schedule is used up; gives when that was."""
    for number in range(DEFAULT_SCHEDULE.max_attempts):
        for claimed in await claim(store, now):
            await store.webhooks.record_attempt(finished(claimed, status=404, at=now), None)
        now += DEFAULT_SCHEDULE.delays[number] if number < len(DEFAULT_SCHEDULE.delays) else 0
    return now


async def deliver_all(store: Store, now: int = NOW) -> None:
    while claims := await claim(store, now):
        for claimed in claims:
            await store.webhooks.record_attempt(finished(claimed, at=now), None)


async def test_an_endpoints_deliveries_are_listed_newest_first_by_status_and_in_pages(store: Store) -> None:
    endpoint = await add_endpoint(store)
    other = await add_endpoint(store)
    for number in range(6):
        await event_at(store, NOW + number)
    claims = [each for each in await claim(store, NOW + 10) if each.endpoint.id == endpoint.id]
    for claimed in claims[:2]:
        await store.webhooks.record_attempt(finished(claimed, at=NOW + 10), None)

    async def listed(endpoint_id: str, wanted: DeliveryFilter) -> list[str]:
        return [each.id for each in await store.webhooks.list_endpoint_deliveries(MERCHANT_ID, endpoint_id, wanted)]

    mine = [each for each in await deliveries_of(store) if each.endpoint_id == endpoint.id]
    newest = sorted((each.id for each in mine), reverse=True)
    done = sorted((each.id for each in mine if each.status is DeliveryStatus.DELIVERED), reverse=True)
    assert await listed(endpoint.id, DeliveryFilter()) == newest
    assert await listed(endpoint.id, DeliveryFilter(limit=4)) == newest[:4]
    assert await listed(endpoint.id, DeliveryFilter(after=newest[3], limit=4)) == newest[4:]
    assert await listed(endpoint.id, DeliveryFilter(DeliveryStatus.DELIVERED)) == done
    assert await listed(endpoint.id, DeliveryFilter(DeliveryStatus.DELIVERED, after=done[0])) == done[1:]
    assert len(await listed(endpoint.id, DeliveryFilter(DeliveryStatus.PENDING))) == 4
    assert await listed(endpoint.id, DeliveryFilter(DeliveryStatus.FAILED)) == []
    assert len(await listed(other.id, DeliveryFilter())) == 6
    assert await store.webhooks.list_endpoint_deliveries(OTHER, endpoint.id, DeliveryFilter()) == []


async def test_one_delivery_is_its_merchants(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [delivery] = await deliveries_of(store)
    assert await store.webhooks.delivery(MERCHANT_ID, delivery.id) == delivery
    [claimed] = await claim(store)
    await store.webhooks.record_attempt(finished(claimed), None)
    shown, log = await store.webhooks.delivery_log(MERCHANT_ID, delivery.id)
    assert (shown.status, log) == (DeliveryStatus.DELIVERED, [finished(claimed).attempt])
    for read in (store.webhooks.delivery, store.webhooks.retry_delivery, store.webhooks.delivery_log):
        with pytest.raises(NotFound):
            await read(OTHER, delivery.id)
        with pytest.raises(NotFound):
            await read(MERCHANT_ID, IDS.record(DELIVERY, MERCHANT_ID, NOW))


async def test_a_retry_by_hand_works_in_every_state_and_again_and_again(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [delivery] = await deliveries_of(store)
    now = await exhaust(store)
    assert (await store.webhooks.delivery(MERCHANT_ID, delivery.id)).status is DeliveryStatus.FAILED
    for attempt in range(DEFAULT_SCHEDULE.max_attempts + 1, DEFAULT_SCHEDULE.max_attempts + 4):
        again = await store.webhooks.retry_delivery(MERCHANT_ID, delivery.id)
        assert (again.status, again.due_at, again.delivered_at) == (DeliveryStatus.PENDING, NOW, None)
        assert await store.webhooks.next_delivery_at() is not None
        [claimed] = await claim(store, now)
        assert (claimed.attempt, claimed.scheduled_attempt) == (attempt, 1)
        await store.webhooks.record_attempt(finished(claimed, at=now), None)
        assert (await store.webhooks.delivery(MERCHANT_ID, delivery.id)).status is DeliveryStatus.DELIVERED
    assert len(await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)) == DEFAULT_SCHEDULE.max_attempts + 3


async def test_a_retry_by_hand_begins_the_schedule_anew(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    now = NOW
    for delay in DEFAULT_SCHEDULE.delays[:3]:
        [claimed] = await claim(store, now)
        await store.webhooks.record_attempt(finished(claimed, status=404, at=now), None)
        now += delay
    [delivery] = await deliveries_of(store)
    await store.webhooks.retry_delivery(MERCHANT_ID, delivery.id)
    [claimed] = await claim(store, now)
    recorded = await store.webhooks.record_attempt(finished(claimed, status=404, at=now), None)
    assert recorded.decision.due_at == now + DEFAULT_SCHEDULE.delays[0]


@pytest.mark.parametrize("got_through", [True, False])
async def test_a_retry_while_an_attempt_is_under_way_is_not_swallowed(store: Store, got_through: bool) -> None:
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    asked = await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id)
    assert asked.status is DeliveryStatus.PENDING
    assert await claim(store, NOW + 1) == []
    await store.webhooks.record_attempt(finished(claimed, status=None if got_through else 404, at=NOW + 2), None)
    [again] = await claim(store, NOW + 2)
    assert (again.delivery_id, again.attempt, again.scheduled_attempt) == (claimed.delivery_id, 2, 1)
    await store.webhooks.record_attempt(finished(again, at=NOW + 3), None)
    outcomes = [each.outcome for each in await store.webhooks.list_attempts(MERCHANT_ID, claimed.delivery_id)]
    assert outcomes == ["delivered" if got_through else "failed", "delivered"]
    assert await claim(store, NOW + HOUR) == []


async def test_a_retry_of_what_was_claimed_and_given_back_keeps_its_schedule(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id)
    await store.webhooks.release_deliveries([claimed])
    [again] = await claim(store)
    assert (again.attempt, again.scheduled_attempt) == (1, 1)


async def test_what_was_dropped_with_its_endpoint_cannot_be_retried(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await paid(store)
    [delivery] = await deliveries_of(store)
    await store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id)
    with pytest.raises(NotFound):
        await store.webhooks.retry_delivery(MERCHANT_ID, delivery.id)
    assert (await store.webhooks.delivery(MERCHANT_ID, delivery.id)).status is DeliveryStatus.DROPPED


async def test_a_retry_at_a_paused_endpoint_is_held(store: Store) -> None:
    await add_endpoint(store, state=EndpointState.PAUSED)
    await paid(store)
    [delivery] = await deliveries_of(store)
    await store.webhooks.retry_delivery(MERCHANT_ID, delivery.id)
    assert await claim(store, NOW + HOUR) == []


async def statuses(store: Store) -> dict[str, DeliveryStatus]:
    return {each.event_id: each.status for each in await deliveries_of(store)}


async def test_recover_sends_all_that_did_not_get_through_since_a_time_in_batches(store: Store) -> None:
    endpoint = await add_endpoint(store)
    too_old = await event_at(store, NOW - HOUR)
    got_through = await event_at(store, NOW)
    await deliver_all(store, NOW)
    await store.webhooks.retry_delivery(MERCHANT_ID, (await store.webhooks.list_deliveries(MERCHANT_ID, too_old))[0].id)
    failed = [await event_at(store, NOW + 1 + number) for number in range(5)]
    now = await exhaust(store, NOW + 10)
    waiting = await event_at(store, NOW + 20)
    requeued, after, batches = 0, None, 0
    while True:
        batch = await store.webhooks.recover_deliveries(MERCHANT_ID, endpoint.id, NOW, after, limit=2)
        requeued, after, batches = requeued + batch.count, batch.reached, batches + 1
        if after is None:
            break
    assert (requeued, batches) == (6, 4)
    found = await statuses(store)
    assert found[too_old] is DeliveryStatus.FAILED
    assert found[got_through] is DeliveryStatus.DELIVERED
    await deliver_all(store, now)
    found = await statuses(store)
    assert {found[each] for each in [*failed, waiting]} == {DeliveryStatus.DELIVERED}
    assert (await store.webhooks.recover_deliveries(MERCHANT_ID, endpoint.id, NOW, None)).count == 0
    for merchant_id, endpoint_id in ((OTHER, endpoint.id), (MERCHANT_ID, "ep_1")):
        with pytest.raises(NotFound):
            await store.webhooks.recover_deliveries(merchant_id, endpoint_id, NOW, None)


async def test_recover_leaves_what_is_on_its_way(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await event_at(store, NOW)
    [claimed] = await claim(store)
    assert (await store.webhooks.recover_deliveries(MERCHANT_ID, endpoint.id, NOW - 1, None)).count == 0
    await store.webhooks.record_attempt(finished(claimed), None)
    assert await claim(store, NOW + HOUR) == []


async def replayed(store: Store, endpoint: Endpoint, span: EventSpan, limit: int = 2) -> int:
    total, after = 0, None
    while True:
        batch = await store.webhooks.replay_events(MERCHANT_ID, endpoint.id, span, after, limit)
        total, after = total + batch.count, batch.reached
        if after is None:
            return total


async def test_replay_sends_everything_of_a_span_also_from_before_the_endpoint(store: Store) -> None:
    before = [await event_at(store, NOW + number, storefront="main") for number in range(3)]
    endpoint = await add_endpoint(store, storefront="main")
    after = [await event_at(store, NOW + 10 + number, storefront="main") for number in range(2)]
    await event_at(store, NOW + 12, storefront="other")
    await event_at(store, NOW + 13, storefront="main", mode=Mode.TEST)
    await deliver_all(store, NOW + 20)
    assert await replayed(store, endpoint, EventSpan(NOW + 1, NOW + 11)) == 4
    claims = await claim(store, NOW + 30)
    assert {each.event.id for each in claims} == {*before[1:], *after}
    assert {(each.attempt, each.scheduled_attempt) for each in claims if each.event.id in after} == {(2, 1)}
    for claimed in claims:
        await store.webhooks.record_attempt(finished(claimed, at=NOW + 31), None)
    assert await replayed(store, endpoint, EventSpan(NOW, NOW + 100)) == 5
    assert len(await deliveries_of(store)) == 5


async def test_replay_is_of_the_types_asked_for_and_that_the_endpoint_wants(store: Store) -> None:
    endpoint = await add_endpoint(store, event_types=frozenset({"ping", "payment.failed"}))
    await event_at(store, NOW)
    await paid(store)
    await step(store, await create(store, new_payment("f")), RequestRefused(101))
    everything = EventSpan(NOW - 1, NOW + HOUR)
    assert await replayed(store, endpoint, everything) == 2
    assert await replayed(store, endpoint, EventSpan(NOW - 1, NOW + HOUR, frozenset({"ping", "payment.paid"}))) == 1
    with pytest.raises(NotFound):
        await store.webhooks.replay_events(OTHER, endpoint.id, everything, None)


async def test_a_replay_while_an_attempt_is_under_way_comes_after_it(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await event_at(store, NOW)
    [claimed] = await claim(store)
    assert await replayed(store, endpoint, EventSpan(NOW, NOW)) == 1
    await store.webhooks.record_attempt(finished(claimed), None)
    [again] = await claim(store, NOW + 30)
    assert again.delivery_id == claimed.delivery_id


async def test_an_endpoints_figures(store: Store) -> None:
    endpoint = await add_endpoint(store)
    nothing = await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, NOW - HOUR)
    assert nothing == EndpointStatistics([], 0, None, 0, Health())
    assert await store.webhooks.last_attempt(MERCHANT_ID, endpoint.id) is None
    for number in range(3):
        await event_at(store, NOW + number)
    first, second, _third = await claim(store, NOW + 3)
    await store.webhooks.record_attempt(finished(first, at=NOW + 5), None)
    await store.webhooks.record_attempt(finished(second, status=500, at=NOW + 6), None)
    statistics = await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, NOW)
    assert sorted(statistics.attempts, key=lambda each: each.outcome) == [
        RecentAttempt("delivered", 20),
        RecentAttempt("failed", 20),
    ]
    assert (statistics.backlog, statistics.in_flight, statistics.oldest_undelivered_at) == (2, 1, NOW + 1)
    assert statistics.health == Health(1, NOW + 6, 0)
    assert (await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, NOW + SECOND)).attempts == []
    last = await store.webhooks.last_attempt(MERCHANT_ID, endpoint.id)
    assert last is not None
    assert (last.outcome, last.duration_ms) in {(each.outcome, each.duration_ms) for each in statistics.attempts}
    assert await store.webhooks.last_attempt(OTHER, endpoint.id) is None
    nobodys = await store.webhooks.endpoint_statistics(OTHER, endpoint.id, NOW)
    assert (nobodys.backlog, nobodys.attempts, nobodys.health) == (0, [], None)


async def test_a_storefront_lists_its_own_events(store: Store) -> None:
    assert await store.webhooks.last_sequence(MERCHANT_ID) == 0
    await event_at(store, NOW)
    mine = await event_at(store, NOW, "ping", "main")
    await event_at(store, NOW, "ping", "other")
    assert await store.webhooks.last_sequence(MERCHANT_ID) == 3
    for wanted in (EventFilter("main"), EventFilter("main", "ping")):
        assert [each.id for each in await store.webhooks.list_events(MERCHANT_ID, wanted)] == [mine]
    assert [each.id for each in await store.webhooks.list_events(MERCHANT_ID, EventFilter("main", after=1))] == [mine]


async def test_events_are_told_apart_by_whether_they_were_delivered(store: Store) -> None:
    to_nobody = await event_at(store, NOW)
    await add_endpoint(store)
    await add_endpoint(store, event_types=frozenset({"payment.paid"}))
    got_through = await event_at(store, NOW + 1)
    payment = await paid(store)
    waiting = await event_at(store, NOW + 3)

    by_event: dict[str, list[Delivery]] = {}
    for delivery in await deliveries_of(store):
        by_event.setdefault(delivery.event_id, []).append(delivery)
    claims = {each.delivery_id: each for each in await claim(store, NOW + 5)}
    for event_id, deliveries in by_event.items():
        # One of the two endpoints that want the payment's event gets it.
        chosen = deliveries[:1] if event_id != waiting else []
        for delivery in chosen:
            await store.webhooks.record_attempt(finished(claims[delivery.id], at=NOW + 6), None)

    async def listed(*, delivered: bool, **filters: object) -> list[str]:
        wanted = EventFilter(**filters)  # type: ignore[arg-type]  # each test names real fields
        page = await store.webhooks.list_events_by_delivery(MERCHANT_ID, wanted, delivered=delivered)
        assert page.reached is None or len(page.events) == wanted.limit
        return [each.id for each in page.events]

    half = next(each for each, deliveries in by_event.items() if len(deliveries) == 2)
    assert await listed(delivered=True) == [got_through]
    assert await listed(delivered=False) == [to_nobody, half, waiting]
    assert await listed(delivered=False, after=1, limit=1) == [half]
    assert await listed(delivered=False, payment_id=payment.id) == [half]
    assert await listed(delivered=False, type="ping", storefront="main") == []
    assert (await store.webhooks.list_events_by_delivery(OTHER, EventFilter(), delivered=False)).events == []


async def test_a_look_for_undelivered_events_is_bounded_and_goes_on(store: Store) -> None:
    await add_endpoint(store)
    rng = random.Random(7)
    wanted = []
    for number in range(305):
        event_id = await event_at(store, NOW + number)
        if number in {201, 303}:
            wanted.append(event_id)
    now = NOW + 2000
    while claims := await claim(store, now):
        rng.shuffle(claims)
        for claimed in claims:
            got_through = claimed.event.id not in wanted
            await store.webhooks.record_attempt(finished(claimed, status=None if got_through else 404, at=now), None)
    first = await store.webhooks.list_events_by_delivery(MERCHANT_ID, EventFilter(), delivered=False)
    assert (first.events, first.reached) == ([], WINDOW)
    rest = await store.webhooks.list_events_by_delivery(MERCHANT_ID, EventFilter(after=WINDOW), delivered=False)
    assert ([each.id for each in rest.events], rest.reached) == (wanted, None)


async def test_a_persons_retry_goes_now_and_alone_though_the_endpoint_asked_for_a_pause(store: Store) -> None:
    await add_endpoint(store)
    for number in range(3):
        await event_at(store, NOW + number)
    now = NOW + 10
    claims = await claim(store, now)
    for each in claims:
        await store.webhooks.record_attempt(finished(each, status=429, at=now, retry_after_seconds=3600), None)
    assert await claim(store, now + 1000) == []
    wanted = claims[-1].delivery_id
    await store.webhooks.retry_delivery(MERCHANT_ID, wanted)
    [again] = await claim(store, now + 1000)
    assert again.delivery_id == wanted
    assert await claim(store, now + 1000) == []
    recorded = await store.webhooks.record_attempt(finished(again, status=200, at=now + 1000), None)
    assert (again.asked, recorded.decision.health) == (True, Health())
    assert not await store.webhooks.hasten_deliveries(MERCHANT_ID, again.endpoint.id)
    assert {each.delivery_id for each in await claim(store, now + 1001)} == {
        each.delivery_id for each in claims if each.delivery_id != wanted
    }


async def dead_endpoint(store: Store, waiting: int = 6) -> tuple[list[str], int]:
    """An endpoint that does not answer, between two probes: what waits there, and the time."""
    await add_endpoint(store)
    for number in range(waiting):
        await event_at(store, NOW + number)
    ids = [each.id for each in await deliveries_of(store)]
    now = NOW + 100
    for _ in range(FAILURES_TO_PROBE):
        [claimed] = await claim(store, now, limit=1)
        await store.webhooks.record_attempt(finished(claimed, delivered=False, at=now), None)
    return ids, now


async def test_a_persons_retry_goes_beside_the_probe_that_hangs_and_there_is_one_place_for_it(store: Store) -> None:
    ids, now = await dead_endpoint(store)
    now += LONGEST_PROBE_PAUSE
    [probe] = await claim(store, now)
    wanted = [each for each in ids if each != probe.delivery_id][-2:]
    for each in wanted:
        await store.webhooks.retry_delivery(MERCHANT_ID, each)
    [asked] = await claim(store, now)
    assert (asked.delivery_id in wanted, asked.asked, probe.asked) == (True, True, False)
    assert await claim(store, now) == []
    recorded = await store.webhooks.record_attempt(
        finished(asked, delivered=False, at=now), Lease(now + 30_000, "next")
    )
    assert recorded.following is not None
    assert {asked.delivery_id, recorded.following.delivery_id} == set(wanted)


async def test_a_persons_retry_that_fails_leaves_the_pause_as_it_was(store: Store) -> None:
    ids, now = await dead_endpoint(store)
    before = await health_of(store)
    assert before.paused_until > now
    for _ in range(5):
        await store.webhooks.retry_delivery(MERCHANT_ID, ids[-1])
        [asked] = await claim(store, now)
        assert asked.delivery_id == ids[-1]
        await store.webhooks.record_attempt(finished(asked, delivered=False, at=now), None)
        assert await health_of(store) == before
    assert await claim(store, now) == []
    await store.webhooks.retry_delivery(MERCHANT_ID, ids[-1])
    [asked] = await claim(store, now)
    await store.webhooks.record_attempt(finished(asked, status=503, at=now, retry_after_seconds=3600), None)
    assert (await health_of(store)).paused_until == now + 3600 * SECOND


async def test_a_persons_retry_that_gets_through_opens_the_endpoint_and_what_waits_goes_at_once(store: Store) -> None:
    ids, now = await dead_endpoint(store)
    await store.webhooks.retry_delivery(MERCHANT_ID, ids[-1])
    [asked] = await claim(store, now)
    await store.webhooks.record_attempt(finished(asked, at=now), None)
    while await store.webhooks.hasten_deliveries(MERCHANT_ID, asked.endpoint.id, 2):
        pass
    assert {each.delivery_id for each in await claim(store, now + 1)} == set(ids[:-1])


async def test_two_clicks_on_one_page_give_one_request_and_the_next_page_another(store: Store) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    [claimed] = await claim(store)
    await store.webhooks.record_attempt(finished(claimed), None)
    for _ in range(2):  # before it is claimed
        await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id, 1)
    [second] = await claim(store)
    again = await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id, 1)  # while it is on its way
    assert again.attempts == 2
    await store.webhooks.record_attempt(finished(second), None)
    await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id, 1)  # when it is over
    assert await claim(store) == []
    await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id, 2)
    assert [each.attempt for each in await claim(store)] == [3]


async def test_a_persons_retry_during_an_attempt_goes_after_it_though_that_paused_the_endpoint(store: Store) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    [claimed] = await claim(store)
    await store.webhooks.retry_delivery(MERCHANT_ID, claimed.delivery_id)
    put_off = finished(claimed, status=429, at=NOW + 1, retry_after_seconds=3600)
    recorded = await store.webhooks.record_attempt(put_off, Lease(NOW + 30_000, "next"))
    assert recorded.following is not None
    assert (recorded.following.attempt, recorded.following.asked) == (2, True)


async def test_a_persons_retry_is_first_where_others_wait_longer(store: Store) -> None:
    for number in range(LEAST_LOOK):
        await add_endpoint(store, id=IDS.record(ENDPOINT, MERCHANT_ID, NOW), storefront=f"shop-{number}")
        await event_at(store, NOW + number, storefront=f"shop-{number}")
    await add_endpoint(store, storefront="mine")
    await event_at(store, NOW + 100, storefront="mine")
    [mine] = [each for each in await deliveries_of(store) if each.storefront == "mine"]
    await store.webhooks.retry_delivery(MERCHANT_ID, mine.id)
    [first] = await claim(store, NOW + 200, limit=1)
    assert first.delivery_id == mine.id


async def health_of(store: Store) -> Health:
    [endpoint] = await store.webhooks.list_endpoints(MERCHANT_ID)
    health = (await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, NOW)).health
    assert health is not None
    return health
