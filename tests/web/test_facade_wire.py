"""Every form in which shops write a `request`: the bytes that come in, the answer and the payment that come of them.

The rows are from the protocol's page: what it asks for, and how its real shops are known to write it.
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pytest
from support.eventually import eventually

from proxy.api.drop_in import calls
from proxy.payments.payment import Status
from web.clients import FORM, RETURN_URL, drop_in
from web.lab import SHARED, Lab

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
    status: int = 200
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
    Row("JSON, half an emoji in a field that nobody knows", told(description="A\ud83d"), JSON),
    Row("a field twice: the last counts", "amount=1&" + form()),
    Row("empty pairs", "&&" + form() + "&&"),
    Row("a line's end after it", form() + "\r\n"),
    Row("white space about the key", form(key="%20{K}+%0A")),
    Row("white space about the url", form(url=f"+%09{ONCE}%0D%0A")),
    Row("white space about the names", "+api_key+={K}&+amount=150000&return_url+=" + ONCE),
    Row("an order of the shop's", form() + "&order_id=A-17", order_id="A-17"),
    Row("an order that is a number", told(order_id=17), JSON, order_id="17"),
    Row("an order with a half-space", form() + "&order_id=%D9%85%DB%8C%E2%80%8C%D8%AE", order_id="می\u200cخ"),
    Row("an order in windows-1256", form() + "&order_id=%D3%DD%C7%D1%D4", order_id="سفارش"),
    Row("another order in windows-1256", form() + "&order_id=%CF%E6%D1%C8%E4", order_id="دورب\u0646"),
    Row("an order in windows-1256, its bytes as they are", form().encode() + b"&order_id=\xd3\xdd\xc7", order_id="سفا"),
    Row(
        "an order in windows-1256, as stated",
        form() + "&order_id=%D3%E9",
        f"{FORM}; charset=windows-1256",
        order_id="سé",
    ),
    Row("an order that is UTF-8 too, as stated", form() + "&order_id=%C7%81", f"{FORM};charset=CP1256", order_id="اپ"),
    Row("an order in what the rest is in", form() + "&x=%D3%DD%C7%D1%D4&order_id=%C7%81", order_id="اپ"),
    Row("JSON in windows-1256", told(order_id="@").encode().replace(b"@", b"\xd3\xdd"), JSON, order_id="سف"),
    Row(
        "multipart in windows-1256",
        parts(api_key="{K}", amount="150000", return_url=RETURN_URL, order_id="@").encode().replace(b"@", b"\xd3\xdd"),
        BOUNDARY,
        order_id="سف",
    ),
    Row(
        "multipart, of which a part states its charset",
        parts(api_key="{K}", amount="150000", return_url=RETURN_URL, order_id="@")
        .encode()
        .replace(b'"order_id"', b'"order_id"\r\nContent-Type: text/plain; charset=windows-1256')
        .replace(b"@", b"\xc7\x81"),
        BOUNDARY,
        order_id="اپ",
    ),
    Row("a charset that libraries write", form() + "&order_id=%D8%B3", f"{FORM}; charset=ISO-8859-1", order_id="س"),
    Row("a charset that nobody knows, and ASCII", form() + "&order_id=17", f"{FORM}; charset=x-odd", order_id="17"),
    Row("bytes in a field that nobody knows", form() + "&mobile=%FF%FE"),
    Row("an order that is empty", form() + "&order_id="),
    Row("an order that is null", told(order_id=None), JSON),
]
AMOUNTS: Final = [
    *(Row(f"a whole decimal: {text}", form(text)) for text in ("150000.0", "150000.00", "150000.0000", "0150000.00")),
    Row("a whole decimal in JSON", told(amount="150000.00"), JSON),
    Row("a whole decimal in Persian", told(amount="۱۵۰۰۰۰٫۰۰"), JSON),
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
CALLBACK: Final = f"api_key={{K}}&amount=150000&callback_url={ONCE}"
URLS: Final = [
    Row("a callback_url", CALLBACK),
    Row("a callback_url, its url encoded twice", CALLBACK.replace(ONCE, TWICE)),
    Row("a callback_url, its url not encoded", CALLBACK.replace(ONCE, RETURN_URL)),
    Row("a callback_url in JSON", told(callback_url=RETURN_URL, return_url=None), JSON),
    Row("a callback_url beside the same return_url", f"{CALLBACK}&return_url={TWICE}"),
    Row("a callback_url beside an empty return_url", f"{CALLBACK}&return_url=+"),
    Row(
        "a url whose query is in windows-1256",
        form(url=quote(f"{SHOP}/cb?n=%D3%DD", safe="")),
        url=f"{SHOP}/cb?n=%D3%DD",
    ),
    Row(
        "a url whose query is in windows-1256, as it is",
        form(url=quote(f"{SHOP}/cb?n=@", safe="").replace("%40", "%D3%DD")),
        url=f"{SHOP}/cb?n=%D3%DD",
    ),
    Row(
        "a url whose query is in windows-1256, encoded twice",
        form(url=quote(quote(f"{SHOP}/cb?n=@", safe="").replace("%40", "%D3%DD"), safe="")),
        url=f"{SHOP}/cb?n=%D3%DD",
    ),
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
    ),
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
    Row("multipart that is broken", "--b\r\nbroken", BOUNDARY, code=101, status=400),
    Row("bytes", b"\xff\xfe\x00\x01", code=101),
    Row("too much", form() + "&x=" + "x" * 70_000, code=101),
    Row("too many fields", form() + "&a=1" * 200, code=101),
    Row("JSON that is very deep", '{"a":' + "[" * 60_000, JSON, code=101),
    Row("nothing right: the key is told first", "amount=1&return_url=x", code=101),
    Row("a GET", "", code=100, method="GET"),
    Row("a PUT", form(), code=100, method="PUT"),
    Row("a PATCH", form(), code=100, method="PATCH"),
    Row("a DELETE", form(), code=100, method="DELETE"),
]
BAD_AMOUNTS: Final = [
    Row("an order that is too long", form() + "&order_id=" + "9" * 101, code=301),
    Row("an order with a control character", form() + "&order_id=A%00", code=301),
    Row("an order with an override of direction", form() + "&order_id=%E2%80%AE17", code=301),
    Row("an order that cannot be seen", form() + "&order_id=%E2%80%8C", code=301),
    Row("an order that is a list", told(order_id=["17"]), JSON, code=301),
    *(
        Row(f"an order in no charset: {escaped}", f"{form()}&order_id={escaped}", code=301)
        for escaped in ("%FF%BE", "caf%E9", "%D9%81%D9", "%ED%A0%80", "%00%D3", "A%81%8D%A4")
    ),
    *(
        Row(f"an order in no charset, in JSON: {raw!r}", told(order_id="@").encode().replace(b"@", raw), JSON, code=301)
        for raw in (b"\xff\xbe", b"caf\xe9", b"\xd9\x81\xd9", b"\xed\xa0\x80", b"A\\ud83d", b"\\udc00\\ud800")
    ),
    Row("an order that is not as stated", form() + "&order_id=%D3%DD", f"{FORM}; charset=utf-8", code=301),
    Row("an order in a charset that nobody knows", form() + "&order_id=%D3", f"{FORM}; charset=koi8-r", code=301),
    Row("an order in two charsets", form() + "&order_id=%D3", f"{FORM}; charset=utf-8; charset=cp1256", code=301),
    Row("no amount", "api_key={K}&return_url=" + ONCE, code=102),
    *(
        Row(f"the amount {text!r}", form(quote(text)), code=102)
        for text in (
            *("", "0", "999", "-150000", "150000.5", "150,000", "۱۵۰٬۰۰۰", "150 000", "0x249F0", "1e5", "۱۵۰۰۰۰ ریال"),
            *("150000.000", "150000.", ".150000", "150000.01", "150.000.00", "150000,00", "150000.00.0", "150000.-0"),
            "150000." + "0" * 99,
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
    Row("two urls that differ", f"{CALLBACK}&return_url={ONCE}x", code=103),
    Row("a callback_url beside a return_url that is none", f"{CALLBACK}&return_url=x", code=103),
    Row("a host in windows-1256", form(url="https%3A%2F%2F%D3%DD.ir%2Fcb"), code=103),
    Row("a url thrice encoded beyond its form", form(url=quote(THRICE, safe="")), code=103),
    Row("a url that is null", told(return_url=None), JSON, code=103),
    Row("a url that is a number", told(return_url=17), JSON, code=103),
    *(
        Row(f"the url {url[:60]!r}", form(url=quote(url, safe="")), code=103)
        for url in (
            *("", "/cb", "shop.example.ir/cb", "//shop.example.ir/cb", "javascript:alert(1)", "ftp://shop.example.ir/"),
            *("https://", "https:///cb", "https://user:pass@shop.example.ir/", "https://shop.example.ir:port/"),
            *(f"{SHOP}/cb\r\nSet-Cookie: a=b", f"{SHOP}/\x00", f"{SHOP}/" + "x" * 4100),
            *(f"{SHOP}/7\u202e1", f"{SHOP}/\u2028", f"{SHOP}/\ufffe", f"{SHOP}/\U000e0080", f"{SHOP}/\x85"),
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


@SHARED
@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.name)
async def test_a_request_in_any_form_makes_the_payment_that_it_means(shared_lab: Lab, row: Row) -> None:
    shop = await drop_in(shared_lab)
    answer = await shop.send("/invoice/request", bytes_of(row, shop.token), row.content_type)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.body.isascii()
    [payment] = await shop.payments()
    assert answer.json == {"status": 1, "invoice_key": payment.link}
    assert (payment.status, payment.amount_rials, payment.return_url) == (Status.PENDING, row.rials, row.url)
    assert payment.order_id == row.order_id if row.order_id else payment.order_id.startswith("facade-")


@SHARED
@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
async def test_a_request_that_is_wrong_gets_the_protocols_code_and_changes_nothing(shared_lab: Lab, row: Row) -> None:
    shop = await drop_in(shared_lab)
    before = shared_lab.rows()
    answer = await shop.send("/invoice/request", bytes_of(row, shop.token), row.content_type, row.method)
    said = answer.json
    assert (answer.status, said["status"], said["errorCode"]) == (row.status, 0, row.code)
    assert set(said) == {"status", "errorCode", "errorDescription"}
    assert answer.body.isascii()
    assert said["errorDescription"]
    assert shared_lab.rows() == before


def test_the_table_is_as_long_as_it_should_be() -> None:
    names = [row.name for row in (*ACCEPTED, *REFUSED)]
    assert len(names) == len(set(names)) >= 80


@SHARED
@pytest.mark.parametrize("prefix", ["", "/pay", "/gateway/v2", "/"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_paths_are_known_with_a_slash_and_under_a_prefix(shared_lab: Lab, prefix: str, slash: str) -> None:
    shop = await drop_in(shared_lab)
    made = await shop.send(f"{prefix}/invoice/request{slash}", form().replace("{K}", shop.token).encode())
    key = made.json["invoice_key"]
    checked = await shop.send(f"{prefix}/invoice/check/{key}{slash}", f"api_key={shop.token}".encode())
    assert checked.json["errorCode"] == 201
    opened = await shop.send(f"{prefix}/invoice/pay/{key}{slash}", method="GET", content_type=None)
    payment = await shop.payment(key)
    assert (opened.status, opened.location) == (303, f"{shared_lab.gateway_url}/invoice/pay/{payment.invoice_key}")


@SHARED
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_check_by_another_method_is_100(shared_lab: Lab, method: str) -> None:
    shop = await drop_in(shared_lab)
    key = await shop.invoice()
    answer = await shop.send(f"/invoice/check/{key}", f"api_key={shop.token}".encode(), method=method)
    assert (answer.status, answer.json["errorCode"]) == (200, 100)


@SHARED
@pytest.mark.parametrize("path", ["/invoice/check", "/invoice/check/", "/pay/invoice/check//", "/invoice/check/%20"])
async def test_a_check_without_a_key_is_200_and_with_a_wrong_token_101(shared_lab: Lab, path: str) -> None:
    shop = await drop_in(shared_lab)
    for body, code in ((f"api_key={shop.token}", 200), ("api_key=x", 101), ("", 101)):
        answer = await shop.send(path, body.encode())
        assert (answer.status, answer.json["errorCode"]) == (200, code)
    assert (await shop.send(path, method="GET")).json["errorCode"] == 100


@SHARED
@pytest.mark.parametrize(
    "path", ["/invoice/check//{}", "/invoice/check/{}//", "/invoice/check/{}%20", "/p/invoice/check/{}?a=1"]
)
async def test_a_key_that_was_put_into_the_address_by_hand_is_found(shared_lab: Lab, path: str) -> None:
    shop = await drop_in(shared_lab)
    key = await shop.invoice()
    said = await shop.send(path.format(key), f"api_key={shop.token}".encode())
    assert said.json["errorCode"] == 201
    others = await shop.send(path.format(f"a/{key}"), f"api_key={shop.token}".encode())
    assert others.json["errorCode"] == 200


class TestAGatewayThatIsSlow:
    """Clients give up after 10 seconds, so they are told 301 before that, and what was asked for goes on."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert calls.ANSWER_SECONDS < 9
        monkeypatch.setattr(calls, "ANSWER_SECONDS", 0.2)

    async def test_a_check_is_301_and_the_next_one_gets_what_was_found(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        key = await shop.invoice()
        await shop.act(key, "pay")
        await lab.fault("check", "delay", seconds=0.5, times=1)
        assert (await shop.check(key))["errorCode"] == 301

        async def paid() -> dict[str, Any] | None:
            said = await shop.check(key) if (await shop.payment(key)).status is Status.PAID else {"status": 0}
            return said if said["status"] == 1 else None

        assert (await eventually(paid))["amount"] == 150_000
        assert await lab.checks() == 1

    async def test_a_request_is_301_and_its_invoice_is_watched(self, lab: Lab) -> None:
        shop = await drop_in(lab)
        await lab.fault("request", "delay", seconds=0.5, times=1)
        assert (await shop.request())["errorCode"] == 301

        async def pending() -> bool | None:
            [payment] = await shop.payments()
            return payment.status is Status.PENDING or None

        assert await eventually(pending)
