"""Pages by any filter, of one merchant and of all: in order, whole, and by bounded steps; on both stores."""

import random
from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.database.transaction import load_columns
from proxy.kernel.clock import DAY, MINUTE
from proxy.merchants.merchant import Mode
from proxy.payments import scan
from proxy.payments.access import Access
from proxy.payments.finder import PaymentFinder
from proxy.payments.payment import Payment, Status
from proxy.payments.scan import PaymentScan
from proxy.payments.search import Bounds, PaymentFilter, PaymentLine, place_of
from proxy.stores.store import Store
from store.records import IDS, NOW, add_merchant, captured, create, new_payment, pending, step

MERCHANTS: Final = sorted(IDS.merchant() for _ in range(5))


@pytest.fixture
async def made(store: Store) -> list[Payment]:
    """Payments of five merchants in turn and out of it, two of them in one millisecond; newest first."""
    for merchant_id in MERCHANTS:
        await add_merchant(store, merchant_id)
    order = MERCHANTS * 8
    random.Random(3).shuffle(order)
    found = []
    for number, merchant_id in enumerate(order):
        own: dict[str, Any] = {
            "merchant_id": merchant_id,
            "at": NOW + number // 2 * MINUTE,
            "amount_rials": 10_000 * (1 + number % 4),
            "terminal_id": f"trm_{number % 3}",
            "storefront": "main" if number % 5 else "second",
            "mode": Mode.LIVE if number % 7 else Mode.TEST,
        }
        if number % 4 == 3:
            payment = await pending(store, f"order-{number}", **own)
            payment = await step(store, payment, captured(payment), NOW + number * MINUTE + DAY)
        else:
            payment = await create(store, new_payment(f"order-{number}", **own))
        found.append(payment)
    return sorted(found, key=lambda payment: place_of(payment.id), reverse=True)


FILTERS: Final = {
    "all": PaymentFilter(),
    "oldest first": PaymentFilter(oldest_first=True),
    "paid": PaymentFilter(statuses=(Status.PAID,)),
    "paid or created": PaymentFilter(statuses=(Status.PAID, Status.CREATED)),
    "an amount": PaymentFilter(amount=Bounds(20_000, 20_001)),
    "some amounts, oldest first": PaymentFilter(amount=Bounds(20_000, 40_000), oldest_first=True),
    "a terminal": PaymentFilter(terminal_id="trm_1"),
    "a family": PaymentFilter(gateway="invoice_script"),
    "no family": PaymentFilter(gateway="zibal"),
    "a storefront": PaymentFilter("second"),
    "a storefront's tests": PaymentFilter("main", mode=Mode.TEST),
    "an order": PaymentFilter(order_id="order-7"),
    "a time": PaymentFilter(created=Bounds(NOW + 5 * MINUTE, NOW + 11 * MINUTE)),
    "a time, oldest first": PaymentFilter(created=Bounds(NOW + 5 * MINUTE, None), oldest_first=True),
    "a time of paying": PaymentFilter(paid=Bounds(NOW + DAY + 5 * MINUTE, NOW + DAY + 25 * MINUTE)),
    "much": PaymentFilter(
        "main", None, (Status.PAID,), amount=Bounds(1, None), terminal_id="trm_0", paid=Bounds(None, NOW + 2 * DAY)
    ),
}


async def pages(store: Store, merchant_id: str | None, wanted: PaymentFilter) -> list[str]:
    """The ids of all pages; the walk must end."""
    found: list[str] = []
    for _ in range(300):
        page = await PaymentScan(store.payments, merchant_id, wanted).page()
        assert len(page.payments) <= wanted.limit
        found += [payment.id for payment in page.payments]
        if page.following is None:
            return found
        wanted = wanted.behind(page.following)
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
async def test_a_filter_gives_what_it_accepts_in_order_and_once(
    store: Store, made: list[Payment], wanted: PaymentFilter
) -> None:
    expected = [payment for payment in made if wanted.accepts(payment)]
    if wanted.oldest_first:
        expected.reverse()
    wanted = replace(wanted, limit=3)
    assert await pages(store, None, wanted) == [payment.id for payment in expected]
    own = [payment.id for payment in expected if payment.merchant_id == MERCHANTS[1]]
    assert await pages(store, MERCHANTS[1], wanted) == own
    batches = [line async for page in PaymentScan(store.payments, None, wanted).batches() for line in page.lines]
    assert sorted(line.id for line in batches) == sorted(payment.id for payment in expected)


async def test_a_bank_code_is_looked_up_and_no_list_is_read(store: Store, made: list[Payment]) -> None:
    paid = [payment for payment in made if payment.status is Status.PAID]
    wanted = PaymentFilter(bank_code=paid[2].bank_code)
    page = await PaymentScan(store.payments, None, wanted).page()
    assert (page.payments, page.following, page.looked) == ([paid[2]], None, 1)
    assert await pages(store, paid[2].merchant_id, wanted) == [paid[2].id]
    assert await pages(store, None, replace(wanted, statuses=(Status.CREATED,))) == []
    other = next(each for each in MERCHANTS if each != paid[2].merchant_id)
    assert await pages(store, other, wanted) == []
    [batch] = [batch async for batch in PaymentScan(store.payments, None, wanted).batches()]
    assert [line.id for line in batch.lines] == [paid[2].id]


async def test_a_page_that_looked_at_enough_says_where_it_goes_on(
    store: Store, made: list[Payment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "LINES_OF_PAGE", 5)
    monkeypatch.setattr(scan, "LINES_AT_ONCE", 4)
    for wanted in (
        PaymentFilter(amount=Bounds(20_000, 20_001), limit=2),
        PaymentFilter(terminal_id="trm_2", limit=100),
    ):
        for each in (wanted, replace(wanted, oldest_first=True)):
            expected = [payment.id for payment in made if each.accepts(payment)]
            page = await PaymentScan(store.payments, None, each).page()
            assert page.looked <= 5 + 4
            assert page.following is not None
            assert await pages(store, None, each) == (expected[::-1] if each.oldest_first else expected)


async def test_a_line_has_the_columns_that_are_read_for_it(store: Store) -> None:
    assert load_columns()["payment_line"] == PaymentLine._fields
    await add_merchant(store, MERCHANTS[0])
    before = await pending(store, "a", merchant_id=MERCHANTS[0])
    told = captured(before, card_mask="6037****1234", trace_number="778899", fee_rials=1200)
    payment = await step(store, before, told)
    [line] = (await store.payments.lines(MERCHANTS[0], PaymentFilter(), 10)).lines
    plain = ("id", "status", "mode", "order_id", "amount_rials", "bank_code", "created_at", "paid_at", "gateway")
    assert [getattr(line, name) for name in plain] == [getattr(payment, name) for name in plain]
    assert line.receipt is not None
    assert '"trace_number":"778899"' in line.receipt


async def test_a_payment_is_found_by_its_receipt_and_by_beginnings(store: Store) -> None:
    for merchant_id in MERCHANTS[:2]:
        await add_merchant(store, merchant_id)
    made = []
    for number, merchant_id in enumerate(MERCHANTS[:2]):
        before = await pending(store, f"basket-{number}", merchant_id=merchant_id)
        told = captured(before, f"9900{number}", card_mask="603799******1234", trace_number=f"5500{number}")
        made.append(await step(store, before, told))
    operator = PaymentFinder(Access(store.payments, store.webhooks, None))

    async def found(text: str) -> list[str]:
        return sorted(payment.order_id for payment in (await operator.find(text)).payments)

    assert await found("55001") == await found("۵۵۰۰۱") == ["basket-1"]
    assert await found("1234") == await found("5500") == await found("BASKET-") == ["basket-0", "basket-1"]
    assert await found("99000") == ["basket-0"]
    assert await found(made[0].id[:-4]) == ["basket-0"]
    assert await found("12345") == await found("55") == []
