"""The bank's rows, pasted into the console, beside a merchant's payments."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxy.jalali import jalali_time
from web.browsing import operator, words
from web.lab import Lab


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what pages ask of a store is tested with every store elsewhere."""
    return tmp_path


async def paid(lab: Lab) -> dict[str, Any]:
    payment = await lab.created()
    await lab.act(payment, "pay")
    checked: dict[str, Any] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    assert checked["status"] == "paid"
    # The period is whole days, but does not reach into the future.
    lab.clock.forward(1000)
    return checked


def row(lab: Lab, code: str, rials: int) -> str:
    return f"{code}\t{rials:,}\t{jalali_time(lab.clock()).split()[0]}\n"


HEADINGS = "کد پیگیری\tمبلغ (ریال)\tتاریخ\n"


async def test_pasted_rows_are_compared_and_each_difference_leads_to_its_payment(lab: Lab) -> None:
    first, second, third = [await paid(lab) for _ in range(3)]
    browser = await operator(lab)
    form = f"/console/merchants/{lab.merchant_id}/reconcile"
    assert "Compare" in (await browser.get(f"{form}?lang=en")).text
    pasted = HEADINGS + row(lab, first["bank_code"], 150_000) * 2 + row(lab, second["bank_code"], 15_000)
    pasted += row(lab, "140509031234", 99_000)
    lab.clock.forward(1)  # what is noted in one millisecond has no order
    told = await browser.followed(await browser.post(f"{form}?lang=en", {"rows": pasted}))
    text = words(told)
    assert "Rows that match: 1" in text
    for said in ("The amount differs", "Twice in the file", "Missing here", "Paid, and not in the file"):
        assert said in text, said
    linked = re.findall(r"/console/payments/(pay_\w+)", told.text)
    assert linked == [second["id"], third["id"]]
    entries = await lab.dargah.services.store.list_audit(None, None, 1)
    assert (entries[0].action, entries[0].data["rows"]) == ("payments.reconcile", 3)


async def test_when_all_match_it_says_so(lab: Lab) -> None:
    payment = await paid(lab)
    browser = await operator(lab)
    form = f"/console/merchants/{lab.merchant_id}/reconcile"
    rows = f"bank_code,amount\n{payment['bank_code']},15000\n"
    told = words(await browser.followed(await browser.post(f"{form}?lang=en", {"rows": rows, "unit": "toman"})))
    assert "All rows match" in told
    assert "no dates" in told


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("bank_code,amount\n1,1000\n", "rials or tomans"),
        ("bank_code,amount rial\n1,x\n", "is not a number"),
        ("bank_code,amount rial\n1,0\n", "No row brings money in"),
        ("<script>alert(1)</script>", "no row has headings"),
    ],
)
async def test_what_cannot_be_read_comes_back_with_the_reason_and_the_rows(lab: Lab, rows: str, why: str) -> None:
    browser = await operator(lab)
    told = await browser.post(f"/console/merchants/{lab.merchant_id}/reconcile?lang=en", {"rows": rows})
    assert told.status == 422
    assert why in told.text
    assert "<script>alert" not in told.text


async def test_an_unknown_merchant_is_not_found(lab: Lab) -> None:
    browser = await operator(lab)
    assert (await browser.get("/console/merchants/mer_00000000/reconcile")).status == 404
