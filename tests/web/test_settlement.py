"""The settlement report and the totals, beside what the bank's ledger says and what reconciliation finds."""

import csv
import io
from typing import Any

import pytest

from proxy.console import totals as totals_module
from proxy.kernel.clock import DAY
from proxy.locale.day_ranges import tehran_day
from proxy.operations.reconciliation.matching import Period, Reconciliation
from web.clients import OPERATOR_TOKEN, operator, portal
from web.lab import Answer, Lab


async def asked(lab: Lab, path: str) -> Answer:
    return await lab.call("GET", lab.dargah.admin_url + path, token=OPERATOR_TOKEN)


async def paid(lab: Lab, order_id: str, amount: int) -> dict[str, Any]:
    lab.clock.forward(1)  # what is made in one millisecond has no order
    payment = await lab.created(order_id=order_id, amount=amount)
    await lab.act(payment, "pay")
    checked: dict[str, Any] = (await lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    return checked


async def test_the_report_agrees_with_the_ledger_and_with_reconciliation(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tehran_day(lab.clock.now)
    made = [await paid(lab, f"first-{number}", 20_000 + number) for number in range(3)]
    odd = await lab.created(order_id="odd", amount=50_000)
    await lab.fault("check", "wrong_amount", amount_rials=1000, invoice_key=odd["invoice_key"], times=1)
    await lab.act(odd, "pay")
    assert (await lab.call("POST", f"/v1/payments/{odd['id']}/check")).json["status"] == "needs_review"
    lab.clock.forward(DAY)
    made.append(await paid(lab, "second", 90_000))
    await lab.created(order_id="open")
    last = tehran_day(lab.clock.now)
    query = f"first_day={first.isoformat()}&last_day={last.isoformat()}&merchant_id={lab.merchant_id}"
    rows = (await asked(lab, f"/admin/v1/settlement?{query}")).json["data"]
    assert [(row["day"], row["paid"]["count"]) for row in rows] == [(first.isoformat(), 3), (last.isoformat(), 1)]
    assert [row["reviews"] for row in rows] == [{"count": 1, "rials": 1000}, {"count": 0, "rials": 0}]
    assert {row["net_rials"] - row["paid"]["rials"] for row in rows} == {0}, "this family tells no fee"
    gross = sum(row["paid"]["rials"] for row in rows)
    assert gross == sum(payment["amount_rials"] for payment in made)
    captured = [
        invoice for invoice in (await lab.control("GET", "invoices"))["invoices"] if invoice["state"] == "captured"
    ]
    ledger = {invoice["invoice_key"]: invoice["amount_rials"] for invoice in captured}
    assert gross == sum(ledger[payment["invoice_key"]] for payment in made)
    assert len(ledger) == sum(row["paid"]["count"] + row["reviews"]["count"] for row in rows)
    books = Reconciliation(lab.dargah.services.store.payments)
    found = await books.paid(Period(lab.merchant_id, lab.clock.now - 3 * DAY, lab.clock.now + 1), None, 500)
    assert gross == sum(each.payment.captured_rials or 0 for each in found.paid)
    totals = (await asked(lab, f"/admin/v1/payments/totals?merchant_id={lab.merchant_id}")).json
    assert (totals["count"], totals["paid_rials"]) == (6, gross)
    assert totals["statuses"]["needs_review"] == {"count": 1, "rials": odd["amount_rials"]}
    file = await asked(lab, "/admin/v1/payments.csv?status=paid&sort=oldest")
    lines = list(csv.DictReader(io.StringIO(file.body.decode("utf-8-sig"))))
    assert [line["payment"] for line in lines] == [payment["id"] for payment in made]
    browser = await operator(lab)
    page = await browser.followed(await browser.get(f"/console/settlement?from={first}&to={last}&lang=en"))
    assert page.text.count("<tr>") >= 2
    assert f"{90_000 * 10:,}" in page.text
    table = (await browser.get(f"/console/settlement.csv?from={first}&to={last}")).body.decode("utf-8-sig")
    assert sum(int(line["gross_rials"]) for line in csv.DictReader(io.StringIO(table))) == gross
    monkeypatch.setattr(totals_module, "SHOWN_ROWS", 1)
    page = await browser.followed(await browser.get(f"/console/settlement?from={first}&to={last}&lang=en"))
    assert "1 more rows are not shown here" in page.text
    assert (await browser.get(f"/console/settlement.csv?from={first}&to={last}")).body.decode("utf-8-sig") == table
    shown = await browser.followed(await browser.get("/console/payments/totals?status=paid&lang=en"))
    assert f"{gross // 10:,}" in shown.text
    wrong = await browser.get("/console/settlement?from=yesterday&lang=en")
    assert "Write days such as" in wrong.text
    assert (await (await portal(lab)).get("/portal/settlement")).status == 404


async def test_days_that_are_none_are_refused(lab: Lab) -> None:
    for days in (
        "first_day=2026-11-24&last_day=2026-11-23",
        "first_day=2026-01-01&last_day=2026-12-01",
        "first_day=x&last_day=2026-11-23",
        "first_day=2026-11-24T00:00Z&last_day=2026-11-24",
    ):
        assert (await asked(lab, f"/admin/v1/settlement?{days}")).status == 422, days
