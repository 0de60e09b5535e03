"""A merchant's totals on its page: today, seven days and the Iranian month, read in bounded steps."""

import re

import pytest
from support.eventually import eventually

from proxy.console import merchant_totals
from proxy.console.merchant_totals import MerchantTotals
from proxy.kernel.clock import DAY, MINUTE
from proxy.locale.day_ranges import NamedRange
from proxy.merchants.merchant import Mode
from web.clients import Browser, operator, words
from web.lab import Answer, Lab


async def page(lab: Lab, browser: Browser) -> str:
    """The words of the page once all periods are counted."""

    async def whole() -> str | None:
        answer: Answer = await browser.get(f"/console/merchants/{lab.merchant_id}?lang=en")
        assert answer.status == 200
        return None if "Being counted" in answer.text else " ".join(words(answer).split())

    return await eventually(whole)


async def paid(lab: Lab, **body: object) -> None:
    payment = await lab.created(**body)
    await lab.call("GET", await lab.act(payment, "pay"), token="")


async def test_a_merchants_page_has_its_sums_of_today_the_week_and_the_month(lab: Lab) -> None:
    await paid(lab)
    lab.clock.forward(3 * DAY)
    await paid(lab)
    await lab.created()
    canceled = await lab.created()
    await lab.call("GET", await lab.act(canceled, "cancel"), token="")
    await lab.created(token=await lab.issue(mode=Mode.TEST))
    said = await page(lab, await operator(lab))
    row = r"{} ([0-9,]+) ([0-9,]+) ([0-9,]+) ([0-9,]+) ([0-9.]+%)"
    today, week = (re.search(row.format(name), said) for name in ("Today", "Seven days"))
    assert today is not None
    assert week is not None
    assert today[1] == "3"
    assert today[3] == "1"
    assert today[5] == "50%"
    assert week[1] == "4"
    assert week[3] == "2"


async def test_a_day_is_read_again_when_it_is_old_and_others_are_kept(lab: Lab) -> None:
    totals = lab.dargah.services.store.payments
    read: list[str] = []
    day_sums = totals.day_sums

    async def counted(span: tuple[str, str, str], *others: int) -> object:
        read.append(span[1])
        return await day_sums(span, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totals, "day_sums", counted)
        sums = MerchantTotals(lab.dargah.services.store, lambda: lab.clock.now)

        async def whole() -> bool | None:
            return None if None in (await sums.periods(lab.merchant_id)).values() else True

        await eventually(whole)
        days = len(read)
        assert 7 <= days <= 37
        await sums.periods(lab.merchant_id)
        assert len(read) == days
        lab.clock.forward(MINUTE)
        await sums.periods(lab.merchant_id)
        await sums.stop()
        assert len(read) == days + 1
    await sums.stop()


async def test_a_page_does_not_wait_for_a_merchant_of_many_payments(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merchant_totals, "ROWS_AT_ONCE", 1)
    for _ in range(3):
        await paid(lab)
    sums = MerchantTotals(lab.dargah.services.store, lambda: lab.clock.now)

    async def today() -> int | None:
        found = (await sums.periods(lab.merchant_id))[NamedRange.TODAY]
        return None if found is None else found.paid

    assert await eventually(today) == 3
    await sums.stop()


async def test_a_reading_that_fails_leaves_the_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(lab.dargah.services.store.payments, "day_sums", broken)
    browser = await operator(lab)
    answer = await browser.get(f"/console/merchants/{lab.merchant_id}?lang=en")
    assert answer.status == 200
    assert answer.text.count("Being counted") == 3
