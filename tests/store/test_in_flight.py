"""How many webhooks may be on their way to an endpoint at once: each endpoint's own limit, from 1 to 64."""

import random
from dataclasses import dataclass, field, replace

import pytest

from proxy.kernel.clock import SECOND
from proxy.kernel.ids import EVENT
from proxy.merchants.merchant import Mode
from proxy.stores.store import Store
from proxy.webhooks.delivery import Claim, DeliveryFilter, Lease
from proxy.webhooks.endpoint import MOST_IN_FLIGHT, Endpoint
from proxy.webhooks.event import Event
from proxy.webhooks.retry_policy import FAILURES_TO_PROBE, LONGEST_PROBE_PAUSE, DeliveryStatus
from store.records import IDS, MERCHANT_ID, NOW, add_endpoint, add_merchant, new_audit
from store.test_deliveries import claim, finished

LIMITS = [1, 2, 8, MOST_IN_FLIGHT]


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


async def happen(store: Store, count: int, at: int = NOW) -> None:
    for _ in range(count):
        event_id = IDS.record(EVENT, MERCHANT_ID, at)
        await store.webhooks.add_event(Event(event_id, MERCHANT_ID, None, Mode.LIVE, "ping", None, at, {}))


async def set_limit(store: Store, endpoint: Endpoint, limit: int) -> Endpoint:
    before = await store.webhooks.endpoint(MERCHANT_ID, endpoint.id)
    after = replace(before, max_in_flight=limit, updated_at=before.updated_at + 1)
    await store.webhooks.save_endpoint(before, after, new_audit())
    return after


async def in_flight(store: Store, endpoint: Endpoint) -> int:
    return (await store.webhooks.endpoint_statistics(MERCHANT_ID, endpoint.id, 0)).in_flight


async def land(store: Store, claimed: Claim, at: int = NOW) -> Claim | None:
    """Delivered; gives what came along."""
    report = finished(claimed, at=at)
    return (await store.webhooks.record_attempt(report, Lease(at + 30_000, IDS.random(8)))).following


@pytest.mark.parametrize("limit", LIMITS)
async def test_as_many_are_claimed_as_the_endpoint_may_get_and_each_that_lands_brings_one(
    store: Store, limit: int
) -> None:
    endpoint = await add_endpoint(store, max_in_flight=limit)
    await happen(store, limit + 5)
    claims = await claim(store)
    assert (len(claims), await in_flight(store, endpoint)) == (limit, limit)
    assert await claim(store, NOW + 1) == []
    assert await store.webhooks.next_delivery_at() == NOW + 30_000
    for _ in range(5):
        following = await land(store, claims.pop(0))
        assert following is not None
        claims.append(following)
        assert await claim(store, NOW + 1) == []
    assert await land(store, claims.pop()) is None
    assert await in_flight(store, endpoint) == limit - 1
    wanted = DeliveryFilter(DeliveryStatus.PENDING, limit=100)
    shown = await store.webhooks.list_endpoint_deliveries(MERCHANT_ID, endpoint.id, wanted)
    assert sorted(each.id for each in shown) == sorted(each.delivery_id for each in claims)
    assert all(each.attempts == 1 for each in shown)


async def test_where_all_is_on_its_way_nothing_is_due_before_a_lease_ends(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await happen(store, 4)
    first, second, *_ = await claim(store)
    await store.webhooks.record_attempt(finished(first), None)
    assert await store.webhooks.next_delivery_at() == NOW + 30_000
    await store.webhooks.release_deliveries([second])
    assert await store.webhooks.next_delivery_at() == NOW
    assert await in_flight(store, endpoint) == 2


async def test_with_a_lower_limit_nothing_is_cut_and_nothing_begins_until_there_are_fewer(store: Store) -> None:
    endpoint = await add_endpoint(store, max_in_flight=6)
    await happen(store, 10)
    claims = await claim(store)
    await set_limit(store, endpoint, 2)
    for each in claims[:4]:
        assert await claim(store, NOW + 1) == []
        assert await land(store, each) is None
    assert await in_flight(store, endpoint) == 2
    assert await claim(store, NOW + 1) == []
    following = await land(store, claims[4])
    assert following is not None
    assert await in_flight(store, endpoint) == 2
    assert await land(store, claims[5]) is not None


async def test_with_a_higher_limit_what_waits_begins_at_once(store: Store) -> None:
    endpoint = await add_endpoint(store, max_in_flight=1)
    await happen(store, 12)
    [first] = await claim(store)
    await set_limit(store, endpoint, 10)
    assert await store.webhooks.next_delivery_at() == NOW
    assert len(await claim(store, NOW + 1)) == 9
    await store.webhooks.release_deliveries([first])
    assert len(await claim(store, NOW + 1)) == 1


@pytest.mark.parametrize("limit", LIMITS)
async def test_one_that_does_not_answer_is_probed_whatever_its_limit(store: Store, limit: int) -> None:
    endpoint = await add_endpoint(store, max_in_flight=limit)
    await happen(store, 8)
    now = NOW
    for _ in range(FAILURES_TO_PROBE):
        [claimed] = await claim(store, now, limit=1)
        await store.webhooks.record_attempt(finished(claimed, delivered=False, at=now), None)
    now += LONGEST_PROBE_PAUSE
    [probe] = await claim(store, now)
    waiting = DeliveryFilter(DeliveryStatus.PENDING, limit=100)
    others = await store.webhooks.list_endpoint_deliveries(MERCHANT_ID, endpoint.id, waiting)
    wanted = next(each.id for each in others if each.id != probe.delivery_id)
    await store.webhooks.retry_delivery(MERCHANT_ID, wanted)
    # What a person asks for has a place beside the probe, but not beyond what the shop can bear.
    beside = await claim(store, now)
    assert [each.delivery_id for each in beside] == ([wanted] if limit > 1 else [])
    await land(store, probe, now)
    if limit == 1:
        assert await in_flight(store, endpoint) == 1


@dataclass
class Model:
    """What one endpoint may have on its way, by its rules alone. `live` has the end of each lease, by delivery."""

    limit: int
    now: int = NOW
    live: dict[str, int] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    def begin(self, claims: list[Claim], until: int) -> None:
        self.expire()
        for each in claims:
            assert each.delivery_id not in self.live
            self.live[each.delivery_id] = until
        self.claims += claims
        assert not claims or len(self.live) <= self.limit

    def expire(self) -> None:
        self.live = {each: until for each, until in self.live.items() if until > self.now}

    def end(self, claimed: Claim) -> None:
        self.claims.remove(claimed)
        self.live.pop(claimed.delivery_id, None)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_no_more_are_in_flight_than_the_limit_and_all_arrive(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    endpoint = await add_endpoint(store, max_in_flight=chance.choice(LIMITS))
    model = Model(endpoint.max_in_flight)
    for number in range(60):
        until, token = model.now + 30_000, f"t{number}"
        match chance.choice(["happen", "claim", "claim", "land", "land", "fail", "give back", "limit", "wait", "ask"]):
            case "happen":
                await happen(store, chance.randrange(1, 12), model.now)
            case "claim":
                claims = await store.webhooks.claim_deliveries(model.now, Lease(until, token), chance.randrange(1, 80))
                model.begin(claims, until)
            case "land" | "fail" as how if model.live:
                claimed = chance.choice([each for each in model.claims if each.delivery_id in model.live])
                report = finished(claimed, at=model.now, status=404 if how == "fail" else None)
                model.end(claimed)
                following = (await store.webhooks.record_attempt(report, Lease(until, token))).following
                model.begin([] if following is None else [following], until)
            case "give back" if model.claims:
                claimed = chance.choice(model.claims)
                await store.webhooks.release_deliveries([claimed])
                model.end(claimed)
            case "limit":
                model.limit = chance.choice(LIMITS)
                await set_limit(store, endpoint, model.limit)
            case "wait":
                model.now += chance.choice([1, 5 * SECOND, 40 * SECOND])
                model.expire()
                model.claims = [each for each in model.claims if each.delivery_id in model.live]
            case "ask":
                rows = await store.webhooks.list_endpoint_deliveries(MERCHANT_ID, endpoint.id, DeliveryFilter(limit=50))
                if rows:
                    await store.webhooks.retry_delivery(MERCHANT_ID, chance.choice(rows).id)
        model.expire()
    for each in model.claims:
        await store.webhooks.release_deliveries([each])
    model.live.clear()
    while (due_at := await store.webhooks.next_delivery_at()) is not None:
        model.now = max(model.now, due_at)
        claims = await claim(store, model.now)
        model.begin(claims, model.now + 30_000)
        for each in claims:
            await store.webhooks.record_attempt(finished(each, at=model.now), None)
            model.end(each)
    waiting = DeliveryFilter(DeliveryStatus.PENDING, limit=100)
    assert await store.webhooks.list_endpoint_deliveries(MERCHANT_ID, endpoint.id, waiting) == []
