"""The customer's way over real HTTP: out to the gateway, back through Dargah, to the shop or to the merchant's page."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import pytest
from browser.stage import logo
from support.dargah import OPERATOR_TOKEN
from support.eventually import eventually

from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import Account, CheckResult
from proxy.kernel.clock import MINUTE, SECOND
from proxy.merchants.merchant import Mode
from web.clients import drop_in
from web.lab import RETURN_URL, Answer, Lab, link_of

# Nothing that a customer reads may call failed what may be paid.
FAILURE = re.compile("ناموفق|شکست|failed|لغو|انجام نشد")


def assert_page(answer: Answer, status: int, title: str) -> None:
    assert answer.status == status, answer.text
    assert f"<title>{title}</title>" in answer.text
    assert '<html lang="fa" dir="rtl">' in answer.text
    assert_closed(answer)


def assert_closed(answer: Answer, referrer: str = "no-referrer") -> None:
    """Not stored, not framed, nothing from outside, and each style and script is one that the policy names."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == referrer
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "aiohttp" not in answer.headers["Server"]
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'none'" in policy
    if answer.body:
        inline = re.findall(r"<(style|script)>(.*?)</\1>", answer.text, re.DOTALL)
        assert [kind for kind, _ in inline] == ["style", "script"]
        for kind, text in inline:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"; {kind}-src 'sha256-{digest}'" in policy
        markup = re.sub(r"<(style|script)>.*?</\1>", "", answer.text, flags=re.DOTALL)
        elsewhere = r'<script|<style|<img|<link (?!rel="icon" href="/assets/icon\.)|\bstyle=|\son\w+=|src=|javascript:'
        assert not re.search(elsewhere, markup)
        assert not re.search(r"@import|url\([^/]?http", answer.text)


async def test_the_pay_link_leads_to_the_gateway(lab: Lab) -> None:
    payment = await lab.created()
    answer = await lab.call("GET", payment["pay_url"])
    assert answer.status == 303
    assert answer.location == f"{lab.gateway_url}/invoice/pay/{payment['invoice_key']}"
    assert_closed(answer, "strict-origin")


async def test_paid_with_no_way_back_shows_the_result_in_persian(lab: Lab) -> None:
    payment = await lab.created(amount=1_234_567, currency="IRR", order_id="<b>A&1</b>")
    answer = await lab.call("GET", await lab.act(payment, "pay"))
    assert_page(answer, 200, "پرداخت انجام شد")
    paid = await lab.payment(payment["id"])
    assert paid["status"] == "paid"
    for shown in ("۱۲۳٬۴۵۶٫۷", "۱٬۲۳۴٬۵۶۷ ریال", paid["bank_code"], "&lt;b&gt;A&amp;1&lt;/b&gt;", "فروشگاه آزمایش"):
        assert shown in answer.text
    assert 'http-equiv="refresh"' not in answer.text
    assert "data-next" not in answer.text
    again = await lab.call("GET", payment["pay_url"])
    assert_page(again, 200, "پرداخت انجام شد")


@pytest.mark.parametrize(
    ("act", "status", "title"), [("cancel", "canceled", "پرداخت لغو شد"), ("fail", "canceled", "پرداخت لغو شد")]
)
async def test_a_cancel_is_told_and_leads_back_to_the_shop(lab: Lab, act: str, status: str, title: str) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    answer = await lab.call("GET", await lab.act(payment, act))
    assert answer.status == 303
    assert f"status={status}&" in answer.location
    assert answer.location.startswith(RETURN_URL)
    assert_closed(answer)
    page = await lab.call("GET", payment["pay_url"])
    assert_page(page, 200, title)
    assert "همین که بانک تأیید کند" in page.text
    assert "بازگشت به فروشگاه" in page.text


@pytest.mark.parametrize("order", ["before", "after"])
async def test_a_late_customer_is_told_that_time_is_up_and_may_still_be_paid(lab: Lab, order: str) -> None:
    payment = await lab.created(expires_in=300)
    if order == "before":
        await lab.act(payment, "pay")
    lab.clock.forward(6 * MINUTE)
    page = await lab.call("GET", payment["pay_url"])
    assert_page(page, 200, "پرداخت انجام شد" if order == "before" else "مهلت پرداخت تمام شد")
    if order == "after":
        await lab.act(payment, "pay")
        back = await lab.call("GET", f"/return/{link_of(payment)}")
        assert_page(back, 200, "پرداخت انجام شد")
        assert (await lab.payment(payment["id"]))["late"] is True


@pytest.mark.parametrize("act", ["pay", "cancel", None])
async def test_an_answer_from_before_the_expiry_ends_no_payment_behind_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, act: str | None
) -> None:
    """The machine stands still between the question and its answer, and the customer does not."""
    payment = await lab.created(expires_in=300, return_url=RETURN_URL)
    asked = InvoiceScript.check

    async def stands_still(client: InvoiceScript, account: Account, *about: Any) -> CheckResult:
        checked = await asked(client, account, *about)
        if act is not None:
            await lab.act(payment, act)
        lab.clock.forward(6 * MINUTE)
        monkeypatch.undo()
        return checked

    monkeypatch.setattr(InvoiceScript, "check", stands_still)
    back = await lab.call("GET", f"/return/{link_of(payment)}")
    assert not FAILURE.search(back.text)
    assert (await lab.payment(payment["id"]))["status"] == "pending"
    schedule = await lab.dargah.services.store.payments.check_schedule(lab.merchant_id, payment["id"])
    assert schedule is not None
    assert schedule.due_at <= lab.clock.now + 4 * SECOND, "it is asked again at once"
    await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    status = {"pay": "paid", "cancel": "canceled", None: "expired"}[act]
    assert (await lab.payment(payment["id"]))["status"] == status


async def test_time_up_with_a_gateway_that_does_not_answer_is_still_being_confirmed(lab: Lab) -> None:
    payment = await lab.created(expires_in=300)
    await lab.fault("check", "http_502")
    lab.clock.forward(6 * MINUTE)
    page = await lab.call("GET", payment["pay_url"])
    assert_page(page, 200, "مهلت این پیوند پرداخت تمام شده است")
    assert "در حال تأیید" in page.text
    assert not FAILURE.search(page.text)


async def test_an_unknown_outcome_is_being_confirmed_until_it_is_known(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    back = await lab.act(payment, "pay")
    await lab.fault("check", "http_500")
    page = await lab.call("GET", back)
    assert_page(page, 200, "در حال تأیید پرداخت")
    assert '<meta http-equiv="refresh" content="3; url=?again=1">' in page.text
    assert not FAILURE.search(page.text)
    assert "status=pending&amp;payment_mode=live&amp;signature=" in page.text

    asked = await lab.checks()
    waiting = await lab.call("GET", f"/return/{link_of(payment)}?again=9")
    assert_page(waiting, 200, "در حال تأیید پرداخت")
    assert 'content="30; url=?again=10"' in waiting.text
    assert await lab.checks() == asked

    await lab.control("DELETE", "faults")
    await lab.call("POST", f"/v1/payments/{payment['id']}/check")
    known = await lab.call("GET", f"/return/{link_of(payment)}?again=10")
    assert known.status == 303
    assert "status=paid&" in known.location


async def test_a_return_before_the_money_is_there_is_being_confirmed_too(lab: Lab) -> None:
    payment = await lab.created()
    page = await lab.call("GET", f"/return/{link_of(payment)}?invoice_key={payment['invoice_key']}")
    assert_page(page, 200, "در حال تأیید پرداخت")
    assert not FAILURE.search(page.text)


async def test_a_wrong_amount_is_under_review_and_never_paid(lab: Lab) -> None:
    payment = await lab.created()
    await lab.fault("check", "wrong_amount", amount_rials=1000)
    page = await lab.call("GET", await lab.act(payment, "pay"))
    assert_page(page, 200, "پرداخت شما در دست بررسی است")
    shown = await lab.payment(payment["id"])
    assert shown["status"] == "needs_review"
    assert (shown["review"]["expected_rials"], shown["review"]["captured_rials"]) == (150_000, 1000)


async def test_what_a_return_claims_is_believed_in_nothing(lab: Lab) -> None:
    paid, payment = await lab.created(amount=1000), await lab.created(amount=900_000)
    await lab.call("GET", await lab.act(paid, "pay"))
    forged = f"invoice_key={paid['invoice_key']}&status=0&bank_code=1&amount=9000000"
    page = await lab.call("GET", f"/return/{link_of(payment)}?{forged}")
    assert_page(page, 200, "در حال تأیید پرداخت")
    assert (await lab.payment(payment["id"]))["status"] == "pending"


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ({"invoice_key": "x", "status": "1"}, {}),
        (b"", {}),
        (b"\xff\x00&&==%%%", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"&".join(b"a=1" for _ in range(5000)), {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"x" * 200_000, {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"--b\r\nbroken", {"Content-Type": "multipart/form-data; boundary=b"}),
        (b'{"invoice_key":', {"Content-Type": "application/json"}),
        (b"no gzip", {"Content-Encoding": "gzip"}),
    ],
    ids=["form", "empty", "garbage", "flood", "huge", "multipart", "json", "gzip"],
)
async def test_a_return_by_post_counts_whatever_came_with_it(lab: Lab, data: Any, headers: dict[str, str]) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    await lab.act(payment, "pay")
    answer = await lab.call("POST", f"/return/{link_of(payment)}", data=data, headers=headers)
    assert answer.status == 303
    assert "status=paid&" in answer.location


async def test_a_head_asks_and_records_nothing(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    await lab.act(payment, "pay")
    before, asked = lab.rows(), await lab.checks()
    for path in (f"/return/{link_of(payment)}", f"/pay/{link_of(payment)}"):
        answer = await lab.call("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
        assert_closed(answer)
    assert (await lab.call("HEAD", f"/return/{'0' * 30}")).status == 404
    assert lab.rows() == before
    assert await lab.checks() == asked


@pytest.mark.parametrize("link", ["0" * 30, "x", "a" * 500, "%00", "..%2F", "%D9%BE"])
async def test_a_link_that_is_none_gets_a_page_and_no_problem(lab: Lab, link: str) -> None:
    for method, path in (("GET", "pay"), ("GET", "return"), ("POST", "return")):
        answer = await lab.call(method, f"/{path}/{link}")
        assert_page(answer, 404, "این پیوند پرداخت پیدا نشد")


async def test_another_method_gets_a_page_too(lab: Lab) -> None:
    payment = await lab.created()
    answer = await lab.call("PUT", payment["pay_url"])
    assert_page(answer, 405, "این صفحه باز نشد")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_a_return_goes_on_when_the_browser_hangs_up(lab: Lab) -> None:
    payment = await lab.created()
    back = await lab.act(payment, "pay")
    await lab.fault("check", "delay", seconds=0.4, times=1)
    await lab.hang_up(lab.call("GET", back))

    async def paid() -> bool | None:
        return (await lab.payment(payment["id"]))["status"] == "paid" or None

    await eventually(paid)
    # The poller's clock stands still, so it was the return's own check.
    assert await lab.checks() == 1


async def test_two_returns_and_a_check_at_once_make_one_event(lab: Lab) -> None:
    payment = await lab.created(return_url=RETURN_URL)
    back = await lab.act(payment, "pay")
    answers = await asyncio.gather(
        lab.call("GET", back), lab.call("GET", back), lab.call("POST", f"/v1/payments/{payment['id']}/check")
    )
    assert [answer.status for answer in answers] == [303, 303, 200]
    events = (await lab.call("GET", f"/v1/events?payment_id={payment['id']}")).json["data"]
    assert [event["type"] for event in events] == ["payment.paid"]


async def test_a_test_payment_says_that_no_money_moves(lab: Lab) -> None:
    token = await lab.issue(mode=Mode.TEST)
    payment = (await lab.create(token=token)).json
    page = await lab.call("GET", await lab.act(payment, "pay"))
    assert "پرداخت آزمایشی: پولی جابه‌جا نمی‌شود." in page.text


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
    assert all("order_paid_by" not in event["data"] for event in events if event["type"] != type_)


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


LOGO = base64.b64encode(logo()).decode()


async def admin(lab: Lab, method: str, path: str, json: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    return await lab.call(method, f"{lab.dargah.admin_url}/admin/v1{path}", json=json, headers=headers)


async def changed(lab: Lab, **branding: Any) -> Any:
    return await admin(lab, "PATCH", f"/merchants/{lab.merchant_id}", branding)


async def page(lab: Lab, **headers: str) -> str:
    payment = await lab.created()
    await lab.call("GET", await lab.act(payment, "cancel"))
    return (await lab.call("GET", payment["pay_url"], headers=headers, token="")).text


async def test_a_merchant_may_have_a_name_a_colour_a_language_and_a_logo(lab: Lab) -> None:
    shown = await changed(lab, name="Shop", name_fa="فروشگاه من", colour="#0F766E", language="fa", logo=LOGO)
    assert shown.status == 200
    assert (shown.json["name_fa"], shown.json["colour"], shown.json["language"]) == ("فروشگاه من", "#0f766e", "fa")
    text = await page(lab, **{"Accept-Language": "en"})
    assert '<html lang="fa" dir="rtl">' in text
    assert "<bdi>فروشگاه من</bdi>" in text
    assert "--brand:#0f766e" in text
    [src] = re.findall(r'<img src="([^"]+)"', text)
    assert src == shown.json["logo_path"]
    picture = await lab.call("GET", src, token="")
    assert (picture.status, picture.headers["Content-Type"], picture.body) == (200, "image/png", logo())
    assert picture.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert picture.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("021-8888 1234", "tel:02188881234"),
        ("+98 (21) 88881234", "tel:+982188881234"),
        ("۰۲۱۸۸۸۸۱۲۳۴", "tel:02188881234"),
        (" help@shop.example.ir ", "mailto:help@shop.example.ir"),
        ("https://shop.example.ir/تماس?a=1&b=2", "https://shop.example.ir/%D8%AA%D9%85%D8%A7%D8%B3?a=1&amp;b=2"),
    ],
)
async def test_customers_are_told_how_to_reach_the_shop(lab: Lab, contact: str, link: str) -> None:
    shown = await changed(lab, contact=contact)
    assert (shown.status, shown.json["contact"]) == (200, contact.strip())
    payment = await lab.created()
    messenger = {"User-Agent": "TelegramBot"}
    invitation = await lab.call("GET", payment["pay_url"], headers=messenger, token="")
    await lab.call("GET", await lab.act(payment, "cancel"), token="")
    canceled = await lab.call("GET", payment["pay_url"], token="")
    for each in (invitation, canceled):
        assert f'<a href="{link}" rel="noreferrer">' in each.text
    assert "پیوند پرداخت تازه‌ای از فروشگاه بگیرید" in canceled.text


SEVERAL = "021-8888 1234، help@shop.example.ir , https://shop.example.ir/help"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("fa", ("پرسشی دارید؟", "تلفن", "ایمیل", "نشانی")),
        ("en", ("Questions?", "Call", "E-mail", "Open")),
    ],
)
async def test_a_shop_with_several_contacts_shows_each_on_every_page_of_its_customers(
    lab: Lab, language: str, said: tuple[str, ...]
) -> None:
    shown = await changed(lab, contact=SEVERAL, language=language)
    assert shown.json["contact"] == "021-8888 1234, help@shop.example.ir, https://shop.example.ir/help"
    canceled, paid, expired, waiting = [await lab.created() for _ in range(4)]
    pages = [await lab.call("GET", waiting["pay_url"], headers={"User-Agent": "TelegramBot"}, token="")]
    await lab.call("GET", await lab.act(canceled, "cancel"), token="")
    pages.append(await lab.call("GET", canceled["pay_url"], token=""))
    await lab.call("GET", await lab.act(paid, "pay"), token="")
    pages.append(await lab.call("GET", paid["pay_url"], token=""))
    await lab.fault("check", "http_500", times=9)
    pages.append(await lab.call("GET", await lab.act(expired, "pay"), token=""))
    for page in pages:
        assert page.status == 200
        for link in ("tel:02188881234", "mailto:help@shop.example.ir", "https://shop.example.ir/help"):
            assert f'<a href="{link}" rel="noreferrer">' in page.text
        assert '<bdi dir="ltr">021-8888 1234</bdi>' in page.text
        assert [each for each in said if each not in page.text] == []


async def test_an_address_with_a_comma_is_one_contact(lab: Lab) -> None:
    shown = await changed(lab, contact="https://shop.example.ir/a,b")
    assert shown.json["contact"] == "https://shop.example.ir/a,b"
    assert (await changed(lab, name="Another")).json["contact"] == "https://shop.example.ir/a,b"


async def test_a_merchant_may_be_made_with_its_branding(lab: Lab) -> None:
    made = await admin(lab, "POST", "/merchants", {"name": "Shop", "colour": "#ffffff", "logo": LOGO})
    assert made.status == 201
    assert (await lab.call("GET", made.json["logo_path"], token="")).status == 200


async def test_branding_that_was_set_can_be_taken_away(lab: Lab) -> None:
    before = (await changed(lab, name_fa="نام", colour="#123456", language="en", logo=LOGO, contact="0218888")).json
    after = (await changed(lab, name_fa=None, colour=None, language=None, logo=None, contact=None)).json
    assert [after[name] for name in ("name_fa", "colour", "language", "logo_path", "contact")] == [None] * 5
    assert (await lab.call("GET", before["logo_path"], token="")).status == 404
    text = await page(lab)
    assert "<img" not in text
    assert "فروشگاه آزمایش" in text


async def test_another_change_leaves_the_branding(lab: Lab) -> None:
    await changed(lab, colour="#123456", logo=LOGO)
    after = (await changed(lab, name="Other")).json
    assert after["colour"] == "#123456"
    assert (await lab.call("GET", after["logo_path"], token="")).status == 200


async def test_a_logo_is_found_by_its_own_merchant_and_digest_only(lab: Lab) -> None:
    path = (await changed(lab, logo=LOGO)).json["logo_path"]
    other = path.replace(lab.merchant_id, "mer_00000000")
    for wrong in (other, path[:-5] + "0.png", f"/logos/{lab.merchant_id}/.png", f"/logos/{lab.merchant_id}/%00.png"):
        assert (await lab.call("GET", wrong, token="")).status == 404, wrong


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", "red"),
        ("colour", "#fff"),
        ("colour", "#12345g"),
        ("colour", "#123456;}"),
        ("colour", 1),
        ("language", "de"),
        ("name_fa", ""),
        ("name_fa", "a\nb"),
        ("name_fa", "x" * 101),
        ("logo", "not base64!"),
        ("logo", base64.b64encode(b"<svg onload='alert(1)'/>").decode()),
        ("logo", base64.b64encode(logo() + bytes(20_000)).decode()),
        ("logo", 7),
        ("contact", ""),
        ("contact", "call me"),
        ("contact", "12"),
        ("contact", "1" * 16),
        ("contact", "javascript:alert(1)"),
        ("contact", "http://shop.example.ir"),
        ("contact", "https://user@shop.example.ir"),
        ("contact", "a@b"),
        ("contact", "a@b.ir?subject=x"),
        ("contact", "021\n88881234"),
        ("contact", "02188881234, call me"),
        ("contact", "02188881234, javascript:alert(1)"),
        ("contact", "02188881234,, help@shop.example.ir"),
        ("contact", "1234, 1235, 1236, 1237"),
        ("contact", "https://shop.example.ir/" + "x" * 200),
    ],
)
async def test_wrong_branding_is_refused_by_its_field(lab: Lab, field: str, value: Any) -> None:
    answer = await changed(lab, **{field: value})
    assert answer.status == 422, answer.body
    assert set(answer.field_codes()) == {field}


async def test_the_audit_log_names_the_logo_and_does_not_hold_it(lab: Lab) -> None:
    path = (await changed(lab, colour="#123456", logo=LOGO)).json["logo_path"]
    entries = (await admin(lab, "GET", f"/audit?merchant_id={lab.merchant_id}")).json["data"]
    [data] = [entry["data"] for entry in entries if entry["action"] == "merchant.update"]
    assert set(data) == {"colour", "logo"}
    assert data["logo"] in path


async def test_the_language_is_the_browsers_where_the_merchant_leaves_it(lab: Lab) -> None:
    assert '<html lang="en" dir="ltr">' in await page(lab, **{"Accept-Language": "en-US,en;q=0.9"})
    assert '<html lang="fa" dir="rtl">' in await page(lab, **{"Accept-Language": "de"})
