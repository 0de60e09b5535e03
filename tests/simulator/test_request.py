"""`invoice/request`: every body form, every encoding of the return_url, every refusal."""

import json
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import ClientResponse
from click.testing import CliRunner
from yarl import URL

from proxy.simulator.command import simulator
from simulator.conftest import RETURN_URL, Shop, StartShop, encoded

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


ORIGIN = "https://pay.example.ir"


async def sent(shop: Shop, method: str, path: str, form: dict[str, str] | None = None) -> ClientResponse:
    """The answer to exactly this path."""
    url = URL(str(shop.client.make_url("/")).rstrip("/") + path, encoded=True)
    return await shop.client.session.request(method, url, data=form)


@pytest.mark.parametrize("prefix", ["", "/pay", "/a/b"])
async def test_doubled_and_trailing_slashes_lead_to_the_same(start_shop: StartShop, prefix: str) -> None:
    shop = await start_shop(prefix=prefix)
    parts = [*prefix.strip("/").split("/"), "invoice"] if prefix else ["invoice"]
    odd = "//" + "//".join(parts)
    form = {"api_key": "key-one", "amount": "150000", "return_url": RETURN_URL}
    for path in (f"{odd}//request//", f"{prefix}/invoice/request/"):
        answer = await sent(shop, "POST", path, form)
        assert (await answer.json())["status"] == 1, path
    key = await shop.invoice()
    checked = await sent(shop, "POST", f"{odd}//check///{key}//", {"api_key": "key-one"})
    assert (await checked.json())["errorCode"] == 201
    assert (await sent(shop, "GET", f"{odd}/pay//{key}/")).status == 200
    assert (await shop.client.get(f"{prefix}/invoicepay/{key}")).status == 404


@pytest.mark.parametrize("form", [{}, {"invoice_key": "x", "amount": "1"}])
async def test_a_form_that_a_shop_posts_to_the_pay_page_opens_it(shop: Shop, form: dict[str, str]) -> None:
    key = await shop.invoice()
    answer = await shop.post(f"/invoice/pay/{key}", data=form)
    assert (answer.status, 'value="pay"' in await answer.text()) == (200, True)
    assert (await shop.stored(key))["state"] == "open"


async def test_a_terminals_keys_may_be_longer(shop: Shop) -> None:
    await shop.control("POST", "terminals", {"api_key": "key-one", "key_chars": 38})
    key = await shop.invoice()
    assert len(key) == 38
    assert (await shop.check(key))["errorCode"] == 201
    await shop.control("POST", "terminals", {"api_key": "key-one", "key_chars": 7}, status=400)


@pytest.mark.parametrize(
    ("referrer", "status"),
    [
        (f"{ORIGIN}/", 200),
        (f"{ORIGIN}/pay/secret", 200),
        (ORIGIN, 200),
        (None, 403),
        ("", 403),
        ("https://pay.example.ir.evil.example/", 403),
        ("https://shop.example.ir/?https://pay.example.ir/", 403),
        ("http://pay.example.ir/", 403),
        ("https://pay.example.ir:8443/", 403),
        ("https://pay.example.ir@evil.example/", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_terminal_may_insist_on_where_its_customers_come_from(
    shop: Shop, referrer: str | None, status: int, method: str
) -> None:
    await shop.control("POST", "terminals", {"api_key": "key-one", "referrer_origin": ORIGIN})
    key = await shop.invoice()
    headers = {} if referrer is None else {"Referer": referrer}
    answer = await shop.client.request(method, f"/invoice/pay/{key}", headers=headers)
    assert answer.status == status
    stats = await shop.control("GET", "stats")
    assert stats["answered"].get("page:referrer", 0) == (status == 403)
    assert (await shop.press(key, "pay")).status == 303, "its own page's button comes from nowhere"


async def test_a_hosts_unicode_and_punycode_are_the_same(shop: Shop) -> None:
    settings = {"registered_domain": "Müller.de", "referrer_origin": "https://پرداخت.ایران:443"}
    await shop.control("POST", "terminals", {"api_key": "key-one", **settings})
    for host in ("müller.de", "xn--mller-kva.de", "shop.XN--MLLER-KVA.de"):
        key = await shop.invoice(return_url=f"https://{host}/cb")
    assert (await shop.request(return_url="https://mueller.de/"))["errorCode"] == 203
    for referrer, status in (("https://xn--mgbglcj57b.xn--mgba3a4f16a/", 200), ("https://xn--mgba3a4f16a/", 403)):
        answer = await shop.client.get(f"/invoice/pay/{key}", headers={"Referer": referrer})
        assert answer.status == status


async def test_a_return_url_in_persian_leads_back(shop: Shop) -> None:
    url = "https://shop.example.ir/سپاس\u200cگزاری?نام=می\u200cخواهم"
    answer = await shop.press(await shop.invoice(return_url=url), "pay")
    assert (answer.status, answer.headers["Location"].startswith(f"{url}&invoice_key=")) == (303, True)


async def test_a_terminal_insists_on_nothing_unless_it_is_told_to(shop: Shop) -> None:
    assert (await shop.client.get(f"/invoice/pay/{await shop.invoice()}")).status == 200


@pytest.mark.parametrize(
    "origin", ["pay.example.ir", "https://pay.example.ir/", "https://pay.example.ir/x", "ftp://x", ""]
)
async def test_what_is_no_origin_is_refused(shop: Shop, origin: str) -> None:
    await shop.control("POST", "terminals", {"api_key": "key-one", "referrer_origin": origin}, status=400)


def test_the_command_takes_a_terminals_settings_and_refuses_others() -> None:
    for text, said in (
        ("k,referrer_origin=pay.example.ir", "referrer_origin: "),
        ("k,color=red", "color: "),
        ("k:put", "return_method: "),
        ("k,key_chars=x", "key_chars: "),
        ("k,family=sadad,repeated_verify=7", "repeated_verify: one of 100, 10, 010"),
        ("k,family=zibal,return_token=token", "return_token: "),
        (",enabled=1", "api_key: "),
    ):
        ran = CliRunner().invoke(simulator, ["--terminal", text])
        assert (ran.exit_code, said in ran.output) == (2, True), ran.output


async def test_a_ledger_of_an_older_simulator_is_taken_over(tmp_path: Path, start_shop: StartShop) -> None:
    path = str(tmp_path / "ledger.db")
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE terminals (api_key TEXT PRIMARY KEY, enabled INTEGER NOT NULL, registered_domain TEXT, "
            "registered_ip TEXT, return_method TEXT NOT NULL, return_extras TEXT NOT NULL) STRICT"
        )
        old.execute("INSERT INTO terminals VALUES ('key-one', 1, NULL, NULL, 'post', 'status')")
    old.close()
    shop = await start_shop(ledger=path, terminals=[])
    [terminal] = (await shop.control("GET", "terminals"))["terminals"]
    assert (terminal["return_method"], terminal["referrer_origin"], terminal["key_chars"]) == ("post", None, 32)
    assert len(await shop.invoice()) == 32
    await shop.control("POST", "terminals", {"api_key": "key-one", "referrer_origin": ORIGIN})
