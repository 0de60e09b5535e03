"""Every form in which shops write a `request`: the bytes that come in, the answer and the payment that come of them.

The rows are from the protocol's page: what it asks for, and how its real shops are known to write it.
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pytest

from proxy.payment import Status
from web.drop_in import FORM, RETURN_URL, drop_in
from web.lab import Lab

JSON: Final = "application/json"
ONCE: Final = quote(RETURN_URL, safe="")
TWICE: Final = quote(ONCE, safe="")
THRICE: Final = quote(TWICE, safe="")
BOUNDARY: Final = "multipart/form-data; boundary=b"
# What a JSON number carries exactly.
MOST: Final = 2**53 - 1


@dataclass(frozen=True)
class Row:
    """`{K}` in the body is the shop's token. `rials` and `url` of an accepted one; `code` of a refused one."""

    name: str
    body: str | bytes
    content_type: str | None = FORM
    code: int | None = None
    rials: int = 150_000
    url: str = RETURN_URL
    order_id: str | None = None
    method: str = "POST"


def form(amount: str = "150000", url: str = ONCE, key: str = "{K}") -> str:
    return f"api_key={key}&amount={amount}&return_url={url}"


def told(**fields: Any) -> str:
    return json.dumps({"api_key": "{K}", "amount": 150_000, "return_url": RETURN_URL} | fields)


def amount(text: str) -> str:
    """A JSON body with this amount, as it is."""
    return told(amount="@").replace('"@"', text)


def parts(**fields: str) -> str:
    written = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items())
    return f"{written}--b--\r\n"


def encoded(url: str) -> Row:
    return Row(f"url {url}", form(url=quote(url, safe="")), url=url)


SHOP: Final = "https://shop.example.ir"
BODIES: Final = [
    Row("a form", form()),
    Row("a form, its url encoded twice", form(url=TWICE)),
    Row("a form, its url not encoded, last", form(url=RETURN_URL)),
    Row("a form, its url not encoded, first", f"return_url={RETURN_URL}&api_key={{K}}&amount=150000"),
    Row("a form, its url not encoded, in the middle", f"amount=150000&return_url={RETURN_URL}&api_key={{K}}"),
    Row(
        "a url with an amount of its own, not encoded, first",
        f"return_url={SHOP}/cb?a=1&amount=5&b=2&api_key={{K}}&amount=150000",
        url=f"{SHOP}/cb?a=1&amount=5&b=2",
    ),
    Row(
        "a url with an amount of its own, not encoded, last",
        form(url=f"{SHOP}/cb?a=1&amount=5&api_key=x"),
        url=f"{SHOP}/cb?a=1&amount=5&api_key=x",
    ),
    Row("a form, only its punctuation not encoded", form(url=f"{SHOP}/cb%3Forder%3D17%26_token%3Da%2520b")),
    Row("a form of lower-case escapes", form(url=ONCE.lower().replace("%2520", "%2520"))),
    Row("a form with a charset", form(), f"{FORM}; charset=utf-8"),
    Row("a form of a shouted type", form(), FORM.upper()),
    Row("a form of no type", form(), None),
    Row("a form that says it is JSON", form(), JSON),
    Row("a form that says it is text", form(), "text/plain"),
    Row("JSON", told(), JSON),
    Row("JSON that says it is a form", told()),
    Row("JSON of no type", told(), None),
    Row("JSON that says it is text", told(), "text/plain; charset=utf-8"),
    Row("JSON that says it is HTML", told(), "text/html"),
    Row("JSON, spread out", json.dumps(json.loads(told()), indent=4), JSON),
    Row("JSON after a byte order mark", b"\xef\xbb\xbf" + told().encode(), JSON),
    Row("JSON between empty lines", f"\r\n\r\n {told()} \n", JSON),
    Row("JSON, its url encoded once", told(return_url=ONCE), JSON),
    Row("JSON, its url encoded twice", told(return_url=TWICE), JSON),
    Row("JSON, its slashes escaped", told().replace("/", "\\/"), JSON),
    Row("JSON, its colon as an escape", told().replace("https:", "https\\u003a"), JSON),
    Row("multipart", parts(api_key="{K}", amount="150000", return_url=RETURN_URL), BOUNDARY),
    Row("multipart, its url encoded once", parts(api_key="{K}", amount="150000", return_url=ONCE), BOUNDARY),
    Row("fields that nobody knows", form() + "&description=x&mobile=0912&callback_method=1"),
    Row("JSON fields that nobody knows", told(nested={"a": [1]}, mobile=None), JSON),
    Row("a field twice: the last counts", "amount=1&" + form()),
    Row("empty pairs", "&&" + form() + "&&"),
    Row("a line's end after it", form() + "\r\n"),
    Row("white space about the key", form(key="%20{K}+%0A")),
    Row("white space about the url", form(url=f"+%09{ONCE}%0D%0A")),
    Row("white space about the names", "+api_key+={K}&+amount=150000&return_url+=" + ONCE),
    Row("an order of the shop's", form() + "&order_id=A-17", order_id="A-17"),
    Row("an order that is a number", told(order_id=17), JSON, order_id="17"),
    Row("an order that is too long", form() + "&order_id=" + "9" * 101),
]
AMOUNTS: Final = [
    Row("an amount of quoted digits", told(amount="150000"), JSON),
    Row("a whole fraction", amount("150000.0"), JSON),
    Row("an exponent", amount("1.5e5"), JSON),
    Row("Persian digits", told(amount="۱۵۰۰۰۰"), JSON),
    Row("Arabic digits", told(amount="١٥٠٠٠٠"), JSON),
    Row("digits of all kinds", told(amount="1۵٠۰0۰"), JSON),
    Row("Persian digits in a form", form(quote("۱۵۰۰۰۰"))),
    Row("Persian digits in a form, as they are", form("۱۵۰۰۰۰")),
    Row("Arabic digits in a form", form(quote("١٥٠٠٠٠"))),
    Row("zeros before it", form("000150000")),
    Row("spaces about it", form("+150000+")),
    Row("tabs and lines about it", form("%09150000%0D%0A")),
    Row("a hard space about it", told(amount="\u00a0150000\u00a0"), JSON),
    Row("a direction mark and a half-space about it", told(amount="\u200f۱۵۰۰۰۰\u200c"), JSON),
    Row("the least", form("1000"), rials=1000),
    Row("the most", form(str(MOST)), rials=MOST),
]
URLS: Final = [
    *(
        encoded(url)
        for url in (
            SHOP,
            f"{SHOP}/",
            f"{SHOP}:443/cb",
            f"{SHOP}/cb?",
            f"{SHOP}/cb?a=1&",
            f"{SHOP}/cb?a=b+c&d=%2B&e=%2f",
            f"{SHOP}/cb?next=https%3A%2F%2Felsewhere.example%2F",
            f"{SHOP}/cb?a=1#part",
            f"{SHOP}/سپاس?نام=علی",
            f"{SHOP}/cb?نیم=می\u200cشود",
            f"{SHOP}/cb?a=x y",
            f"{SHOP}/cb?invoice_key=old&status=1",
            f"{SHOP}/cb?a[]=1&a[]=2&b=%",
            "HTTPS://Shop.Example.IR/CB",
        )
    )
]
NO_KEY: Final = [
    Row("nothing", "", code=101),
    Row("no key", "amount=150000&return_url=" + ONCE, code=101),
    Row("an empty key", form(key=""), code=101),
    Row("a key of spaces", form(key="+"), code=101),
    Row("somebody's key of the gateway", form(key="0123456789abcdef"), code=101),
    Row("a token with another end", form(key="{K}0"), code=101),
    Row("a key that is not ASCII", form(key="%D9%BE"), code=101),
    Row("a key that is null", told(api_key=None), JSON, code=101),
    Row("a key in a list", told(api_key=["{K}"]), JSON, code=101),
    Row("JSON that is a list", "[1]", JSON, code=101),
    Row("JSON that is broken", told()[:-1], JSON, code=101),
    Row("multipart that is broken", "--b\r\nbroken", BOUNDARY, code=101),
    Row("bytes", b"\xff\xfe\x00\x01", code=101),
    Row("too much", form() + "&x=" + "x" * 70_000, code=101),
    Row("too many fields", form() + "&a=1" * 200, code=101),
    Row("nothing right: the key is told first", "amount=1&return_url=x", code=101),
    Row("a GET", "", code=100, method="GET"),
    Row("a PUT", form(), code=100, method="PUT"),
    Row("a PATCH", form(), code=100, method="PATCH"),
    Row("a DELETE", form(), code=100, method="DELETE"),
]
BAD_AMOUNTS: Final = [
    Row("no amount", "api_key={K}&return_url=" + ONCE, code=102),
    *(
        Row(f"the amount {text!r}", form(quote(text)), code=102)
        for text in (
            *("", "0", "999", "-150000", "150000.5", "150,000", "۱۵۰٬۰۰۰", "150 000", "0x249F0", "1e5", "۱۵۰۰۰۰ ریال"),
            *("²³⁴⁵", "9" * 20, str(MOST + 1)),
        )
    ),
    *(
        Row(f"the JSON amount {text}", amount(text), JSON, code=102)
        for text in ("null", "true", "[150000]", '{"a":1}', "1500.5", "-1", "1e300", "999")
    ),
    Row("nothing right but the key: the amount is told first", "api_key={K}", code=102),
]
BAD_URLS: Final = [
    Row("no url", "api_key={K}&amount=150000", code=103),
    Row("a url thrice encoded beyond its form", form(url=quote(THRICE, safe="")), code=103),
    Row("a url that is null", told(return_url=None), JSON, code=103),
    Row("a url that is a number", told(return_url=17), JSON, code=103),
    *(
        Row(f"the url {url[:60]!r}", form(url=quote(url, safe="")), code=103)
        for url in (
            *("", "/cb", "shop.example.ir/cb", "//shop.example.ir/cb", "javascript:alert(1)", "ftp://shop.example.ir/"),
            *("https://", "https:///cb", "https://user:pass@shop.example.ir/", "https://shop.example.ir:port/"),
            *(f"{SHOP}/cb\r\nSet-Cookie: a=b", f"{SHOP}/\x00", f"{SHOP}/" + "x" * 4100),
            *(f"{SHOP}\\@elsewhere.example/", "https://shop.example.ir\\.elsewhere.example/"),
        )
    ),
    *(
        Row(f"an origin that is not registered: {url}", form(url=quote(url, safe="")), code=203)
        for url in (
            *("http://shop.example.ir/cb", "https://elsewhere.example/cb", "https://www.shop.example.ir/cb"),
            *("https://shop.example.ir:8443/cb", "https://shop.example.ir.elsewhere.example/"),
        )
    ),
]
ACCEPTED: Final = [*BODIES, *AMOUNTS, *URLS]
REFUSED: Final = [*NO_KEY, *BAD_AMOUNTS, *BAD_URLS]


def bytes_of(row: Row, token: str) -> bytes:
    body = row.body if isinstance(row.body, bytes) else row.body.encode()
    return body.replace(b"{K}", token.encode())


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.name)
async def test_a_request_in_any_form_makes_the_payment_that_it_means(lab: Lab, row: Row) -> None:
    shop = await drop_in(lab)
    answer = await shop.send("/invoice/request", bytes_of(row, shop.token), row.content_type)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    [payment] = await shop.payments()
    assert answer.json == {"status": 1, "invoice_key": payment.link}
    assert (payment.status, payment.amount_rials, payment.return_url) == (Status.PENDING, row.rials, row.url)
    assert payment.order_id == row.order_id if row.order_id else payment.order_id.startswith("facade-")


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
async def test_a_request_that_is_wrong_gets_the_protocols_code_and_changes_nothing(lab: Lab, row: Row) -> None:
    shop = await drop_in(lab)
    before = lab.rows()
    answer = await shop.send("/invoice/request", bytes_of(row, shop.token), row.content_type, row.method)
    said = answer.json
    assert (answer.status, said["status"], said["errorCode"]) == (200, 0, row.code)
    assert set(said) == {"status", "errorCode", "errorDescription"}
    assert said["errorDescription"]
    assert lab.rows() == before


def test_the_table_is_as_long_as_it_should_be() -> None:
    names = [row.name for row in (*ACCEPTED, *REFUSED)]
    assert len(names) == len(set(names)) >= 80


@pytest.mark.parametrize("prefix", ["", "/pay", "/gateway/v2", "/"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_paths_are_known_with_a_slash_and_under_a_prefix(lab: Lab, prefix: str, slash: str) -> None:
    shop = await drop_in(lab)
    made = await shop.send(f"{prefix}/invoice/request{slash}", form().replace("{K}", shop.token).encode())
    key = made.json["invoice_key"]
    checked = await shop.send(f"{prefix}/invoice/check/{key}{slash}", f"api_key={shop.token}".encode())
    assert checked.json["errorCode"] == 201
    opened = await shop.send(f"{prefix}/invoice/pay/{key}{slash}", method="GET", content_type=None)
    payment = await shop.payment(key)
    assert (opened.status, opened.location) == (303, f"{lab.gateway_url}/invoice/pay/{payment.invoice_key}")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_check_by_another_method_is_100(lab: Lab, method: str) -> None:
    shop = await drop_in(lab)
    key = await shop.invoice()
    answer = await shop.send(f"/invoice/check/{key}", f"api_key={shop.token}".encode(), method=method)
    assert (answer.status, answer.json["errorCode"]) == (200, 100)
