"""One order, several payments of it: nobody is sent to pay what is paid, and the merchant is told which one it was."""

from collections.abc import Mapping
from typing import Any

import pytest

from proxy.kernel.clock import MINUTE
from proxy.merchants.merchant import Mode
from web.drop_in import drop_in
from web.lab import RETURN_URL, Answer, Lab, link_of

MESSENGER = {"User-Agent": "TelegramBot (like TwitterBot)"}
TITLE = "<title>این سفارش پرداخت شده است</title>"


async def two(lab: Lab, **fields: Any) -> list[dict[str, Any]]:
    return [await lab.created(order_id="17", **fields) for _ in range(2)]


async def pay(lab: Lab, payment: Mapping[str, Any]) -> None:
    await lab.call("GET", await lab.act(payment, "pay"), token="")
    assert (await lab.payment(payment["id"]))["status"] == "paid"


def assert_says_paid(answer: Answer) -> None:
    assert answer.status == 200
    assert TITLE in answer.text
    assert "Location" not in answer.headers
    assert "/invoice/pay/" not in answer.text
    assert "?go=1" not in answer.text


async def test_the_other_link_of_a_paid_order_says_that_it_is_paid(lab: Lab) -> None:
    paid, other = await two(lab, return_url=RETURN_URL)
    await pay(lab, paid)
    code = (await lab.payment(paid["id"]))["bank_code"]
    for query in ("", "?go=1", "?again=3"):
        for headers in ({}, MESSENGER, {"Sec-Fetch-Dest": "document"}):
            page = await lab.call("GET", other["pay_url"] + query, headers=headers, token="")
            assert_says_paid(page)
            assert f"payment_id={paid['id']}&amp;order_id=17&amp;status=paid&amp;" in page.text
            assert code not in page.text
    english = await lab.call("GET", other["pay_url"], headers={"Accept-Language": "en"}, token="")
    assert "<title>This order is paid</title>" in english.text
    assert_says_paid(await lab.call("POST", other["pay_url"], token=""))


async def test_a_customer_who_looks_at_the_button_meanwhile_is_not_sent_to_pay_twice(lab: Lab) -> None:
    paid, other = await two(lab)
    page = await lab.call("GET", other["pay_url"], headers=MESSENGER, token="")
    assert 'href="?go=1"' in page.text
    await pay(lab, paid)
    assert_says_paid(await lab.call("GET", other["pay_url"] + "?go=1", headers=MESSENGER, token=""))


async def test_the_paid_link_itself_says_what_it_always_said(lab: Lab) -> None:
    paid, _ = await two(lab)
    await pay(lab, paid)
    page = await lab.call("GET", paid["pay_url"], token="")
    assert "<title>پرداخت انجام شد</title>" in page.text


async def test_orders_of_another_storefront_or_mode_are_others(lab: Lab) -> None:
    paid = await lab.created(order_id="17")
    second, test = await lab.issue("second"), await lab.issue(mode=Mode.TEST)
    others = [await lab.created(order_id="17", token=token) for token in (second, test)]
    others.append(await lab.created(order_id="18"))
    await pay(lab, paid)
    for other in others:
        assert (await lab.call("GET", other["pay_url"], token="")).status == 303


@pytest.mark.parametrize("end", ["cancel", "expire"])
async def test_an_attempt_that_ended_says_that_its_order_is_paid(lab: Lab, end: str) -> None:
    paid, other = await two(lab, expires_in=300)
    if end == "cancel":
        await lab.call("GET", await lab.act(other, "cancel"), token="")
    await pay(lab, paid)
    lab.clock.forward(6 * MINUTE)
    for path in (f"/pay/{link_of(other)}", f"/return/{link_of(other)}"):
        assert_says_paid(await lab.call("GET", path, token=""))


async def test_who_is_back_from_the_other_link_is_still_being_confirmed(lab: Lab) -> None:
    paid, other = await two(lab)
    await pay(lab, paid)
    await lab.fault("check", "http_500")
    page = await lab.call("GET", await lab.act(other, "pay"), token="")
    assert "<title>در حال تأیید پرداخت</title>" in page.text
    await lab.control("DELETE", "faults")
    await lab.call("GET", f"/return/{link_of(other)}", token="")
    assert (await lab.payment(other["id"]))["review"]["reason"] == "order_paid_twice"


@pytest.mark.parametrize(("end", "type_"), [("cancel", "payment.canceled"), ("expire", "payment.expired")])
@pytest.mark.parametrize("order_is_paid", [True, False], ids=["paid", "not paid"])
async def test_the_event_of_an_attempt_tells_by_which_payment_its_order_is_paid(
    lab: Lab, end: str, type_: str, order_is_paid: bool
) -> None:
    paid, other = await two(lab, expires_in=300)
    if order_is_paid:
        await pay(lab, paid)
    if end == "cancel":
        await lab.act(other, "cancel")
    else:
        lab.clock.forward(6 * MINUTE)
    await lab.call("POST", f"/v1/payments/{other['id']}/check")
    events = (await lab.call("GET", f"/v1/events?payment_id={other['id']}")).json["data"]
    [data] = [event["data"] for event in events if event["type"] == type_]
    assert data["order_paid_by"] == (paid["id"] if order_is_paid else None)
    events = (await lab.call("GET", f"/v1/events?payment_id={paid['id']}")).json["data"]
    assert all("order_paid_by" not in event["data"] for event in events)


async def test_a_drop_in_shops_other_invoice_says_it_too_and_leads_back_by_the_paid_one(lab: Lab) -> None:
    shop = await drop_in(lab)
    paid, other = [await shop.invoice(order_id="17") for _ in range(2)]
    assert (await shop.come_back(paid)).status == 303
    page = await lab.call("GET", f"/invoice/pay/{other}", token="")
    assert_says_paid(page)
    assert f"invoice_key={paid}" in page.text
    assert (await shop.check(paid))["status"] == 1


async def test_a_drop_in_shop_without_order_numbers_has_an_order_for_each_invoice(lab: Lab) -> None:
    shop = await drop_in(lab)
    paid, other = [await shop.invoice() for _ in range(2)]
    await shop.come_back(paid)
    assert (await lab.call("GET", f"/invoice/pay/{other}", token="")).status == 303
