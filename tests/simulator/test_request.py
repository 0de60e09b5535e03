"""`invoice/request`: every body form, every encoding of the return_url, every refusal."""

import json
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from simulator.shop_side import RETURN_URL, Shop, StartShop, encoded

FIELDS = {"api_key": "key-one", "amount": "150000", "return_url": RETURN_URL}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def _hand_made(times: int) -> bytes:
    return f"api_key=key-one&return_url={encoded(RETURN_URL, times)}&amount=150000".encode()


def _json(times: int, amount: Any = 150000) -> bytes:
    return json.dumps(FIELDS | {"amount": amount, "return_url": encoded(RETURN_URL, times)}).encode()


BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "form, url encoded once": (urlencode(FIELDS).encode(), FORM),
    "form, url encoded twice": (urlencode(FIELDS | {"return_url": encoded(RETURN_URL, 1)}).encode(), FORM),
    "form by hand, url not encoded": (_hand_made(0), FORM),
    "form by hand, url not encoded, last": (
        f"api_key=key-one&amount=150000&return_url={RETURN_URL}".encode(),
        FORM,
    ),
    "form by hand, url encoded once": (_hand_made(1), FORM),
    "form by hand, only the url's own marks left": (
        _hand_made(1).replace(b"%3A%2F%2F", b"://").replace(b"%2F", b"/"),
        FORM,
    ),
    "form with no content type": (urlencode(FIELDS).encode(), {"Content-Type": ""}),
    "form called JSON": (urlencode(FIELDS).encode(), JSON),
    "json, amount a number": (_json(0), JSON),
    "json, amount digits": (_json(0, "150000"), JSON),
    "json, url encoded once": (_json(1), JSON),
    "json, url encoded twice": (_json(2), JSON),
    "json called a form": (_json(0), FORM),
    "json with no content type": (_json(0), {"Content-Type": ""}),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_body_gives_the_same_invoice(shop: Shop, name: str, slash: str) -> None:
    body, headers = BODIES[name]
    response = await shop.post(f"/invoice/request{slash}", data=body, headers=headers)
    answer = await response.json()
    assert (response.status, answer["status"]) == (200, 1)
    assert set(answer) == {"status", "invoice_key"}
    stored = await shop.stored(answer["invoice_key"])
    assert (stored["api_key"], stored["amount_rials"], stored["return_url"]) == ("key-one", 150000, RETURN_URL)
    assert (stored["state"], stored["bank_code"], stored["checks"]) == ("open", None, 0)


async def test_a_multipart_form_is_read_too(shop: Shop) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in FIELDS.items():
        form.add_field(name, value)
    response = await shop.post("/invoice/request", data=form)
    stored = await shop.stored((await response.json())["invoice_key"])
    assert stored["return_url"] == RETURN_URL


async def test_a_prefix_moves_the_whole_script(start_shop: StartShop) -> None:
    shop = await start_shop(prefix="pay/")
    shop.prefix = "/pay"
    key = await shop.invoice()
    assert (await shop.press(key, "pay")).status == 303
    assert (await shop.check(key))["status"] == 1
    shop.prefix = ""
    assert (await shop.post("/invoice/request", data=FIELDS)).status == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"api_key": None}, 101),
        ({"api_key": ""}, 101),
        ({"api_key": "wrong"}, 101),
        ({"amount": None}, 102),
        ({"amount": "999"}, 102),
        ({"amount": "0"}, 102),
        ({"amount": "-5000"}, 102),
        ({"amount": "1500.0"}, 102),
        ({"amount": "۱۵۰۰۰"}, 102),
        ({"amount": "9" * 30}, 102),
        ({"return_url": None}, 103),
        ({"return_url": ""}, 103),
        ({"return_url": "shop.example.ir/cb"}, 103),
        ({"return_url": "javascript:alert(1)"}, 103),
        ({"return_url": "https://"}, 103),
        ({"return_url": "https://[broken"}, 103),
        ({"return_url": "https://shop.example.ir/\r\nSet-Cookie: a"}, 103),
    ],
)
async def test_bad_fields_are_refused_with_their_code(shop: Shop, changes: dict[str, Any], code: int) -> None:
    answer = await shop.request(**changes)
    assert (answer["status"], answer["errorCode"]) == (0, code)
    assert any("\u0600" <= letter <= "\u06ff" for letter in answer["errorDescription"])
    assert (await shop.control("GET", "invoices"))["invoices"] == []


@pytest.mark.parametrize("amount", [1500.5, True, None, [150000], "12e4"])
async def test_json_amounts_that_are_not_whole_rials_are_refused(shop: Shop, amount: Any) -> None:
    response = await shop.post("/invoice/request", json=FIELDS | {"amount": amount})
    assert (await response.json())["errorCode"] == 102


async def test_1000_rials_is_enough(shop: Shop) -> None:
    assert (await shop.request("1000"))["status"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b"a=1&" * 200])
async def test_a_body_that_is_nothing_has_no_api_key(shop: Shop, body: bytes) -> None:
    response = await shop.post("/invoice/request", data=body)
    assert (response.status, (await response.json())["errorCode"]) == (200, 101)


@pytest.mark.parametrize("path", ["/invoice/request", "/invoice/request/", "/invoice/check/x", "/invoice/check/x/"])
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_only_post_is_taken(shop: Shop, path: str, method: str) -> None:
    response = await shop.client.request(method, path)
    assert response.status == 200
    if method != "HEAD":
        assert (await response.json())["errorCode"] == 100


CALLER_REFUSALS: list[tuple[dict[str, Any], int]] = [
    ({"enabled": False}, 302),
    ({"registered_ip": "10.0.0.9"}, 204),
    ({"registered_domain": "other.ir"}, 203),
    ({"registered_domain": "ample.ir"}, 203),
]


@pytest.mark.parametrize(("settings", "code"), CALLER_REFUSALS)
async def test_terminal_settings_refuse_request_and_check(shop: Shop, settings: dict[str, Any], code: int) -> None:
    key = await shop.invoice()
    await shop.control("POST", "terminals", {"api_key": "key-one", **settings})
    assert (await shop.request())["errorCode"] == code
    assert (await shop.check(key))["errorCode"] == code


@pytest.mark.parametrize(
    "settings",
    [
        {"registered_domain": "shop.example.ir"},
        {"registered_domain": "Example.ir"},
        {"registered_ip": "127.0.0.1"},
    ],
)
async def test_terminal_settings_that_match_let_through(shop: Shop, settings: dict[str, Any]) -> None:
    await shop.control("POST", "terminals", {"api_key": "key-one", **settings})
    assert (await shop.request())["status"] == 1


async def test_keys_differ(shop: Shop) -> None:
    keys = {await shop.invoice() for _ in range(20)}
    assert len(keys) == 20


async def test_no_line_of_the_log_has_the_api_key(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.check(key)
    await shop.press(key, "pay")
    assert len(shop.lines) == 3
    assert "key-one" not in "".join(shop.lines)
