"""NovinPal's client: what its answers and returns mean, its calls as they leave, and what an unclear answer leaves."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from adapters.servers import RawServer, Script, answer, hang, reset

from proxy.gateways.answers import HttpAnswer
from proxy.gateways.family import ReturnClaim, WayThere
from proxy.gateways.novinpal import FAMILY
from proxy.gateways.novinpal.answers import request_outcome, verify_outcome
from proxy.gateways.novinpal.client import NovinPalClient
from proxy.gateways.novinpal.codes import CODES
from proxy.gateways.port import (
    Account,
    Captured,
    CheckOutcome,
    CheckResult,
    CheckUnknown,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    Purchase,
    RequestRefused,
    RequestResult,
    RequestUnknown,
)

AMOUNT = 150_000
KEY = "7c1d9b6e2f"
INQUIRY = Inquiry(KEY, AMOUNT)
API_KEY = "key-that-nobody-may-see"
TOKEN = "8Zq0000000000000000000000000000000000001"
RETURN_URL = f"https://pay.example.ir/return/{TOKEN}"
PURCHASE = Purchase(17, "سفارش ۱۷", "09121234567")
ISSUED = {"status": 1, "refId": KEY}
VERIFIED = {
    "status": 1,
    "amount": AMOUNT,
    "refNumber": "141234567890",
    "refId": KEY,
    "cardNumber": "603799******1234",
    "orderId": "17",
    "paidAt": "2026-11-24 10:00:00",
    "description": None,
    "verifiedBefore": False,
}
CAPTURED = Captured(KEY, AMOUNT, "141234567890", card_mask="603799******1234")
ALERTS = {101, 102, 103, 111, 112, *range(114, 123)}


def said(fields: Any, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(fields).encode())


def verify(http_status: int = 200, /, **changes: Any) -> CheckOutcome:
    return verify_outcome(KEY, said(VERIFIED | changes, http_status))


def plays(fields: Any, status: str = "200 OK") -> Script:
    return answer(json.dumps(fields).encode(), status)


@pytest.fixture
async def client() -> AsyncIterator[NovinPalClient]:
    made = FAMILY.make(request_seconds=5, check_seconds=5)
    yield made
    await made.close()


def account(server: RawServer, **options: str) -> Account:
    return Account("trm_1", f"{server.url}/", {"api_key": API_KEY}, "novinpal", options)


def body_of(request: bytes) -> dict[str, Any]:
    head, _, body = request.partition(b"\r\n\r\n")
    if b"\r\nContent-Type: application/json" in head:
        told: dict[str, Any] = json.loads(body)
        return told
    assert b"\r\nContent-Type: application/x-www-form-urlencoded" in head
    return dict(parse_qsl(body.decode()))


@pytest.mark.parametrize(
    ("options", "amount"), [({}, "150000"), ({"body": "form"}, "150000"), ({"body": "json"}, 150_000)]
)
async def test_the_calls_as_they_leave(client: NovinPalClient, options: dict[str, str], amount: object) -> None:
    async with RawServer((plays(ISSUED), plays(VERIFIED))) as server:
        to = account(server, **options)
        assert (await client.request(to, AMOUNT, RETURN_URL, PURCHASE)).outcome == InvoiceIssued(KEY)
        assert (await client.confirm(to, INQUIRY)).outcome == CAPTURED
    request, confirm = server.requests
    assert request.startswith(b"POST /invoice/request HTTP/1.1\r\n")
    assert body_of(request) == {
        "api_key": API_KEY,
        "amount": amount,
        "return_url": RETURN_URL,
        "order_id": "17",
        "description": "سفارش ۱۷",
        "mobile": "09121234567",
    }
    assert confirm.startswith(b"POST /invoice/verify HTTP/1.1\r\n")
    assert body_of(confirm) == {"api_key": API_KEY, "ref_id": KEY}


async def test_what_a_purchase_does_not_have_is_not_sent(client: NovinPalClient) -> None:
    async with RawServer((plays(ISSUED),)) as server:
        await client.request(account(server), AMOUNT, RETURN_URL, Purchase(18))
    assert set(body_of(server.requests[0])) == {"api_key", "amount", "return_url", "order_id"}


def test_the_customer_goes_to_the_start_of_the_invoice() -> None:
    assert FAMILY.way_there("https://api.novinpal.ir/", KEY) == WayThere(f"https://api.novinpal.ir/invoice/start/{KEY}")


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        (ISSUED, KEY),
        ({"status": "1", "refId": 4711}, "4711"),
        ({"status": 100, "refId": KEY, "errorCode": None}, KEY),
        ({"status": 1, "refId": KEY, "errorCode": 0, "errorDescription": ""}, KEY),
    ],
)
def test_an_invoice_is_named_by_its_ref_id(fields: dict[str, Any], key: str) -> None:
    assert request_outcome(said(fields)) == InvoiceIssued(key)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 1},
        {"status": 1, "refId": None},
        {"status": 1, "refId": 0},
        {"status": 1, "refId": "a/b"},
        {"status": 1, "refId": "کلید"},
        {"status": 1, "refId": [KEY]},
        {"status": 1, "refId": KEY, "errorCode": 104},
        {"status": 1, "refId": KEY, "errorCode": {}},
        {"status": 0},
        {"status": 2, "refId": KEY},
        {"status": True, "refId": KEY},
        {"refId": KEY},
        {"data": {"code": 100, "ref_id": KEY}, "errors": []},
        [],
    ],
)
def test_an_answer_that_says_nothing_or_two_things_names_no_invoice(fields: Any) -> None:
    assert request_outcome(said(fields)) == RequestUnknown("bad_answer")


@pytest.mark.parametrize("code", [*CODES, 105, 999])
@pytest.mark.parametrize("http_status", [200, 400, 422])
@pytest.mark.parametrize("as_text", [False, True])
def test_every_code_with_every_status_that_it_comes_with(code: int, http_status: int, as_text: bool) -> None:
    given = said({"status": 0, "errorCode": str(code) if as_text else code, "errorDescription": "خطا"}, http_status)
    final, alert = code in ALERTS | {110}, code in ALERTS
    refused = RequestRefused(code) if final else RequestUnknown("unknown_code", error_code=code)
    assert request_outcome(given) == refused
    reason = "terminal" if alert else "unknown_code"
    assert verify_outcome(KEY, given) == CheckUnknown(KEY, reason, error_code=code, alert=alert)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": 100},
        {"status": "1", "amount": "150000.00"},
        {"verifiedBefore": True},
        {"refId": None, "errorCode": "", "orderId": 18},
        {"refNumber": 141234567890},
    ],
)
def test_a_success_captures_whatever_it_was_before(changes: dict[str, Any]) -> None:
    assert verify(**changes) == CAPTURED


@pytest.mark.parametrize(
    ("card", "mask"),
    [(6037991234561234, None), ("6037-99**-****-1234", "6037-99**-****-1234"), (None, None)],
)
def test_a_card_is_told_masked_only(card: object, mask: str | None) -> None:
    assert verify(cardNumber=card) == Captured(KEY, AMOUNT, "141234567890", card_mask=mask)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": 15_000}, Captured(KEY, 15_000, "141234567890", card_mask="603799******1234")),
        ({"amount": None}, CheckUnknown(KEY, "bad_answer")),
        ({"amount": 0}, CheckUnknown(KEY, "bad_answer")),
        ({"refNumber": None}, CheckUnknown(KEY, "no_bank_code", captured_rials=AMOUNT)),
        ({"refId": "another"}, CheckUnknown(KEY, "other_invoice")),
        ({"refId": [KEY]}, CheckUnknown(KEY, "other_invoice")),
        ({"errorCode": 104}, CheckUnknown(KEY, "bad_answer")),
        ({"status": 2}, CheckUnknown(KEY, "bad_answer")),
        ({"status": None}, CheckUnknown(KEY, "bad_answer")),
        ({"status": 0}, NotPaid(KEY)),
        ({"status": -1}, NotPaid(KEY)),
        ({"status": "-2"}, NotPaid(KEY)),
        ({"status": -3}, CheckUnknown(KEY, "bad_answer")),
    ],
)
def test_what_a_verify_says(changes: dict[str, Any], expected: CheckOutcome) -> None:
    assert verify(**changes) == expected


@pytest.mark.parametrize("http_status", [302, 400, 404, 500])
def test_a_success_with_another_http_status_is_none(http_status: int) -> None:
    assert verify(http_status) == CheckUnknown(KEY, "http_status", http_status=http_status)
    assert verify(http_status, status=0) == CheckUnknown(KEY, "http_status", http_status=http_status)
    unknown = RequestUnknown("http_status", http_status=http_status)
    assert request_outcome(said(ISSUED, http_status)) == unknown
    assert request_outcome(said({"id": "x", "code": 422, "message": "no", "errors": {}}, http_status)) == unknown


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ({"success": "1", "refId": KEY}, ReturnClaim.PAID),
        ({"success": "0", "refId": KEY}, ReturnClaim.UNPAID),
        ({"success": "1"}, ReturnClaim.PAID),
        ({"success": "1", "refId": "another"}, ReturnClaim.FOREIGN),
        ({"success": "true", "refId": KEY}, ReturnClaim.NOTHING),
        ({}, ReturnClaim.NOTHING),
    ],
)
def test_what_a_return_claims(evidence: dict[str, str], expected: ReturnClaim) -> None:
    assert FAMILY.claim(KEY, evidence) is expected


async def test_the_calls_that_it_does_not_have_are_not_made(client: NovinPalClient) -> None:
    to = Account("trm_1", "http://127.0.0.1:1", {"api_key": API_KEY})
    results = [await client.check(to, KEY), await client.settle(to, INQUIRY), await client.reverse(to, INQUIRY)]
    assert [each.outcome for each in results] == [CheckUnknown(KEY, "not_offered")] * 3
    traits = FAMILY.traits
    assert (traits.checks, traits.settles, traits.reverses) == (False, False, False)


@pytest.mark.parametrize(("script", "reason"), [(reset, "reset"), (hang, "timeout"), (answer(b"<html>"), "not_json")])
async def test_no_answer_is_no_outcome(script: Script, reason: str) -> None:
    client = NovinPalClient(request_seconds=0.2, check_seconds=0.2)
    async with RawServer((script,)) as server:
        asked = await client.request(account(server), AMOUNT, RETURN_URL, PURCHASE)
        assert asked.outcome == RequestUnknown(reason, timed_out=reason == "timeout")
        assert (await client.confirm(account(server), INQUIRY)).outcome == CheckUnknown(KEY, reason)
    await client.close()


async def test_a_verify_is_sent_again_on_a_stale_connection_and_a_request_is_not(client: NovinPalClient) -> None:
    async with RawServer((plays(VERIFIED), reset, plays(VERIFIED | {"verifiedBefore": True}), reset)) as server:
        outcomes = [(await client.confirm(account(server), INQUIRY)).outcome for _ in range(2)]
        asked = await client.request(account(server), AMOUNT, RETURN_URL, PURCHASE)
    assert outcomes == [CAPTURED] * 2
    assert asked.outcome == RequestUnknown("reset")
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Oops"])
async def test_secrets_are_in_no_excerpt_and_no_repr(client: NovinPalClient, status: str) -> None:
    echo = {"message": f"denied {API_KEY} {RETURN_URL}", "api_key": API_KEY}
    async with RawServer((plays(echo, status),)) as server:
        to = account(server)
        results: list[RequestResult | CheckResult] = [await client.confirm(to, INQUIRY)]
        results.append(await client.request(to, AMOUNT, RETURN_URL, PURCHASE))
    for result in results:
        assert "denied" in result.excerpt
        assert API_KEY not in f"{result!r} {to!r}"
        assert TOKEN not in f"{result!r}"


def test_the_page_of_the_family_has_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gateways" / "novinpal.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|", page, re.MULTILINE)
    assert {int(code): (english, persian) for code, english, persian in rows} == {
        code: meaning.explanation for code, meaning in CODES.items()
    }
