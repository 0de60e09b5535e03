"""The customer at the bank: the page, its buttons, the ways back, and what check says after."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from proxy.kernel.urls import with_params
from proxy.simulator.ledger import HostReturnMethod, ReturnExtra, SimulatedTerminal
from simulator.shop_side import RETURN_URL, Shop, StartShop


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


async def _page(shop: Shop, key: str, slash: str = "") -> Page:
    response = await shop.client.get(f"{shop.prefix}/invoice/pay/{key}{slash}")
    assert response.status == 200
    assert response.content_type == "text/html"
    return Page(await response.text())


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_pay_page_is_persian_and_needs_nothing_from_outside(shop: Shop, slash: str) -> None:
    key = await shop.invoice(amount="12345670")
    page = await _page(shop, key, slash)
    assert page.all("html") == [{"lang": "fa", "dir": "rtl"}]
    assert "۱۲٬۳۴۵٬۶۷۰ ریال" in " ".join(page.text.split())
    assert "۱٬۲۳۴٬۵۶۷ تومان" in page.text
    assert "shop.example.ir" in page.text
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert page.open == []
    names = {name for _, attrs in page.elements for name in attrs}
    assert not names & {"src", "href", "onclick", "onload"}
    assert page.all("script") == page.all("link") == page.all("img") == []


async def test_the_pay_page_has_three_buttons_in_a_plain_form(shop: Shop) -> None:
    page = await _page(shop, await shop.invoice())
    assert page.all("form") == [{"method": "post"}]
    assert [(button["name"], button["value"]) for button in page.all("button")] == [
        ("action", "pay"),
        ("action", "cancel"),
        ("action", "fail"),
    ]


async def test_odd_rials_are_shown_in_toman_as_a_decimal(shop: Shop) -> None:
    assert "۱۵۰٫۵ تومان" in (await _page(shop, await shop.invoice(amount="1505"))).text


async def test_the_page_is_not_stored_and_tells_no_referrer(shop: Shop) -> None:
    response = await shop.client.get(f"/invoice/pay/{await shop.invoice()}")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_host_in_the_return_url_cannot_write_on_the_page(shop: Shop) -> None:
    key = await shop.invoice(return_url="https://<script>alert(1)</script>.ir/cb?a=<b>")
    assert (await _page(shop, key)).all("script") == []


async def test_an_unknown_invoice_has_a_page_that_says_so(shop: Shop) -> None:
    response = await shop.client.get("/invoice/pay/nothing")
    assert response.status == 404
    assert "شناسه پرداخت صحیح نیست" in Page(await response.text()).text
    assert (await shop.press("nothing", "pay")).status == 404


async def test_a_button_that_is_none_changes_nothing(shop: Shop) -> None:
    key = await shop.invoice()
    assert (await shop.press(key, "refund")).status == 400
    assert (await shop.stored(key))["state"] == "open"


@pytest.mark.parametrize(
    ("action", "state", "code"), [("pay", "captured", None), ("cancel", "canceled", 202), ("fail", "failed", 202)]
)
async def test_each_button_ends_in_its_state_and_sends_back(
    shop: Shop, action: str, state: str, code: int | None
) -> None:
    key = await shop.invoice()
    assert (await shop.check(key))["errorCode"] == 201
    shop.clock.now += 5000
    response = await shop.press(key, action)
    assert response.status == 303
    assert response.headers["Location"] == f"{RETURN_URL}&invoice_key={key}"
    stored = await shop.stored(key)
    assert stored["state"] == state
    answer = await shop.check(key)
    if code is None:
        assert answer == {"status": 1, "amount": 150000, "bank_code": stored["bank_code"]}
        assert stored["captured_at"] == shop.clock.now == stored["created_at"] + 5000
    else:
        assert (answer["status"], answer["errorCode"]) == (0, code)
        assert (stored["bank_code"], stored["captured_at"]) == (None, None)


async def test_check_may_be_repeated_and_is_counted(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    assert await shop.check(key) == await shop.check(key)
    assert (await shop.stored(key))["checks"] == 2


async def test_check_takes_json_and_a_trailing_slash(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    for path in (f"/invoice/check/{key}", f"/invoice/check/{key}/"):
        response = await shop.post(path, json={"api_key": "key-one"})
        assert (await response.json())["status"] == 1


async def test_check_refuses_other_terminals_and_unknown_keys(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    assert (await shop.check(key, "key-two"))["errorCode"] == 200
    assert (await shop.check("nothing"))["errorCode"] == 200
    assert (await shop.check(key, "wrong"))["errorCode"] == 101
    assert (await shop.stored(key))["checks"] == 0


async def test_money_is_taken_once_however_often_pay_is_pressed(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    first = await shop.stored(key)
    shop.clock.now += 60_000
    assert (await shop.press(key, "pay")).status == 303
    assert await shop.stored(key) == first


async def test_a_captured_invoice_offers_only_the_way_back(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.press(key, "pay")
    page = await _page(shop, key)
    assert [button["value"] for button in page.all("button")] == ["back"]
    assert (await shop.press(key, "back")).headers["Location"].endswith(f"&invoice_key={key}")
    for action in ("cancel", "fail"):
        assert (await shop.press(key, action)).status == 409
    assert (await shop.stored(key))["state"] == "captured"


@pytest.mark.parametrize("action", ["cancel", "fail"])
async def test_a_customer_may_still_pay_after_giving_up(shop: Shop, action: str) -> None:
    key = await shop.invoice()
    await shop.press(key, action)
    assert len((await _page(shop, key)).all("button")) == 3
    await shop.press(key, "pay")
    assert (await shop.check(key))["status"] == 1


async def test_tracking_numbers_differ(shop: Shop) -> None:
    keys = [await shop.invoice() for _ in range(20)]
    for key in keys:
        await shop.press(key, "pay")
    assert len({(await shop.check(key))["bank_code"] for key in keys}) == 20


async def test_a_post_return_is_a_form_that_works_without_scripts(start_shop: StartShop) -> None:
    terminal = SimulatedTerminal("key-one", return_method=HostReturnMethod.POST, return_extras=tuple(ReturnExtra))
    shop = await start_shop(terminals=[terminal])
    key = await shop.invoice()
    response = await shop.press(key, "pay")
    assert response.status == 200
    page = Page(await response.text())
    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("post", RETURN_URL)
    sent = {field["name"]: field["value"] for field in page.all("input")}
    bank_code = (await shop.stored(key))["bank_code"]
    assert sent == {"invoice_key": key, "status": "0", "bank_code": bank_code, "card_number": "603799******1234"}
    assert len(page.all("button")) == len(page.all("script")) == 1


@pytest.mark.parametrize("action", ["cancel", "fail"])
async def test_extras_never_carry_a_bank_code_for_money_not_taken(start_shop: StartShop, action: str) -> None:
    shop = await start_shop(terminals=[SimulatedTerminal("key-one", return_extras=tuple(ReturnExtra))])
    key = await shop.invoice()
    location = (await shop.press(key, action)).headers["Location"]
    assert parse_qsl(urlsplit(location).query)[2:] == [("invoice_key", key), ("status", "1")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s.ir", "https://s.ir?invoice_key=k"),
        ("https://s.ir/?", "https://s.ir/?invoice_key=k"),
        ("https://s.ir/?a=1", "https://s.ir/?a=1&invoice_key=k"),
        ("https://s.ir/?a=1&", "https://s.ir/?a=1&invoice_key=k"),
        ("https://s.ir/?a=%2F+b&a=ب#top", "https://s.ir/?a=%2F+b&a=ب&invoice_key=k#top"),
        ("https://s.ir/#top?x", "https://s.ir/?invoice_key=k#top?x"),
    ],
)
def test_the_shops_own_query_survives(url: str, expected: str) -> None:
    assert with_params(url, {"invoice_key": "k"}) == expected


@pytest.mark.parametrize(("act", "state"), [("pay", "captured"), ("cancel", "canceled"), ("fail", "failed")])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_the_control_api_acts_as_the_customer(shop: Shop, act: str, state: str, method: str) -> None:
    await shop.control("POST", "terminals", {"api_key": "key-one", "return_method": method})
    key = await shop.invoice()
    way: dict[str, Any] = await shop.control("POST", f"invoices/{key}/{act}")
    bare = {"get": f"{RETURN_URL}&invoice_key={key}", "post": RETURN_URL}[method]
    assert (way["return_method"], way["return_url"], way["params"]) == (method, bare, {"invoice_key": key})
    assert way["invoice"] == await shop.stored(key)
    assert way["invoice"]["state"] == state
