"""The walk over what may still turn out paid: nothing is left out, whatever the size of the steps."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.facts import Canceled, InvoiceIssued, NotPaid, RequestRefused
from proxy.ids import Ids
from proxy.payment import Payment, Status
from proxy.ports import Store
from store.records import IDS, NOW, add_merchant, captured, create, new_payment, paid, pending, step

HOUR = 3_600_000


async def walk(store: Store, since: int, limit: int) -> list[str]:
    """The ids in the order in which the walk gives them; it must end."""
    found: list[str] = []
    after = None
    for _ in range(1000):
        page = await store.unsettled_since(since, after, limit)
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
    first = await store.unsettled_since(NOW, None, 2)
    assert [payment.id for payment in first.payments] == [payment.id for payment in payments[:2]]
    await step(store, payments[2], captured(payments[2]))
    rest = await store.unsettled_since(NOW, first.reached, 2)
    assert [payment.id for payment in rest.payments] == [payments[3].id]
    assert rest.payments[0] == payments[3]


async def test_many_merchants_with_nothing_are_passed_in_bounded_steps(store: Store) -> None:
    ids = sorted(IDS.merchant() for _ in range(450))
    for merchant_id in ids:
        await add_merchant(store, merchant_id)
    last = await pending(store, merchant_id=ids[-1], at=NOW)
    steps, after, found = 0, None, []
    while steps == 0 or after is not None:
        page = await store.unsettled_since(NOW, after, 10)
        found += list(page.payments)
        after, steps = page.reached, steps + 1
        assert steps < 20
    assert found == [last]
    assert steps > 1, "one step looked at every merchant"


async def test_a_store_without_merchants_has_nothing(store: Store) -> None:
    page = await store.unsettled_since(NOW, None, 10)
    assert (list(page.payments), page.reached) == ([], None)
    page = await store.unsettled_since(NOW, Ids(bytes).merchant(), 10)
    assert (list(page.payments), page.reached) == ([], None)
