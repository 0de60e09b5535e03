"""What the gateway's bytes mean, and what an unclear answer leaves behind."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.servers import RawServer, Script, answer, drip, hang, raw, reset, then
from proxy.gateways.answers import HttpAnswer
from proxy.gateways.http_calls import MAX_CHARS, READ_BYTES, excerpt_of
from proxy.gateways.invoice_script.answers import check_outcome, request_outcome
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.port import (
    Account,
    Canceled,
    Captured,
    CheckResult,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    RequestRefused,
    RequestResult,
    RequestUnknown,
    reason_of,
)
from proxy.http.outbound.connector import ClientOptions

REFUSED_FOR_GOOD = {100, 101, 102, 103, 203, 204, 302}
TELLS_OF_THE_TERMINAL = {100, 101, 200, 203, 204, 302}
PAID = b'{"status":1,"amount":150000,"bank_code":"777"}'
CODES = [100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 1, 999, 2**31]


def said(**fields: Any) -> HttpAnswer:
    return HttpAnswer(200, json.dumps(fields).encode())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_code_of_request(code: int, as_text: bool) -> None:
    fact = request_outcome(said(status="0" if as_text else 0, errorCode=str(code) if as_text else code))
    if code in REFUSED_FOR_GOOD:
        assert fact == RequestRefused(code)
    else:
        reason = "bank_unreachable" if code == 301 else "unknown_code"
        assert fact == RequestUnknown(reason, error_code=code)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_code_of_check(code: int, as_text: bool) -> None:
    fact = check_outcome("inv_1", said(status="0" if as_text else 0, errorCode=str(code) if as_text else code))
    if code == 201:
        assert fact == NotPaid("inv_1")
    elif code == 202:
        assert fact == Canceled("inv_1")
    elif code in TELLS_OF_THE_TERMINAL:
        assert fact == CheckUnknown("inv_1", "terminal", error_code=code, alert=True)
    else:
        reason = "bank_unreachable" if code == 301 else "unknown_code"
        assert fact == CheckUnknown("inv_1", reason, error_code=code)


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":1,"amount":150000,"bank_code":"777"}',
        b'{"status":"1","amount":"150000","bank_code":777}',
        b'\xef\xbb\xbf{"status":1,"amount":150000,"bank_code":"777"}',
        b'\r\n \xef\xbb\xbf\n{"status":1, "amount":150000.0, "bank_code":" 777 "}\n\n',
        b'{"status":1,"errorCode":null,"errorDescription":"","amount":"150000","bank_code":"777","card":"6037"}',
        b'{"status":1,"errorCode":0,"amount":" 150000 ","bank_code":"777"}',
        b'{"status":1,"amount":"150000.00","bank_code":"777"}',
        b'{"status":1,"amount":150000.000,"bank_code":"777"}',
        b'{"status":1,"amount":1.5E5,"bank_code":"777"}',
        b'{"status":1,"amount":"150000","bank_code":"\\u200f777\\u200f"}',
        '{"status":1,"amount":"\u200e150000","bank_code":"\u202b777\u202c\u200f "}'.encode(),
        b"\xef\xbb\xbf\xef\xbb\xbf" + PAID + b"\xef\xbb\xbf",
        b"<br />\n<b>Notice</b>:  Undefined index: a in <b>/x.php</b> on line <b>12</b><br />\n" + PAID,
        b"PHP Deprecated:  strlen(): null in /x.php on line 3\nWarning: y in /x.php on line 4\n" + PAID + b"\n",
        b'{"status":1,"amount":150000,"bank_code":"777","errorDescription":"\xcf\xd1\xe6\xd3"}',
        gzip.compress(PAID, mtime=0),
        b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":" inv_1\\u200f"}',
        b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":null}',
        b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":""}',
    ],
)
def test_types_are_loose(body: bytes) -> None:
    assert check_outcome("inv_1", HttpAnswer(200, body)) == Captured("inv_1", 150_000, "777")


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"status": 1, "invoice_key": "a1B2-_.~"}, "a1B2-_.~"),
        ({"status": "1", "invoice_key": 17}, "17"),
        ({"status": 1, "invoice_key": "k" * 200}, "k" * 200),
        ({"status": 1, "invoice_key": "کلید"}, "کلید"),
    ],
)
def test_an_invoice_key_is_taken_as_it_is(fields: dict[str, Any], key: str) -> None:
    assert request_outcome(said(**fields)) == InvoiceIssued(key)


@pytest.mark.parametrize(
    "key",
    [
        *(
            None,
            "",
            " ",
            "a b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2fb",
            ".",
            "..",
            "a\nb",
            "a\x00",
            "a\u200bb",
            "k" * 201,
        ),
        *(True, 1.5, -1, [], {}, {"key": "a"}),
    ],
)
def test_an_invoice_key_that_cannot_stand_in_a_path_is_no_invoice(key: Any) -> None:
    assert request_outcome(said(status=1, invoice_key=key)) == RequestUnknown("bad_answer")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": 1},
        {"status": 1, "bank_code": "777"},
        {"amount": 150_000, "bank_code": "777"},
        {"status": True, "amount": 150_000, "bank_code": "777"},
        {"status": "ok", "amount": 150_000, "bank_code": "777"},
        {"status": 2, "amount": 150_000, "bank_code": "777"},
        {"status": -1, "amount": 150_000, "bank_code": "777"},
        {"status": 0, "amount": 150_000, "bank_code": "777"},
        {"status": [1], "amount": 150_000, "bank_code": "777"},
        {"status": 1, "errorCode": 201, "amount": 150_000, "bank_code": "777"},
        {"status": 1, "errorCode": "none", "amount": 150_000, "bank_code": "777"},
        *({"status": 1, "amount": amount, "bank_code": "777"} for amount in (0, -150_000, 2**63, 10**30, 1.5, 1e300)),
        *({"status": 1, "amount": amount, "bank_code": "777"} for amount in ("", "x", "15_000", "15,000", "۱۵۰", "-1")),
        *({"status": 1, "amount": amount, "bank_code": "777"} for amount in (True, None, [150_000], "1" * 20, "1e5")),
        *(
            {"status": 1, "amount": amount, "bank_code": "777"}
            for amount in ("150000.5", "150000.", ".0", "150000.00 0")
        ),
        {"status": 0},
        {"status": 0, "errorCode": None},
        {"status": 0, "errorCode": 0},
        {"status": 0, "errorCode": "201x"},
        {"status": 0, "errorCode": True},
        {"errorCode": 201},
        {"status": 2, "errorCode": 202},
        {"status": None, "errorCode": 202},
        {"ok": True, "result": {"status": 1, "amount": 150_000, "bank_code": "777"}},
    ],
)
def test_meaning_is_strict(fields: dict[str, Any]) -> None:
    assert check_outcome("inv_1", said(**fields)) == CheckUnknown("inv_1", "bad_answer")


GOOD = b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":"inv_1"}'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HttpAnswer(200, b""), "not_json"),
        (HttpAnswer(200, b"<html>welcome</html>"), "not_json"),
        (HttpAnswer(200, GOOD[:-1]), "not_json"),
        (HttpAnswer(200, GOOD + b"<!-- served in 3 ms -->"), "not_json"),
        (HttpAnswer(200, GOOD.decode().encode("utf-16")), "not_json"),
        (HttpAnswer(200, b'{"status":NaN}'), "not_json"),
        (HttpAnswer(200, b"[" * 60_000), "not_json"),
        (HttpAnswer(200, b'{"a":' * 10_000), "not_json"),
        (HttpAnswer(200, b'{"status":1e99999999999999999999}'), "not_json"),
        (HttpAnswer(200, b'{"status":' + b"1" * 60_000 + b"}"), "not_json"),
        (HttpAnswer(200, gzip.compress(GOOD, mtime=0)[:-9]), "not_json"),
        (HttpAnswer(200, gzip.compress(GOOD, mtime=0) + b"{}"), "not_json"),
        (HttpAnswer(200, b"\x1f\x8b" + GOOD), "not_json"),
        (HttpAnswer(200, gzip.compress(b" " * 20_000_000, mtime=0)), "too_large"),
        (HttpAnswer(200, b'{"status":0,"errorCode":201}' + GOOD), "not_json"),
        (HttpAnswer(200, b"Notice: x in y on line 1 {} " + GOOD), "not_json"),
        (HttpAnswer(200, b"on line {" + GOOD), "not_json"),
        (HttpAnswer(200, b"welcome " + GOOD), "not_json"),
        (HttpAnswer(200, GOOD + b"<b>Notice</b>: x in y on line 1"), "not_json"),
        (
            HttpAnswer(200, b'{"status":1,"status":1,"amount":150000,"bank_code":"777","invoice_key":"inv_1"}'),
            "duplicate_names",
        ),
        (
            HttpAnswer(200, b'{"status":0,"errorCode":201,"amount":150000,"status":1,"errorCode":null}'),
            "duplicate_names",
        ),
        (HttpAnswer(200, b'{"status":1,"st\\u0061tus":1,"amount":150000,"bank_code":"7"}'), "duplicate_names"),
        (HttpAnswer(200, GOOD[:-1] + b',"more":[{"a":1,"a":1}]}'), "duplicate_names"),
        (HttpAnswer(200, b"[]"), "bad_answer"),
        (HttpAnswer(200, b"1"), "bad_answer"),
        (HttpAnswer(200, b'"1"'), "bad_answer"),
        (HttpAnswer(200, b"null"), "bad_answer"),
        (HttpAnswer(200, b"[" + GOOD + b"]"), "bad_answer"),
        (HttpAnswer(200, b" " * 65_536 + GOOD), "too_large"),
    ],
)
def test_what_is_not_one_clear_answer_leaves_the_outcome_unknown(answer: HttpAnswer, reason: str) -> None:
    assert check_outcome("inv_1", answer) == CheckUnknown("inv_1", reason)
    assert request_outcome(answer) == RequestUnknown(reason)


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 400, 403, 404, 429, 500, 502, 503])
def test_another_status_than_200_is_unclear_and_told_by_its_number(status: int) -> None:
    fact = check_outcome("inv_1", HttpAnswer(status, GOOD))
    assert fact == CheckUnknown("inv_1", "http_status", http_status=status)
    assert reason_of(fact) == f"HTTP {status}"
    assert request_outcome(HttpAnswer(status, GOOD)) == RequestUnknown("http_status", http_status=status)


NAMES_NOTHING: list[Any] = [
    *(0, "0", "000", "0.0", 0.0, "", " ", "-", "--", "—", "_", ".", "null", "NULL", "None", "nil", "undefined", "NaN"),
    *(
        "false",
        "N/A",
        "Array",
        "\u200f0\u200f",
        "\ufeff",
        "/",
        None,
        False,
        True,
        [],
        {},
        ["7"],
        -1,
        7.5,
        "7\n7",
        "7" * 201,
    ),
    *(
        "\u06f0",
        "\u06f0\u06f0\u06f0",
        "\u0660",
        "\u06f0\u066b\u06f0",
        "\u0640\u0640",
        "-1",
        "-1.0",
        "\u22121",
        "(null)",
        "<null>",
    ),
    *("[object Object]", "#N/A", "N.A."),
]
NAMES = ["0007", "\u06f0\u06f7", "BC-1", "-a1", "null7", "NaN0", "0x0", "\u0639\u0644\u06cc"]


@pytest.mark.parametrize("value", NAMES)
def test_what_has_a_digit_or_a_letter_of_its_own_names_something(value: str) -> None:
    assert check_outcome("inv_1", said(status=1, amount=150_000, bank_code=value)) == Captured("inv_1", 150_000, value)


@pytest.mark.parametrize("value", NAMES_NOTHING)
def test_what_names_nothing_is_neither_a_bank_code_nor_an_invoice(value: Any) -> None:
    paid = check_outcome("inv_1", said(status=1, amount=150_000, bank_code=value))
    assert paid == CheckUnknown("inv_1", "no_bank_code", captured_rials=150_000)
    assert request_outcome(said(status=1, invoice_key=value)) == RequestUnknown("bad_answer")


@pytest.mark.parametrize("named", ["inv_2", "INV_1", "inv_1 2", 17, ["inv_1"], {"key": "inv_1"}])
@pytest.mark.parametrize(
    "fields",
    [
        {"status": 1, "amount": 150_000, "bank_code": "777"},
        {"status": 0, "errorCode": 202},
        {"status": 0, "errorCode": 201},
    ],
)
def test_a_check_that_names_another_invoice_says_nothing_of_ours(fields: dict[str, Any], named: Any) -> None:
    assert check_outcome("inv_1", said(**fields, invoice_key=named)) == CheckUnknown("inv_1", "other_invoice")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("01 a۱", max_size=5)
    | st.lists(st.integers(), max_size=2)
)
FIELDS = st.dictionaries(st.sampled_from(["status", "errorCode", "amount", "bank_code", "invoice_key", "x"]), VALUES)


@given(FIELDS, st.sampled_from([200, 500]))
def test_whatever_json_comes_there_is_a_fact_and_money_needs_a_status_of_one(
    fields: dict[str, Any], status: int
) -> None:
    answer = HttpAnswer(status, json.dumps(fields).encode())
    assert not isinstance(request_outcome(answer), InvoiceIssued) or str(fields["status"]).strip() in {"1", "1.0"}
    assert not isinstance(check_outcome("inv_1", answer), Captured) or str(fields["status"]).strip() in {"1", "1.0"}


@given(st.binary(max_size=200))
def test_whatever_bytes_come_there_is_a_fact(body: bytes) -> None:
    assert isinstance(request_outcome(HttpAnswer(200, body)), RequestUnknown)
    assert isinstance(check_outcome("inv_1", HttpAnswer(200, body)), CheckUnknown)


NOW = 1_800_000_000_000  # Fri, 15 Jan 2027 08:00:00 GMT
KEY = "ab<c&d/1234567890é"
LINK = "8Zq0000000000000000000000000000000000001"
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>\n  <p>Ray 7f</p></body></html>"


@pytest.fixture
async def gateway() -> AsyncIterator[InvoiceScript]:
    client = InvoiceScript(ClientOptions(now=lambda: NOW), request_seconds=5, check_seconds=0.5)
    yield client
    await client.close()


async def check(gateway: InvoiceScript, script: Script) -> CheckResult:
    async with RawServer((script,)) as server:
        return await gateway.check(Account("trm_1", server.url, {"api_key": KEY}), "inv_1")


async def request(gateway: InvoiceScript, script: Script) -> RequestResult:
    async with RawServer((script,)) as server:
        return await gateway.request(
            Account("trm_1", server.url, {"api_key": KEY}), 150_000, f"https://pay.example/return/{LINK}"
        )


@pytest.mark.parametrize(
    ("script", "status", "excerpt"),
    [
        (answer(CHALLENGE, status="403 Forbidden"), 403, "Just a moment... Ray 7f"),
        (answer(b"", status="301 Moved", headers="Location: https://www.pay.example/\r\n"), 301, ""),
        (answer(b"slow down", status="429 Too Many Requests"), 429, "slow down"),
        (answer("خطای داخلی".encode(), status="500 Oops"), 500, "خطای داخلی"),
        (answer(gzip.compress(b"gone away", mtime=0), status="502 Bad Gateway"), 502, "gone away"),
        (then(answer(b"busy", status="503 Busy", length=900), hang), 503, "busy"),
        (then(answer(b"", status="503 Busy", length=900), drip(b"x" * 100)), 503, None),
        (then(answer(b"", status="503 Busy", length=900), reset), 503, ""),
        (raw(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\nno chunk"), 500, ""),
    ],
)
async def test_another_status_is_kept_with_its_first_words(
    gateway: InvoiceScript, script: Script, status: int, excerpt: str | None
) -> None:
    for made in (await check(gateway, script), await request(gateway, script)):
        assert getattr(made.outcome, "http_status", None) == status
        assert excerpt is None or made.excerpt == excerpt


async def test_an_unclear_200_leaves_its_first_words_and_a_clear_one_none(gateway: InvoiceScript) -> None:
    unclear = await check(gateway, answer(b"<b>Parse error</b>: syntax error in <b>check.php</b>"))
    assert (unclear.outcome, unclear.excerpt) == (
        CheckUnknown("inv_1", "not_json"),
        "Parse error : syntax error in check.php",
    )
    assert (await check(gateway, answer(b'{"status":0,"errorCode":201,"errorDescription":"not yet"}'))).excerpt == ""


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        ("429 Slow", "Retry-After: 60\r\n", 60),
        ("503 Busy", "Retry-After: Fri, 15 Jan 2027 08:02:00 GMT\r\n", 120),
        ("429 Slow", "Retry-After: soon\r\n", None),
        ("429 Slow", "", None),
        ("500 Oops", "Retry-After: 60\r\n", None),
        ("200 OK", "Retry-After: 60\r\n", None),
    ],
)
async def test_retry_after_is_read(gateway: InvoiceScript, status: str, header: str, seconds: int | None) -> None:
    assert (await check(gateway, answer(b"{}", status=status, headers=header))).retry_after_seconds == seconds


ECHOES = [
    f"your key is {KEY}",
    f"api_key={quote_plus(KEY)}&amount=1",
    f"your key is {KEY.replace('&', '&amp;').replace('<', '&lt;')}",
    json.dumps({"received": {"api_key": KEY}}),
    json.dumps({"received": {"api_key": KEY}}, ensure_ascii=False),
    f"token {base64.b64encode(KEY.encode()).decode()}",
    f"back to https://pay.example/return/{LINK}",
    f"back to {LINK}",
    "x" * 2040 + f" {KEY}",
    "card 6037 9911 2345 6789 or 6037-9911-2345-6789",
    "session 0f3c9a7be21d4c55 of user",
]


@pytest.mark.parametrize("echo", ECHOES)
async def test_no_secret_stands_in_what_is_kept(gateway: InvoiceScript, echo: str) -> None:
    made = await request(gateway, answer(echo.encode(), status="500 Oops"))
    for secret in (
        KEY[:6],
        quote_plus(KEY[:6]),
        KEY[-9:],
        LINK,
        "6037",
        "9911",
        "0f3c9a7b",
        base64.b64encode(KEY.encode()).decode()[:12],
    ):
        assert secret not in made.excerpt


@pytest.mark.parametrize("size", [0, 1, MAX_CHARS, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 65_536])
@pytest.mark.parametrize("unit", [b"<", b"a", b"1", b"-", b"a1 ", b"<a>", b"&lt;", b"\xff", b"\x1f\x8b", "ﷺ".encode()])
def test_it_is_short_whatever_comes(unit: bytes, size: int) -> None:
    said = excerpt_of(unit * (size // len(unit)), ("key",))
    assert len(said) <= MAX_CHARS
    assert said.isprintable()
