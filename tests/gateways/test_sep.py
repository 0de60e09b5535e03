"""SEP (Saman): the meaning of its answers and returns, and its client over real HTTP."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from adapters.servers import RawServer, answer, reset
from support.clock import NOW, ManualClock

from gateways.bank_answers import RETURN_URL, UNREADABLE, missing_in_page, said, sent, without
from proxy.gateways.answers import HttpAnswer
from proxy.gateways.family import ReturnClaim, WayThere
from proxy.gateways.port import (
    Account,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    Purchase,
    RequestOutcome,
    RequestRefused,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.registry import FAMILIES
from proxy.gateways.sep import FAMILY
from proxy.gateways.sep.answers import SepReceipt, confirm_outcome, request_outcome, reverse_outcome
from proxy.gateways.sep.client import SepClient
from proxy.gateways.sep.codes import CODES
from proxy.http.outbound.connector import ClientOptions
from proxy.kernel.clock import HOUR, MINUTE

TOKEN = "d0da09c40e5941cab50424ebb6904100"
KEY = f"1402:{TOKEN}"
REF_NUM = "GmshtyjwKSvD7kiuu3XcWjlZI4Kthl8d4xS/RPK9Dv"
TERMINAL = "12096014"
PAID = {"State": "OK", "Status": "2", "RefNum": REF_NUM, "ResNum": "1402", "Token": TOKEN}
INQUIRY = Inquiry(KEY, 150_000, PAID)
RECEIPT = SepReceipt(REF_NUM, TERMINAL)
DETAIL = {
    "RRN": "18306467795",
    "RefNum": REF_NUM,
    "MaskedPan": "504172******0042",
    "HashedPan": "FCD730725105588CC64D1DCFE482EFAA",
    "TerminalNumber": 12096014,
    "OrginalAmount": 150_000,
    "AffectiveAmount": 150_000,
    "StraceDate": "2027-01-15 11:25:00",  # five minutes before NOW, which is 11:30 in Tehran
    "StraceNo": "304480",
}
VERIFIED = {
    "TransactionDetail": DETAIL,
    "ResultCode": 0,
    "ResultDescription": "عملیات با موفقیت انجام شد",
    "Success": True,
}
CAPTURED = Captured(
    KEY,
    150_000,
    REF_NUM,
    card_mask="504172******0042",
    trace_number="18306467795",
    reversible_until=NOW + 45 * MINUTE,
)


def failed(code: Any, **fields: Any) -> HttpAnswer:
    return said({"TransactionDetail": None, "ResultCode": code, "ResultDescription": "", "Success": False} | fields)


def verified(**detail: Any) -> HttpAnswer:
    return said(VERIFIED | {"TransactionDetail": DETAIL | detail})


def confirmed(told: HttpAnswer) -> CheckOutcome:
    return confirm_outcome(INQUIRY, RECEIPT, NOW, told)


@pytest.fixture
async def client() -> AsyncIterator[SepClient]:
    made = SepClient(ClientOptions(now=ManualClock()))
    yield made
    await made.close()


def account(url: str) -> Account:
    return Account("trm_1", url, {"terminal_id": TERMINAL}, "sep")


REQUESTS: list[tuple[dict[str, Any], RequestOutcome]] = [
    ({"status": 1, "token": TOKEN}, InvoiceIssued(KEY)),
    ({"status": "1", "token": TOKEN, "errorCode": "", "errorDesc": None}, InvoiceIssued(KEY)),
    ({"status": 1, "token": TOKEN, "errorCode": "5"}, RequestUnknown("bad_answer")),
    ({"status": 1}, RequestUnknown("bad_answer")),
    ({"status": 1, "token": ""}, RequestUnknown("bad_answer")),
    ({"status": 1, "token": ["x"]}, RequestUnknown("bad_answer")),
    ({"status": 1, "token": "a/b"}, RequestUnknown("bad_answer")),
    ({"status": 1, "token": "توکن"}, RequestUnknown("bad_answer")),
    ({"status": 1, "token": "x" * 196}, RequestUnknown("bad_answer")),
    ({"status": -1, "errorCode": "5", "errorDesc": "پارامترهای ارسالی نامعتبر است"}, RequestRefused(5)),
    ({"status": "-1", "errorCode": 8}, RequestRefused(8)),
    ({"status": -1, "errorCode": "12"}, RequestRefused(12)),
    ({"status": -1, "errorCode": "999"}, RequestUnknown("unknown_code", error_code=999)),
    ({"status": -1, "errorCode": "2"}, RequestUnknown("unknown_code", error_code=2)),
    ({"status": -1}, RequestUnknown("bad_answer")),
    ({"status": 0, "errorCode": "5"}, RequestUnknown("bad_answer")),
]


@pytest.mark.parametrize(("fields", "outcome"), REQUESTS)
def test_an_answer_to_the_token_request(fields: dict[str, Any], outcome: RequestOutcome) -> None:
    assert request_outcome(1402, said(fields)) == outcome


VERIFIES: dict[str, tuple[HttpAnswer, CheckOutcome]] = {
    "captured": (said(VERIFIED), CAPTURED),
    "numbers as texts": (
        said(VERIFIED | {"ResultCode": "0", "TransactionDetail": {k: str(v) for k, v in DETAIL.items()}}),
        CAPTURED,
    ),
    "repeated": (said(VERIFIED | {"ResultCode": 2}), CAPTURED),
    "repeated, called a failure": (said(VERIFIED | {"ResultCode": 2, "Success": False}), CAPTURED),
    "the amount in its right spelling": (
        said(VERIFIED | {"TransactionDetail": without(DETAIL, "OrginalAmount") | {"OriginalAmount": 150_000}}),
        CAPTURED,
    ),
    "not found": (failed(-2), NotPaid(KEY)),
    "not found, with empty details": (
        failed("-2", TransactionDetail={"RefNum": None, "TerminalNumber": 0, "OrginalAmount": 0}),
        NotPaid(KEY),
    ),
    "too late": (failed(-6), TooLate(KEY)),
    "given back": (failed(5), Reversed(KEY)),
    "repeated without details": (failed(2), CheckUnknown(KEY, "unknown_code", error_code=2)),
    "a code that nobody knows": (failed(-111), CheckUnknown(KEY, "unknown_code", error_code=-111)),
    "a success of a refusal": (failed(-2, Success=True), CheckUnknown(KEY, "bad_answer")),
    "a failure of a success": (said(VERIFIED | {"Success": False}), CheckUnknown(KEY, "bad_answer")),
    "no word of success": (said(without(VERIFIED, "Success")), CheckUnknown(KEY, "bad_answer")),
    "a success without details": (said(VERIFIED | {"TransactionDetail": None}), CheckUnknown(KEY, "bad_answer")),
    "details of another type": (said(VERIFIED | {"TransactionDetail": [DETAIL]}), CheckUnknown(KEY, "bad_answer")),
    "another receipt": (verified(RefNum="other"), CheckUnknown(KEY, "other_invoice")),
    "the receipt in other letters": (verified(RefNum=REF_NUM.lower()), CheckUnknown(KEY, "other_invoice")),
    "a receipt of another type": (verified(RefNum=[REF_NUM]), CheckUnknown(KEY, "other_invoice")),
    "another terminal": (verified(TerminalNumber=999), CheckUnknown(KEY, "other_invoice")),
    "a refusal about another receipt": (
        failed(-6, TransactionDetail={"RefNum": "x"}),
        CheckUnknown(KEY, "other_invoice"),
    ),
    "no receipt": (verified(RefNum=None), CheckUnknown(KEY, "bad_answer")),
    "no amount": (verified(OrginalAmount=None), CheckUnknown(KEY, "bad_answer")),
    "an amount of nothing": (verified(OrginalAmount=0), CheckUnknown(KEY, "bad_answer")),
    "an amount below zero": (verified(AffectiveAmount=-150_000), CheckUnknown(KEY, "bad_answer")),
    "half an amount": (verified(OrginalAmount=150_000.5), CheckUnknown(KEY, "bad_answer")),
    "no amount that was paid": (verified(AffectiveAmount=None), CheckUnknown(KEY, "bad_answer")),
}


@pytest.mark.parametrize("case", VERIFIES)
def test_an_answer_to_verify(case: str) -> None:
    told, outcome = VERIFIES[case]
    assert confirmed(told) == outcome


@pytest.mark.parametrize(
    ("original", "affective", "told"),
    [(15_000, 15_000, 15_000), (150_000, 135_000, 135_000), (15_000, 150_000, 15_000), (1, 2, 1)],
)
def test_the_amount_that_differs_is_told(original: int, affective: int, told: int) -> None:
    outcome = confirmed(verified(OrginalAmount=original, AffectiveAmount=affective))
    assert isinstance(outcome, Captured)
    assert outcome.amount_rials == told


@pytest.mark.parametrize(
    ("date", "code", "until"),
    [
        ("2027-01-15 11:25:00", 0, NOW + 45 * MINUTE),
        ("2027/01/15 11:25:00", 0, NOW + 45 * MINUTE),
        ("2027-01-15T07:55:00Z", 0, NOW + 45 * MINUTE),
        ("2027-01-15 11:35:00", 0, NOW + 50 * MINUTE),  # SEP's clock is ahead
        ("2027-01-15 07:55:00", 0, NOW + 20 * MINUTE),  # perhaps not Tehran's time: it was paid within half an hour
        ("2027-01-15 10:45:00", 2, NOW + 5 * MINUTE),
        ("1405/10/25 11:25:00", 2, NOW + 20 * MINUTE),
        ("0001-01-01", 2, NOW + 20 * MINUTE),
        ("just now", 0, NOW + 20 * MINUTE),
        (None, 0, NOW + 20 * MINUTE),
        (20270115, 0, NOW + 20 * MINUTE),
    ],
)
def test_money_can_be_given_back_until_50_minutes_after_its_payment(date: Any, code: int, until: int) -> None:
    outcome = confirmed(said(VERIFIED | {"ResultCode": code, "TransactionDetail": DETAIL | {"StraceDate": date}}))
    assert isinstance(outcome, Captured)
    assert outcome.reversible_until == until


@pytest.mark.parametrize(
    ("detail", "card", "trace"),
    [
        ({"MaskedPan": "5041721234560042"}, None, "18306467795"),
        ({"MaskedPan": None, "RRN": None}, None, "304480"),
        ({"RRN": 0, "StraceNo": ""}, "504172******0042", None),
    ],
)
def test_a_full_card_number_is_not_told_and_a_number_that_is_missing_is_none(
    detail: dict[str, Any], card: str | None, trace: str | None
) -> None:
    outcome = confirmed(verified(**detail))
    assert isinstance(outcome, Captured)
    assert (outcome.card_mask, outcome.trace_number) == (card, trace)


@pytest.mark.parametrize("code", [code for code, meaning in CODES.items() if meaning.alerts and code < 0])
def test_codes_that_tell_of_the_terminal_alert(code: int) -> None:
    alert = CheckUnknown(KEY, "terminal", error_code=code, alert=True)
    assert confirmed(failed(code)) == reverse_outcome(INQUIRY, RECEIPT, failed(code)) == alert


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (said(VERIFIED), Reversed(KEY)),
        (said(without(VERIFIED, "TransactionDetail")), Reversed(KEY)),
        (said(VERIFIED | {"ResultCode": 2}), Reversed(KEY)),
        (failed(5), Reversed(KEY)),
        (failed(-6), TooLate(KEY)),
        (failed(2), CheckUnknown(KEY, "unknown_code", error_code=2)),
        (failed(-2), CheckUnknown(KEY, "unknown_code", error_code=-2)),
        (failed(0), CheckUnknown(KEY, "bad_answer")),
        (verified(RefNum="other"), CheckUnknown(KEY, "other_invoice")),
    ],
)
def test_an_answer_to_reverse(told: HttpAnswer, outcome: CheckOutcome) -> None:
    assert reverse_outcome(INQUIRY, RECEIPT, told) == outcome


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_answer_is_unknown(case: str) -> None:
    told, reason, status = UNREADABLE[case]
    unknown = CheckUnknown(KEY, reason, http_status=status)
    assert request_outcome(1, told) == RequestUnknown(reason, timed_out=case == "no answer", http_status=status)
    assert confirm_outcome(INQUIRY, RECEIPT, NOW, told) == reverse_outcome(INQUIRY, RECEIPT, told) == unknown


CLAIMS: list[tuple[dict[str, str], ReturnClaim]] = [
    (PAID, ReturnClaim.PAID),
    (without(PAID, "Token"), ReturnClaim.PAID),
    (without(PAID, "State"), ReturnClaim.PAID),
    (without(PAID, "Status"), ReturnClaim.PAID),
    (PAID | {"State": "Ok"}, ReturnClaim.PAID),
    (PAID | {"RefNum": ""}, ReturnClaim.UNPAID),
    (PAID | {"RefNum": "0"}, ReturnClaim.UNPAID),
    (PAID | {"RefNum": "null"}, ReturnClaim.UNPAID),
    (PAID | {"RefNum": "رسید"}, ReturnClaim.UNPAID),
    (without(PAID, "RefNum"), ReturnClaim.UNPAID),
    (PAID | {"State": "CanceledByUser", "Status": "1"}, ReturnClaim.UNPAID),
    ({"ResNum": "1402", "Status": "3"}, ReturnClaim.UNPAID),
    ({}, ReturnClaim.NOTHING),
    ({"ResNum": "1402", "RefNum": REF_NUM}, ReturnClaim.NOTHING),
    (without(PAID, "ResNum"), ReturnClaim.NOTHING),
    ({"state": "OK", "refnum": REF_NUM, "resnum": "1402"}, ReturnClaim.NOTHING),
    (PAID | {"ResNum": "1403"}, ReturnClaim.FOREIGN),
    (PAID | {"ResNum": "01402"}, ReturnClaim.FOREIGN),
    (PAID | {"Token": "f" * 32}, ReturnClaim.FOREIGN),
]


@pytest.mark.parametrize(("evidence", "said_by_it"), CLAIMS)
def test_a_return_says_whether_it_is_worth_asking(evidence: dict[str, str], said_by_it: ReturnClaim) -> None:
    assert FAMILY.claim(KEY, evidence) == said_by_it


def test_the_way_there_is_a_form_with_the_token() -> None:
    fields = {"Token": TOKEN, "GetMethod": ""}
    assert FAMILY.way_there("https://sep.shaparak.ir/", KEY) == WayThere(
        "https://sep.shaparak.ir/OnlinePG/OnlinePG", fields
    )


async def test_the_token_request_as_it_leaves(client: SepClient) -> None:
    async with RawServer((answer(json.dumps({"status": 1, "token": TOKEN}).encode()),)) as server:
        purchase = Purchase(1402, "یک کتاب", "09121234567")
        result = await client.request(account(server.url + "/"), 150_000, RETURN_URL, purchase)
        await client.request(account(server.url), 150_000, RETURN_URL, Purchase(1403))
    assert result.outcome == InvoiceIssued(KEY)
    line, headers, body = sent(server.requests[0])
    assert line == "POST /onlinepg/onlinepg HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert body == {
        "action": "token",
        "TerminalId": TERMINAL,
        "Amount": 150_000,
        "ResNum": "1402",
        "RedirectUrl": RETURN_URL,
        "TokenExpiryInMin": 20,
        "CellNumber": "09121234567",
    }
    assert sent(server.requests[1])[2] == without(body, "CellNumber") | {"ResNum": "1403"}


async def test_verify_and_reverse_as_they_leave(client: SepClient) -> None:
    async with RawServer((answer(json.dumps(VERIFIED).encode()),)) as server:
        assert (await client.confirm(account(server.url), INQUIRY)).outcome == CAPTURED
        assert (await client.reverse(account(server.url), INQUIRY)).outcome == Reversed(KEY)
    calls = [sent(request) for request in server.requests]
    assert [line for line, _, _ in calls] == [
        "POST /verifyTxnRandomSessionkey/ipg/VerifyTransaction HTTP/1.1",
        "POST /verifyTxnRandomSessionkey/ipg/ReverseTransaction HTTP/1.1",
    ]
    assert [body for _, _, body in calls] == [{"RefNum": REF_NUM, "TerminalNumber": 12096014}] * 2


@pytest.mark.parametrize("evidence", [{}, PAID | {"ResNum": "1403"}, PAID | {"RefNum": ""}, PAID | {"Token": "x"}])
async def test_nothing_is_asked_without_a_return_of_this_invoice(client: SepClient, evidence: dict[str, str]) -> None:
    async with RawServer((answer(b"{}"),)) as server:
        inquiry = Inquiry(KEY, 150_000, evidence)
        for call in (client.confirm, client.reverse):
            assert (await call(account(server.url), inquiry)).outcome == CheckUnknown(KEY, "no_return")
    assert server.requests == []


async def test_calls_that_the_family_does_not_have(client: SepClient) -> None:
    unknown = CheckUnknown(KEY, "not_offered")
    assert (
        (await client.check(account(""), KEY)).outcome == (await client.settle(account(""), INQUIRY)).outcome == unknown
    )


async def test_a_verify_on_a_connection_that_died_is_sent_once_more_and_a_token_request_is_not(
    client: SepClient,
) -> None:
    told = answer(json.dumps(VERIFIED | {"status": 1, "token": TOKEN}).encode())
    async with RawServer((told, reset, told, told, reset)) as server:
        assert [(await client.confirm(account(server.url), INQUIRY)).outcome for _ in range(2)] == [CAPTURED] * 2
        asked = [await client.request(account(server.url), 150_000, RETURN_URL, Purchase(1402)) for _ in range(2)]
    assert [each.outcome for each in asked] == [InvoiceIssued(KEY), RequestUnknown("reset")]


async def test_secrets_are_in_no_excerpt_and_no_log(client: SepClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = answer(f"<p>terminal {TERMINAL} {RETURN_URL} {REF_NUM}</p>".encode(), status="403 Forbidden")
    async with RawServer((echo,)) as server:
        here = account(server.url)
        asked, confirmed = await client.request(here, 1, RETURN_URL), await client.confirm(here, INQUIRY)
    assert asked.excerpt
    assert confirmed.excerpt
    seen = f"{here!r} {asked!r} {confirmed!r} {caplog.text}"
    assert not [secret for secret in (TERMINAL, RETURN_URL, "tok_9f8e7d6c5b4a", REF_NUM) if secret in seen]


def test_the_family_is_listed_with_its_windows() -> None:
    traits = FAMILIES["sep"].traits
    assert traits.needs_return
    assert traits.confirms
    assert not traits.checks
    assert (traits.gives_back_after, traits.reverse_within) == (HOUR // 2, HOUR - 10 * MINUTE)
    assert traits.evidence == tuple(PAID)


def test_each_code_stands_in_the_page_of_the_family() -> None:
    assert missing_in_page("sep", CODES) == []
