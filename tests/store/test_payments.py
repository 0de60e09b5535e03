"""Payments: creates and their keys, transitions and watches, and what only one payment may have."""

import asyncio
from dataclasses import replace

import pytest

from proxy.gateways.port import Canceled, InvoiceIssued, NotPaid, RequestRefused
from proxy.kernel.errors import LeaseLost, NotFound, OrderAlreadyPaid, StaleVersion
from proxy.merchants.merchant import Mode
from proxy.payments.change import BankCodeTaken, Change, Entry, InvoiceKeyTaken, OrderPaidByAnother, Reply
from proxy.payments.check_schedule import CheckSchedule, ScheduleChange, begin, hurry
from proxy.payments.payment import Decision, OperatorDecision, Payment, ReviewReason, Status
from proxy.payments.search import PaymentFilter, PaymentPage, place_of
from proxy.stores.store import Store
from proxy.webhooks.event import EventFilter
from store.records import (
    IDS,
    LEASE,
    MERCHANT_ID,
    NOW,
    captured,
    change,
    create,
    create_with,
    new_intent,
    new_payment,
    new_watch,
    paid,
    pending,
    step,
)

RETURN = Entry(NOW, "return", None, {"claimed": {}})


def hurried(payment: Payment, watch: CheckSchedule | None) -> Change:
    plan = hurry(watch or begin(payment), NOW + 7)
    return Change(payment, payment, entries=(RETURN,), schedule=ScheduleChange(watch, plan))


async def test_a_payment_reads_back_as_it_was_stored(store: Store) -> None:
    payment = new_payment()
    intent = new_intent("key")
    stored = await store.payments.create_payment(payment, intent, begin(payment))
    assert (stored.payment, stored.intent, stored.reply, stored.fresh) == (payment, intent, None, True)
    assert await store.payments.payment(MERCHANT_ID, payment.id) == payment
    assert await store.payments.payment_by_link(MERCHANT_ID, payment.link) == payment
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == begin(payment)


async def test_a_return_is_noted_with_the_payment_and_the_watch_that_are_stored(store: Store) -> None:
    payment = await pending(store)
    noted = await store.payments.note(MERCHANT_ID, payment.link, hurried)
    plan = hurry(begin(payment), NOW + 7)
    assert noted == (payment, plan)
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == plan
    assert await store.payments.timeline(MERCHANT_ID, payment.id) == [RETURN]


async def test_a_return_begins_the_watch_of_a_payment_that_has_none(store: Store) -> None:
    pending_payment = await pending(store)
    assert pending_payment.invoice_key is not None
    payment = await step(
        store, pending_payment, Canceled(pending_payment.invoice_key), schedule=ScheduleChange(None, None)
    )
    _, plan = await store.payments.note(MERCHANT_ID, payment.link, hurried)
    assert plan is not None
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == plan


async def test_returns_that_come_together_are_each_noted(store: Store) -> None:
    first, second = await pending(store, "1"), await pending(store, "2")
    links = [first.link, first.link, second.link, IDS.link(MERCHANT_ID, NOW)]
    noted = await asyncio.gather(
        *(store.payments.note(MERCHANT_ID, link, hurried) for link in links), return_exceptions=True
    )
    assert isinstance(noted[-1], NotFound)
    assert await store.payments.timeline(MERCHANT_ID, first.id) == [RETURN, RETURN]
    assert await store.payments.timeline(MERCHANT_ID, second.id) == [RETURN]
    for payment in (first, second):
        assert (payment, await store.payments.check_schedule(MERCHANT_ID, payment.id)) in noted


async def test_what_is_not_to_be_noted_writes_nothing(store: Store) -> None:
    payment = await pending(store)
    watch = await store.payments.check_schedule(MERCHANT_ID, payment.id)
    assert await store.payments.note(MERCHANT_ID, payment.link, lambda _payment, _watch: None) == (payment, None)
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == watch
    assert await store.payments.timeline(MERCHANT_ID, payment.id) == []


async def test_the_largest_amount_survives(store: Store) -> None:
    payment = await create(store, new_payment(amount_rials=2**53 - 1))
    assert (await store.payments.payment(MERCHANT_ID, payment.id)).amount_rials == 2**53 - 1


async def test_every_field_of_a_reviewed_payment_reads_back(store: Store) -> None:
    before = await step(store, await pending(store), InvoiceIssued("spare"))
    reviewed = await step(store, before, replace(captured(before), amount_rials=1000))
    assert reviewed.review is not None
    assert reviewed.review.reason is ReviewReason.AMOUNT_DIFFERS
    resolved = await step(store, reviewed, OperatorDecision(Decision.REFUNDED, "بازگشت داده شد", "sara"))
    assert await store.payments.payment(MERCHANT_ID, resolved.id) == resolved


async def test_a_refusal_reads_back(store: Store) -> None:
    failed = await step(store, await create(store), RequestRefused(203))
    assert failed.failure is not None
    assert await store.payments.payment(MERCHANT_ID, failed.id) == failed


async def test_another_merchants_payment_is_not_found(store: Store) -> None:
    payment = await create(store)
    other = IDS.merchant()
    with pytest.raises(NotFound):
        await store.payments.payment(other, payment.id)
    with pytest.raises(NotFound):
        await store.payments.payment_by_link(other, payment.link)
    assert await store.payments.check_schedule(other, payment.id) is None
    assert await store.payments.timeline(other, payment.id) == []
    assert (await store.payments.list_payments(other, PaymentFilter())).payments == []


async def test_the_same_key_gives_the_first_payment_and_its_reply(store: Store) -> None:
    first = await create(store, key="key")
    reply = Reply(201, b'{"id": "\xd8\xa2"}')
    await step(store, first, InvoiceIssued("inv"), release=True, reply=reply)
    again = await create_with(store, new_payment(), "key")
    assert not again.fresh
    assert again.payment.id == first.id
    assert again.payment.status is Status.PENDING
    assert again.reply == reply
    assert again == await store.payments.stored(MERCHANT_ID, "main", Mode.LIVE, "key")


async def test_the_first_reply_is_kept(store: Store) -> None:
    payment = await create(store, key="key")
    for body in (b"first", b"second"):
        await store.payments.transition(
            Change(payment, payment, schedule=ScheduleChange(begin(payment), None), reply=Reply(201, body))
        )
    stored = await store.payments.stored(MERCHANT_ID, "main", Mode.LIVE, "key")
    assert stored is not None
    assert stored.reply == Reply(201, b"first")


async def test_a_key_belongs_to_its_storefront_mode_and_merchant(store: Store) -> None:
    live = await create(store, key="key")
    trial = await create(store, new_payment(mode=Mode.TEST), key="key")
    for mode, payment in ((Mode.LIVE, live), (Mode.TEST, trial)):
        stored = await store.payments.stored(MERCHANT_ID, "main", mode, "key")
        assert stored is not None
        assert stored.payment == payment
    await create(store, new_payment(storefront="second"), key="key")
    await create(store, new_payment(merchant_id=IDS.merchant()), key="key")
    assert await store.payments.stored(MERCHANT_ID, "third", Mode.LIVE, "key") is None


async def test_racing_creates_with_one_key_make_one_payment(store: Store) -> None:
    payments = [new_payment() for _ in range(20)]
    answers = await asyncio.gather(*(create_with(store, payment, "key") for payment in payments))
    assert sum(answer.fresh for answer in answers) == 1
    assert len({answer.payment.id for answer in answers}) == 1
    assert len((await store.payments.list_payments(MERCHANT_ID, PaymentFilter(limit=100))).payments) == 1


async def test_an_order_that_is_paid_takes_no_new_payment(store: Store) -> None:
    first = await paid(store, "order-1")
    with pytest.raises(OrderAlreadyPaid) as refusal:
        await create_with(store, new_payment("order-1"), "another key")
    assert refusal.value.payment_id == first.id
    assert await store.payments.stored(MERCHANT_ID, "main", Mode.LIVE, "another key") is None
    await create(store, new_payment("order-1", storefront="second"))
    await create(store, new_payment("order-2"))


async def test_a_paid_test_order_does_not_block_the_live_one(store: Store) -> None:
    trial = await create(store, new_payment("order-1", mode=Mode.TEST))
    trial = await step(store, trial, InvoiceIssued("inv-test"))
    await step(store, trial, captured(trial, "bank-test"))
    live = await paid(store, "order-1")
    for mode, owner in ((Mode.TEST, trial), (Mode.LIVE, live)):
        with pytest.raises(OrderAlreadyPaid) as refusal:
            await create(store, new_payment("order-1", mode=mode))
        assert refusal.value.payment_id == owner.id


async def test_a_replay_of_the_paid_order_is_still_a_replay(store: Store) -> None:
    before = await create(store, key="key")
    before = await step(store, before, InvoiceIssued("inv"))
    await step(store, before, captured(before))
    assert (await create_with(store, new_payment(), "key")).payment.id == before.id


async def test_only_a_lease_that_is_over_is_taken_over(store: Store) -> None:
    payment = await create(store, key="key")
    with pytest.raises(LeaseLost):
        await store.payments.lease_request(payment, LEASE - 1, LEASE + 1000)
    leased = await store.payments.lease_request(payment, LEASE, LEASE + 1000)
    assert leased.payment == payment
    assert leased.intent.lease_until == LEASE + 1000
    with pytest.raises(LeaseLost):
        await store.payments.lease_request(payment, LEASE, LEASE + 2000)


async def test_racing_lease_requests_have_one_winner(store: Store) -> None:
    payment = await create(store)
    race = (store.payments.lease_request(payment, LEASE, LEASE + 1000) for _ in range(10))
    results = await asyncio.gather(*race, return_exceptions=True)
    assert sum(isinstance(result, LeaseLost) for result in results) == 9


async def test_a_released_lease_is_free_at_once_unless_there_is_a_reply(store: Store) -> None:
    payment = await create(store)
    await store.payments.transition(Change(payment, payment, release=True))
    await store.payments.lease_request(payment, NOW, LEASE)
    await store.payments.transition(Change(payment, payment, release=True, reply=Reply(409, b"")))
    with pytest.raises(LeaseLost):
        await store.payments.lease_request(payment, NOW, LEASE)


async def test_a_step_on_a_stale_version_writes_nothing(store: Store) -> None:
    before = await pending(store)
    await step(store, before, Canceled(before.invoice_key or ""))
    watch = await store.payments.check_schedule(MERCHANT_ID, before.id)
    entry = Entry(NOW, "check", 10, {})
    with pytest.raises(StaleVersion):
        await store.payments.transition(
            change(before, captured(before, "B1"), entries=[entry], schedule=ScheduleChange(watch, None))
        )
    assert (await store.payments.payment(MERCHANT_ID, before.id)).status is Status.CANCELED
    assert await store.payments.timeline(MERCHANT_ID, before.id) == []
    assert await store.payments.check_schedule(MERCHANT_ID, before.id) == watch
    assert (await paid(store, "order-2", "B1")).status is Status.PAID


async def test_racing_steps_on_one_version_have_one_winner(store: Store) -> None:
    before = await pending(store)
    race = (store.payments.transition(change(before, captured(before, "B1"))) for _ in range(10))
    results = await asyncio.gather(*race, return_exceptions=True)
    assert sum(isinstance(result, StaleVersion) for result in results) == 9
    assert (await store.payments.payment(MERCHANT_ID, before.id)).version == before.version + 1


async def test_an_entry_alone_needs_no_version(store: Store) -> None:
    before = await pending(store)
    await step(store, before, Canceled(before.invoice_key or ""))
    first = Entry(NOW, "return", None, {"method": "GET"})
    second = Entry(NOW - 5, "check", 12, {"outcome": "not_paid", "codes": [201]})
    await store.payments.transition(Change(before, before, entries=[first, second]))
    await store.payments.transition(Change(before, before, entries=[first]))
    assert await store.payments.timeline(MERCHANT_ID, before.id) == [first, second, first]


async def test_lists_are_newest_first_and_page_by_place(store: Store) -> None:
    payments = [await create(store, new_payment(f"order-{number}", at=NOW + number)) for number in range(5)]
    newest = list(reversed(payments))
    first = await store.payments.list_payments(MERCHANT_ID, PaymentFilter(limit=2))
    assert first == PaymentPage(newest[:2], place_of(newest[1].id))
    rest = await store.payments.list_payments(MERCHANT_ID, PaymentFilter(after=first.reached, limit=10))
    assert rest == PaymentPage(newest[2:], None)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PaymentFilter(storefront="second"), {"s2"}),
        (PaymentFilter(order_id="a"), {"s2", "pending", "paid"}),
        (PaymentFilter(order_id="a", storefront="main"), {"pending", "paid"}),
        (PaymentFilter(order_id="a", statuses=(Status.PAID,)), {"paid"}),
        (PaymentFilter(statuses=(Status.PENDING,)), {"pending"}),
        (PaymentFilter(statuses=(Status.CREATED,)), {"created", "s2"}),
        (PaymentFilter(statuses=(Status.CREATED,), storefront="main"), {"created"}),
        (PaymentFilter(statuses=(Status.EXPIRED,)), {"expired"}),
        (PaymentFilter(statuses=(Status.FAILED,)), set()),
        (PaymentFilter(order_id="none"), set()),
        (PaymentFilter(mode=Mode.TEST), {"test"}),
        (PaymentFilter(mode=Mode.TEST, storefront="third"), {"test"}),
        (PaymentFilter(mode=Mode.LIVE, storefront="third"), {"live"}),
        (PaymentFilter(storefront="third"), {"live", "test"}),
        (PaymentFilter(order_id="c", mode=Mode.LIVE), {"live"}),
        (PaymentFilter(statuses=(Status.CANCELED,), mode=Mode.TEST), {"test"}),
    ],
)
async def test_lists_are_filtered(store: Store, wanted: PaymentFilter, expected: set[str]) -> None:
    late = await pending(store, "d")
    both = {mode: await pending(store, "c", storefront="third", mode=mode) for mode in Mode}
    payments: dict[str, Payment] = {
        **{mode.value: await step(store, each, Canceled(each.invoice_key or "")) for mode, each in both.items()},
        "created": await create(store, new_payment("b")),
        "s2": await create(store, new_payment("a", storefront="second")),
        "pending": await pending(store, "a"),
        "expired": await step(store, late, NotPaid(late.invoice_key or ""), late.expires_at),
        "paid": await paid(store, "a"),
    }
    found = await store.payments.list_payments(MERCHANT_ID, wanted)
    assert {payment.id for payment in found.payments} == {payments[name].id for name in expected}


@pytest.mark.parametrize("storefront", [None, "main"])
async def test_a_page_of_one_mode_is_full_whatever_stands_between(store: Store, storefront: str | None) -> None:
    modes = [Mode.LIVE, *[Mode.TEST] * 5] * 3
    made = [await create(store, new_payment(f"o-{n}", mode=mode, at=NOW + n)) for n, mode in enumerate(modes)]
    live = [payment for payment in reversed(made) if payment.mode is Mode.LIVE]
    found = await store.payments.list_payments(MERCHANT_ID, PaymentFilter(storefront, mode=Mode.LIVE, limit=2))
    assert found.payments == live[:2]


async def test_due_watches_are_claimed_oldest_first_and_leased(store: Store) -> None:
    payments = [new_payment(f"order-{number}") for number in range(4)]
    for number, payment in enumerate(payments):
        await store.payments.create_payment(payment, new_intent(), new_watch(payment, NOW - number))
    assert await store.payments.next_check_at() == NOW - 3
    claimed = (await store.payments.claim_due_checks(NOW - 1, LEASE, 2)).checks
    assert [payment for payment, _ in claimed] == [payments[3], payments[2]]
    for number, (payment, watch) in zip((3, 2), claimed, strict=True):
        assert watch == new_watch(payment, NOW - number, version=2)
        assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == replace(watch, due_at=LEASE)
    assert [payment for payment, _ in (await store.payments.claim_due_checks(NOW - 1, LEASE, 10)).checks] == [
        payments[1]
    ]
    assert await store.payments.next_check_at() == NOW
    assert len((await store.payments.claim_due_checks(LEASE, LEASE + 1, 10)).checks) == 4


async def test_racing_claims_take_each_watch_once(store: Store) -> None:
    for number in range(30):
        await create(store, new_payment(f"order-{number}", expires_at=NOW))
    claims = await asyncio.gather(*(store.payments.claim_due_checks(NOW, LEASE, 7) for _ in range(6)))
    ids = [payment.id for claim in claims for payment, _ in claim.checks]
    assert len(ids) == len(set(ids)) == 30


async def test_a_claimed_payment_reads_as_any_other(store: Store) -> None:
    before = await step(store, await pending(store), InvoiceIssued("spare"))
    [(payment, _)] = (await store.payments.claim_due_checks(before.expires_at, before.expires_at + 1, 1)).checks
    assert payment == before


async def test_without_watches_none_is_next(store: Store) -> None:
    assert await store.payments.next_check_at() is None
    assert (await store.payments.claim_due_checks(NOW, LEASE, 10)).checks == []


async def test_a_plan_that_was_made_on_an_older_watch_is_left_out(store: Store) -> None:
    payment = await create(store)
    read = begin(payment)
    hurried = new_watch(payment, NOW, version=2)
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(read, hurried)))
    slow = new_watch(payment, NOW + 9000, version=2)
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(read, slow)))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == hurried
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(read, None)))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == hurried
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(hurried, None)))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) is None


async def test_a_watch_ends_with_the_payment_whatever_was_read(store: Store) -> None:
    payment = await create(store)
    await store.payments.transition(
        Change(payment, payment, schedule=ScheduleChange(begin(payment), new_watch(payment, NOW, 2)))
    )
    await step(store, payment, RequestRefused(101), schedule=ScheduleChange(begin(payment), None))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) is None
    assert await store.payments.next_check_at() is None


async def test_a_watch_begins_only_where_there_is_none(store: Store) -> None:
    payment = await create(store)
    other = new_watch(payment, NOW + 5, version=9)
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(None, other)))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == begin(payment)
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(begin(payment), None)))
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(None, other)))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) == other


async def test_an_ended_watch_is_not_brought_back_by_a_late_plan(store: Store) -> None:
    payment = await create(store)
    read = begin(payment)
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(read, None)))
    await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(read, new_watch(payment, NOW, 2))))
    assert await store.payments.check_schedule(MERCHANT_ID, payment.id) is None


async def test_a_bank_code_pays_one_payment(store: Store) -> None:
    first = await paid(store, "order-1", "B1")
    second = await pending(store, "order-2")
    with pytest.raises(BankCodeTaken) as conflict:
        await store.payments.transition(change(second, captured(second, "B1")))
    assert conflict.value.payment_id == first.id
    assert await store.payments.payment(MERCHANT_ID, second.id) == second
    assert len(await store.webhooks.list_events(MERCHANT_ID, EventFilter())) == 1


async def test_an_order_is_paid_once(store: Store) -> None:
    first, second = await pending(store, "order-1"), await pending(store, "order-1")
    await step(store, first, captured(first, "B1"))
    with pytest.raises(OrderPaidByAnother) as conflict:
        await store.payments.transition(change(second, captured(second, "B2")))
    assert conflict.value.payment_id == first.id
    assert (await paid(store, "order-2", "B2")).status is Status.PAID


async def test_the_bank_code_is_looked_at_before_the_order(store: Store) -> None:
    first, second = await pending(store, "order-1"), await pending(store, "order-1")
    await step(store, first, captured(first, "B1"))
    with pytest.raises(BankCodeTaken):
        await store.payments.transition(change(second, captured(second, "B1")))


async def test_the_same_order_at_another_storefront_is_another_order(store: Store) -> None:
    await paid(store, "order-1")
    assert (await paid(store, "order-1", storefront="second")).status is Status.PAID


async def test_another_merchants_bank_code_and_order_are_no_conflict(store: Store) -> None:
    await paid(store, "order-1", "B1")
    assert (await paid(store, "order-1", "B1", merchant_id=IDS.merchant())).status is Status.PAID


async def test_a_review_of_a_seen_bank_code_is_written_without_taking_it(store: Store) -> None:
    first = await paid(store, "order-1", "B1")
    second = await pending(store, "order-2")
    reviewed = await step(store, second, captured(second, "B1", bank_code_of=first.id))
    assert reviewed.status is Status.NEEDS_REVIEW
    third = await pending(store, "order-3")
    with pytest.raises(BankCodeTaken) as conflict:
        await store.payments.transition(change(third, captured(third, "B1")))
    assert conflict.value.payment_id == first.id


async def test_a_bank_code_under_review_counts_as_seen(store: Store) -> None:
    first = await pending(store, "order-1")
    await step(store, first, replace(captured(first, "B1"), amount_rials=1000))
    second = await pending(store, "order-2")
    with pytest.raises(BankCodeTaken) as conflict:
        await store.payments.transition(change(second, captured(second, "B1")))
    assert conflict.value.payment_id == first.id


async def test_the_bank_code_of_a_second_capture_counts_as_seen(store: Store) -> None:
    first = await step(store, await pending(store, "order-1"), InvoiceIssued("spare"))
    once = await step(store, first, captured(first, "B1"))
    twice = await step(store, once, replace(captured(once, "B2"), invoice_key="spare"))
    assert twice.status is Status.PAID
    assert twice.review is not None
    assert twice.review.reason is ReviewReason.PAID_TWICE
    second = await pending(store, "order-2")
    with pytest.raises(BankCodeTaken):
        await store.payments.transition(change(second, captured(second, "B2")))


async def test_an_order_under_review_is_not_paid(store: Store) -> None:
    first = await pending(store, "order-1")
    await step(store, first, replace(captured(first), amount_rials=1000))
    assert (await paid(store, "order-1")).status is Status.PAID


async def test_racing_payments_of_one_order_have_one_winner(store: Store) -> None:
    payments = [await pending(store, "order-1") for _ in range(8)]
    race = (store.payments.transition(change(payment, captured(payment))) for payment in payments)
    results = await asyncio.gather(*race, return_exceptions=True)
    assert sum(isinstance(result, OrderPaidByAnother) for result in results) == 7
    [event] = await store.webhooks.list_events(MERCHANT_ID, EventFilter())
    [winner] = [place for place, result in enumerate(results) if not isinstance(result, Exception)]
    assert event.payment_id == payments[winner].id


async def test_racing_payments_with_one_bank_code_have_one_winner(store: Store) -> None:
    payments = [await pending(store, f"order-{number}") for number in range(8)]
    race = (store.payments.transition(change(payment, captured(payment, "B1"))) for payment in payments)
    results = await asyncio.gather(*race, return_exceptions=True)
    assert sum(isinstance(result, BankCodeTaken) for result in results) == 7


async def test_an_invoice_belongs_to_one_payment_of_a_terminal(store: Store) -> None:
    await pending(store, "order-1", invoice_key="inv")
    second = await create(store, new_payment("order-2"))
    with pytest.raises(InvoiceKeyTaken):
        await store.payments.transition(change(second, InvoiceIssued("inv")))
    assert await store.payments.payment(MERCHANT_ID, second.id) == second
    other_terminal = await pending(store, "order-3", invoice_key="inv", terminal_id="trm_other")
    assert other_terminal.invoice_key == "inv"
    await pending(store, "order-1", invoice_key="inv", merchant_id=IDS.merchant())


async def test_a_spare_invoice_belongs_to_its_payment_too(store: Store) -> None:
    await step(store, await pending(store, "order-1"), InvoiceIssued("spare"))
    second = await pending(store, "order-2")
    with pytest.raises(InvoiceKeyTaken):
        await store.payments.transition(change(second, InvoiceIssued("spare")))
