"""Events and their deliveries: stored together, claimed once, and recorded as they went.

Also deliveries that are claimed in the commit that writes their event, and attempts recorded at the same time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest

from proxy.database.transaction import Lane, Outcome, SharedStep, Transaction
from proxy.gateways.port import InvoiceIssued, RequestRefused
from proxy.kernel.clock import HOUR, SECOND
from proxy.kernel.errors import LeaseLost, NotFound
from proxy.kernel.ids import EVENT
from proxy.merchants.merchant import Mode
from proxy.payments.change import Change
from proxy.payments.check_schedule import begin
from proxy.payments.payment import Decision, OperatorDecision, Payment
from proxy.stores.store import Store
from proxy.webhooks.delivery import Attempt, AttemptReport, Claim, Delivery, EventClaims, Lease, RecordedAttempt
from proxy.webhooks.endpoint import DEFAULT_IN_FLIGHT, EndpointState
from proxy.webhooks.event import Event, EventFilter
from proxy.webhooks.retry_policy import (
    DEFAULT_SCHEDULE,
    FAILURES_TO_PROBE,
    DeliveryStatus,
    RetrySchedule,
)
from store.records import (
    IDS,
    LEASE,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    create,
    new_audit,
    new_intent,
    new_payment,
    paid,
    pending,
    step,
)

TOKEN = "claim-1"


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


async def deliveries_of(store: Store) -> list[Delivery]:
    events = await store.webhooks.list_events(MERCHANT_ID, EventFilter(limit=1000))
    return [delivery for event in events for delivery in await store.webhooks.list_deliveries(MERCHANT_ID, event.id)]


async def claim(store: Store, now: int = NOW, limit: int = 100, token: str = TOKEN) -> list[Claim]:
    return await store.webhooks.claim_deliveries(now, Lease(now + 30_000, token), limit)


def finished(
    claimed: Claim,
    *,
    delivered: bool = True,
    status: int | None = None,
    at: int = NOW + 25,
    retry_after_seconds: int | None = None,
    schedule: RetrySchedule = DEFAULT_SCHEDULE,
) -> AttemptReport:
    """An attempt that got through; or one that failed, with `status` or without an answer."""
    delivered = delivered and status is None
    attempt = Attempt(
        number=claimed.attempt,
        started_at=NOW + 5,
        duration_ms=20,
        outcome="delivered" if delivered else "failed",
        status=204 if delivered else status,
        error="timeout" if status is None and not delivered else None,
        excerpt=b"\x00ok",
    )
    return AttemptReport(claimed, attempt, retry_after_seconds, at, 0.0, schedule)


async def test_an_event_is_stored_with_its_frozen_body_and_a_sequence(store: Store) -> None:
    payment = await paid(store)
    [event] = await store.webhooks.list_events(MERCHANT_ID, EventFilter())
    assert (event.sequence, event.type, event.payment_id) == (1, "payment.paid", payment.id)
    assert orjson.loads(event.body)["data"] == {"payment_id": payment.id, "version": payment.version, "sequence": 1}
    assert await store.webhooks.event(MERCHANT_ID, event.id) == event
    with pytest.raises(NotFound):
        await store.webhooks.event(IDS.merchant(), event.id)


async def test_sequences_have_no_gap_even_when_steps_fail_between(store: Store) -> None:
    payments = [await pending(store, f"order-{number}") for number in range(20)]
    codes = [f"B{number // 2}" for number in range(20)]
    race = (
        store.payments.transition(change(payment, captured(payment, code)))
        for payment, code in zip(payments, codes, strict=True)
    )
    results = await asyncio.gather(*race, return_exceptions=True)
    assert len([each for each in results if not isinstance(each, Exception)]) == 10
    events = await store.webhooks.list_events(MERCHANT_ID, EventFilter(limit=100))
    assert [event.sequence for event in events] == list(range(1, 11))
    await paid(store, "other", merchant_id=IDS.merchant())
    assert len(await store.webhooks.list_events(MERCHANT_ID, EventFilter(limit=100))) == 10


async def test_events_are_listed_in_order_after_a_sequence_and_filtered(store: Store) -> None:
    first = await paid(store, "order-1")
    failed = await step(store, await create(store, new_payment("order-2", storefront="second")), RequestRefused(101))
    reviewed = await pending(store, "order-3")
    reviewed = await step(store, reviewed, replace(captured(reviewed), amount_rials=1))
    await step(store, reviewed, OperatorDecision(Decision.ACCEPTED, "", "sara"))

    async def listed(wanted: EventFilter) -> list[int]:
        return [event.sequence for event in await store.webhooks.list_events(MERCHANT_ID, wanted)]

    assert await listed(EventFilter()) == [1, 2, 3, 4]
    assert await listed(EventFilter(after=1, limit=2)) == [2, 3]
    assert await listed(EventFilter(storefront="second")) == [2]
    assert await listed(EventFilter(type="payment.paid")) == [1]
    assert await listed(EventFilter(type="payment.paid", storefront="second")) == []
    assert await listed(EventFilter(payment_id=reviewed.id)) == [3, 4]
    assert await listed(EventFilter(payment_id=reviewed.id, type="payment.needs_review")) == [3]
    assert await listed(EventFilter(payment_id=failed.id, storefront="main")) == []
    assert await listed(EventFilter(payment_id=first.id, after=1)) == []


@pytest.mark.parametrize("more", [{}, {"storefront": "main"}, {"type": "payment.failed"}])
async def test_events_of_one_mode_fill_their_page(store: Store, more: dict[str, str]) -> None:
    for number, mode in enumerate([Mode.LIVE, Mode.TEST, Mode.TEST, Mode.LIVE]):
        created = await create(store, new_payment(f"order-{number}", mode=mode))
        await step(store, created, RequestRefused(101))
    for at in (NOW, NOW + 1):
        event_id = IDS.record(EVENT, MERCHANT_ID, at)
        await store.webhooks.add_event(Event(event_id, MERCHANT_ID, "main", Mode.LIVE, "payment.failed", None, at, {}))

    async def listed(mode: Mode | None, limit: int) -> list[int]:
        wanted = EventFilter(mode=mode, limit=limit, **more)  # type: ignore[arg-type]  # each case names text fields
        return [event.sequence for event in await store.webhooks.list_events(MERCHANT_ID, wanted)]

    assert await listed(Mode.LIVE, 10) == [1, 4, 5, 6]
    assert await listed(Mode.TEST, 2) == [2, 3]
    assert await listed(None, 10) == [1, 2, 3, 4, 5, 6]


async def test_each_endpoint_that_wants_the_event_gets_one_delivery(store: Store) -> None:
    wanting = [
        await add_endpoint(store),
        await add_endpoint(store, storefront="main"),
        await add_endpoint(store, event_types=frozenset({"payment.paid", "payment.failed"})),
        await add_endpoint(store, state=EndpointState.PAUSED),
        await add_endpoint(store, state=EndpointState.DISABLED),
    ]
    await add_endpoint(store, storefront="second")
    await add_endpoint(store, event_types=frozenset({"payment.expired"}))
    await add_merchant(store, other := IDS.merchant())
    await add_endpoint(store, other)
    payment = await paid(store)
    [event] = await store.webhooks.list_events(MERCHANT_ID, EventFilter())
    deliveries = await store.webhooks.list_deliveries(MERCHANT_ID, event.id)
    assert {delivery.endpoint_id for delivery in deliveries} == {endpoint.id for endpoint in wanting}
    assert len({delivery.id for delivery in deliveries}) == 5
    for delivery in deliveries:
        assert (delivery.status, delivery.attempts, delivery.due_at) == (DeliveryStatus.PENDING, 0, NOW)
        assert (delivery.payment_id, delivery.created_at, delivery.delivered_at) == (payment.id, NOW, None)


async def test_a_claim_carries_all_that_a_send_needs(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await paid(store)
    assert await store.webhooks.next_delivery_at() == NOW
    [claimed] = await claim(store)
    [event] = await store.webhooks.list_events(MERCHANT_ID, EventFilter())
    [delivery] = await store.webhooks.list_deliveries(MERCHANT_ID, event.id)
    assert claimed == Claim(
        MERCHANT_ID, delivery.id, endpoint, event, attempt=1, scheduled_attempt=1, claimed_at=NOW, token=TOKEN
    )
    assert (delivery.attempts, delivery.due_at) == (1, NOW + 30_000)


async def test_a_claimed_delivery_is_not_claimed_again_before_its_lease_is_over(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [first] = await claim(store)
    assert await claim(store, NOW + 29_999, token="claim-2") == []
    assert await store.webhooks.next_delivery_at() == NOW + 30_000
    [second] = await claim(store, NOW + 30_000, token="claim-2")
    assert (second.delivery_id, second.attempt) == (first.delivery_id, 2)


async def test_racing_claims_take_each_delivery_once(store: Store) -> None:
    await add_endpoint(store)
    await add_endpoint(store)
    for number in range(20):
        await paid(store, f"order-{number}")
    claims = await asyncio.gather(*(claim(store, limit=7, token=f"t{number}") for number in range(8)))
    ids = [claimed.delivery_id for batch in claims for claimed in batch]
    assert len(ids) == len(set(ids)) == 2 * DEFAULT_IN_FLIGHT


async def test_a_delivery_that_got_through_is_done(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    await store.webhooks.record_attempt(finished(claimed), None)
    [delivery] = await deliveries_of(store)
    assert (delivery.status, delivery.due_at, delivery.delivered_at) == (DeliveryStatus.DELIVERED, None, NOW + 25)
    assert await store.webhooks.list_attempts(MERCHANT_ID, delivery.id) == [finished(claimed).attempt]
    assert await store.webhooks.next_delivery_at() is None
    assert await claim(store, NOW + 10**9) == []


async def test_a_failed_attempt_is_due_again_by_the_schedule_until_that_is_used_up(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    now = NOW
    for number, delay in enumerate(DEFAULT_SCHEDULE.delays, start=1):
        [claimed] = await claim(store, now)
        assert (claimed.attempt, claimed.scheduled_attempt) == (number, number)
        recorded = await store.webhooks.record_attempt(finished(claimed, status=404, at=now), None)
        assert recorded.decision.due_at == now + delay
        assert await claim(store, now + delay - 1) == []
        now += delay
    [last] = await claim(store, now)
    await store.webhooks.record_attempt(finished(last, status=404, at=now), None)
    assert await store.webhooks.next_delivery_at() is None
    [delivery] = await deliveries_of(store)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, DEFAULT_SCHEDULE.max_attempts)
    attempts = await store.webhooks.list_attempts(MERCHANT_ID, delivery.id)
    assert [(attempt.number, attempt.status) for attempt in attempts] == [
        (n, 404) for n in range(1, DEFAULT_SCHEDULE.max_attempts + 1)
    ]


async def test_a_schedule_of_two_delays_ends_after_three_attempts(store: Store) -> None:
    schedule = RetrySchedule((SECOND, 72 * HOUR))
    await add_endpoint(store)
    await paid(store)
    now = NOW
    for delay in schedule.delays:
        [claimed] = await claim(store, now)
        recorded = await store.webhooks.record_attempt(finished(claimed, status=404, at=now, schedule=schedule), None)
        assert recorded.decision.due_at == now + delay
        now += delay
    [last] = await claim(store, now)
    await store.webhooks.record_attempt(finished(last, status=404, at=now, schedule=schedule), None)
    assert await store.webhooks.next_delivery_at() is None
    [delivery] = await deliveries_of(store)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 3)


async def test_a_delivery_that_is_past_a_shorter_schedule_fails_with_its_next_attempt(store: Store) -> None:
    """The schedule was shortened, or another replica has a shorter one."""
    await add_endpoint(store)
    await paid(store)
    now = NOW
    for delay in DEFAULT_SCHEDULE.delays[:3]:
        [claimed] = await claim(store, now)
        await store.webhooks.record_attempt(finished(claimed, status=404, at=now), None)
        now += delay
    [claimed] = await claim(store, now)
    report = finished(claimed, status=404, at=now, schedule=RetrySchedule((SECOND,)))
    await store.webhooks.record_attempt(report, None)
    [delivery] = await deliveries_of(store)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 4)


async def test_an_attempt_that_was_never_recorded_is_unknown(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [first] = await claim(store)
    [second] = await claim(store, NOW + 30_000, token="claim-2")
    await store.webhooks.record_attempt(finished(second), None)
    attempts = await store.webhooks.list_attempts(MERCHANT_ID, first.delivery_id)
    assert [attempt.outcome for attempt in attempts] == ["unknown", "delivered"]
    assert attempts[0] == Attempt(1, NOW, None, "unknown", None, None, b"")


@pytest.mark.parametrize("token", ["claim-2", TOKEN])
async def test_a_late_worker_does_not_overwrite_the_new_owner(store: Store, token: str) -> None:
    await add_endpoint(store)
    await paid(store)
    [first] = await claim(store)
    [second] = await claim(store, NOW + 30_000, token=token)
    with pytest.raises(LeaseLost):
        await store.webhooks.record_attempt(finished(first, delivered=False), None)
    await store.webhooks.record_attempt(finished(second), None)
    with pytest.raises(LeaseLost):
        await store.webhooks.record_attempt(finished(second, delivered=False), None)
    assert [delivery.status for delivery in await deliveries_of(store)] == [DeliveryStatus.DELIVERED]


async def test_a_lease_that_is_over_still_records_when_nobody_took_it(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store, NOW - 60_000 + 60_000)
    await store.webhooks.record_attempt(finished(claimed), None)
    assert [delivery.status for delivery in await deliveries_of(store)] == [DeliveryStatus.DELIVERED]


async def test_released_deliveries_are_due_at_once_and_not_counted(store: Store) -> None:
    await add_endpoint(store)
    for number in range(3):
        await paid(store, f"order-{number}")
    claims = await claim(store)
    await store.webhooks.record_attempt(finished(claims[0]), None)
    await store.webhooks.release_deliveries(claims)
    assert await store.webhooks.next_delivery_at() == NOW
    assert sorted((delivery.status, delivery.attempts) for delivery in await deliveries_of(store)) == [
        (DeliveryStatus.DELIVERED, 1),
        (DeliveryStatus.PENDING, 0),
        (DeliveryStatus.PENDING, 0),
    ]
    assert await store.webhooks.list_attempts(MERCHANT_ID, claims[1].delivery_id) == []
    assert {(again.delivery_id, again.attempt) for again in await claim(store)} == {
        (released.delivery_id, 1) for released in claims[1:]
    }
    await store.webhooks.release_deliveries([])


@pytest.mark.parametrize("state", [EndpointState.PAUSED, EndpointState.DISABLED])
async def test_what_is_due_at_an_endpoint_that_is_not_enabled_is_held_and_drains(
    store: Store, state: EndpointState
) -> None:
    endpoint = await add_endpoint(store, state=state)
    await paid(store, "order-1")
    assert await store.webhooks.next_delivery_at() is None
    assert await claim(store) == []
    await store.webhooks.save_endpoint(endpoint, replace(endpoint, state=EndpointState.ENABLED), new_audit())
    await paid(store, "order-2")
    assert await store.webhooks.next_delivery_at() == NOW
    assert len(await claim(store)) == 2


async def test_an_endpoint_that_is_disabled_in_flight_holds_its_retry(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    disabled = replace(endpoint, state=EndpointState.DISABLED, state_reason="gone", updated_at=NOW + 1)
    await store.webhooks.save_endpoint(endpoint, disabled, new_audit())
    await store.webhooks.record_attempt(finished(claimed, delivered=False, at=NOW), None)
    assert await store.webhooks.next_delivery_at() is None
    assert await claim(store, NOW + 5000) == []
    await store.webhooks.save_endpoint(disabled, replace(endpoint, updated_at=NOW + 2), new_audit())
    assert await store.webhooks.next_delivery_at() == NOW + 5000


async def test_a_claim_reads_the_endpoint_as_it_is_now(store: Store) -> None:
    endpoint = await add_endpoint(store)
    await paid(store)
    moved = replace(endpoint, url="https://elsewhere.example/hook", header_names=(), updated_at=NOW + 1)
    await store.webhooks.save_endpoint(endpoint, moved, new_audit())
    [claimed] = await claim(store)
    assert claimed.endpoint == moved


async def test_deleting_an_endpoint_drops_what_was_still_to_be_delivered(store: Store) -> None:
    endpoint = await add_endpoint(store)
    for number in range(3):
        await paid(store, f"order-{number}")
    claims = await claim(store, limit=2)
    await store.webhooks.record_attempt(finished(claims[0]), None)
    await store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id)
    statuses = sorted(delivery.status for delivery in await deliveries_of(store))
    assert statuses == [DeliveryStatus.DELIVERED, DeliveryStatus.DROPPED, DeliveryStatus.DROPPED]
    assert await store.merchants.secrets(MERCHANT_ID, endpoint.id) == []
    assert await store.webhooks.next_delivery_at() is None
    with pytest.raises(LeaseLost):
        await store.webhooks.record_attempt(finished(claims[1]), None)
    with pytest.raises(NotFound):
        await store.webhooks.delete_endpoint(MERCHANT_ID, endpoint.id)


async def test_endpoints_are_served_in_turn(store: Store) -> None:
    busy = await add_endpoint(store, event_types=frozenset({"payment.paid"}))
    for number in range(30):
        await paid(store, f"order-{number}")
    quiet = await add_endpoint(store, event_types=frozenset({"payment.failed"}))
    await step(store, await create(store, new_payment("order-x")), RequestRefused(101), NOW + 1)

    def endpoints(claims: Sequence[Claim]) -> list[str]:
        return [claimed.endpoint.id for claimed in claims]

    assert endpoints(await claim(store, NOW + 1, limit=4)) == [busy.id, busy.id, quiet.id]
    await step(store, await create(store, new_payment("order-y")), RequestRefused(101), NOW + 1)
    served = [endpoint for n in (2, 3) for endpoint in endpoints(await claim(store, NOW + n, limit=1))]
    assert sorted(served) == sorted([busy.id, quiet.id])


async def test_a_claim_takes_no_more_than_its_limit(store: Store) -> None:
    for _ in range(3):
        await add_endpoint(store)
    for number in range(4):
        await paid(store, f"order-{number}")
    assert [len(await claim(store, limit=limit)) for limit in (1, 2, 3)] == [1, 2, 3]


async def test_lists_are_the_merchants_own(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [delivery] = await deliveries_of(store)
    await claim(store)
    other = IDS.merchant()
    assert await store.webhooks.list_deliveries(other, delivery.event_id) == []
    assert await store.webhooks.list_attempts(other, delivery.id) == []
    assert await store.webhooks.list_events(other, EventFilter()) == []


async def test_the_excerpt_is_kept_to_the_byte(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    excerpt = bytes(range(256)) * 16
    report = finished(claimed)
    await store.webhooks.record_attempt(replace(report, attempt=replace(report.attempt, excerpt=excerpt)), None)
    [attempt] = await store.webhooks.list_attempts(MERCHANT_ID, claimed.delivery_id)
    assert attempt.excerpt == excerpt


async def test_the_lease_of_a_claim_is_the_callers(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    await store.webhooks.claim_deliveries(NOW, Lease(LEASE + 7, TOKEN), 1)
    assert await store.webhooks.next_delivery_at() == LEASE + 7


AT_ONCE = Lease(NOW + 25_000, "at once")
NEXT = Lease(NOW + 40_000, "next")


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
    payments = [await pending(store, f"{number}") for number in range(DEFAULT_IN_FLIGHT + 2)]
    begun = await asyncio.gather(*(store.payments.transition(paying(each), AT_ONCE) for each in payments))
    claims = [claimed for each in begun for claimed in each.claims]
    assert len(claims) == DEFAULT_IN_FLIGHT
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
    await backlog(store, DEFAULT_IN_FLIGHT + 1)
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
    await backlog(store, 3 * DEFAULT_IN_FLIGHT)
    claims = await claim(store)
    for _ in range(2):
        recorded = await asyncio.gather(*(store.webhooks.record_attempt(finished(each), NEXT) for each in claims))
        claims = [each.following for each in recorded if each.following is not None]
        assert len(claims) == DEFAULT_IN_FLIGHT
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
