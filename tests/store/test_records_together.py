"""Attempts that are recorded at the same time share one step: each still has its own outcome."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from proxy.adapters.store.steps import Lane, Outcome, Shared
from proxy.adapters.store.transaction import Transaction
from proxy.errors import LeaseLost
from proxy.ports import Store
from proxy.records import Judged, Lease
from proxy.verdict import FAILURES_TO_PROBE, IN_FLIGHT_PER_ENDPOINT
from proxy.webhook import DeliveryStatus
from store.records import NOW, add_endpoint, add_merchant, paid
from store.test_deliveries import claim, deliveries_of, finished

NEXT = Lease(NOW + 40_000, "next")


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


async def backlog(store: Store, count: int) -> None:
    for number in range(count):
        await paid(store, f"order-{number}")


async def test_each_brings_another_delivery_of_its_endpoint_with_it(store: Store) -> None:
    endpoints = [await add_endpoint(store), await add_endpoint(store)]
    await backlog(store, 6)
    claims = await claim(store, limit=8)
    judged = await asyncio.gather(*(store.record_attempt(finished(each), NEXT) for each in claims))
    following = [each.following for each in judged if each.following is not None]
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
        *(store.record_attempt(finished(each), None) for each in (first, late, third)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Judged, LeaseLost, Judged]
    statuses = {delivery.id: delivery.status for delivery in await deliveries_of(store)}
    assert statuses[second.delivery_id] is DeliveryStatus.PENDING
    assert [statuses[each.delivery_id] for each in (first, third)] == [DeliveryStatus.DELIVERED] * 2
    [attempt] = await store.list_attempts(second.merchant_id, second.delivery_id)
    assert attempt.outcome == "unknown"


async def test_failures_in_a_row_count_one_by_one_and_bring_nothing_with_them(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, IN_FLIGHT_PER_ENDPOINT + 1)
    claims = await claim(store)
    failed = (store.record_attempt(finished(each, delivered=False), NEXT) for each in claims[:FAILURES_TO_PROBE])
    judged = await asyncio.gather(*failed)
    assert [each.verdict.health.failures for each in judged] == [1, 2, 3]
    # The third one says that it is probed, and the others are still on their way.
    assert [each.following for each in judged] == [None] * FAILURES_TO_PROBE


async def test_no_more_follow_than_may_be_in_flight(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 3 * IN_FLIGHT_PER_ENDPOINT)
    claims = await claim(store)
    for _ in range(2):
        judged = await asyncio.gather(*(store.record_attempt(finished(each), NEXT) for each in claims))
        claims = [each.following for each in judged if each.following is not None]
        assert len(claims) == IN_FLIGHT_PER_ENDPOINT
        assert await claim(store, NOW + 30) == []


async def test_a_worker_that_gave_up_leaves_the_others_their_outcomes(store: Store) -> None:
    await add_endpoint(store)
    await backlog(store, 2)
    first, second = await claim(store)
    waiting = [asyncio.create_task(store.record_attempt(finished(each), None)) for each in (first, second)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert (await waiting[1]).verdict.status is DeliveryStatus.DELIVERED
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_one_that_cannot_be_done_takes_no_other_with_it(store: Store) -> None:
    async def divide(_: Transaction, items: Sequence[int]) -> list[Outcome]:
        return [Outcome(12 // item) for item in items]

    lane: Lane = store._write  # type: ignore[attr-defined]  # both stores have it
    results = await asyncio.gather(*(lane.do(Shared(divide, item)) for item in (1, 0, 3)), return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == [12, ZeroDivisionError, 4]
