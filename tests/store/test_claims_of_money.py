"""What only one payment may have: an invoice, a bank's tracking number, a paid order."""

import asyncio
from dataclasses import replace

import pytest

from proxy.gateways.port import InvoiceIssued
from proxy.payments.change import BankCodeTaken, InvoiceKeyTaken, OrderPaidByAnother
from proxy.payments.payment import ReviewReason, Status
from proxy.stores.store import Store
from proxy.webhooks.event import EventFilter
from store.records import IDS, MERCHANT_ID, captured, change, create, new_payment, paid, pending, step


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
