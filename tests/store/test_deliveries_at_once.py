"""Deliveries that are claimed in the commit that writes their event, and attempts recorded at the same time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from proxy.database.transaction import Lane, Outcome, SharedStep, Transaction
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.errors import LeaseLost
from proxy.payments.change import Change
from proxy.payments.check_schedule import begin
from proxy.payments.payment import Payment
from proxy.stores.store import Store
from proxy.webhooks.delivery import EventClaims, Lease, RecordedAttempt
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.retry_policy import FAILURES_TO_PROBE, IN_FLIGHT_PER_ENDPOINT, DeliveryStatus
from store.records import (
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    new_audit,
    new_intent,
    new_payment,
    paid,
    pending,
    step,
)
from store.test_deliveries import claim, deliveries_of, finished

AT_ONCE = Lease(NOW + 25_000, "at once")
NEXT = Lease(NOW + 40_000, "next")


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


async def paid_at_once(store: Store, order_id: str, now: int = NOW) -> EventClaims:
    payment = await pending(store, order_id)
    return await store.payments.transition(paying(payment, now), AT_ONCE)


def paying(payment: Payment, now: int = NOW) -> Change:
    return change(payment, captured(payment), now)


async def test_an_event_is_claimed_with_its_commit_as_a_round_would_claim_it(store: Store) -> None:
    await add_endpoint(store)
    begun = await paid_at_once(store, "1")
    [claimed] = begun.claims
    assert not begun.waiting
    assert await claim(store) == []
    assert await store.webhooks.next_delivery_at() == AT_ONCE.until
    await store.webhooks.release_deliveries(begun.claims)
    assert await claim(store, token=AT_ONCE.token) == [claimed]


async def test_the_claim_carries_the_trace_of_its_payment(store: Store) -> None:
    await add_endpoint(store)
    payment = new_payment()
    await store.payments.create_payment(payment, replace(new_intent(), traceparent="00-1-2-01"), begin(payment))
    issued = await step(store, payment, InvoiceIssued("invoice-1"))
    begun = await store.payments.transition(paying(issued), AT_ONCE)
    assert [each.event.traceparent for each in begun.claims] == ["00-1-2-01"]


async def test_without_a_lease_it_waits_for_its_turn(store: Store) -> None:
    await add_endpoint(store)
    begun = await store.payments.transition(paying(await pending(store)))
    assert begun == EventClaims([], waiting=True)
    assert len(await claim(store)) == 1


async def test_each_endpoint_that_wants_it_is_told_at_once(store: Store) -> None:
    wanting = [await add_endpoint(store), await add_endpoint(store)]
    await add_endpoint(store, event_types=frozenset({"payment.failed"}))
    begun = await paid_at_once(store, "1")
    assert {each.endpoint.id for each in begun.claims} == {endpoint.id for endpoint in wanting}


@pytest.mark.parametrize("state", [EndpointState.PAUSED, EndpointState.DISABLED])
async def test_an_endpoint_that_is_not_served_holds_it(store: Store, state: EndpointState) -> None:
    endpoint = await add_endpoint(store)
    held = replace(endpoint, state=state, updated_at=NOW + 1)
    await store.webhooks.save_endpoint(endpoint, held, new_audit())
    assert await paid_at_once(store, "1") == EventClaims([], waiting=False)
    await store.webhooks.save_endpoint(held, replace(endpoint, updated_at=NOW + 2), new_audit())
    assert len(await claim(store)) == 1


async def test_what_has_waited_longer_goes_first(store: Store) -> None:
    await add_endpoint(store)
    waiting = await paid(store, "1")
    assert await paid_at_once(store, "2", NOW + 1) == EventClaims([], waiting=True)
    [first, _] = await claim(store, NOW + 1)
    assert first.event.payment_id == waiting.id


async def test_events_that_come_together_take_no_more_than_their_endpoint_has_room_for(store: Store) -> None:
    await add_endpoint(store)
    payments = [await pending(store, f"{number}") for number in range(IN_FLIGHT_PER_ENDPOINT + 2)]
    begun = await asyncio.gather(*(store.payments.transition(paying(each), AT_ONCE) for each in payments))
    claims = [claimed for each in begun for claimed in each.claims]
    assert len(claims) == IN_FLIGHT_PER_ENDPOINT
    assert not any(each.waiting for each in begun)
    assert await claim(store) == []
    # Those that had no room are taken along by the first that lands.
    recorded = await asyncio.gather(*(store.webhooks.record_attempt(finished(each), NEXT) for each in claims[:2]))
    following = [each.following for each in recorded if each.following is not None]
    landed = {each.delivery_id for each in (*claims, *following)}
    assert landed == {delivery.id for delivery in await deliveries_of(store)}


async def test_an_endpoint_that_does_not_respond_is_probed_by_one_at_a_time(store: Store) -> None:
    await add_endpoint(store)
    for number in range(FAILURES_TO_PROBE):
        [claimed] = (await paid_at_once(store, f"{number}")).claims
        recorded = await store.webhooks.record_attempt(finished(claimed, delivered=False, at=NOW), None)
    paused_until = recorded.decision.health.paused_until
    assert await paid_at_once(store, "paused", paused_until - 1) == EventClaims([], waiting=True)
    assert await store.webhooks.next_delivery_at() == paused_until
    [probe] = await claim(store, paused_until)
    assert await paid_at_once(store, "probed", paused_until) == EventClaims([], waiting=False)
    assert await claim(store, paused_until) == []
    await store.webhooks.record_attempt(finished(probe, at=paused_until), None)
    assert len(await claim(store, paused_until)) == 1


async def test_one_of_which_nothing_is_heard_again_is_lost_and_tried_anew(store: Store) -> None:
    await add_endpoint(store)
    [lost] = (await paid_at_once(store, "1")).claims
    assert await claim(store, AT_ONCE.until - 1) == []
    [again] = await claim(store, AT_ONCE.until)
    assert (again.delivery_id, again.attempt, again.scheduled_attempt) == (lost.delivery_id, 2, 2)
    attempts = await store.webhooks.list_attempts(MERCHANT_ID, lost.delivery_id)
    assert [(each.number, each.outcome) for each in attempts] == [(1, "unknown"), (2, "unknown")]


async def test_what_is_recorded_of_it_is_recorded_once(store: Store) -> None:
    await add_endpoint(store)
    [claimed] = (await paid_at_once(store, "1")).claims
    await store.webhooks.record_attempt(finished(claimed), NEXT)
    [delivery] = await deliveries_of(store)
    assert (delivery.status, delivery.attempts, delivery.due_at) == (DeliveryStatus.DELIVERED, 1, None)
    assert await store.webhooks.next_delivery_at() is None


async def backlog(store: Store, count: int) -> None:
    for number in range(count):
        await paid(store, f"order-{number}")


async def test_each_brings_another_delivery_of_its_endpoint_with_it(store: Store) -> None:
    endpoints = [await add_endpoint(store), await add_endpoint(store)]
    await backlog(store, 6)
    claims = await claim(store, limit=8)
    recorded = await asyncio.gather(*(store.webhooks.record_attempt(finished(each), NEXT) for each in claims))
    following = [each.following for each in recorded if each.following is not None]
    # Four of each endpoint's six were claimed, so there are two more of each.
    assert sorted(each.endpoint.id for each in following) == sorted(endpoint.id for endpoint in endpoints for _ in "12")
    assert len({each.delivery_id for each in (*claims, *following)}) == 12
    assert {each.token for each in following} == {"next"}
    statuses = [delivery.status for delivery in await deliveries_of(store)]
    assert (statuses.count(DeliveryStatus.DELIVERED), statuses.count(DeliveryStatus.PENDING)) == (8, 4)


async def test_a_lost_lease_is_told_to_its_own_worker_only(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 3)
    first, second, third = await claim(store)
    late = replace(second, token="another")
    outcomes = await asyncio.gather(
        *(store.webhooks.record_attempt(finished(each), None) for each in (first, late, third)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [RecordedAttempt, LeaseLost, RecordedAttempt]
    statuses = {delivery.id: delivery.status for delivery in await deliveries_of(store)}
    assert statuses[second.delivery_id] is DeliveryStatus.PENDING
    assert [statuses[each.delivery_id] for each in (first, third)] == [DeliveryStatus.DELIVERED] * 2
    [attempt] = await store.webhooks.list_attempts(second.merchant_id, second.delivery_id)
    assert attempt.outcome == "unknown"


async def test_failures_in_a_row_count_one_by_one_and_bring_nothing_with_them(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, IN_FLIGHT_PER_ENDPOINT + 1)
    claims = await claim(store)
    failed = (
        store.webhooks.record_attempt(finished(each, delivered=False), NEXT) for each in claims[:FAILURES_TO_PROBE]
    )
    recorded = await asyncio.gather(*failed)
    assert [each.decision.health.failures for each in recorded] == [1, 2, 3]
    # The third one says that it is probed, and the others are still on their way.
    assert [each.following for each in recorded] == [None] * FAILURES_TO_PROBE


async def test_no_more_follow_than_may_be_in_flight(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 3 * IN_FLIGHT_PER_ENDPOINT)
    claims = await claim(store)
    for _ in range(2):
        recorded = await asyncio.gather(*(store.webhooks.record_attempt(finished(each), NEXT) for each in claims))
        claims = [each.following for each in recorded if each.following is not None]
        assert len(claims) == IN_FLIGHT_PER_ENDPOINT
        assert await claim(store, NOW + 30) == []


async def test_a_worker_that_gave_up_leaves_the_others_their_outcomes(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 2)
    first, second = await claim(store)
    waiting = [asyncio.create_task(store.webhooks.record_attempt(finished(each), None)) for each in (first, second)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert (await waiting[1]).decision.status is DeliveryStatus.DELIVERED
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_one_that_cannot_be_done_takes_no_other_with_it(store: Store) -> None:
    async def divide(_: Transaction, items: Sequence[int]) -> list[Outcome]:
        return [Outcome(12 // item) for item in items]

    lane: Lane = store.payments._write
    results = await asyncio.gather(*(lane.do(SharedStep(divide, item)) for item in (1, 0, 3)), return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == [12, ZeroDivisionError, 4]
