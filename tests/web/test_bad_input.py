"""Every field's bad input: named in both languages, with nothing changed in any table."""

import gzip
import json
import re
from typing import Any

import orjson
import pytest

from web.lab import SHARED, Lab

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
