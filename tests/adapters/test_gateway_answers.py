"""What the gateway's bytes mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.adapters.gateway_answers import Raw, check_fact, request_fact
from proxy.facts import (
    Canceled,
    Captured,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    RequestRefused,
    RequestUnknown,
)

REFUSED_FOR_GOOD = {100, 101, 102, 103, 203, 204, 302}
TELLS_OF_THE_TERMINAL = {100, 101, 200, 203, 204, 302}
CODES = [100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 1, 999, 2**31]


def said(**fields: Any) -> Raw:
    return Raw(200, json.dumps(fields).encode())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_code_of_request(code: int, as_text: bool) -> None:
    fact = request_fact(said(status="0" if as_text else 0, errorCode=str(code) if as_text else code))
    if code in REFUSED_FOR_GOOD:
        assert fact == RequestRefused(code)
    else:
        reason = "bank_unreachable" if code == 301 else "unknown_code"
        assert fact == RequestUnknown(reason, error_code=code)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("as_text", [False, True])
def test_every_code_of_check(code: int, as_text: bool) -> None:
    fact = check_fact("inv_1", said(status="0" if as_text else 0, errorCode=str(code) if as_text else code))
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
    ],
)
def test_types_are_loose(body: bytes) -> None:
    assert check_fact("inv_1", Raw(200, body)) == Captured("inv_1", 150_000, "777")


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
    assert request_fact(said(**fields)) == InvoiceIssued(key)


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
    assert request_fact(said(status=1, invoice_key=key)) == RequestUnknown("bad_answer")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": 1},
        {"status": 1, "amount": 150_000},
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
        *({"status": 1, "amount": 150_000, "bank_code": text} for text in ("", "  ", "7\n7", "7" * 201)),
        *({"status": 1, "amount": 150_000, "bank_code": value} for value in (None, ["7"], True, -1, 7.5)),
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
    assert check_fact("inv_1", said(**fields)) == CheckUnknown("inv_1", "bad_answer")


GOOD = b'{"status":1,"amount":150000,"bank_code":"777","invoice_key":"inv_1"}'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Raw(200, b""), "not_json"),
        (Raw(200, b"<html>welcome</html>"), "not_json"),
        (Raw(200, GOOD[:-1]), "not_json"),
        (Raw(200, GOOD + b"<!-- served in 3 ms -->"), "not_json"),
        (Raw(200, GOOD.decode().encode("utf-16")), "not_json"),
        (Raw(200, b'{"status":NaN}'), "not_json"),
        (Raw(200, b"[" * 5000), "not_json"),
        (Raw(200, b"[]"), "bad_answer"),
        (Raw(200, b"1"), "bad_answer"),
        (Raw(200, b'"1"'), "bad_answer"),
        (Raw(200, b"null"), "bad_answer"),
        (Raw(200, b"[" + GOOD + b"]"), "bad_answer"),
        (Raw(200, b" " * 65_536 + GOOD), "too_large"),
        *((Raw(status, GOOD), "http_status") for status in (201, 204, 206, 301, 302, 400, 403, 404, 500, 502, 503)),
    ],
)
def test_what_is_not_one_clear_answer_leaves_the_outcome_unknown(answer: Raw, reason: str) -> None:
    assert check_fact("inv_1", answer) == CheckUnknown("inv_1", reason)
    assert request_fact(answer) == RequestUnknown(reason)


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
    answer = Raw(status, json.dumps(fields).encode())
    assert not isinstance(request_fact(answer), InvoiceIssued) or str(fields["status"]).strip() in {"1", "1.0"}
    assert not isinstance(check_fact("inv_1", answer), Captured) or str(fields["status"]).strip() in {"1", "1.0"}


@given(st.binary(max_size=200))
def test_whatever_bytes_come_there_is_a_fact(body: bytes) -> None:
    assert isinstance(request_fact(Raw(200, body)), RequestUnknown)
    assert isinstance(check_fact("inv_1", Raw(200, body)), CheckUnknown)
