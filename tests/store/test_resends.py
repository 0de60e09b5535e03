"""Resends in the store: what they choose, at what pace they make it due, what they count, and what two of them do."""

from dataclasses import replace
from typing import Any

import pytest
from support.clock import ManualClock

from proxy.audit.log import INSTALLATION
from proxy.database.repository import Lanes
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.kernel.errors import Conflict, IdempotencyKeyReused, InvalidInput, NotFound
from proxy.kernel.ids import Ids
from proxy.merchants.merchant import Mode
from proxy.stores.store import Store
from proxy.webhooks import resends as resends_module
from proxy.webhooks.endpoint import Endpoint, EndpointState
from proxy.webhooks.resend import Resend, ResendActor, ResendFilter, ResendProgress, ResendRequest, ResendState
from proxy.webhooks.resends import Resends
from proxy.webhooks.retry_policy import DeliveryStatus, RetrySchedule
from proxy.webhooks.storage.resend_pace import FIRST_PAUSE, LONGEST, WINDOW
from proxy.webhooks.storage.resends import KEPT, MAX_RUNNING, ResendRepository
from store.records import IDS, MERCHANT_ID, NOW, add_endpoint, add_merchant, new_audit
from store.test_deliveries import claim, deliveries_of, finished
from store.test_endpoints import deliver_all, event_at

SARA, OMID = ResendActor("sara"), ResendActor("omid")
SHOP = ResendActor("token:tok_1", MERCHANT_ID)
LATER = NOW + 100 * HOUR
DELIVERED = frozenset({DeliveryStatus.DELIVERED})


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(LATER)


@pytest.fixture
def resends(store: Store, clock: ManualClock) -> Resends:
    kept = store.resends
    store.resends = ResendRepository(Lanes(kept._write, kept._read, kept._query), clock)
    return Resends(store.resends, store.webhooks, store.merchants, Ids(IDS._random_bytes), clock)


async def begun(resends: Resends, by: ResendActor = SARA, key: str | None = None, **wanted: Any) -> Resend:
    choice = await resends.choose(ResendFilter(**{"since": NOW, "until": LATER} | wanted))
    resend, _ = await resends.begin(ResendRequest(choice, by, key, None if key is None else b"digest"))
    return resend


async def looked(resends: Resends, clock: ManualClock, times: int = 1) -> None:
    for _ in range(times):
        clock.forward(FIRST_PAUSE)
        await resends.step()


async def failed_events(store: Store, count: int) -> list[str]:
    made = [await event_at(store, NOW + number) for number in range(count)]
    once = RetrySchedule((SECOND,))
    for at in (NOW + count, NOW + count + HOUR):
        while claims := await claim(store, at):
            for claimed in claims:
                await store.webhooks.record_attempt(finished(claimed, status=404, at=at, schedule=once), None)
    return made


async def progress(resends: Resends, resend: Resend) -> ResendProgress:
    return (await resends.known(resend.id)).progress


async def test_what_failed_is_sent_again_and_counted(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    too_old = await event_at(store, NOW - HOUR)
    await failed_events(store, 3)
    resend = await begun(resends)
    assert resend.progress == ResendProgress(3, 0, 0, 0)
    await resends.step()
    assert await progress(resends, resend) == ResendProgress(3, 3, 0, 0)
    claims = await claim(store, clock.now)
    assert len(claims) == 3
    assert {each.scheduled_attempt for each in claims} == {1}
    for claimed, delivered in zip(claims, (True, True, False), strict=True):
        await store.webhooks.record_attempt(finished(claimed, delivered=delivered, at=clock.now + 1), None)
    clock.forward(SECOND)
    await resends.step()
    assert await progress(resends, resend) == ResendProgress(3, 3, 2, 1)
    assert (await resends.known(resend.id)).state is ResendState.DONE
    [part] = await store.resends.endpoints(resend.id)
    assert part.progress == ResendProgress(3, 3, 2, 1)
    [kept] = await store.webhooks.list_deliveries(MERCHANT_ID, too_old)
    assert kept.status is DeliveryStatus.FAILED
    assert (await claim(store, clock.now)) == []


async def test_a_new_event_waits_for_a_window_and_not_for_all_that_is_sent_again(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    await add_endpoint(store)
    await failed_events(store, WINDOW + 30)
    resend = await begun(resends)
    await looked(resends, clock, 3)
    assert await progress(resends, resend) == ResendProgress(WINDOW + 30, WINDOW, 0, 0)
    live = await event_at(store, clock.now)
    sent: list[str] = []
    while live not in sent:
        for claimed in await claim(store, clock.now):
            sent.append(claimed.event.id)
            await store.webhooks.record_attempt(finished(claimed, at=clock.now), None)
        await looked(resends, clock)
    assert len(sent) <= WINDOW + 8
    await deliver_all(store, clock.now)
    await looked(resends, clock, 2)
    await deliver_all(store, clock.now)
    await looked(resends, clock)
    assert (await resends.known(resend.id)).state is ResendState.DONE
    assert await progress(resends, resend) == ResendProgress(WINDOW + 30, WINDOW + 30, WINDOW + 30, 0)


async def test_two_resends_of_one_event_make_one_request(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    await failed_events(store, 2)
    first, second = await begun(resends), await begun(resends, OMID)
    await resends.step()
    await deliver_all(store, clock.now)
    await looked(resends, clock)
    assert {each.attempts for each in await deliveries_of(store)} == {3}
    for resend in (first, second):
        assert await progress(resends, resend) == ResendProgress(2, 2, 2, 0)
        assert (await resends.known(resend.id)).state is ResendState.DONE


async def test_what_was_delivered_is_sent_again_where_it_is_asked_for_and_once_for_two_who_ask(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    await add_endpoint(store)
    for number in range(3):
        await event_at(store, NOW + number)
    await deliver_all(store, NOW + 10)
    assert (await resends.choose(ResendFilter(NOW, LATER))).total == 0
    first, second = await begun(resends, statuses=DELIVERED), await begun(resends, OMID, statuses=DELIVERED)
    clock.forward(SECOND)
    [key, _] = await store.resends.due_endpoints(clock.now, 10)
    assert await store.resends.advance(key) == 3
    await deliver_all(store, clock.now)
    await looked(resends, clock, 2)
    assert {each.attempts for each in await deliveries_of(store)} == {2}
    figures = sorted([(await progress(resends, each)).delivered for each in (first, second)])
    assert figures == [0, 3]
    assert {(await resends.known(each.id)).state for each in (first, second)} == {ResendState.DONE}


async def test_what_is_on_its_way_is_not_made_due_again(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    await event_at(store, NOW)
    [claimed] = await claim(store, clock.now)
    resend = await begun(resends)
    await resends.step()
    await store.webhooks.record_attempt(finished(claimed, at=clock.now), None)
    assert await claim(store, clock.now + DAY) == []
    await looked(resends, clock)
    assert await progress(resends, resend) == ResendProgress(1, 1, 1, 0)


async def test_an_attempt_that_was_lost_counts_for_nothing(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    await failed_events(store, 1)
    resend = await begun(resends)
    await resends.step()
    await claim(store, clock.now)
    clock.forward(MINUTE)
    [again] = await claim(store, clock.now)
    await looked(resends, clock)
    assert await progress(resends, resend) == ResendProgress(1, 1, 0, 0)
    await store.webhooks.record_attempt(finished(again, at=clock.now), None)
    clock.forward(MINUTE)
    await resends.step()
    assert await progress(resends, resend) == ResendProgress(1, 1, 1, 0)


async def test_the_filter_is_by_type_mode_status_and_endpoint(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    one = await add_endpoint(store)
    other = await add_endpoint(store, event_types=frozenset({"ping"}))
    test = await add_endpoint(store, mode=Mode.TEST)
    await event_at(store, NOW)
    await event_at(store, NOW, "payment.paid")
    await event_at(store, NOW, mode=Mode.TEST)

    async def chosen(**wanted: Any) -> dict[str, int]:
        choice = await resends.choose(ResendFilter(**{"since": NOW, "until": LATER} | wanted))
        return {endpoint.id: count for endpoint, count in choice.rows}

    assert await chosen() == {one.id: 2, other.id: 1, test.id: 1}
    assert await chosen(types=frozenset({"payment.paid"})) == {one.id: 1}
    assert await chosen(mode=Mode.TEST) == {test.id: 1}
    assert await chosen(statuses=frozenset({DeliveryStatus.FAILED})) == {}
    assert await chosen(endpoints=(other.id,)) == {other.id: 1}
    assert await chosen(merchants=(MERCHANT_ID,), endpoints=(other.id,)) == {other.id: 1}
    await begun(resends, types=frozenset({"payment.paid"}))
    await resends.step()
    due = {each.event.type for each in await claim(store, clock.now) if each.endpoint.id == one.id}
    assert "payment.paid" in due
    for wanted in ({"endpoints": ("ep_1",)}, {"merchants": ("mer_11111111",)}):
        with pytest.raises(NotFound):
            await chosen(**wanted)
    for since, until in ((LATER + 5, LATER + 9), (NOW, NOW), (NOW, NOW - 1)):
        with pytest.raises(InvalidInput):
            await chosen(since=since, until=until)


async def test_it_counts_at_each_endpoint_of_every_merchant(
    store: Store, resends: Resends, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (await add_merchant(store, IDS.merchant())).id
    first, second = await add_endpoint(store), await add_endpoint(store)
    theirs = await add_endpoint(store, merchant_id=other)
    test = await add_endpoint(store, mode=Mode.TEST)
    await failed_events(store, 3)
    for wanted, endpoints in (({}, {first, second}), ({"mode": Mode.TEST}, set()), ({"merchants": (other,)}, set())):
        for together in (1, 2, 100):
            monkeypatch.setattr(resends_module, "COUNTED_TOGETHER", together)
            choice = await resends.choose(ResendFilter(**{"since": NOW, "until": LATER} | wanted))
            assert ({each.id: count for each, count in choice.rows}) == {each.id: 3 for each in endpoints}
            assert choice.complete
    listed = [each.id for each in await store.webhooks.all_endpoints(None, 10)]
    assert set(listed) == {first.id, second.id, theirs.id, test.id}
    assert [each.id for each in await store.webhooks.all_endpoints(Mode.TEST, 10)] == [test.id]
    monkeypatch.setattr(resends_module, "MAX_ENDPOINTS", 2)
    assert not (await resends.choose(ResendFilter(NOW, LATER))).complete


async def test_what_was_dropped_is_sent_again_where_the_endpoint_may_have_it(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    endpoint = await add_endpoint(store, storefront="main")
    await event_at(store, NOW, storefront="main")
    elsewhere = await _moved(store, endpoint, "other", NOW + 1)
    assert await claim(store, NOW + 2) == []
    assert (await resends.choose(ResendFilter(NOW, LATER))).total == 0
    await _moved(store, elsewhere, "main", NOW + 3)
    resend = await begun(resends)
    assert resend.progress.wanted == 1
    await resends.step()
    await deliver_all(store, clock.now)
    await looked(resends, clock)
    assert await progress(resends, resend) == ResendProgress(1, 1, 1, 0)


async def _moved(store: Store, endpoint: Endpoint, storefront: str, at: int) -> Endpoint:
    moved = replace(endpoint, storefront=storefront, updated_at=at)
    await store.webhooks.save_endpoint(endpoint, moved, new_audit())
    return moved


async def test_an_endpoint_that_is_held_back_gets_one_at_once_as_the_probe(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    await add_endpoint(store)
    for number in range(12):
        await event_at(store, NOW + number)
    for _ in range(2):
        for claimed in await claim(store, LATER):
            await store.webhooks.record_attempt(finished(claimed, delivered=False, at=LATER), None)
    assert await claim(store, LATER) == []
    resend = await begun(resends)
    await resends.step()
    [probe] = await claim(store, clock.now)
    assert probe.asked
    assert await claim(store, clock.now) == []
    await store.webhooks.record_attempt(finished(probe, at=clock.now), None)
    await deliver_all(store, clock.now)
    await looked(resends, clock)
    assert await progress(resends, resend) == ResendProgress(12, 12, 12, 0)


async def test_an_endpoint_that_is_off_gets_nothing_and_one_that_is_paused_meanwhile_waits(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    endpoint = await add_endpoint(store)
    off = await add_endpoint(store, state=EndpointState.PAUSED)
    await event_at(store, NOW)
    choice = await resends.choose(ResendFilter(NOW, LATER))
    assert [(each.id, count) for each, count in choice.off] == [(off.id, 1)]
    resend = await begun(resends)
    assert resend.endpoints == 1
    paused = replace(endpoint, state=EndpointState.PAUSED, updated_at=LATER)
    await store.webhooks.save_endpoint(endpoint, paused, new_audit())
    await resends.step()
    assert await progress(resends, resend) == ResendProgress(1, 0, 0, 0)
    resumed = replace(paused, state=EndpointState.ENABLED, updated_at=LATER + 1)
    await store.webhooks.save_endpoint(paused, resumed, new_audit())
    await looked(resends, clock)
    assert await progress(resends, resend) == ResendProgress(1, 1, 0, 0)
    await store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id)
    await looked(resends, clock)
    assert (await resends.known(resend.id)).state is ResendState.DONE
    assert await progress(resends, resend) == ResendProgress(1, 1, 0, 1)


async def test_what_nobody_takes_is_left_in_the_end(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    await failed_events(store, 1)
    resend = await begun(resends)
    await resends.step()
    clock.forward(LONGEST + SECOND)
    await resends.step()
    assert (await resends.known(resend.id)).state is ResendState.DONE
    assert await resends.step() is None


async def test_one_that_is_stopped_makes_nothing_more_due_and_counts_what_is(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    await add_endpoint(store)
    await failed_events(store, WINDOW + 1)
    resend = await begun(resends)
    await resends.step()
    clock.forward(1)
    stopped = await resends.stop(resend.id, OMID)
    assert stopped.state is ResendState.STOPPED
    assert await resends.stop(resend.id, OMID) == stopped
    await looked(resends, clock)
    await deliver_all(store, clock.now)
    await looked(resends, clock, 2)
    assert await progress(resends, resend) == ResendProgress(WINDOW + 1, WINDOW, WINDOW, 0)
    assert await resends.step() is None
    acts = [each.action for each in await store.audit.list_audit(INSTALLATION, None, 10)]
    assert acts == ["webhooks.resend_stop", "webhooks.resend"]


async def test_a_key_begins_one_resend(store: Store, resends: Resends) -> None:
    await add_endpoint(store)
    await failed_events(store, 1)
    resend = await begun(resends, key="k")
    assert (await begun(resends, key="k")).id == resend.id
    assert (await begun(resends, OMID, key="k")).id != resend.id
    choice = await resends.choose(ResendFilter(NOW, LATER))
    with pytest.raises(IdempotencyKeyReused):
        await resends.begin(ResendRequest(choice, SARA, "k", b"other"))
    assert [each.id for each in await store.resends.resends(None, 10, "sara")] == [resend.id]
    assert len(await store.resends.resends(None, 10)) == 2


async def test_so_many_run_at_once_and_so_many_are_kept(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    await failed_events(store, 1)
    running = []
    for _ in range(MAX_RUNNING):
        clock.forward(1)
        running.append(await begun(resends))
    with pytest.raises(Conflict, match="wait until one is done"):
        await begun(resends)
    assert (await begun(resends, SHOP)).actor == SHOP.name
    await resends.step()
    await deliver_all(store, clock.now)
    await looked(resends, clock)
    for _ in range(KEPT - MAX_RUNNING + 2):
        await begun(resends)
        clock.forward(1)
    assert len(await store.resends.resends(None, 1000, "sara")) == KEPT + 1
    assert len(await store.resends.resends(None, 1000, SHOP.name)) == 1
    with pytest.raises(NotFound):
        await resends.known(running[0].id)


async def test_a_shop_sees_and_stops_its_own_and_its_acts_are_in_its_merchants_log(
    store: Store, resends: Resends, clock: ManualClock
) -> None:
    endpoint = await add_endpoint(store)
    await failed_events(store, 1)
    theirs = await begun(resends)
    own = await resends.begin(ResendRequest(await resends.choose(ResendFilter(NOW, LATER), [endpoint]), SHOP))
    with pytest.raises(NotFound):
        await resends.known(theirs.id, SHOP.name)
    with pytest.raises(NotFound):
        await resends.stop(theirs.id, SHOP)
    clock.forward(1)
    assert (await resends.stop(own[0].id, SHOP)).state is ResendState.STOPPED
    acts = [(each.actor, each.action) for each in await store.audit.list_audit(MERCHANT_ID, None, 2)]
    assert acts == [(SHOP.name, "webhooks.resend_stop"), (SHOP.name, "webhooks.resend")]
    assert (await resends.choose(ResendFilter(NOW, LATER), [])).total == 0


async def test_a_clock_that_was_ahead_delays_no_resend(store: Store, resends: Resends, clock: ManualClock) -> None:
    await add_endpoint(store)
    await failed_events(store, 1)
    clock.forward(DAY)
    resend = await begun(resends, until=LATER)
    clock.forward(-DAY)
    await resends.step()
    assert (await progress(resends, resend)).requeued == 1
