"""Every form in which shops of ZarinPal and Zibal write a call: the bytes that come in, and what comes of them.

The rows are from the gateways' documents and from what public clients and plugins send (docs/gateways/clients.md).
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pytest
from yarl import URL

from proxy.payments.payment import Payment
from web.clients import FORM, RETURN_URL, facade_token
from web.lab import SHARED, Answer, Lab

JSON: Final = "application/json"
BOUNDARY: Final = "multipart/form-data; boundary=b"
SHOP: Final = "https://shop.example.ir"
MOST: Final = 2**53 - 1
NAMES: Final = {
    "zarinpal": ("merchant_id", "callback_url", "/pg/v4/payment/request.json", "/pg/v4/payment/verify.json"),
    "zibal": ("merchant", "callbackUrl", "/v1/request", "/v1/verify"),
}
"""Of each protocol: where the token and the return URL stand, and the paths of request and verify."""


@dataclass(frozen=True)
class Row:
    """`{K}` in the body is the shop's token, `{R}` its paid payment. What an accepted request means, or the code of a
    refused call.
    """

    name: str
    body: str | bytes
    content_type: str | None = JSON
    code: int | None = None
    rials: int = 150_000
    url: str = RETURN_URL
    order_id: str | None = None


def call_of(protocol: str, **fields: Any) -> dict[str, Any]:
    token, url, _, _ = NAMES[protocol]
    order = {token: "{K}", "amount": 150_000, url: RETURN_URL}
    return order | ({"description": "order 17"} if protocol == "zarinpal" else {}) | fields


def told(protocol: str, **fields: Any) -> str:
    return json.dumps(call_of(protocol, **fields))


def amount(protocol: str, text: str) -> str:
    """A JSON body with this amount, as it is."""
    return told(protocol, amount="@").replace('"@"', text)


def form(protocol: str, **fields: str) -> str:
    return "&".join(f"{name}={quote(str(value), safe='{}')}" for name, value in call_of(protocol, **fields).items())


def parts(protocol: str) -> str:
    fields = call_of(protocol).items()
    written = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields)
    return f"{written}--b--\r\n"


def bodies(p: str) -> list[Row]:
    token, url, _, _ = NAMES[p]
    return [
        Row("JSON", told(p)),
        Row("JSON with a charset", told(p), f"{JSON}; charset=utf-8"),
        Row("JSON that says it is text", told(p), "text/plain; charset=utf-8"),
        Row("JSON that says it is a form", told(p), FORM),
        Row("JSON that says it is HTML", told(p), "text/html"),
        Row("JSON of a vendor's type", told(p), "application/vnd.shop+json"),
        Row("JSON of no type", told(p), None),
        Row("JSON of a shouted type", told(p), JSON.upper()),
        Row("JSON, spread out", json.dumps(call_of(p), indent=4)),
        Row("JSON after a byte order mark", b"\xef\xbb\xbf" + told(p).encode()),
        Row("JSON between empty lines", f"\r\n\r\n {told(p)} \n"),
        Row("JSON, its slashes escaped", told(p).replace("/", "\\/")),
        Row("JSON, all of it as escapes", told(p).replace("https:", "https\\u003a")),
        Row("JSON, a field twice: the last counts", told(p).replace("{", '{"amount": 1, ', 1)),
        Row("JSON fields that nobody knows", told(p, nested={"a": [1]}, wages=[], referrer_id=None, cardNumber=None)),
        Row("JSON, every optional field as null", told(p, mobile=None, email=None, orderId=None, currency=None)),
        Row("JSON, half an emoji in a field that nobody knows", told(p, note="A\ud83d")),
        Row("a form", form(p), FORM),
        Row("a form with a charset", form(p), f"{FORM}; charset=utf-8"),
        Row("a form of no type", form(p), None),
        Row("a form that says it is JSON", form(p), JSON),
        Row("a form, a field twice: the last counts", "amount=1&" + form(p), FORM),
        Row("a form with empty pairs and a line's end", f"&&{form(p)}&&\r\n", FORM),
        Row("multipart", parts(p), BOUNDARY),
        Row("white space about the token", told(p, **{token: " {K}\n"})),
        Row("a mark about the token, from a paste", told(p, **{token: "\u200f{K}\u200c"})),
        Row("white space about the url", told(p, **{url: f" \t{RETURN_URL}\r\n"})),
    ]


def plugins(p: str) -> list[Row]:
    """What WordPress plugins send, read from their sources: woo-zarinpal-gateway, and ParsiGate for both protocols."""
    _, url, _, _ = NAMES[p]
    parsigate = f"{SHOP}/?wc-api={p}&order_id=17"
    who = {"mobile": "09121234567", "email": "a@shop.example.ir"}
    if p == "zibal":
        sent = told(p, **{url: parsigate}, orderId=17, **who, description="سفارش 17").replace("/", "\\/")
        return [Row("ParsiGate", sent, url=parsigate, order_id="17")]
    woo = f"{SHOP}/wc-api/zarinpal/?wc_order=17"
    order = {
        "description": "خرید به شماره سفارش : 17 | خریدار : علی رضایی",
        "metadata": {"order_id": "سفارش شماره 17", **who},
    }
    sent = told(p, **{url: woo}, amount=15_000, currency="IRT", **order).replace("/", "\\/")
    return [
        Row("woo-zarinpal-gateway", sent, url=woo, order_id="سفارش شماره 17"),
        Row(
            "ParsiGate", told(p, **{url: parsigate}, description="17", metadata=who).replace("/", "\\/"), url=parsigate
        ),
        Row("ParsiGate, of a guest", told(p, **{url: parsigate}, description="17", metadata=[]), url=parsigate),
    ]


def amounts(p: str) -> list[Row]:
    return [
        Row("an amount of quoted digits", told(p, amount="150000")),
        Row("a whole fraction", amount(p, "150000.0")),
        Row("an exponent", amount(p, "1.5e5")),
        Row("a whole decimal in text", told(p, amount="150000.00")),
        Row("Persian digits", told(p, amount="۱۵۰۰۰۰")),
        Row("Arabic digits", told(p, amount="١٥٠٠٠٠")),
        Row("Persian digits in a form", form(p, amount="۱۵۰۰۰۰"), FORM),
        Row("zeros before it", told(p, amount="000150000")),
        Row("spaces about it", told(p, amount=" 150000 ")),
        Row("a direction mark about it", told(p, amount="\u200f150000\u200c")),
        Row("the least", told(p, amount=1000), rials=1000),
        Row("the most", told(p, amount=MOST), rials=MOST),
    ]


def urls(p: str) -> list[Row]:
    _, name, _, _ = NAMES[p]
    return [
        Row(f"the url {url}", told(p, **{name: url}), url=url)
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
            f"{SHOP}/cb?a[]=1&a[]=2&b=%",
            f"{SHOP}/cb?Authority=old&Status=OK&trackId=1&success=1",
            "HTTPS://Shop.Example.IR/CB",
        )
    ]


def orders(p: str) -> list[Row]:
    if p == "zarinpal":
        named = {text: told(p, metadata={"order_id": text}) for text in ("A-17", "سفارش ۱۷", "می\u200cخ")}
        metadata: tuple[Any, ...] = (None, [], {}, "", 7, {"mobile": "0912"})
        rows = [Row(f"the order {text}", body, order_id=text) for text, body in named.items()]
        return [
            *rows,
            Row("an order that is a number", told(p, metadata={"order_id": 17}), order_id="17"),
            *(Row(f"metadata {each!r}", told(p, metadata=each)) for each in metadata),
            *(Row(f"an order that is {each!r}", told(p, metadata={"order_id": each})) for each in (None, "", " ")),
            Row("IRR", told(p, currency="IRR")),
            Row("IRR, in other letters and white space", told(p, currency=" irr ")),
            Row("IRT", told(p, amount=15_000, currency="IRT")),
            Row("IRT and a decimal", told(p, amount=15_000.0, currency="IRT")),
            Row("a currency that is empty", told(p, currency="")),
            Row("a description that is a number", told(p, description=17)),
            Row("the longest description", told(p, description="ش" * 500)),
            Row("a description of two lines", told(p, description="سفارش\r\n۱۷")),
            Row("a description with what no text may have", told(p, description="order\x00 \u202e17 A\ud83d")),
        ]
    return [
        *(Row(f"the order {text}", told(p, orderId=text), order_id=text) for text in ("A-17", "سفارش ۱۷", "می\u200cخ")),
        Row("an order that is a number", told(p, orderId=17), order_id="17"),
        Row("an order in a form", form(p, orderId="A 17"), FORM, order_id="A 17"),
        *(Row(f"an order that is {each!r}", told(p, orderId=each)) for each in (None, "", " ")),
        Row("a description", told(p, description="سفارش ۱۷")),
        Row("a description that is a list", told(p, description=[1])),
        Row("a description with what no text may have", told(p, description="order\x00 \u202e17 A\ud83d")),
        Row("percentMode and feeMode", told(p, percentMode=0, feeMode=0, multiplexingInfos=[], sms=False)),
    ]


def no_token(p: str) -> list[Row]:
    token, _, _, _ = NAMES[p]
    code = -10 if p == "zarinpal" else 102
    return [
        Row("nothing", "", code=code),
        Row("an empty object", "{}", code=code),
        Row("no token", told(p, **{token: None}), code=code),
        Row("an empty token", told(p, **{token: ""}), code=code),
        Row("somebody's key of the gateway", told(p, **{token: "5d7e1c3a-7b52-4c0e-9a41-0242ac120002"}), code=code),
        Row("a token with another end", told(p, **{token: "{K}0"}), code=code),
        Row("a token that is not ASCII", told(p, **{token: "پ" * 36}), code=code),
        *(
            Row(f"a token that is {each!r}", told(p, **{token: each}), code=code)
            for each in (7, True, ["{K}"], {"a": 1})
        ),
        Row("JSON that is a list", "[1]", code=code),
        Row("JSON that is a number", "17", code=code),
        Row("JSON that is broken", told(p)[:-1], code=code),
        Row("JSON that is very deep", '{"a":' + "[" * 60_000, code=code),
        Row("multipart that is broken", "--b\r\nbroken", BOUNDARY, code=code),
        Row("bytes", b"\xff\xfe\x00\x01", code=code),
        Row("too much", told(p, x="x" * 70_000), code=code),
        Row("too many fields", form(p) + "&a=1" * 200, FORM, code=code),
        Row("a type beyond measure", told(p), f"{JSON}; a={'x' * 300}", code=code),
        Row("nothing right: the token is told first", '{"amount": 1}', code=code),
    ]


def refused(p: str) -> list[Row]:
    _, url, _, _ = NAMES[p]
    wrong, large = (-9, -9) if p == "zarinpal" else (105, 113)
    bad, foreign = (-9, -14) if p == "zarinpal" else (106, 106)
    return [
        *(
            Row(f"the amount {text!r}", told(p, amount=text), code=wrong)
            for text in (
                *("", " ", "0", "999", "-150000", "150000.5", "150,000", "150 000", "۱۵۰٬۰۰۰", "0x249F0", "1e5"),
                *("150000.000", "150000.", "²³⁴⁵", None, True, [150_000], {"a": 1}, 0, 999, -1, 1500.5),
            )
        ),
        *(Row(f"the amount {each}", amount(p, str(each)), code=large) for each in (MOST + 1, 10**18)),
        *(Row(f"the amount {each}", amount(p, each), code=wrong) for each in ("1e300", "9" * 30)),
        *(
            Row(f"the url {str(each)[:60]!r}", told(p, **{url: each}), code=bad)
            for each in (
                *(None, "", 17, [SHOP], "/cb", "shop.example.ir/cb", "//shop.example.ir/cb", "javascript:alert(1)"),
                *("https://", "https:///cb", "https://user:pass@shop.example.ir/", f"{SHOP}:port/"),
                *(f"{SHOP}/cb\r\nSet-Cookie: a=b", f"{SHOP}/\x00", f"{SHOP}/" + "x" * 4100, quote(RETURN_URL, safe="")),
                *(
                    f"{SHOP}/7\u202e1",
                    f"{SHOP}/\u2028x",
                    f"{SHOP}/\ufffe",
                    f"{SHOP}/A\ud83d",
                    f"{SHOP}\\@elsewhere.example/",
                ),
            )
        ),
        *(
            Row(f"an origin that is not registered: {each}", told(p, **{url: each}), code=foreign)
            for each in (
                *("http://shop.example.ir/cb", "https://elsewhere.example/cb", "https://www.shop.example.ir/cb"),
                *("https://shop.example.ir:8443/cb", "https://shop.example.ir.elsewhere.example/"),
            )
        ),
        *(
            Row(f"the order {each!r}", body, code=-9 if p == "zarinpal" else -2)
            for each in ("9" * 101, "A\x00", "\u202e17", "\u200c", ["17"], {"a": 1}, True, "A\ud83d")
            for body in [told(p, metadata={"order_id": each}, orderId=each)]
        ),
        *(refused_of_zarinpal() if p == "zarinpal" else []),
    ]


def refused_of_zarinpal() -> list[Row]:
    p = "zarinpal"
    return [
        *(Row(f"the currency {each!r}", told(p, currency=each), code=-9) for each in ("USD", "TMN", 1, ["IRT"], True)),
        *(
            Row(f"the description {str(each)[:20]!r}", told(p, description=each), code=-9)
            for each in (None, "", " ", [1], "ش" * 501)
        ),
    ]


def verifies(p: str) -> list[Row]:
    """Forms of a verify of a paid payment, all right but those with a code."""
    token = NAMES[p][0]
    if p == "zarinpal":
        right = {token: "{K}", "authority": "{R}", "amount": 150_000}
        wrong: list[tuple[dict[str, Any], int]]
        wrong = [({"authority": each}, -54) for each in ("", None, 7, ["{R}"], "{R}0", "a" * 36, "A" * 37, "۱" * 36)]
        wrong += [
            ({"amount": each}, -50) for each in ("15000", 15_000, 1_500_000, None, "", True, [150_000], "150,000")
        ]
    else:
        right = {token: "{K}", "trackId": "{R}"}
        wrong = [({"trackId": each}, 203) for each in ("", None, 7, ["{R}"], "{R}0", "-{R}", True, "x", 10**30, 1.5)]
    pairs = "&".join(f"{name}={value}" for name, value in right.items())
    rows = [
        Row("JSON", json.dumps(right)),
        Row("JSON that says it is text", json.dumps(right), "text/plain"),
        Row("JSON of no type", json.dumps(right), None),
        Row("a form", pairs, FORM),
        Row("a form that says it is JSON", pairs),
        Row("a name with white space about it", json.dumps(right).replace('"{R}"', '" {R}\\n"')),
        Row("fields that nobody knows", json.dumps(right | {"orderId": "x", "dataOnDoubleVerify": True, "sum": 7})),
    ]
    if p == "zarinpal":
        same = ("150000", "۱۵۰۰۰۰", 150_000.0, "150000.00", " 150000 ")
        rows += [Row(f"the amount {each!r}", json.dumps(right | {"amount": each})) for each in same]
    else:
        rows += [
            Row("a number", json.dumps(right).replace('"{R}"', "{R}")),
            Row("a number with a fraction", json.dumps(right).replace('"{R}"', "{R}.0")),
            Row("an amount, which is ignored", json.dumps(right | {"amount": 1})),
        ]
    return rows + [Row(f"{fields}", json.dumps(right | fields), code=code) for fields, code in wrong]


PROTOCOLS: Final = tuple(NAMES)


def accepted(p: str) -> list[Row]:
    return [*bodies(p), *plugins(p), *amounts(p), *urls(p), *orders(p)]


@dataclass(frozen=True)
class Wire:
    """A shop that sends bytes."""

    lab: Lab
    protocol: str
    token: str

    async def send(self, path: str, row: Row, reference: str = "") -> Answer:
        body = row.body if isinstance(row.body, bytes) else row.body.encode()
        body = body.replace(b"{K}", self.token.encode()).replace(b"{R}", reference.encode())
        headers = {} if row.content_type is None else {"Content-Type": row.content_type}
        skipped = ["Content-Type"] if row.content_type is None else []
        url = URL(self.lab.dargah.url + path, encoded=True)
        session = self.lab.session
        async with session.post(url, data=body, headers=headers, skip_auto_headers=skipped) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def code_of(self, answer: Answer) -> int | str:
        """The code of an answer in the protocol's form, or what is wrong with that."""
        assert answer.body.isascii()
        assert answer.headers["Content-Type"] == JSON, answer.body
        said = answer.json
        if self.protocol == "zibal":
            assert answer.status == 200
            return int(said["result"])
        assert answer.status == (200 if said["data"] else 422)
        assert said["errors"] == [] or said["data"] == []
        return int((said["data"] or said["errors"])["code"])

    def reference_of(self, answer: Answer) -> str:
        return str(answer.json["data"]["authority"] if self.protocol == "zarinpal" else answer.json["trackId"])

    async def payment_of(self, answer: Answer) -> Payment:
        """The payment that a request made."""
        store = self.lab.dargah.services.store.payments
        if self.protocol == "zibal":
            return await store.payment_by_number(answer.json["trackId"])
        return await store.payment_by_link(self.lab.merchant_id, answer.json["data"]["authority"][1:])


async def wire(lab: Lab, protocol: str) -> Wire:
    return Wire(lab, protocol, await facade_token(lab, protocol=protocol))


@SHARED
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_request_in_any_form_makes_the_payment_that_it_means(shared_lab: Lab, protocol: str) -> None:
    shop = await wire(shared_lab, protocol)
    found: dict[str, Any] = {}
    for row in accepted(protocol):
        answer = await shop.send(NAMES[protocol][2], row)
        found[row.name] = shop.code_of(answer)
        if found[row.name] == 100:
            payment = await shop.payment_of(answer)
            order_id = None if payment.order_id.startswith("facade-") else payment.order_id
            found[row.name] = (payment.amount_rials, payment.return_url, order_id)
    wanted = {row.name: (row.rials, row.url, row.order_id) for row in accepted(protocol)}
    assert {name: each for name, each in found.items() if each != wanted[name]} == {}


@SHARED
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_request_that_is_wrong_gets_the_protocols_code_and_changes_nothing(
    shared_lab: Lab, protocol: str
) -> None:
    shop = await wire(shared_lab, protocol)
    before = shared_lab.rows()
    rows = [*no_token(protocol), *refused(protocol)]
    found = {row.name: shop.code_of(await shop.send(NAMES[protocol][2], row)) for row in rows}
    assert {row.name: found[row.name] for row in rows if found[row.name] != row.code} == {}
    assert shared_lab.rows() == before


@SHARED
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_verify_in_any_form_is_of_the_payment_that_it_names(shared_lab: Lab, protocol: str) -> None:
    shop = await wire(shared_lab, protocol)
    made = await shop.send(NAMES[protocol][2], Row("paid", told(protocol)))
    reference = shop.reference_of(made)
    back = await shared_lab.act({"invoice_key": (await shop.payment_of(made)).invoice_key}, "pay")
    assert (await shared_lab.call("GET", back)).status == 303
    wrong = [row for row in verifies(protocol) if row.code is not None]
    right = [row for row in verifies(protocol) if row.code is None]
    again = 101 if protocol == "zarinpal" else 201
    wanted = [row.code for row in wrong] + [100] + [again] * (len(right) - 1)
    found = [shop.code_of(await shop.send(NAMES[protocol][3], row, reference)) for row in wrong + right]
    pairs = zip(wrong + right, found, wanted, strict=True)
    assert {row.name: code for row, code, due in pairs if code != due} == {}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_tables_are_as_long_as_they_should_be(protocol: str) -> None:
    names = [row.name for row in (*accepted(protocol), *no_token(protocol), *refused(protocol))]
    assert len(names) == len(set(names)) >= 60


@SHARED
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("prefix", ["", "/pay", "/gateway/v2", "/", "/sandbox"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_paths_are_known_with_a_slash_and_under_a_prefix(
    shared_lab: Lab, protocol: str, prefix: str, slash: str
) -> None:
    shop = await wire(shared_lab, protocol)
    _, _, request, verify = NAMES[protocol]
    made = await shop.send(f"{prefix}{request}{slash}", Row("made", told(protocol)))
    assert shop.code_of(made) == 100
    unpaid = await shop.send(f"{prefix}{verify}{slash}", verifies(protocol)[0], shop.reference_of(made))
    assert shop.code_of(unpaid) == (-51 if protocol == "zarinpal" else 202)


@SHARED
@pytest.mark.parametrize("end", ["", "/", "/ZarinGate"])
async def test_a_customers_link_may_end_as_plugins_write_it(shared_lab: Lab, end: str) -> None:
    shop = await wire(shared_lab, "zarinpal")
    made = await shop.send(NAMES["zarinpal"][2], Row("made", told("zarinpal")))
    page = await shared_lab.call("GET", f"/pg/StartPay/{shop.reference_of(made)}{end}", token="")
    assert (page.status, "/invoice/pay/" in page.headers["Location"]) == (303, True)
