"""What monitoring and restores ask of a store: statistics, unsettled payments, rechecks."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.gateways.port import Canceled, InvoiceIssued, NotPaid, RequestRefused
from proxy.kernel.clock import DAY, HOUR
from proxy.kernel.ids import Ids
from proxy.observability.statistics import DueStatistics
from proxy.operations.restores import Recheck
from proxy.payments.change import PAID_AMOUNT, PAID_UNCHECKED, PAID_UNTOLD, PENDING_UNWATCHED, Change, Entry
from proxy.payments.check_schedule import ScheduleChange, begin
from proxy.payments.payment import Decision, OperatorDecision, Payment, Status
from proxy.stores.store import Store
from proxy.webhooks.delivery import Lease
from proxy.webhooks.endpoint import EndpointState
from store import records
from store.records import (
    IDS,
    MERCHANT_ID,
    NOW,
    add_endpoint,
    add_merchant,
    captured,
    change,
    create,
    new_intent,
    new_payment,
    paid,
    pending,
    step,
)

OTHER_ID = "mer_ZZZZZZZZ"
CHECKED = Entry(NOW, "gateway.check", 5, {"outcome": "captured"})
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_an_empty_store_has_nothing_open_and_nothing_due(store: Store) -> None:
    statistics = await store.statistics.open_statistics(None, 10)
    assert (statistics.reached, sum(statistics.payments.values()), statistics.oldest) == (None, 0, {})
    assert await store.statistics.due_statistics() == DueStatistics(0, None, 0, None)
    assert (await store.statistics.audit(None, 0, 10)).violations == {}


async def test_open_payments_are_counted_by_status_with_the_oldest_of_each(store: Store) -> None:
    await add_merchant(store)
    await create(store, new_payment("a", created_at=NOW - HOUR))
    await pending(store, "b")
    await pending(store, "c")
    await paid(store, "d")
    statistics = await store.statistics.open_statistics(None, 10)
    assert {name: count for name, count in statistics.payments.items() if count} == {"created": 1, "pending": 2}
    assert statistics.oldest == {"created": NOW - HOUR, "pending": NOW}


async def test_a_review_is_open_until_somebody_resolved_it(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    less = replace(captured(before), amount_rials=1_000)
    review = await step(store, before, less)
    assert (await store.statistics.open_statistics(None, 10)).payments["needs_review"] == 1
    await step(store, review, OperatorDecision(Decision.REFUNDED, "sent back", "sara"))
    statistics = await store.statistics.open_statistics(None, 10)
    assert (statistics.payments["needs_review"], statistics.oldest) == (0, {})


async def test_merchants_are_walked_in_stretches(store: Store) -> None:
    for merchant_id in (MERCHANT_ID, OTHER_ID):
        await add_merchant(store, merchant_id)
        await add_endpoint(store, merchant_id)
    await add_endpoint(store, state=EndpointState.PAUSED)
    first = await store.statistics.open_statistics(None, 1)
    assert first.reached == min(MERCHANT_ID, OTHER_ID)
    second = await store.statistics.open_statistics(first.reached, 1)
    third = await store.statistics.open_statistics(second.reached, 1)
    assert third.reached is None
    states = [{name: count for name, count in each.endpoints.items() if count} for each in (first, second, third)]
    assert sorted(states, key=len) == [{}, {"enabled": 1}, {"enabled": 1, "paused": 1}]


async def test_what_is_due_is_counted_with_the_first_of_it(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    watched = await pending(store, "a")
    await paid(store, "b")
    await store.payments.transition(replace_watch(await change_nothing(store, watched.id), NOW + HOUR))
    statistics = await store.statistics.due_statistics()
    assert (statistics.deliveries, statistics.delivery_due_at) == (1, NOW)
    assert statistics.watches >= 1
    await store.webhooks.claim_deliveries(NOW, Lease(NOW + DAY, "t"), 10)
    assert (await store.statistics.due_statistics()).deliveries == 1, "one that is on its way is not delivered yet"


async def change_nothing(store: Store, payment_id: str) -> Change:
    payment = await store.payments.payment(MERCHANT_ID, payment_id)
    watch = await store.payments.check_schedule(MERCHANT_ID, payment_id)
    return Change(payment, payment, schedule=ScheduleChange(watch, watch))


def replace_watch(written: Change, due_at: int) -> Change:
    assert written.schedule is not None
    read = written.schedule.read
    assert read is not None
    later = replace(read, due_at=due_at, version=read.version + 1)
    return replace(written, schedule=ScheduleChange(read, later))


async def test_an_audit_finds_nothing_in_what_is_right(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    await step(store, before, captured(before), entries=(CHECKED,), schedule=ScheduleChange(None, None))
    await pending(store, "b")
    assert (await store.statistics.audit(None, 0, 10)).violations == {}


async def test_an_audit_finds_what_can_never_be(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    wrong = change(before, captured(before))
    after = replace(wrong.after, captured_rials=1)
    await store.payments.transition(replace(wrong, after=after, events=(), schedule=ScheduleChange(None, None)))
    unwatched = await pending(store, "b")
    watch = await store.payments.check_schedule(MERCHANT_ID, unwatched.id)
    await store.payments.transition(Change(unwatched, unwatched, schedule=ScheduleChange(watch, None)))
    found = (await store.statistics.audit(None, 0, 10)).violations
    assert found == {PAID_UNCHECKED: 1, PAID_AMOUNT: 1, PAID_UNTOLD: 1, PENDING_UNWATCHED: 1}
    assert (await store.statistics.audit(None, NOW + 1, 10)).violations == {}, "only what was created since then"


async def test_a_payments_trace_goes_over_to_its_events(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    payment = new_payment()
    await store.payments.create_payment(payment, replace(new_intent(), traceparent=TRACEPARENT), begin(payment))
    assert await store.payments.trace_of_payment(MERCHANT_ID, payment.id) == TRACEPARENT
    assert await store.payments.trace_of_link(MERCHANT_ID, payment.link) == TRACEPARENT
    await paid(store, "untraced")
    await step(store, payment, RequestRefused(100))
    claims = await store.webhooks.claim_deliveries(NOW, Lease(NOW + DAY, "t"), 10)
    assert {claim.event.payment_id: claim.event.traceparent for claim in claims}[payment.id] == TRACEPARENT
    assert [claim.event.traceparent for claim in claims if claim.event.payment_id != payment.id] == [None]


async def test_what_is_not_there_has_no_trace(store: Store) -> None:
    await add_merchant(store)
    payment = await create(store)
    assert await store.payments.trace_of_payment(MERCHANT_ID, payment.id) is None
    assert await store.payments.trace_of_payment(MERCHANT_ID, "pay_nothing") is None
    assert await store.payments.trace_of_link(OTHER_ID, payment.link) is None


async def walk(store: Store, since: int, limit: int) -> list[str]:
    """The ids in the order in which the walk gives them; it must end."""
    found: list[str] = []
    after = None
    for _ in range(1000):
        page = await store.payments.unsettled_since(since, after, limit)
        assert len(page.payments) <= limit
        found += [payment.id for payment in page.payments]
        after = page.reached
        if after is None:
            return found
    raise AssertionError("the walk does not end")


async def one_of_each(store: Store, merchant_id: str, at: int) -> tuple[list[Payment], list[Payment]]:
    """Payments that the walk gives, and such that it does not."""
    options: dict[str, Any] = {"merchant_id": merchant_id, "at": at}
    order = IDS.random(6)
    open_one = await pending(store, order, **options)
    canceled = await pending(store, order, **options)
    canceled = await step(store, canceled, Canceled(canceled.invoice_key or ""))
    expired = await pending(store, order, **options)
    expired = await step(store, expired, NotPaid(expired.invoice_key or ""), now=expired.expires_at)
    failed = await step(store, await create(store, new_payment(order, **options)), RequestRefused(101))
    failed = await step(store, failed, InvoiceIssued(IDS.random(12)))
    asked = await create(store, new_payment(order, **options))
    done = await paid(store, f"{order}-paid", **options)
    odd = await pending(store, order, **options)
    odd = await step(store, odd, replace(captured(odd), amount_rials=1000))
    assert [each.status for each in (canceled, expired, failed, odd)] == [
        Status.CANCELED,
        Status.EXPIRED,
        Status.FAILED,
        Status.NEEDS_REVIEW,
    ]
    return [open_one, canceled, expired, failed], [asked, done, odd]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_it_gives_every_payment_once_by_merchant_and_age_and_skips_what_is_settled(
    store: Store, limit: int
) -> None:
    merchants = sorted(IDS.merchant() for _ in range(3))
    expected: list[str] = []
    for merchant_id in merchants:
        await add_merchant(store, merchant_id)
        given: list[Payment] = []
        for age in (2, 1):
            given += (await one_of_each(store, merchant_id, NOW - age * HOUR))[0]
        expected += sorted(payment.id for payment in given)
    assert await walk(store, NOW - 3 * HOUR, limit) == expected


async def test_it_begins_at_the_time_and_not_before(store: Store) -> None:
    merchant = await add_merchant(store)
    before, at, later = [
        await pending(store, str(moment), merchant_id=merchant.id, at=moment) for moment in (NOW - 1, NOW, NOW + 1)
    ]
    assert await walk(store, NOW, 10) == [at.id, later.id]
    assert await walk(store, NOW - 1, 10) == [before.id, at.id, later.id]
    assert await walk(store, NOW + 2, 10) == []


async def test_what_is_settled_while_it_goes_on_is_left_out_and_the_rest_still_given(store: Store) -> None:
    merchant = await add_merchant(store)
    payments = [await pending(store, str(n), merchant_id=merchant.id, at=NOW + n) for n in range(4)]
    first = await store.payments.unsettled_since(NOW, None, 2)
    assert [payment.id for payment in first.payments] == [payment.id for payment in payments[:2]]
    await step(store, payments[2], captured(payments[2]))
    rest = await store.payments.unsettled_since(NOW, first.reached, 2)
    assert [payment.id for payment in rest.payments] == [payments[3].id]
    assert rest.payments[0] == payments[3]


async def test_many_merchants_with_nothing_are_passed_in_bounded_steps(store: Store) -> None:
    ids = sorted(IDS.merchant() for _ in range(450))
    for merchant_id in ids:
        await add_merchant(store, merchant_id)
    last = await pending(store, merchant_id=ids[-1], at=NOW)
    steps, after, found = 0, None, []
    while steps == 0 or after is not None:
        page = await store.payments.unsettled_since(NOW, after, 10)
        found += list(page.payments)
        after, steps = page.reached, steps + 1
        assert steps < 20
    assert found == [last]
    assert steps > 1, "one step looked at every merchant"


async def test_a_store_without_merchants_has_nothing(store: Store) -> None:
    page = await store.payments.unsettled_since(NOW, None, 10)
    assert (list(page.payments), page.reached) == ([], None)
    page = await store.payments.unsettled_since(NOW, Ids(bytes).merchant(), 10)
    assert (list(page.payments), page.reached) == ([], None)


async def test_a_restore_goes_back_to_when_the_store_was_last_seen_to_be_written(store: Store) -> None:
    assert await store.recovery.next_recheck_at() is None
    await store.heartbeat.ping()
    assert await store.recovery.note_restore(None, NOW + 5000) == NOW
    assert await store.recovery.next_recheck_at() == NOW + 5000
    assert await store.recovery.claim_recheck(NOW + 5000, NOW + 9000) == Recheck(NOW + 5000, NOW, NOW + 9000)


async def test_a_walk_is_one_processs_until_its_lease_is_over(store: Store) -> None:
    await store.recovery.note_restore(NOW - 1, NOW)
    assert await store.recovery.claim_recheck(NOW - 1, NOW + 50) is None
    held = await store.recovery.claim_recheck(NOW, NOW + 50)
    assert held is not None
    assert await store.recovery.claim_recheck(NOW + 49, NOW + 99) is None
    other = await store.recovery.claim_recheck(NOW + 50, NOW + 99)
    assert other is not None
    await store.recovery.save_recheck(held, None)
    await store.recovery.save_recheck(held, replace(held, reached="pay_late"))
    assert await store.recovery.next_recheck_at() == NOW + 99
    await store.recovery.save_recheck(other, replace(other, reached="pay_1", unclear=2, due_at=NOW + 60))
    again = await store.recovery.claim_recheck(NOW + 60, NOW + 70)
    assert again == Recheck(NOW, NOW - 1, NOW + 70, "pay_1", 2)
    await store.recovery.save_recheck(again, None)
    assert await store.recovery.next_recheck_at() is None


async def test_the_older_walk_comes_first(store: Store) -> None:
    await store.recovery.note_restore(NOW - 100, NOW)
    await store.recovery.note_restore(NOW - 50, NOW + 10)
    held = await store.recovery.claim_recheck(NOW + 10, NOW + 20)
    assert held is not None
    assert held.noted_at == NOW
    await store.recovery.save_recheck(held, None)
    held = await store.recovery.claim_recheck(NOW + 10, NOW + 20)
    assert held is not None
    assert (held.noted_at, held.moment) == (NOW + 10, NOW - 50)


async def test_events_are_numbered_on_behind_those_that_may_have_been_told_of(store: Store) -> None:
    await records.add_merchant(store)
    await records.add_endpoint(store)
    await records.paid(store, "order-1")
    before = await store.webhooks.last_sequence(MERCHANT_ID)
    await store.recovery.note_restore(None, NOW)
    await records.paid(store, "order-2")
    assert before == 1
    assert await store.webhooks.last_sequence(MERCHANT_ID) == before + 1_000_001
