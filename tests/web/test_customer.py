"""The customer's way over real HTTP: out to the gateway, back through Dargah, to the shop or to a page."""

import asyncio
import base64
import hashlib
import re
from typing import Any

import pytest
from support.eventually import eventually

from proxy.gateways.invoice_script.client import HttpGateway
from proxy.gateways.port import Account, CheckResult
from proxy.kernel.clock import MINUTE, SECOND
from proxy.merchants.merchant import Mode
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
    asked = HttpGateway.check

    async def stands_still(client: HttpGateway, account: Account, invoice_key: str) -> CheckResult:
        checked = await asked(client, account, invoice_key)
        if act is not None:
            await lab.act(payment, act)
        lab.clock.forward(6 * MINUTE)
        monkeypatch.undo()
        return checked

    monkeypatch.setattr(HttpGateway, "check", stands_still)
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
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lab.call("GET", back), 0.2)

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
