"""Sadad (Melli): the meaning of its answers and returns, its signature, and its client over real HTTP."""

import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from adapters.servers import RawServer, answer, reset
from support.clock import NOW, ManualClock

from gateways.bank_answers import RETURN_URL, UNREADABLE, missing_in_page, said, sent, without
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
from proxy.gateways.sadad import FAMILY
from proxy.gateways.sadad.answers import confirm_outcome, request_outcome
from proxy.gateways.sadad.client import SadadClient, local_date_time, sign_data
from proxy.gateways.sadad.codes import CODES
from proxy.http.outbound.connector import ClientOptions
from proxy.kernel.clock import HOUR, MINUTE

TOKEN = "000106AB3AE4"
KEY = f"1402:{TOKEN}"
CARD = "603799******1234"
PAID = {
    "OrderId": "1402",
    "Token": TOKEN,
    "ResCode": "0",
    "SwitchResCode": "00",
    "PrimaryAccNo": CARD,
}
INQUIRY = Inquiry(KEY, 150_000, PAID)
UNASKED = Inquiry(KEY, 150_000)
TERMINAL_KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY"  # the bytes 1 to 24
MERCHANT = "000000140212149"
TERMINAL = "24000615"
VERIFIED = {
    "ResCode": 0,
    "Amount": 150_000,
    "Description": "عملیات با موفقیت انجام شد",
    "RetrivalRefNo": "040210234567",
    "SystemTraceNo": "304480",
    "OrderId": 1402,
    "TransactionDate": "2027-01-15T11:25:00",
    "CardHolderFullName": "کسی",
}
CAPTURED = Captured(KEY, 150_000, "040210234567", card_mask=CARD, trace_number="304480")


@pytest.fixture
async def client() -> AsyncIterator[SadadClient]:
    made = SadadClient(ClientOptions(now=ManualClock()))
    yield made
    await made.close()


def account(url: str) -> Account:
    return Account(
        "trm_1", url, {"merchant_id": MERCHANT, "terminal_id": TERMINAL, "key": TERMINAL_KEY}, gateway="sadad"
    )


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (f"{TERMINAL};1402;150000", "n8Uy5Ov7U2jlNX91M9CnTrdA0icydiVN"),
        (TOKEN, "pQw/rhmGgaALwbyDjW2wjQ=="),
        ("12345678", "vfXXTX0AjQuPRbW+I/FsTg=="),  # a whole block, behind which PKCS7 adds another
    ],
)
def test_the_signature_is_that_of_other_implementations(text: str, signature: str) -> None:
    """The vectors were made with pyDes 2.0.1, which is Python alone (`triple_des(key, ECB, padmode=PAD_PKCS5)`), and
    `printf TEXT | openssl enc -des-ede3 -base64 -K HEX` makes the same.
    """
    assert sign_data(TERMINAL_KEY, text) == signature


@pytest.mark.parametrize(
    ("key", "taken"), [(TERMINAL_KEY, True), ("A" * 32, True), ("A" * 31 + "=", False), ("AQID", False), ("", False)]
)
def test_a_key_is_24_bytes_in_base64_and_any_such_key_signs(key: str, taken: bool) -> None:
    pattern = next(each.pattern for each in FAMILY.credentials if each.name == "key")
    assert (re.fullmatch(pattern, key) is not None) == taken
    if taken:
        assert sign_data(key, "x")


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (NOW, "01/15/2027 11:30:00 am"),
        (NOW + 90 * MINUTE, "01/15/2027 1:00:00 pm"),
        (NOW + 30 * MINUTE, "01/15/2027 12:00:00 pm"),
        (NOW + 12 * HOUR + 30 * MINUTE + 9_999, "01/16/2027 12:00:09 am"),
    ],
)
def test_the_time_is_that_of_tehran(at: int, written: str) -> None:
    assert local_date_time(at) == written


REQUESTS: list[tuple[dict[str, Any], RequestOutcome]] = [
    ({"ResCode": 0, "Token": TOKEN, "Description": ""}, InvoiceIssued(KEY)),
    ({"ResCode": "0", "Token": TOKEN}, InvoiceIssued(KEY)),
    ({"ResCode": 0, "Token": None}, RequestUnknown("bad_answer")),
    ({"ResCode": 0, "Token": "a/b"}, RequestUnknown("bad_answer")),
    ({"ResCode": 0, "Token": "x" * 196}, RequestUnknown("bad_answer")),
    ({"ResCode": 0}, RequestUnknown("bad_answer")),
    ({"Token": TOKEN}, RequestUnknown("bad_answer")),
    ({"ResCode": 1003, "Token": TOKEN}, RequestUnknown("bad_answer")),
    ({"ResCode": 1003, "Token": None, "Description": "IP"}, RequestRefused(1003)),
    ({"ResCode": "1011", "Token": ""}, RequestRefused(1011)),
    ({"ResCode": 1025}, RequestRefused(1025)),
    ({"ResCode": 1030}, RequestRefused(1030)),
    ({"ResCode": 1056}, RequestUnknown("unknown_code", error_code=1056)),
    ({"ResCode": -1}, RequestUnknown("unknown_code", error_code=-1)),
    ({"ResCode": 4242}, RequestUnknown("unknown_code", error_code=4242)),
]


@pytest.mark.parametrize(("fields", "outcome"), REQUESTS)
def test_an_answer_to_the_payment_request(fields: dict[str, Any], outcome: RequestOutcome) -> None:
    assert request_outcome(1402, said(fields)) == outcome


VERIFIES: dict[str, tuple[dict[str, Any], CheckOutcome]] = {
    "captured": (VERIFIED, CAPTURED),
    "numbers as texts": (VERIFIED | {"ResCode": "0", "Amount": "150000", "OrderId": "1402"}, CAPTURED),
    "repeated": (VERIFIED | {"ResCode": 100}, CAPTURED),
    "repeated, as the guide's text has it": (VERIFIED | {"ResCode": "010"}, CAPTURED),
    "repeated, as a number": (VERIFIED | {"ResCode": 10}, CAPTURED),
    "repeated without an amount": (without(VERIFIED, "Amount") | {"ResCode": 100}, CAPTURED),
    "repeated without a number": (
        VERIFIED | {"ResCode": 100, "RetrivalRefNo": None},
        CheckUnknown(KEY, "no_bank_code", captured_rials=150_000),
    ),
    "no order is named": (without(VERIFIED, "OrderId"), CAPTURED),
    "no trace": (VERIFIED | {"SystemTraceNo": ""}, Captured(KEY, 150_000, "040210234567", card_mask=CARD)),
    "another amount": (
        VERIFIED | {"Amount": 15_000},
        Captured(KEY, 15_000, "040210234567", card_mask=CARD, trace_number="304480"),
    ),
    "no amount": (without(VERIFIED, "Amount"), CheckUnknown(KEY, "bad_answer")),
    "an amount of nothing": (VERIFIED | {"Amount": 0, "ResCode": 100}, CheckUnknown(KEY, "bad_answer")),
    "an amount that is none": (VERIFIED | {"Amount": "150000 ریال"}, CheckUnknown(KEY, "bad_answer")),
    "no bank code": (VERIFIED | {"RetrivalRefNo": "0"}, CheckUnknown(KEY, "no_bank_code", captured_rials=150_000)),
    "another order": (VERIFIED | {"OrderId": 1403}, CheckUnknown(KEY, "other_invoice")),
    "a refusal of another order": ({"ResCode": 101, "OrderId": 1403}, CheckUnknown(KEY, "other_invoice")),
    "an order of another type": (VERIFIED | {"OrderId": [1402]}, CheckUnknown(KEY, "other_invoice")),
    "failed": ({"ResCode": -1, "Amount": 0, "OrderId": 0}, NotPaid(KEY)),
    "failed, in texts": ({"ResCode": "-1", "Amount": "0", "OrderId": "0"}, NotPaid(KEY)),
    "too late": ({"ResCode": 101}, TooLate(KEY)),
    "given back": ({"ResCode": "1105"}, Reversed(KEY)),
    "a wrong signature": ({"ResCode": 1025}, CheckUnknown(KEY, "terminal", error_code=1025, alert=True)),
    "out of service": ({"ResCode": 1056}, CheckUnknown(KEY, "unknown_code", error_code=1056)),
    "a code that nobody knows": ({"ResCode": 4242}, CheckUnknown(KEY, "unknown_code", error_code=4242)),
}


@pytest.mark.parametrize("case", VERIFIES)
def test_an_answer_to_verify(case: str) -> None:
    fields, outcome = VERIFIES[case]
    assert confirm_outcome(INQUIRY, said(fields)) == outcome


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_answer_is_unknown(case: str) -> None:
    told, reason, status = UNREADABLE[case]
    assert request_outcome(1, told) == RequestUnknown(reason, timed_out=case == "no answer", http_status=status)
    assert confirm_outcome(INQUIRY, told) == CheckUnknown(KEY, reason, http_status=status)


CLAIMS: list[tuple[dict[str, str], ReturnClaim]] = [
    (PAID, ReturnClaim.PAID),
    (without(PAID, "Token") | {"token": TOKEN}, ReturnClaim.PAID),
    (PAID | {"ResCode": "-1"}, ReturnClaim.UNPAID),
    (PAID | {"ResCode": "paid"}, ReturnClaim.UNPAID),
    ({}, ReturnClaim.NOTHING),
    (without(PAID, "ResCode"), ReturnClaim.NOTHING),
    (without(PAID, "Token"), ReturnClaim.NOTHING),
    (without(PAID, "OrderId"), ReturnClaim.NOTHING),
    (PAID | {"OrderId": "1403"}, ReturnClaim.FOREIGN),
    (PAID | {"Token": "other"}, ReturnClaim.FOREIGN),
    (PAID | {"token": "other"}, ReturnClaim.FOREIGN),
]


@pytest.mark.parametrize(("evidence", "said_by_it"), CLAIMS)
def test_a_return_says_whether_it_is_worth_asking(evidence: dict[str, str], said_by_it: ReturnClaim) -> None:
    assert FAMILY.claim(KEY, evidence) == said_by_it


def test_a_full_card_number_that_was_kept_all_the_same_is_not_told() -> None:
    inquiry = Inquiry(KEY, 150_000, {"PrimaryAccNo": "6037991122331234"})
    outcome = confirm_outcome(inquiry, said(VERIFIED))
    assert isinstance(outcome, Captured)
    assert outcome.card_mask is None


@pytest.mark.parametrize("base", ["https://sadad.shaparak.ir/VPG", "https://sadad.shaparak.ir/"])
def test_the_way_there_is_under_the_terminals_own_base(base: str) -> None:
    assert FAMILY.way_there(base, f"{KEY}+=") == WayThere(f"{base.rstrip('/')}/Purchase?Token={TOKEN}%2B%3D")


@pytest.mark.parametrize("path", ["", "/VPG"])
async def test_the_calls_as_they_leave(client: SadadClient, path: str) -> None:
    told = (json.dumps(each).encode() for each in ({"ResCode": 0, "Token": TOKEN}, VERIFIED))
    async with RawServer(tuple(map(answer, told))) as server:
        here = account(server.url + path)
        asked = await client.request(here, 150_000, RETURN_URL, Purchase(1402, "یک کتاب", "09121234567"))
        confirmed = await client.confirm(here, UNASKED)
    assert asked.outcome == InvoiceIssued(KEY)
    assert confirmed.outcome == Captured(KEY, 150_000, "040210234567", trace_number="304480")
    calls = [sent(request) for request in server.requests]
    assert [line for line, _, _ in calls] == [
        f"POST {path}/api/v0/Request/PaymentRequest HTTP/1.1",
        f"POST {path}/api/v0/Advice/Verify HTTP/1.1",
    ]
    assert [(headers["content-type"], headers["user-agent"]) for _, headers, _ in calls] == [
        ("application/json", "")
    ] * 2
    assert [body for _, _, body in calls] == [
        {
            "MerchantId": MERCHANT,
            "TerminalId": TERMINAL,
            "Amount": 150_000,
            "OrderId": 1402,
            "LocalDateTime": "01/15/2027 11:30:00 am",
            "ReturnUrl": RETURN_URL,
            "SignData": "n8Uy5Ov7U2jlNX91M9CnTrdA0icydiVN",
        },
        {"Token": TOKEN, "SignData": "pQw/rhmGgaALwbyDjW2wjQ=="},
    ]


async def test_calls_that_the_family_does_not_have(client: SadadClient) -> None:
    unknown = CheckUnknown(KEY, "not_offered")
    assert (await client.check(account(""), KEY)).outcome == unknown
    for call in (client.settle, client.reverse):
        assert (await call(account(""), INQUIRY)).outcome == unknown


async def test_a_verify_on_a_connection_that_died_is_sent_once_more_and_a_request_is_not(client: SadadClient) -> None:
    verified = answer(json.dumps(VERIFIED).encode())
    issued = answer(json.dumps({"ResCode": 0, "Token": TOKEN}).encode())
    async with RawServer((verified, reset, verified, issued, reset)) as server:
        assert [(await client.confirm(account(server.url), INQUIRY)).outcome for _ in range(2)] == [CAPTURED] * 2
        asked = [await client.request(account(server.url), 150_000, RETURN_URL, Purchase(1402)) for _ in range(2)]
    assert [each.outcome for each in asked] == [InvoiceIssued(KEY), RequestUnknown("reset")]


async def test_secrets_are_in_no_excerpt_and_no_log(client: SadadClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = (MERCHANT, TERMINAL, TERMINAL_KEY, RETURN_URL, "tok_9f8e7d6c5b4a")
    async with RawServer((answer(f"<p>wrong {' '.join(secrets)}</p>".encode(), status="500 Oops"),)) as server:
        here = account(server.url)
        asked, confirmed = await client.request(here, 1, RETURN_URL), await client.confirm(here, INQUIRY)
    assert asked.excerpt
    assert confirmed.excerpt
    seen = f"{here!r} {asked!r} {confirmed!r} {caplog.text}"
    assert not [secret for secret in secrets if secret in seen]


def test_the_family_is_listed_with_its_windows() -> None:
    traits = FAMILIES["sadad"].traits
    assert traits.confirms
    assert traits.confirms_unasked
    assert [traits.checks, traits.reverses, traits.needs_return] == [False] * 3
    assert traits.gives_back_after == 15 * MINUTE


def test_each_code_stands_in_the_page_of_the_family() -> None:
    assert missing_in_page("sadad", CODES) == []
