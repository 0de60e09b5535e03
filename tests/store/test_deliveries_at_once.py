"""Deliveries that are claimed in the commit that writes their event: the same claims, by the same limits."""

import asyncio
from dataclasses import replace

import pytest

from proxy.facts import InvoiceIssued
from proxy.merchant import EndpointState
from proxy.payment import Payment
from proxy.ports import Store
from proxy.records import Begun, Change, Lease
from proxy.verdict import FAILURES_TO_PROBE, IN_FLIGHT_PER_ENDPOINT
from proxy.watch import begin
from proxy.webhook import DeliveryStatus
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


async def paid_at_once(store: Store, order_id: str, now: int = NOW) -> Begun:
    payment = await pending(store, order_id)
    return await store.transition(paying(payment, now), AT_ONCE)


def paying(payment: Payment, now: int = NOW) -> Change:
    return change(payment, captured(payment), now)


async def test_an_event_is_claimed_with_its_commit_as_a_round_would_claim_it(store: Store) -> None:
    await add_endpoint(store)
    begun = await paid_at_once(store, "1")
    [claimed] = begun.claims
    assert not begun.waiting
    assert await claim(store) == []
    assert await store.next_delivery_at() == AT_ONCE.until
    await store.release_deliveries(begun.claims)
    assert await claim(store, token=AT_ONCE.token) == [claimed]


async def test_the_claim_carries_the_trace_of_its_payment(store: Store) -> None:
    await add_endpoint(store)
    payment = new_payment()
    await store.create_payment(payment, replace(new_intent(), traceparent="00-1-2-01"), begin(payment))
    issued = await step(store, payment, InvoiceIssued("invoice-1"))
    begun = await store.transition(paying(issued), AT_ONCE)
    assert [each.event.traceparent for each in begun.claims] == ["00-1-2-01"]


async def test_without_a_lease_it_waits_for_its_turn(store: Store) -> None:
    await add_endpoint(store)
    begun = await store.transition(paying(await pending(store)))
    assert begun == Begun([], waiting=True)
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
    await store.save_endpoint(endpoint, held, new_audit())
    assert await paid_at_once(store, "1") == Begun([], waiting=False)
    await store.save_endpoint(held, replace(endpoint, updated_at=NOW + 2), new_audit())
    assert len(await claim(store)) == 1


async def test_what_has_waited_longer_goes_first(store: Store) -> None:
    await add_endpoint(store)
    waiting = await paid(store, "1")
    assert await paid_at_once(store, "2", NOW + 1) == Begun([], waiting=True)
    [first, _] = await claim(store, NOW + 1)
    assert first.event.payment_id == waiting.id


async def test_events_that_come_together_take_no_more_than_their_endpoint_has_room_for(store: Store) -> None:
    await add_endpoint(store)
    payments = [await pending(store, f"{number}") for number in range(IN_FLIGHT_PER_ENDPOINT + 2)]
    begun = await asyncio.gather(*(store.transition(paying(each), AT_ONCE) for each in payments))
    claims = [claimed for each in begun for claimed in each.claims]
    assert len(claims) == IN_FLIGHT_PER_ENDPOINT
    assert not any(each.waiting for each in begun)
    assert await claim(store) == []
    # Those that had no room are taken along by the first that lands.
    judged = await asyncio.gather(*(store.record_attempt(finished(each), NEXT) for each in claims[:2]))
    following = [each.following for each in judged if each.following is not None]
    landed = {each.delivery_id for each in (*claims, *following)}
    assert landed == {delivery.id for delivery in await deliveries_of(store)}


async def test_an_endpoint_that_does_not_respond_is_probed_by_one_at_a_time(store: Store) -> None:
    await add_endpoint(store)
    for number in range(FAILURES_TO_PROBE):
        [claimed] = (await paid_at_once(store, f"{number}")).claims
        judged = await store.record_attempt(finished(claimed, delivered=False, at=NOW), None)
    paused_until = judged.verdict.health.paused_until
    assert await paid_at_once(store, "paused", paused_until - 1) == Begun([], waiting=True)
    assert await store.next_delivery_at() == paused_until
    [probe] = await claim(store, paused_until)
    assert await paid_at_once(store, "probed", paused_until) == Begun([], waiting=False)
    assert await claim(store, paused_until) == []
    await store.record_attempt(finished(probe, at=paused_until), None)
    assert len(await claim(store, paused_until)) == 1


async def test_one_of_which_nothing_is_heard_again_is_lost_and_tried_anew(store: Store) -> None:
    await add_endpoint(store)
    [lost] = (await paid_at_once(store, "1")).claims
    assert await claim(store, AT_ONCE.until - 1) == []
    [again] = await claim(store, AT_ONCE.until)
    assert (again.delivery_id, again.attempt, again.turn) == (lost.delivery_id, 2, 2)
    attempts = await store.list_attempts(MERCHANT_ID, lost.delivery_id)
    assert [(each.number, each.outcome) for each in attempts] == [(1, "unknown"), (2, "unknown")]


async def test_what_is_recorded_of_it_is_recorded_once(store: Store) -> None:
    await add_endpoint(store)
    [claimed] = (await paid_at_once(store, "1")).claims
    await store.record_attempt(finished(claimed), NEXT)
    [delivery] = await deliveries_of(store)
    assert (delivery.status, delivery.attempts, delivery.due_at) == (DeliveryStatus.DELIVERED, 1, None)
    assert await store.next_delivery_at() is None
