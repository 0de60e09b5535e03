"""Lists of deliveries and attempts over endpoints and merchants: whole, in order, and page by page."""

import random
from dataclasses import replace

import pytest

from proxy.kernel.clock import DAY, HOUR
from proxy.kernel.ids import ENDPOINT, EVENT
from proxy.merchants.merchant import Mode
from proxy.stores.store import Store
from proxy.webhooks.delivery_search import AttemptSearch, DeliverySearch, SearchPage, merged
from proxy.webhooks.event import Event
from proxy.webhooks.retry_policy import DeliveryStatus
from store.records import IDS, MERCHANT_ID, NOW, add_endpoint, add_merchant
from store.test_deliveries import claim, finished

OTHER = "mer_ot000000"


async def happen(store: Store, at: int, merchant_id: str = MERCHANT_ID, event_type: str = "ping") -> str:
    event_id = IDS.record(EVENT, merchant_id, at)
    event = Event(event_id, merchant_id, None, Mode.LIVE, event_type, None, at, {"at": at})
    return (await store.webhooks.add_event(event)).id


async def two_merchants(store: Store) -> list[tuple[str, str]]:
    """Two merchants whose events of a month alternate, some delivered, some refused; gives their endpoints."""
    endpoints = []
    for merchant_id in (MERCHANT_ID, OTHER):
        await add_merchant(store, merchant_id)
        for _ in range(2):
            endpoint = await add_endpoint(store, merchant_id, id=IDS.record(ENDPOINT, merchant_id, NOW))
            endpoints.append((merchant_id, endpoint.id))
    for number in range(12):
        merchant_id = (MERCHANT_ID, OTHER)[number % 2]
        await happen(store, NOW + number * 3 * DAY, merchant_id, ("ping", "payment.paid")[number // 2 % 2])
    now = NOW + 40 * DAY
    for number, claimed in enumerate(await claim(store, now)):
        status = (None, 404, 500)[number % 3]
        await store.webhooks.record_attempt(
            replace(finished(claimed, status=status, at=now + number), attempt=replace(
                finished(claimed, status=status, at=now + number).attempt, started_at=now + number // 2 * HOUR
            )),
            None,
        )  # fmt: skip
    return endpoints


async def walked(read: object, wanted: DeliverySearch | AttemptSearch, limit: int) -> list[str]:
    """The places of every row, page by page."""
    places: list[str] = []
    for _ in range(200):
        page: SearchPage = await read(wanted, limit)  # type: ignore[operator]
        assert len(page.rows) <= limit
        places += [row.place for row in page.rows]
        if page.following is None:
            return places
        wanted = replace(wanted, after=page.following)
    raise AssertionError("the walk has no end")


@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_deliveries_of_all_merchants_come_newest_first_and_each_once(store: Store, limit: int) -> None:
    endpoints = await two_merchants(store)
    webhooks = store.webhooks

    async def by_merchant(wanted: DeliverySearch, most: int) -> SearchPage:
        return await webhooks.deliveries_of_merchants([MERCHANT_ID, OTHER], wanted, most)

    async def by_endpoint(wanted: DeliverySearch, most: int) -> SearchPage:
        return await webhooks.deliveries_of_endpoints(endpoints, wanted, most)

    everything = await walked(by_merchant, DeliverySearch(), limit)
    assert (len(set(everything)), everything) == (24, sorted(everything, reverse=True))
    assert await walked(by_endpoint, DeliverySearch(), limit) == everything
    paid = await walked(by_merchant, DeliverySearch(event_type="payment.paid"), limit)
    assert (len(paid), await walked(by_endpoint, DeliverySearch(event_type="payment.paid"), limit)) == (12, paid)
    assert await walked(by_merchant, DeliverySearch(mode=Mode.TEST), limit) == []
    parts = [
        await walked(by_endpoint, DeliverySearch(status=status), limit)
        for status in (DeliveryStatus.DELIVERED, DeliveryStatus.PENDING)
    ]
    assert sorted(parts[0] + parts[1]) == sorted(everything)
    assert parts[0]
    middle = DeliverySearch(since=NOW + 9 * DAY, until=NOW + 21 * DAY)
    assert len(await walked(by_merchant, middle, limit)) == 8


@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_attempts_of_all_endpoints_come_newest_first_and_each_once(store: Store, limit: int) -> None:
    endpoints = await two_merchants(store)

    async def read(wanted: AttemptSearch, most: int) -> SearchPage:
        return await store.webhooks.attempts_of_endpoints(endpoints, wanted, most)

    everything = await walked(read, AttemptSearch(), limit)
    assert (len(set(everything)), everything) == (24, sorted(everything, reverse=True))
    kinds = [await walked(read, AttemptSearch(status_class=digit), limit) for digit in (2, 4, 5, 0)]
    assert sorted(place for each in kinds for place in each) == sorted(everything)
    assert len(await walked(read, AttemptSearch(outcome="failed"), limit)) == 16
    now = NOW + 40 * DAY
    assert len(await walked(read, AttemptSearch(since=now + HOUR, until=now + 3 * HOUR), limit)) == 4


async def test_a_line_of_a_list_has_its_events_type_and_the_last_answer(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    await happen(store, NOW, event_type="payment.paid")
    [claimed] = await claim(store)
    [before] = await store.webhooks.delivery_lines([claimed.delivery_id])
    assert (before.type, before.duration_ms, before.delivery.attempts) == ("payment.paid", None, 1)
    await store.webhooks.record_attempt(finished(claimed, status=503), None)
    [after] = await store.webhooks.delivery_lines([claimed.delivery_id, "dlv_nothing"])
    assert (after.status, after.duration_ms, after.delivery.status) == (503, 20, DeliveryStatus.PENDING)


def test_lists_that_go_on_are_never_passed_over() -> None:
    rng = random.Random(20261201)
    for _ in range(200):
        lists = [sorted(rng.sample(range(1000), rng.randint(0, 30)), reverse=True) for _ in range(4)]
        count, limit, after, seen = rng.randint(2, 9), rng.randint(1, 8), 10_000, list[int]()
        while True:
            behind = [[each for each in one if each < after][:count] for one in lists]
            rows, following = merged(behind, lambda each: f"{each:05}", lambda each: each % 3 > 0, count, limit)
            seen += rows
            if following is None:
                break
            after = int(following)
        assert sorted(set(seen)) == sorted({each for one in lists for each in one if each % 3})
