"""What monitoring asks of a store, and the trace that a payment keeps."""

from dataclasses import replace

from proxy.clock import DAY, HOUR
from proxy.facts import Decision, RequestRefused, Resolved
from proxy.figures import DueFigures
from proxy.invariants import PAID_AMOUNT, PAID_UNCHECKED, PAID_UNTOLD, PENDING_UNWATCHED
from proxy.merchant import EndpointState
from proxy.ports import Store
from proxy.records import Change, Entry, Lease
from proxy.watch import begin
from store.records import (
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
    figures = await store.open_figures(None, 10)
    assert (figures.reached, sum(figures.payments.values()), figures.oldest) == (None, 0, {})
    assert await store.due_figures() == DueFigures(0, None, 0, None)
    assert (await store.audit(None, 0, 10)).violations == {}


async def test_open_payments_are_counted_by_status_with_the_oldest_of_each(store: Store) -> None:
    await add_merchant(store)
    await create(store, new_payment("a", created_at=NOW - HOUR))
    await pending(store, "b")
    await pending(store, "c")
    await paid(store, "d")
    figures = await store.open_figures(None, 10)
    assert {name: count for name, count in figures.payments.items() if count} == {"created": 1, "pending": 2}
    assert figures.oldest == {"created": NOW - HOUR, "pending": NOW}


async def test_a_review_is_open_until_somebody_resolved_it(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    less = replace(captured(before), amount_rials=1_000)
    review = await step(store, before, less)
    assert (await store.open_figures(None, 10)).payments["needs_review"] == 1
    await step(store, review, Resolved(Decision.REFUNDED, "sent back", "sara"))
    figures = await store.open_figures(None, 10)
    assert (figures.payments["needs_review"], figures.oldest) == (0, {})


async def test_merchants_are_walked_in_stretches(store: Store) -> None:
    for merchant_id in (MERCHANT_ID, OTHER_ID):
        await add_merchant(store, merchant_id)
        await add_endpoint(store, merchant_id)
    await add_endpoint(store, state=EndpointState.PAUSED)
    first = await store.open_figures(None, 1)
    assert first.reached == min(MERCHANT_ID, OTHER_ID)
    second = await store.open_figures(first.reached, 1)
    third = await store.open_figures(second.reached, 1)
    assert third.reached is None
    states = [{name: count for name, count in each.endpoints.items() if count} for each in (first, second, third)]
    assert sorted(states, key=len) == [{}, {"enabled": 1}, {"enabled": 1, "paused": 1}]


async def test_what_is_due_is_counted_with_the_first_of_it(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    watched = await pending(store, "a")
    await paid(store, "b")
    await store.transition(replace_watch(await change_nothing(store, watched.id), NOW + HOUR))
    figures = await store.due_figures()
    assert (figures.deliveries, figures.delivery_due_at) == (1, NOW)
    assert figures.watches >= 1
    await store.claim_deliveries(NOW, Lease(NOW + DAY, "t"), 10)
    assert (await store.due_figures()).deliveries == 1, "one that is on its way is not delivered yet"


async def change_nothing(store: Store, payment_id: str) -> Change:
    payment = await store.payment(MERCHANT_ID, payment_id)
    watch = await store.watch(MERCHANT_ID, payment_id)
    return Change(payment, payment, watch=watch, watch_read=watch)


def replace_watch(written: Change, due_at: int) -> Change:
    assert written.watch is not None
    return replace(written, watch=replace(written.watch, due_at=due_at, version=written.watch.version + 1))


async def test_an_audit_finds_nothing_in_what_is_right(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    await step(store, before, captured(before), entries=(CHECKED,), watch=None)
    await pending(store, "b")
    assert (await store.audit(None, 0, 10)).violations == {}


async def test_an_audit_finds_what_can_never_be(store: Store) -> None:
    await add_merchant(store)
    before = await pending(store)
    wrong = change(before, captured(before))
    after = replace(wrong.after, captured_rials=1)
    await store.transition(replace(wrong, after=after, events=(), watch=None))
    unwatched = await pending(store, "b")
    await store.transition(replace(await change_nothing(store, unwatched.id), watch=None))
    found = (await store.audit(None, 0, 10)).violations
    assert found == {PAID_UNCHECKED: 1, PAID_AMOUNT: 1, PAID_UNTOLD: 1, PENDING_UNWATCHED: 1}
    assert (await store.audit(None, NOW + 1, 10)).violations == {}, "only what was created since then"


async def test_a_payments_trace_goes_over_to_its_events(store: Store) -> None:
    await add_merchant(store)
    await add_endpoint(store)
    payment = new_payment()
    await store.create_payment(payment, replace(new_intent(), traceparent=TRACEPARENT), begin(payment))
    assert await store.trace_of_payment(MERCHANT_ID, payment.id) == TRACEPARENT
    assert await store.trace_of_link(MERCHANT_ID, payment.link) == TRACEPARENT
    await paid(store, "untraced")
    await step(store, payment, RequestRefused(100))
    claims = await store.claim_deliveries(NOW, Lease(NOW + DAY, "t"), 10)
    assert {claim.event.payment_id: claim.event.traceparent for claim in claims}[payment.id] == TRACEPARENT
    assert [claim.event.traceparent for claim in claims if claim.event.payment_id != payment.id] == [None]


async def test_what_is_not_there_has_no_trace(store: Store) -> None:
    await add_merchant(store)
    payment = await create(store)
    assert await store.trace_of_payment(MERCHANT_ID, payment.id) is None
    assert await store.trace_of_payment(MERCHANT_ID, "pay_nothing") is None
    assert await store.trace_of_link(OTHER_ID, payment.link) is None
