"""What callers send: each field's bad input is named and changes nothing, and what people write comes back as it is."""

import csv
import gzip
import io
import json
import random
import re
import unicodedata
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel.text import is_blank, refused_in, without_direction
from proxy.merchants.merchant import Mode
from proxy.payments.return_url import verify
from web.clients import drop_in, portal
from web.lab import ORIGIN, RETURN_URL, SHARED, Lab

GOOD: dict[str, Any] = {"amount": 15_000, "currency": "IRT", "order_id": "A-1"}
ABSENT = object()
BIG = 2**53

FIELDS: list[tuple[str, Any, str]] = [
    ("amount", ABSENT, "required"),
    ("amount", None, "amount_not_integer"),
    ("amount", "15000", "amount_not_integer"),
    ("amount", 15000.0, "amount_not_integer"),
    ("amount", 15000.5, "amount_not_integer"),
    ("amount", True, "amount_not_integer"),
    ("amount", [15000], "amount_not_integer"),
    ("amount", 0, "amount_too_small"),
    ("amount", -15000, "amount_too_small"),
    ("amount", 99, "amount_too_small"),
    ("amount", BIG, "amount_too_large"),
    ("currency", ABSENT, "required"),
    ("currency", None, "not_one_of"),
    ("currency", "irr", "not_one_of"),
    ("currency", "USD", "not_one_of"),
    ("currency", 1, "not_one_of"),
    ("order_id", ABSENT, "required"),
    ("order_id", None, "not_text"),
    ("order_id", 17, "not_text"),
    ("order_id", "", "too_short"),
    ("order_id", "x" * 101, "too_long"),
    ("order_id", " A", "not_printable"),
    ("order_id", "A ", "not_printable"),
    ("order_id", "A\nB", "not_printable"),
    ("order_id", "A\x00", "not_printable"),
    ("order_id", "\u202eA", "not_printable"),
    ("order_id", "A\u202dB", "not_printable"),
    ("order_id", "A\u0085B", "not_printable"),
    ("order_id", "A\u2028B", "not_printable"),
    ("order_id", "A\U000e0000B", "not_printable"),
    ("order_id", "A\ufffe", "not_printable"),
    ("order_id", "\u200c", "not_printable"),
    ("order_id", "\u3000A", "not_printable"),
    ("return_url", 1, "not_text"),
    ("return_url", "", "too_short"),
    ("return_url", "/thanks", "url_invalid"),
    ("return_url", "javascript:alert(1)", "url_invalid"),
    ("return_url", "https://user:pw@shop.example.ir/", "url_invalid"),
    ("return_url", "https://shop.example.ir\\@evil.example/", "url_invalid"),
    ("return_url", "https://shop.example.ir/a\r\nSet-Cookie: x=1", "url_invalid"),
    ("return_url", "https://shop.example.ir:99999/", "url_invalid"),
    ("return_url", "https://evil.example/", "return_origin_not_registered"),
    ("return_url", "http://shop.example.ir/", "return_origin_not_registered"),
    ("return_url", "https://shop.example.ir:8443/", "return_origin_not_registered"),
    ("return_url", "https://shop.example.ir.evil.example/", "return_origin_not_registered"),
    ("return_url", "https://shop.example.ir/a\u202eb", "url_invalid"),
    ("return_url", "myapp://shop.example.ir/", "return_origin_not_registered"),
    ("return_url", "data://shop.example.ir/", "url_invalid"),
    ("return_url", "https://shop.example.ir/?status=1&dargah_status=2", "parameters_taken"),
    ("return_url", "https://shop.example.ir/" + "x" * 2000, "too_long"),
    ("terminal_id", 1, "not_text"),
    ("terminal_id", "", "too_short"),
    ("terminal_id", "x" * 41, "too_long"),
    ("terminal_id", "trm_" + "0" * 26, "terminal_unusable"),
    ("terminal_id", "a\x00b", "not_printable"),
    ("description", 1, "not_text"),
    ("description", "x" * 501, "too_long"),
    ("description", "a\x00b", "control_characters"),
    ("description", "a\x1bb", "control_characters"),
    ("description", "a\x9bb", "control_characters"),
    ("description", "a\u202eb", "control_characters"),
    ("metadata", None, "not_object"),
    ("metadata", [1], "not_object"),
    ("metadata", [[]], "not_object"),
    ("metadata", "x", "not_object"),
    ("metadata", {str(number): 1 for number in range(21)}, "too_many"),
    ("metadata", {str(number): "x" * 300 for number in range(20)}, "metadata_too_large"),
    ("metadata.k", {"k": 1.5}, "metadata_value"),
    ("metadata.k", {"k": {}}, "metadata_value"),
    ("metadata.k", {"k": [1]}, "metadata_value"),
    ("metadata.k", {"k": BIG}, "metadata_value"),
    ("metadata.k", {"k": -BIG}, "metadata_value"),
    ("metadata.k", {"k": "a\x00b"}, "control_characters"),
    ("metadata." + "x" * 41, {"x" * 41: 1}, "too_long"),
    ("metadata.", {"": 1}, "too_short"),
    ("expires_in", "600", "not_integer"),
    ("expires_in", 600.0, "not_integer"),
    ("expires_in", True, "not_integer"),
    ("expires_in", 299, "too_small"),
    ("expires_in", 259_201, "too_large"),
    ("expires_in", 10**30, "too_large"),
    ("colour", "red", "unknown_field"),
    ("callback_url", None, "unknown_field"),
    ("پیوند", 1, "unknown_field"),
]


@SHARED
@pytest.mark.parametrize(("field", "value", "code"), FIELDS)
async def test_a_bad_field_is_named_and_nothing_changes(shared_lab: Lab, field: str, value: Any, code: str) -> None:
    name = field.partition(".")[0]
    body = {key: given for key, given in (GOOD | {name: value}).items() if given is not ABSENT}
    before = shared_lab.rows()
    answer = await shared_lab.call(
        "POST",
        "/v1/payments",
        data=json.dumps(body).encode(),
        headers=with_key("k") | {"Content-Type": "application/json"},
    )
    assert answer.status == 422, answer.body
    assert answer.field_codes() == {field: code}
    [error] = answer.json["errors"]
    assert error["detail"].isascii()
    assert re.search("[آ-ی]", error["detail_fa"])
    assert shared_lab.rows() == before
    assert (await shared_lab.control("GET", "invoices"))["invoices"] == []


async def test_all_that_is_wrong_is_told_at_once(lab: Lab) -> None:
    body = {"amount": 1, "currency": "USD", "order_id": "", "expires_in": 1, "x": 1, "return_url": "https://evil.ir"}
    answer = await lab.call("POST", "/v1/payments", json=body, headers=with_key("k"))
    assert set(answer.field_codes()) == set(body)


async def test_a_name_that_is_a_flood_is_cut(lab: Lab) -> None:
    body = GOOD | {f"{number}" + "x" * 1000: 1 for number in range(40)}
    answer = await lab.call("POST", "/v1/payments", json=body, headers=with_key("k"))
    assert answer.status == 422
    assert len(answer.json["errors"]) == 20
    assert len(answer.body) < 60_000


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b"null", 400, "malformed_json"),
    (b"[]", 400, "malformed_json"),
    (b'"text"', 400, "malformed_json"),
    (b"{} {}", 400, "malformed_json"),
    (b"\xef\xbb\xbf{}", 400, "malformed_json"),
    (b'{"order_id": "\xff"}', 400, "malformed_json"),
    (b'{"order_id": "\\ud800"}', 400, "malformed_json"),
    (b'{"\\ud800": 1}', 400, "malformed_json"),
    ('{"order_id": "A"}'.encode("utf-16"), 400, "malformed_json"),
    (b'{"amount": NaN}', 400, "malformed_json"),
    (b'{"amount": Infinity}', 400, "malformed_json"),
    (b'{"amount": 1e400}', 400, "malformed_json"),
    (b'{"amount": ' + b"9" * 5000 + b"}", 400, "malformed_json"),
    (b'{"amount": 1, "amount": 15000}', 400, "malformed_json"),
    (b'{"metadata": {"k": 1, "k": 2}}', 400, "malformed_json"),
    (b'{"a":' * 1100 + b"1" + b"}" * 1100, 400, "malformed_json"),
    (b"[" * 60_000, 400, "malformed_json"),
    (b'{"a": [[[[[[[[1]]]]]]]]}', 422, "invalid_request"),
    (b'{"description": "' + b"x" * 65_536 + b'"}', 413, "body_too_large"),
]


@SHARED
@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=[str(body[:24]) for body, _, _ in BODIES])
async def test_a_body_that_is_no_object_is_a_clean_problem(
    shared_lab: Lab, body: bytes, status: int, code: str
) -> None:
    before = shared_lab.rows()
    headers = with_key("k") | {"Content-Type": "application/json"}
    answer = await shared_lab.call("POST", "/v1/payments", data=body, headers=headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert shared_lab.rows() == before


async def test_64_kib_of_body_are_read_and_a_byte_more_is_not(lab: Lab) -> None:
    headers = with_key("k") | {"Content-Type": "application/json"}
    body = orjson.dumps(GOOD)
    padded = body + b" " * (65_536 - len(body))
    assert (await lab.call("POST", "/v1/payments", data=padded, headers=headers)).status == 201
    assert (await lab.call("POST", "/v1/payments", data=padded + b" ", headers=headers)).status == 413


async def test_a_body_without_a_length_is_cut_off_too(lab: Lab) -> None:
    async def pour() -> Any:
        for _ in range(20):
            yield b" " * 8192

    headers = with_key("k") | {"Content-Type": "application/json", "Authorization": f"Bearer {lab.token}"}
    async with lab.session.post(f"{lab.dargah.url}/v1/payments", data=pour(), headers=headers) as answer:
        assert answer.status == 413
        assert (await answer.json(content_type=None))["code"] == "body_too_large"


@SHARED
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/problem+json", "multipart/form-data", "x"],
)
async def test_another_content_type_is_refused(shared_lab: Lab, content_type: str) -> None:
    headers = with_key("k") | {"Content-Type": content_type}
    answer = await shared_lab.call("POST", "/v1/payments", data=orjson.dumps(GOOD), headers=headers)
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")


@SHARED
@pytest.mark.parametrize("body", [b"not gzip at all", gzip.compress(orjson.dumps(GOOD), mtime=0)])
async def test_a_compressed_body_is_refused_and_told_why(shared_lab: Lab, body: bytes) -> None:
    headers = with_key("k") | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await shared_lab.call("POST", "/v1/payments", data=body, headers=headers)
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding" in answer.json["detail"]


@SHARED
@pytest.mark.parametrize("key", [None, "", "x" * 256, "a b", "کلید", "a\tb"])
async def test_a_create_needs_an_idempotency_key(shared_lab: Lab, key: str | None) -> None:
    before = shared_lab.rows()
    answer = await shared_lab.call(
        "POST", "/v1/payments", json=GOOD, headers={} if key is None else {"Idempotency-Key": key}
    )
    assert (answer.status, answer.json["code"]) == (400, "idempotency_key_required")
    assert shared_lab.rows() == before


async def test_the_longest_of_everything_is_taken(lab: Lab) -> None:
    metadata = {f"{number:040}": "ف" * 74 for number in range(20)}
    payment = await lab.created(
        key="~" * 255,
        amount=2**53 - 1,
        currency="IRR",
        order_id="س" * 100,
        description="نیم‌فاصله\n" + "د" * 490,
        metadata=metadata,
        return_url="https://shop.example.ir/".ljust(2000, "x"),
        expires_in=259_200,
    )
    assert payment["amount_rials"] == 2**53 - 1
    assert payment["metadata"] == metadata


def with_key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


REFUSED = ["\x00", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\u202d", "\u202e", "\ud800", "\udfff"]
REFUSED += ["\u2065", "\ufff0", "\ufdd0", "\ufffe", "\U0001ffff", "\U0010fffe", "\U000e0000", "\U000e0fff"]
KEPT = [
    "می\u200cخواهم",
    "\u200f۱۷",
    "علی\u200eA\u061c",
    "👨\u200d👩\u200d👧",
    "❤\ufe0f🇮🇷",
    "🏴\U000e0067\U000e0062\U000e007f",
    "e\u0301\u0651",
    "\u202a17\u202c",
    "\u2067۱۷\u2069",
    "𐎠\U0001fae8\U0001fadf",
    "\ue000",
    "\ufffd?",
    "a&b=c+d%20;\"',<b>{{7}}",
    "=1+1",
    "A  B\u3000C\u00a0D",
]


def orders() -> list[str]:
    """Those, and printable ones from everywhere in Unicode, the same in each run."""
    drawn = random.Random(16)
    chars = [chr(point) for point in range(0x21, 0x30000) if unicodedata.category(chr(point))[0] in "LMNPS"]
    return [*KEPT, *("".join(drawn.sample(chars, drawn.randint(1, 100))) for _ in range(10))]


@pytest.mark.parametrize("char", REFUSED)
def test_what_no_reader_sees_is_refused(char: str) -> None:
    assert refused_in(f"ب{char}") == f"U+{ord(char):04X}"
    assert refused_in(f"a{char}", lines=True)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.sampled_from("".join(KEPT)), min_size=1))
def test_what_can_be_written_is_kept(text: str) -> None:
    assert refused_in(text) is None


def test_a_text_without_anything_to_see_is_blank() -> None:
    assert is_blank("\u200c \u200f\u2067\u00a0")
    assert not is_blank("\u200c۱")
    assert without_direction("\u202a۱\u202e\u200c7\u2069") == "۱\u200c7"


async def test_an_order_id_comes_back_as_it_was_sent(lab: Lab) -> None:
    shop, sent = await drop_in(lab), orders()
    ids = {}
    for order_id in sent:
        payment = await lab.created(
            order_id=order_id, description=order_id, metadata={"سفارش": order_id}, return_url=RETURN_URL
        )
        assert (payment["order_id"], payment["description"], payment["metadata"]["سفارش"]) == (order_id,) * 3
        home = (await lab.call("GET", await lab.act(payment, "pay"), token="")).location
        told = dict(parse_qsl(urlsplit(home).query, strict_parsing=True, errors="strict"))
        assert told["order_id"] == order_id
        assert verify(lab.return_secret, Mode.LIVE, told)
        listed = (await lab.call("GET", f"/v1/payments?order_id={quote(order_id, safe='')}")).json["data"]
        assert [each["id"] for each in listed] == [payment["id"]]
        ids[payment["id"]] = order_id
    for order_id in sent:
        key = await shop.invoice(order_id=f"d{order_id[:99]}")
        assert (await shop.payment(key)).order_id == f"d{order_id[:99]}"
        form = f"api_key={shop.token}&amount=150000&return_url={quote(RETURN_URL)}&order_id=f{quote(order_id[:99])}"
        answer = (await shop.send("/invoice/request", form.encode())).json
        assert (await shop.payment(answer["invoice_key"])).order_id == f"f{order_id[:99]}"
    events = (await lab.call("GET", "/v1/events?type=payment.paid&limit=100")).json["data"]
    assert {each["data"]["id"]: each["data"]["order_id"] for each in events} == ids
    browser = await portal(lab)
    rows = list(csv.reader(io.StringIO((await browser.get("/portal/payments.csv")).body.decode("utf-8-sig"))))
    cells = {cell.removeprefix("'") for row in rows for cell in row}
    for payment_id, order_id in ids.items():
        assert f"<bdi>{order_id}</bdi>" in unescape((await browser.get(f"/portal/payments/{payment_id}")).text)
        assert order_id in cells


async def test_an_app_is_gone_back_to_where_its_scheme_is_registered(lab: Lab) -> None:
    url = "myapp://pay/نتیجه?cart=7&status=mine"
    assert (await lab.create(return_url=url)).field_codes() == {"return_url": "return_origin_not_registered"}
    setup = lab.dargah.services.setup
    await setup.change_merchant(lab.merchant_id, actor="test", return_origins=[ORIGIN, "MyApp://"])
    payment = await lab.created(return_url=url)
    assert payment["return_url"] == url
    answer = await lab.call("GET", await lab.act(payment, "pay"), token="")
    assert answer.status == 303
    assert answer.location.startswith(
        "myapp://pay/%D9%86%D8%AA%DB%8C%D8%AC%D9%87?cart=7&status=mine&dargah_payment_id=pay_"
    )
    assert verify(lab.return_secret, Mode.LIVE, dict(parse_qsl(urlsplit(answer.location).query)))
    page = await lab.call("GET", urlsplit(payment["pay_url"]).path, token="")
    assert f'href="{answer.location}"' in unescape(page.text)
    for other in ("myapp2://pay", "xmyapp://pay", "javascript://myapp//%0aalert(1)", "https://myapp/"):
        assert (await lab.create(return_url=other)).status == 422, other


async def test_a_body_with_a_lone_surrogate_is_refused(lab: Lab) -> None:
    body = json.dumps({"amount": 15_000, "currency": "IRT", "order_id": "A\ud800"}).encode()
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    assert (await lab.call("POST", "/v1/payments", data=body, headers=headers)).status == 400
