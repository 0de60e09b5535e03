"""Due times that a clock which was ahead has left beyond what their schedules can give."""

import asyncio
from dataclasses import replace

import pytest

from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.kernel.errors import LeaseLost
from proxy.payments.change import Change
from proxy.payments.check_schedule import GAPS, CheckSchedule, ScheduleChange
from proxy.payments.creation import REQUEST_LEASE
from proxy.stores.store import Store
from proxy.webhooks.retry_policy import RetrySchedule
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant, create, new_intent, new_payment, paid
from store.test_deliveries import claim, finished

AHEAD = 210 * MINUTE


@pytest.fixture(autouse=True)
async def merchant(store: Store) -> None:
    await add_merchant(store)


async def watched(store: Store, number: int, due_at: int, soon: int | None, point: int | None) -> CheckSchedule:
    """A payment's watch as a process left it."""
    payment = new_payment(f"order-{number}")
    watch = CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, due_at, soon, point=point)
    await store.payments.create_payment(payment, new_intent(), watch)
    return watch


@pytest.mark.parametrize(
    ("soon", "point", "longest"),
    [
        (None, 11, round(1.1 * GAPS[11])),
        (None, 9, round(1.1 * GAPS[9])),
        (None, 2, 10 * MINUTE),
        (3, 11, 10 * MINUTE),
        (7, 0, 11 * MINUTE),
        (None, None, 10 * MINUTE),
    ],
)
async def test_a_watch_waits_no_longer_than_its_schedule_can_give(
    store: Store, soon: int | None, point: int | None, longest: int
) -> None:
    within = await watched(store, 1, NOW + longest, soon, point)
    beyond = await watched(store, 2, NOW + longest + 2 * SECOND, soon, point)
    assert (await store.due_times.pull_in(NOW, strictly=False))["watches"] == 1
    assert await store.payments.check_schedule(MERCHANT_ID, within.payment_id) == within
    assert await store.payments.check_schedule(MERCHANT_ID, beyond.payment_id) == replace(beyond, due_at=NOW)
    assert not any((await store.due_times.pull_in(NOW, strictly=True)).values())


async def test_replicas_that_pull_in_at_once_move_each_watch_once_and_no_newer_plan(store: Store) -> None:
    watches = [await watched(store, number, NOW + DAY + number % 3, None, 4) for number in range(1100)]
    payment = await store.payments.payment(MERCHANT_ID, watches[0].payment_id)
    newer = replace(watches[0], due_at=NOW + 7, version=2)
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(watches[0], newer)))
    counts = await asyncio.gather(*(store.due_times.pull_in(NOW, strictly=True) for _ in range(3)))
    assert sum(each["watches"] for each in counts) == 1099
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == newer
    assert await store.payments.next_check_at() == NOW


async def served_ahead(store: Store, retry_after_seconds: int | None = None) -> None:
    """An event whose first attempt failed while the clock was ahead."""
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store, NOW + AHEAD)
    await store.webhooks.record_attempt(
        finished(claimed, delivered=False, at=NOW + AHEAD, status=503, retry_after_seconds=retry_after_seconds), None
    )


@pytest.mark.parametrize("strictly", [False, True])
async def test_a_retry_that_was_planned_by_a_clock_ahead_comes_in_its_delay(store: Store, strictly: bool) -> None:
    await served_ahead(store)
    assert (await store.webhooks.next_delivery_at() or 0) > NOW + AHEAD
    assert (await store.due_times.pull_in(NOW, strictly=strictly))["deliveries"] == 1
    assert await store.webhooks.next_delivery_at() == NOW + 6 * SECOND
    assert len(await claim(store, NOW + 6 * SECOND)) == 1


async def test_a_retry_comes_in_the_delay_of_the_schedule_of_the_settings(store: Store) -> None:
    await served_ahead(store)
    schedule = RetrySchedule((10 * SECOND,))
    assert (await store.due_times.pull_in(NOW, strictly=True, schedule=schedule))["deliveries"] == 1
    assert await store.webhooks.next_delivery_at() == NOW + 12 * SECOND
    assert (await store.due_times.pull_in(NOW, strictly=True, schedule=schedule))["deliveries"] == 0


async def test_a_retry_in_72_hours_is_no_sign_of_a_clock_ahead(store: Store) -> None:
    schedule = RetrySchedule((72 * HOUR,))
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    report = finished(claimed, status=404, at=NOW, schedule=schedule)
    await store.webhooks.record_attempt(report, None)
    assert (await store.due_times.pull_in(NOW, strictly=False, schedule=schedule))["deliveries"] == 0
    assert await store.webhooks.next_delivery_at() == NOW + 72 * HOUR


async def test_an_endpoint_that_was_paused_by_a_clock_ahead_is_served_again(store: Store) -> None:
    await served_ahead(store, retry_after_seconds=3600)
    await store.due_times.pull_in(NOW, strictly=False)
    assert (await store.webhooks.next_delivery_at() or 0) <= NOW + MINUTE
    assert len(await claim(store, NOW + MINUTE)) == 1


async def test_a_pause_that_an_endpoint_asked_for_is_kept_by_a_clock_that_was_right(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    [claimed] = await claim(store)
    await store.webhooks.record_attempt(
        finished(claimed, delivered=False, at=NOW, status=503, retry_after_seconds=20 * 3600), None
    )
    assert (await store.due_times.pull_in(NOW, strictly=False))["deliveries"] == 0
    assert await store.webhooks.next_delivery_at() == NOW + 20 * HOUR


async def test_an_attempt_claimed_by_a_clock_ahead_whose_process_died_does_not_hold_its_place(store: Store) -> None:
    await add_endpoint(store)
    await paid(store)
    await claim(store, NOW + AHEAD)
    await store.due_times.pull_in(NOW, strictly=False)
    assert len(await claim(store, NOW + 31 * SECOND, token="another")) == 1


async def test_a_create_that_was_leased_by_a_clock_ahead_may_be_asked_for_again(store: Store) -> None:
    payment = await create(store)
    await store.payments.lease_request(payment, NOW + AHEAD, NOW + AHEAD + 30 * SECOND)
    assert (await store.due_times.pull_in(NOW, strictly=False))["leases"] == 1
    assert (await store.payments.lease_request(payment, NOW, NOW + 30 * SECOND)).payment == payment


async def test_a_create_that_began_while_due_times_were_pulled_in_keeps_its_lease(store: Store) -> None:
    payment = await create(store)
    began = NOW + REQUEST_LEASE
    await store.payments.lease_request(payment, began, began + REQUEST_LEASE)
    assert (await store.due_times.pull_in(began - 5 * SECOND, strictly=True))["leases"] == 0
    with pytest.raises(LeaseLost):
        await store.payments.lease_request(payment, began, began + REQUEST_LEASE)


async def test_a_payment_without_an_invoice_waits_for_its_expiry(store: Store) -> None:
    payment = await create(store)
    assert payment.expires_at > NOW + 10 * MINUTE
    assert not any((await store.due_times.pull_in(NOW, strictly=True)).values())
