"""What the console looks for over all merchants, on every store: found in whole, in order, and a stretch at a time."""

import random

import pytest

from proxy.facts import Captured
from proxy.ids import PAYMENT
from proxy.lookups import FIRST_PLACE, Lookups, Number, Wanted, id_at, place_at, place_of
from proxy.payment import Payment, Status
from proxy.ports import Store
from store.records import (
    IDS,
    NOW,
    add_merchant,
    create,
    new_audit,
    new_payment,
    new_terminal,
    paid,
    pending,
    sealed,
    step,
)

MERCHANTS = sorted(IDS.merchant() for _ in range(5))


@pytest.fixture
async def shops(store: Store) -> Store:
    for merchant_id in MERCHANTS:
        await add_merchant(store, merchant_id)
    return store


async def every_payment(store: Store) -> list[Payment]:
    """Of all merchants in turn and out of it, two of them in one millisecond; newest first."""
    made = []
    order = MERCHANTS * 4
    random.Random(3).shuffle(order)
    for number, merchant_id in enumerate(order):
        at = NOW + number // 2
        made.append(await create(store, new_payment(f"order-{number}", merchant_id=merchant_id, at=at)))
    return sorted(made, key=lambda payment: place_of(payment.id), reverse=True)


async def walked(store: Lookups, wanted: Wanted, merchants: int) -> list[str]:
    """A page, over every stretch of so many merchants."""
    found: list[str] = []
    after: str | None = None
    while True:
        stretch = await store.newest_ids(None, after, wanted, merchants)
        found += stretch.ids
        after = stretch.reached
        if after is None:
            return sorted(found, key=place_of, reverse=True)[: wanted.limit]


@pytest.mark.parametrize("merchants", [1, 2, 5, 100])
async def test_the_newest_of_all_merchants_come_in_order_and_page_by_page_without_a_gap(
    shops: Store, merchants: int
) -> None:
    made = [payment.id for payment in await every_payment(shops)]
    seen: list[str] = []
    before = FIRST_PLACE
    while page := await walked(shops, Wanted(before=before, limit=3), merchants):
        seen += page
        before = place_of(page[-1])
    assert seen == made


async def test_a_day_and_a_status_and_one_merchant_narrow_the_list(shops: Store) -> None:
    made = await every_payment(shops)
    since = Wanted(since=place_at(NOW + 7), limit=100)
    assert await walked(shops, since, 2) == [each.id for each in made if each.created_at >= NOW + 7]
    assert await walked(shops, Wanted(status=Status.PAID, limit=100), 2) == []
    settled = await paid(shops, "paid-one", merchant_id=MERCHANTS[2])
    assert await walked(shops, Wanted(status=Status.PAID, limit=100), 2) == [settled.id]
    own = await shops.newest_ids(MERCHANTS[0], None, Wanted(limit=100), 50)
    assert own.reached is None
    assert list(own.ids) == [each.id for each in made if each.merchant_id == MERCHANTS[0]]


async def test_payments_are_read_in_the_order_of_their_ids_and_what_is_not_there_is_left_out(shops: Store) -> None:
    made = await every_payment(shops)
    nobodys = IDS.record(PAYMENT, MERCHANTS[0], NOW)
    wanted = [made[7].id, nobodys, made[2].id]
    assert [each.id for each in await shops.payments_of_ids(wanted)] == [made[7].id, made[2].id]


async def found(store: Lookups, number: Number, text: str, merchants: int = 2) -> set[str]:
    ids: set[str] = set()
    after: str | None = None
    while True:
        stretch = await store.find_ids(None, after, number, text, merchants)
        ids |= set(stretch.ids)
        after = stretch.reached
        if after is None:
            return ids


async def test_a_payment_is_found_by_each_of_its_numbers_whoever_sells(shops: Store) -> None:
    terminal = new_terminal(MERCHANTS[3])
    await shops.add_terminal(terminal, sealed(terminal.id, "api_key", MERCHANTS[3]), new_audit(MERCHANTS[3]))
    before = await pending(shops, "order-17", merchant_id=MERCHANTS[3], terminal_id=terminal.id, invoice_key="inv-17")
    one = await step(shops, before, Captured("inv-17", before.amount_rials, "bank-17"))
    other = await paid(shops, "order-17", "bank-18", merchant_id=MERCHANTS[1])
    assert await found(shops, Number.BANK_CODE, "bank-17") == {one.id}
    assert await found(shops, Number.INVOICE_KEY, "inv-17") == {one.id}
    assert await found(shops, Number.ORDER_ID, "order-17") == {one.id, other.id}
    for number in Number:
        assert await found(shops, number, "bank-1") == set()
    own = await shops.find_ids(MERCHANTS[1], None, Number.ORDER_ID, "order-17", 1)
    assert (list(own.ids), own.reached) == ([other.id], None)


async def test_an_amount_is_found_in_rials_and_in_toman_among_the_newest(shops: Store) -> None:
    await every_payment(shops)
    dear = await create(shops, new_payment("dear", merchant_id=MERCHANTS[2], amount_rials=990_010, at=NOW + 100))
    for amount in (990_010, 99_001):
        stretch = await shops.ids_of_amount(None, None, amount, 100, 100)
        assert (list(stretch.ids), stretch.reached) == ([dear.id], None)
    assert (await shops.ids_of_amount(MERCHANTS[1], None, 990_010, 100, 1)).ids == []
    await create(shops, new_payment("newer", merchant_id=MERCHANTS[2], at=NOW + 200))
    assert (await shops.ids_of_amount(MERCHANTS[2], None, 990_010, 1, 1)).ids == []


async def test_money_that_came_otherwise_than_asked_is_found_by_its_bank_code(shops: Store) -> None:
    before = await pending(shops, "odd", merchant_id=MERCHANTS[4])
    odd = Captured(before.invoice_key or "", before.amount_rials + 1, "bank-odd")
    after = await step(shops, before, odd)
    assert after.status is Status.NEEDS_REVIEW
    assert await found(shops, Number.BANK_CODE, "bank-odd") == {after.id}


async def test_a_days_rows_come_in_stretches_in_id_order(shops: Store) -> None:
    mine = [each for each in await every_payment(shops) if each.merchant_id == MERCHANTS[0]][::-1]
    first = await shops.day_rows(MERCHANTS[0], id_at(MERCHANTS[0], place_at(NOW)), 3)
    rest = await shops.day_rows(MERCHANTS[0], first[-1].id, 100)
    assert [row.id for row in [*first, *rest]] == [each.id for each in mine]
    assert {row.amount_rials for row in first} == {mine[0].amount_rials}
