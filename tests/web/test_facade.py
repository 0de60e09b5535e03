"""The drop-in beyond its bytes: what `check` says of each state, who may ask, and how the customer comes back."""

import asyncio
import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

import orjson
import pytest
import structlog
from core.payments import PENDING
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.eventually import eventually

from proxy.gateways.invoice_script.codes import code_of
from proxy.gateways.invoice_script.drop_in import UNDER_REVIEW, return_params
from proxy.gateways.invoice_script.wire import plain_url
from proxy.gateways.shop_calls import parse_fields
from proxy.gateways.shop_side import shop_url
from proxy.kernel.clock import MINUTE
from proxy.kernel.ids import merchant_of_link
from proxy.kernel.text import refused_in
from proxy.kernel.urls import ascii_url
from proxy.merchants.merchant import AmountUnit, Mode, ReturnMethod
from proxy.operations.doctor.base import Finding, Level
from proxy.operations.doctor.returns import return_findings
from proxy.payments.payment import Status
from proxy.payments.serializers import shop_invoice
from web.clients import FORM, RETURN_URL, DropIn, added, drop_in, facade_token
from web.lab import Answer, Lab


def refused(code: int) -> dict[str, Any]:
    known = code_of(code)
    assert known is not None
    return {"status": 0, "errorCode": code, "errorDescription": known.meaning.words}


async def bank_code(shop: DropIn, key: str) -> str:
    payment = await shop.payment(key)
    return str((await shop.lab.control("GET", f"invoices/{payment.invoice_key}"))["bank_code"])


async def test_a_paid_invoice_is_told_with_its_amount_and_bank_code_as_often_as_it_is_asked(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    assert await shop.check(key) == refused(201)
    back = await shop.come_back(key)
    assert back.status == 303
    assert back.location == f"{RETURN_URL}&invoice_key={key}&bank_code={await bank_code(shop, key)}"
    asked = await lab.checks()
    told = {"status": 1, "amount": 150_000, "bank_code": await bank_code(shop, key)}
    assert [await shop.check(key), await shop.check(key)] == [told, told]
    assert await lab.checks() == asked


async def test_a_check_finds_a_payment_whose_customer_never_came_back(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    await shop.act(key, "pay")
    assert (await shop.check(key))["status"] == 1
    assert (await shop.payment(key)).status is Status.PAID


async def test_its_payments_are_ordinary_ones_with_events_and_a_place_in_the_api(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice(order_id="A-17")
    await shop.come_back(key)
    shown = (await lab.call("GET", "/v1/payments?order_id=A-17")).json["data"]
    assert [(each["status"], each["amount_rials"]) for each in shown] == [("paid", 150_000)]
    events = (await lab.call("GET", f"/v1/events?payment_id={shown[0]['id']}")).json["data"]
    assert [event["type"] for event in events] == ["payment.paid"]


@pytest.mark.parametrize("act", ["cancel", "fail"])
async def test_canceled_is_202_and_money_that_comes_after_it_is_still_told(lab: Lab, act: str) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    assert (await shop.come_back(key, act)).location == f"{RETURN_URL}&invoice_key={key}"
    assert await shop.check(key) == refused(202)
    await shop.act(key, "pay")
    assert (await shop.check(key))["status"] == 1
    assert (await shop.payment(key)).late


async def test_expired_is_201_and_paid_after_it_is_1(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    lab.clock.forward(31 * MINUTE)
    assert await shop.check(key) == refused(201)
    assert (await shop.payment(key)).status is Status.EXPIRED
    await lab.fault("check", "http_500", times=1)
    assert await shop.check(key) == refused(201)
    await shop.act(key, "pay")
    assert (await shop.check(key))["status"] == 1


@pytest.mark.parametrize(
    ("kind", "more"), [("wrong_amount", {"amount_rials": 1000}), ("wrong_amount", {}), ("reused_bank_code", {})]
)
async def test_money_that_came_otherwise_than_asked_is_never_status_1(
    lab: Lab, kind: str, more: dict[str, Any]
) -> None:
    shop = await drop_in(lab)
    await shop.come_back(await shop.invoice())
    key = await shop.invoice()
    await lab.fault("check", kind, **more)
    back = await shop.come_back(key)
    assert back.location == f"{RETURN_URL}&invoice_key={key}"
    assert (await shop.payment(key)).status is Status.NEEDS_REVIEW
    said = await shop.check(key)
    assert said == {"status": 0, "errorCode": 202, "errorDescription": UNDER_REVIEW}


@pytest.mark.parametrize(("upstream", "code"), [(203, 203), (204, 204), (302, 302), (102, 102)])
async def test_a_refusal_that_tells_of_the_terminal_is_passed_on(lab: Lab, upstream: int, code: int) -> None:
    shop = await drop_in(lab)
    await lab.fault("request", "error", code=upstream)
    assert await shop.request() == refused(code)
    [payment] = await shop.payments()
    assert payment.status is Status.FAILED


@pytest.mark.parametrize("upstream", [100, 101, 103, 301, 999])
async def test_a_fault_between_dargah_and_the_gateway_is_301_and_not_the_shops(lab: Lab, upstream: int) -> None:
    shop = await drop_in(lab)
    await lab.fault("request", "error", code=upstream)
    assert await shop.request() == refused(301)


@pytest.mark.parametrize("kind", ["http_500", "reset", "lost", "html", "truncated", "foreign"])
async def test_an_unclear_answer_of_the_gateway_is_301_and_the_shop_may_ask_again(lab: Lab, kind: str) -> None:
    shop = await drop_in(lab)
    await lab.fault("request", kind, times=1)
    assert await shop.request() == refused(301)
    key = await shop.invoice()
    assert await shop.check(key) == refused(201)
    await lab.fault("check", kind)
    assert await shop.check(key) == refused(301)
    assert (await shop.payment(key)).status is Status.PENDING


@pytest.mark.parametrize(("upstream", "code"), [(203, 203), (204, 204), (302, 302), (101, 301), (200, 301), (301, 301)])
async def test_a_check_that_the_gateway_refuses_leaves_it_open(lab: Lab, upstream: int, code: int) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    await lab.fault("check", "error", code=upstream)
    assert await shop.check(key) == refused(code)
    assert (await shop.payment(key)).status is Status.PENDING


async def test_an_open_breaker_is_301_and_stores_nothing(lab: Lab) -> None:
    shop = await drop_in(lab)
    await lab.fault("request", "http_500")
    for _ in range(5):
        assert await shop.request() == refused(301)
    before = lab.rows()
    assert await shop.request() == refused(301)
    assert lab.rows() == before


async def test_a_terminal_that_is_switched_off_is_302(lab: Lab) -> None:
    shop = await drop_in(lab)
    setup = lab.dargah.services.setup
    await setup.change_terminal(lab.merchant_id, lab.terminal_id, enabled=False, actor="test")
    assert await shop.request() == refused(302)


async def test_each_request_is_an_invoice_of_its_own_as_at_the_gateway(lab: Lab) -> None:
    shop = await drop_in(lab)
    keys = await asyncio.gather(*(shop.invoice() for _ in range(5)))
    payments = await shop.payments()
    assert len(set(keys)) == len({payment.order_id for payment in payments}) == 5


async def test_an_order_that_is_paid_is_not_sold_twice(lab: Lab) -> None:
    shop = await drop_in(lab)
    await shop.come_back(await shop.invoice(order_id="17"))
    said = await shop.request(order_id="17")
    assert (said["errorCode"], said["errorDescription"]) == (301, "این سفارش پیش‌تر پرداخت شده است")


async def test_toman_goes_in_and_toman_comes_out(lab: Lab) -> None:
    shop = await drop_in(lab, unit=AmountUnit.TOMAN)
    key = await shop.invoice(amount=15_000)
    payment = await shop.payment(key)
    assert (payment.amount_rials, payment.currency) == (150_000, "IRT")
    await shop.come_back(key)
    assert (await shop.check(key))["amount"] == 15_000
    # The unit is the payment's, whichever token asks later.
    assert (await shop.check(key, await facade_token(lab)))["amount"] == 15_000
    assert (await shop.request(amount=99))["errorCode"] == 102
    assert await shop.invoice(amount=100)


class TestWhoMayAsk:
    """Whoever may not is told 101 or 200, and nothing changes."""

    async def test_a_token_without_the_scope(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        key = await shop.invoice()
        before = lab.rows()
        assert await DropIn(lab, lab.token).request() == refused(101)
        assert await shop.check(key, lab.token) == refused(101)
        assert lab.rows() == before

    async def test_a_revoked_token(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        key = await shop.invoice()
        await shop.act(key, "pay")
        store = lab.dargah.services.store
        [token] = [token for token in await store.merchants.list_tokens(lab.merchant_id) if "facade" in token.scopes]
        await lab.dargah.services.setup.revoke_token(lab.merchant_id, token.id, actor="test")
        before = lab.rows()
        assert await shop.request() == refused(101)
        assert await shop.check(key) == refused(101)
        assert lab.rows() == before

    async def test_another_merchant(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        key = await shop.invoice()
        await shop.act(key, "pay")
        merchant, _ = await lab.dargah.services.setup.create_merchant("دیگری", [], actor="test")
        theirs = await facade_token(lab, merchant_id=merchant.id)
        before, asked = lab.rows(), await lab.checks()
        assert await shop.check(key, theirs) == refused(200)
        assert (lab.rows(), await lab.checks()) == (before, asked)

    @pytest.mark.parametrize("choice", [{"storefront": "other"}, {"mode": Mode.TEST}])
    async def test_another_storefront_or_mode_of_the_same_merchant(self, lab: Lab, choice: dict[str, Any]) -> None:
        shop = await drop_in(lab)
        key = await shop.invoice()
        before = lab.rows()
        token = await facade_token(lab, **choice)
        before = lab.rows()
        assert await shop.check(key, token) == refused(200)
        assert lab.rows() == before

    @pytest.mark.parametrize("key", ["x", "0" * 30, "a" * 400, "%00", "%D9%BE", "..%2f.."])
    async def test_a_key_that_is_none(self, lab: Lab, key: str) -> None:
        shop = await drop_in(lab)
        assert await shop.check(key) == refused(200)

    async def test_a_key_that_nobody_has(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        key = await shop.invoice()
        assert merchant_of_link(key) == lab.merchant_id
        assert await shop.check(key[:-1] + ("0" if key[-1] != "0" else "1")) == refused(200)

    async def test_a_payment_of_the_api(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        payment = await lab.created()
        assert await shop.check(payment["pay_url"].rpartition("/")[2]) == refused(200)


async def test_another_invoices_key_at_the_return_changes_nothing_and_the_shop_gets_its_own(lab: Lab) -> None:
    shop = await drop_in(lab)
    cheap, dear = await shop.invoice(amount=1000), await shop.invoice(amount=9_000_000)
    await shop.come_back(cheap)
    theirs = (await shop.payment(cheap)).invoice_key
    for forged in (f"invoice_key={theirs}&status=0", f"invoice_key={cheap}&status=0&bank_code=1"):
        back = await lab.call("GET", f"/return/{dear}?{forged}")
        assert back.location == f"{RETURN_URL}&invoice_key={dear}"
    assert await shop.check(dear) == refused(201)
    # A shop that asks with the replayed key is told the cheap invoice's amount, which is not its order's.
    assert (await shop.check(cheap))["amount"] == 1000


def posted(page: Answer) -> tuple[str, dict[str, str]]:
    """Where a page's form goes, and what is in it; there is a button where no script runs."""
    [action] = re.findall(r'<form method="post" action="([^"]+)"', page.text)
    assert re.search(r"<button class=[^>]*>", page.text)
    return unescape(action), dict(re.findall(r'<input[^>]*name="(\w+)" value="(\w+)"', page.text))


@pytest.mark.parametrize("method", [ReturnMethod.POST, ReturnMethod.BOTH])
async def test_the_way_back_by_post_is_a_form_with_the_key_and_the_bank_code(lab: Lab, method: ReturnMethod) -> None:
    shop = await drop_in(lab, method=method)
    key = await shop.invoice()
    page = await shop.come_back(key)
    assert page.status == 200
    url, fields = posted(page)
    assert fields == {"invoice_key": key, "bank_code": await bank_code(shop, key)}
    in_url = f"&invoice_key={key}&bank_code={fields['bank_code']}" if method is ReturnMethod.BOTH else ""
    assert url == RETURN_URL + in_url
    assert '<main data-state="homeward" data-go>' in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'sha256-" in policy
    # Any way: Chrome holds it against the shop's redirects too.
    assert "form-action" not in policy
    # A shop's window keeps its opener, and a POST without a referrer would have `Origin: null`.
    assert "Cross-Origin-Opener-Policy" not in page.headers
    assert page.headers["Referrer-Policy"] == "strict-origin"
    paid = await lab.call("GET", f"/pay/{key}")
    assert '<form method="post"' in paid.text
    assert "data-go>" not in paid.text
    assert paid.headers["Referrer-Policy"] == "strict-origin"


@pytest.mark.parametrize("method", list(ReturnMethod))
@pytest.mark.parametrize("act", ["cancel", "fail", "wrong_amount", "no_bank_code"])
async def test_a_bank_code_goes_back_with_nothing_but_a_paid_payment(lab: Lab, method: ReturnMethod, act: str) -> None:
    """Whatever came in the return: there are shops that take any bank_code for paid."""
    shop = await drop_in(lab, method=method)
    key = await shop.invoice()
    if act == "wrong_amount":
        await lab.fault("check", "wrong_amount")
    back = await shop.act(key, act if act in {"cancel", "fail"} else "pay")
    if act == "no_bank_code":
        await lab.fault("check", "error", code=201)
    page = await lab.call("GET", f"{back}&status=0&bank_code=forged")
    url, fields = (page.location, None) if page.status == 303 else posted(page)
    assert "bank_code" not in url
    assert fields in (None, {"invoice_key": key})


async def test_a_bank_code_of_the_return_is_not_the_one_that_goes_back(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    back = await lab.call("GET", f"{await shop.act(key, 'pay')}&bank_code=forged")
    assert added(back.location, RETURN_URL) == {"invoice_key": key, "bank_code": await bank_code(shop, key)}


async def test_a_shops_first_check_soon_after_a_payment_stands_in_its_timeline_once(lab: Lab) -> None:
    shop = await drop_in(lab)
    soon, late = await shop.invoice(), await shop.invoice()
    await shop.come_back(soon)
    await shop.come_back(late)
    for _ in range(3):
        assert (await shop.check(soon))["status"] == 1
    lab.clock.forward(3 * MINUTE)
    assert (await shop.check(late))["status"] == 1

    async def kinds(key: str) -> list[str]:
        payment = await shop.payment(key)
        shown = (await lab.call("GET", f"/v1/payments/{payment.id}/timeline")).json["data"]
        return [entry["kind"] for entry in shown]

    assert (await kinds(soon)).count("drop_in.check") == 1
    assert "drop_in.check" not in await kinds(late)


@pytest.mark.parametrize("method", list(ReturnMethod))
async def test_doctor_tells_whether_a_shop_reads_its_returns(lab: Lab, method: ReturnMethod) -> None:
    shop = await drop_in(lab, method=method)

    async def said() -> list[Finding]:
        lab.clock.forward(3 * MINUTE)
        store = lab.dargah.services.store
        return await return_findings(
            store.payments, lab.merchant_id, await store.merchants.list_tokens(lab.merchant_id), lab.clock()
        )

    for _ in range(2):
        await shop.come_back(await shop.invoice())
    assert await said() == []
    await shop.come_back(await shop.invoice())
    # The poller finds these, and nobody goes back: they say nothing of the shop.
    await shop.act(await shop.invoice(), "pay")
    [finding] = await said()
    assert (finding.level, finding.subject) == (Level.WARNING, "main (live)")
    assert ("--return-method both" in finding.advice) is (method is not ReturnMethod.BOTH)
    assert "0 were followed" in finding.detail
    assert finding.advice_fa
    key = await shop.invoice()
    await shop.come_back(key)
    await shop.check(key)
    [finding] = await said()
    assert (finding.level, finding.advice) == (Level.OK, "")
    assert "of 4 customers" in finding.detail
    assert "1 were followed" in finding.detail


async def test_while_the_outcome_is_unknown_the_customer_waits_at_dargah(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    back = await shop.act(key, "pay")
    await lab.fault("check", "http_500", times=1)
    page = await lab.call("GET", back)
    assert (page.status, "در حال تأیید پرداخت" in page.text) == (200, True)
    assert f"{RETURN_URL.replace('&', '&amp;')}&amp;invoice_key={key}" in page.text
    lab.clock.forward(4000)

    async def home() -> str | None:
        await shop.check(key)
        again = await lab.call("GET", f"/return/{key}?again=1")
        return again.location if again.status == 303 else None

    assert await eventually(home) == f"{RETURN_URL}&invoice_key={key}&bank_code={await bank_code(shop, key)}"


async def test_a_token_may_allow_any_https_origin_and_no_other(lab: Lab) -> None:
    shop = await drop_in(lab, any_https_return=True)
    key = await shop.invoice(return_url="https://elsewhere.example/cb?a=1")
    home = f"https://elsewhere.example/cb?a=1&invoice_key={key}&bank_code="
    assert (await shop.come_back(key)).location == home + await bank_code(shop, key)
    for url in ("http://elsewhere.example/", "javascript:alert(1)", "https://a@elsewhere.example/"):
        assert (await shop.request(return_url=url))["status"] == 0


async def test_amounts_that_jump_ten_times_are_warned_of_once(lab: Lab) -> None:
    shop = await drop_in(lab)
    with structlog.testing.capture_logs() as lines:
        for amount in [*range(100_000, 200_000, 10_000), *range(1_100_000, 1_900_000, 50_000)]:
            await shop.invoice(amount=amount)
    [warning] = [line for line in lines if line["event"] == "amounts_jumped"]
    assert (warning["merchant_id"], warning["storefront"]) == (lab.merchant_id, "main")
    assert 6 <= warning["recent_rials"] / warning["usual_rials"] <= 16
    scraped = await lab.call("GET", f"{lab.dargah.admin_url}/metrics")
    assert "dargah_amount_jumps_total 1.0" in scraped.body.decode()


async def test_the_customer_may_be_posted_to_the_pay_link(lab: Lab) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    opened = await shop.send(f"/invoice/pay/{key}", b"a=1", FORM)
    assert opened.status == 303
    unknown = await shop.send("/invoice/pay/nothing", method="GET")
    assert (unknown.status, unknown.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


characters = st.characters().filter(lambda character: refused_in(character) is None)
queries = st.text(characters, max_size=40).filter(lambda text: text == text.strip())


@given(query=queries, path=queries, times=st.integers(0, 2), as_json=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_return_url_comes_back_byte_for_byte_with_the_key(query: str, path: str, times: int, as_json: bool) -> None:
    url = f"https://shop.example.ir/{path.replace('?', '').replace('#', '')}?{query.replace('#', '')}".rstrip()
    sent = url
    for _ in range(times):
        sent = quote_plus(sent) if as_json else quote(sent, safe="")
    body = orjson.dumps({"return_url": sent}) if as_json else f"a=1&return_url={quote_plus(sent)}".encode()
    understood = plain_url(parse_fields(body)["return_url"])
    assert understood == url
    home = shop_url(understood, return_params(shop_invoice(replace(PENDING, return_url=understood, link="k" * 30))))
    assert home.isascii()
    glue = "" if url.endswith("&") or url.partition("?")[2] == "" else "&"
    assert home == f"{ascii_url(url)}{glue}invoice_key={'k' * 30}"
    # What was ASCII is there as it was, and the rest as a browser writes it.
    kept = "".join(char if "!" <= char <= "~" else quote(char) for char in url)
    assert ascii_url(url) == kept
    assert unquote_to_bytes(ascii_url(url)) == unquote_to_bytes(url.encode())
    assert added(home, ascii_url(url)) == {"invoice_key": "k" * 30}
    paid = replace(PENDING, status=Status.PAID, bank_code="۱۲ &=#", return_url=understood, link="k" * 30)
    assert added(shop_url(understood, return_params(shop_invoice(paid))), ascii_url(url)) == {
        "invoice_key": "k" * 30,
        "bank_code": "۱۲ &=#",
    }
