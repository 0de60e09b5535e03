"""Behpardakht Mellat's client: what its answers and returns mean, its calls as they leave, and hostile XML."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from adapters.servers import RawServer, Script, answer, drip, hang, reset
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateways.answers import Answer, HttpAnswer, NoAnswer
from proxy.gateways.family import ReturnClaim, WayThere
from proxy.gateways.mellat import FAMILY
from proxy.gateways.mellat.answers import pay_outcome, reversal_outcome, settle_outcome, verify_outcome
from proxy.gateways.mellat.client import MellatClient
from proxy.gateways.mellat.codes import CODES, FAILED
from proxy.gateways.port import (
    Account,
    AmountDiffers,
    Canceled,
    Captured,
    CheckOutcome,
    CheckResult,
    CheckUnknown,
    Confirmed,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    Purchase,
    RequestRefused,
    RequestResult,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.http.outbound.connector import ClientOptions

AMOUNT = 480_000
REF_ID = "AF82041a2Bf6989c7fF9"
KEY = f"9007199254740991:{REF_ID}"
SALE = "127926981246"
RETURN = {
    "RefId": REF_ID,
    "ResCode": "0",
    "SaleOrderId": "9007199254740991",
    "SaleReferenceId": SALE,
    "CardHolderPan": "610433*****5689",
}
INQUIRY = Inquiry(KEY, AMOUNT, RETURN)
TOKEN = "8Zq0000000000000000000000000000000000001"
RETURN_URL = f"https://pay.example.ir/return/{TOKEN}"
CREDENTIALS = {"terminal_id": "1234567", "username": "shop<&>user", "password": "p&ss<w0rd>'\""}
PURCHASE = Purchase(9007199254740991, "سفارش ۱۷ <b>&\x00\x08\ufffe")
AT_TWENTY_PAST_NINE_IN_LONDON = 1_774_041_615_000  # 2026-03-20T21:20:15Z, which is the next day in Tehran
CALLS = {"bpVerifyRequest": MellatClient.confirm, "bpSettleRequest": MellatClient.settle}
CALLS |= {"bpReversalRequest": MellatClient.reverse}
REFUSES = {20, 21, 23, 24, 25, 32, 33, 35, 62, 417, 418, 421}
ALERTS = REFUSES - {25}


def soap(operation: str, text: str) -> bytes:
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        f'<ns2:{operation}Response xmlns:ns2="http://interfaces.core.sw.bps.com/"><return>{text}</return>'
        f"</ns2:{operation}Response></soap:Body></soap:Envelope>"
    ).encode()


def said(operation: str, text: str) -> HttpAnswer:
    return HttpAnswer(200, soap(operation, text))


def pay(text: str) -> Any:
    return pay_outcome(PURCHASE.number, said("bpPayRequest", text))


def verify(text: str) -> CheckOutcome:
    return verify_outcome(KEY, said("bpVerifyRequest", text))


def settle(text: str, evidence: Mapping[str, str] = RETURN) -> CheckOutcome:
    return settle_outcome(Inquiry(KEY, AMOUNT, evidence), said("bpSettleRequest", text))


def reversal(text: str) -> CheckOutcome:
    return reversal_outcome(KEY, said("bpReversalRequest", text))


def of_every_call(given: Answer) -> list[object]:
    return [
        pay_outcome(PURCHASE.number, given),
        verify_outcome(KEY, given),
        settle_outcome(INQUIRY, given),
        reversal_outcome(KEY, given),
    ]


@pytest.fixture
async def client() -> AsyncIterator[MellatClient]:
    options = ClientOptions(now=lambda: AT_TWENTY_PAST_NINE_IN_LONDON)
    made = FAMILY.make(options, request_seconds=5, check_seconds=5)
    yield made
    await made.close()


def account(server: RawServer) -> Account:
    return Account("trm_1", f"{server.url}/bank/", CREDENTIALS, "mellat")


def fields_of(request: bytes) -> tuple[str, dict[str, str]]:
    """The operation of a call as it left, and its fields in their order."""
    _, _, body = request.partition(b"\r\n\r\n")
    [call] = fromstring(body).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
    return call.tag, {field.tag: field.text or "" for field in call}


async def test_the_request_as_it_leaves(client: MellatClient) -> None:
    async with RawServer((answer(soap("bpPayRequest", f"0,{REF_ID}")),)) as server:
        asked = await client.request(account(server), AMOUNT, f"{RETURN_URL}?a=1&b=<2>", PURCHASE)
    assert asked.outcome == InvoiceIssued(KEY)
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /bank/pgwchannel/services/pgw HTTP/1.1\r\n")
    assert '\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: ""\r\n' in head
    assert "<userPassword>p&amp;ss&lt;w0rd&gt;'\"</userPassword>" in body
    operation, fields = fields_of(server.requests[0])
    assert operation == "{http://interfaces.core.sw.bps.com/}bpPayRequest"
    assert list(fields.items()) == [
        ("terminalId", "1234567"),
        ("userName", CREDENTIALS["username"]),
        ("userPassword", CREDENTIALS["password"]),
        ("orderId", "9007199254740991"),
        ("amount", "480000"),
        ("localDate", "20260321"),
        ("localTime", "005015"),
        ("additionalData", "سفارش ۱۷ <b>&"),
        ("callBackUrl", f"{RETURN_URL}?a=1&b=<2>"),
        ("payerId", "0"),
    ]


@pytest.mark.parametrize("operation", CALLS)
async def test_the_calls_about_a_payment_as_they_leave(client: MellatClient, operation: str) -> None:
    async with RawServer((answer(soap(operation, "0")),)) as server:
        await CALLS[operation](client, account(server), INQUIRY)
    assert fields_of(server.requests[0]) == (
        f"{{http://interfaces.core.sw.bps.com/}}{operation}",
        {
            "terminalId": "1234567",
            "userName": CREDENTIALS["username"],
            "userPassword": CREDENTIALS["password"],
            "orderId": "9007199254740991",
            "saleOrderId": "9007199254740991",
            "saleReferenceId": SALE,
        },
    )


def test_the_customer_goes_there_by_a_form_with_the_ref_id_alone() -> None:
    there = FAMILY.way_there("https://bpm.shaparak.ir/", KEY)
    assert there == WayThere("https://bpm.shaparak.ir/pgwchannel/startpay.mellat", {"RefId": REF_ID})


@pytest.mark.parametrize("text", [f"0,{REF_ID}", f"0, {REF_ID}", f" 0 ,{REF_ID}\n"])
def test_an_invoice_is_named_by_the_order_number_and_the_ref_id(text: str) -> None:
    assert pay(text) == InvoiceIssued(KEY)


@pytest.mark.parametrize("ref_id", ["", " ", "a b", "a/b", "a%2F", "é", "a,b", "x" * 151, "&lt;b&gt;"])
def test_a_ref_id_that_no_invoice_can_be_named_by_is_unclear(ref_id: str) -> None:
    assert pay(f"0,{ref_id}") == RequestUnknown("bad_answer")


@pytest.mark.parametrize("text", ["", "0", "00", "-1", "1.5", "null", "17,abc", "0;ABC", "۲۱", "123456", "OK"])
def test_a_return_that_is_no_code_is_unclear(text: str) -> None:
    assert pay(text) == RequestUnknown("bad_answer")
    if text != "0":
        unclear = CheckUnknown(KEY, "bad_answer")
        assert [verify(text), settle(text), reversal(text)] == [unclear] * 3


@pytest.mark.parametrize("code", [*CODES, 1, 999])
def test_every_code_of_a_request(code: int) -> None:
    expected = RequestRefused(code) if code in REFUSES else RequestUnknown("unknown_code", error_code=code)
    assert pay(str(code)) == expected


@pytest.mark.parametrize("code", [0, *CODES, 1, 999])
def test_every_code_of_the_calls_about_a_payment(code: int) -> None:
    alert = code in ALERTS
    unknown = CheckUnknown(KEY, "terminal" if alert else "unknown_code", error_code=code, alert=alert)
    captured = Captured(KEY, AMOUNT, SALE, card_mask="610433*****5689")
    verified = {0: Confirmed(KEY), 43: Confirmed(KEY), 45: Confirmed(KEY), 48: Reversed(KEY)}
    verified |= {number: NotPaid(KEY) for number in (42, 54, 55)} | {number: Canceled(KEY) for number in FAILED}
    assert verify(str(code)) == verified.get(code, unknown)
    assert settle(str(code)) == {0: captured, 45: captured, 48: Reversed(KEY)}.get(code, unknown)
    assert reversal(str(code)) == {0: Reversed(KEY), 48: Reversed(KEY), 45: TooLate(KEY)}.get(code, unknown)


def test_the_codes_that_fail_a_payment_are_those_of_the_customer_and_the_card() -> None:
    assert set(FAILED) == {*range(11, 20), 56, 57, 98, 111, 114, 115, 995}


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "0">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><r>&j;</r>"
)
GOOD = soap("bpVerifyRequest", "0")
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not_xml"),
    "HTML": (b"<html><body>502 Bad Gateway<br></body></html>", "not_xml"),
    "HTML that is XML": (b"<html><body>502 Bad Gateway</body></html>", "bad_answer"),
    "JSON": (b'{"return":"0"}', "not_xml"),
    "cut off": (GOOD[:-20], "not_xml"),
    "bytes behind it": (GOOD + b"<x/>", "not_xml"),
    "two envelopes": (GOOD + GOOD, "not_xml"),
    "a DTD": (b"<!DOCTYPE r []>" + GOOD, "not_xml"),
    "a DTD from elsewhere": (b'<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd">' + GOOD, "not_xml"),
    "billion laughs": (BILLION_LAUGHS, "not_xml"),
    "a file as an entity": (
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + soap("bpVerifyRequest", "&x;"),
        "not_xml",
    ),
    "an unknown entity": (soap("bpVerifyRequest", "&zero;"), "not_xml"),
    "nested deeply": (b"<a>" * 9_000 + b"</a>" * 9_000, "bad_answer"),
    "nested deeply inside": (soap("bpVerifyRequest", "<a>" * 9_000 + "</a>" * 9_000), "bad_answer"),
    "many attributes": (b"<a " + b" ".join(b'b%d=""' % n for n in range(6_000)) + b"/>", "bad_answer"),
    "huge": (b"<a>" + b" " * 70_000 + b"</a>", "too_large"),
    "a wrong encoding": (GOOD.replace(b">0<", b">0\xff<"), "not_xml"),
    "an encoding that nobody has": (b'<?xml version="1.0" encoding="klingon"?>' + GOOD, "not_xml"),
    "UTF-7": (b'<?xml version="1.0" encoding="utf-7"?>' + GOOD, "not_xml"),
    "half of UTF-16": (b"\xff\xfe" + GOOD.decode().encode("utf-16-le")[:-1], "not_xml"),
    "two returns": (GOOD.replace(b"<return>0</return>", b"<return>0</return><return>48</return>"), "bad_answer"),
    "one return in another": (soap("bpVerifyRequest", "0<return>48</return>"), "bad_answer"),
    "no return": (GOOD.replace(b"<return>0</return>", b""), "bad_answer"),
    "an empty return": (soap("bpVerifyRequest", ""), "bad_answer"),
    "two bodies": (re.sub(rb"(<soap:Body>.*</soap:Body>)", rb"\1\1", GOOD), "bad_answer"),
    "two answers": (re.sub(rb"(<ns2.*Response>)</soap:Body>", rb"\1\1</soap:Body>", GOOD), "bad_answer"),
    "another call's answer": (soap("bpInquiryRequest", "0"), "bad_answer"),
    "a fault": (
        re.sub(rb"<ns2.*Response>", b"<soap:Fault><faultstring>0</faultstring></soap:Fault>", GOOD),
        "bad_answer",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_xml_says_nothing(case: str) -> None:
    body, reason = HOSTILE[case]
    assert verify_outcome(KEY, HttpAnswer(200, body)) == CheckUnknown(KEY, reason)


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n  " + GOOD + b"\n",
        b'<?xml version="1.0" encoding="UTF-8"?>' + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        b'<?xml version="1.0" encoding="windows-1256"?>' + GOOD,
        GOOD.replace(b"<soap:Body>", b"<soap:Header><x>1</x></soap:Header><!-- --><soap:Body>"),
        GOOD.replace(b">0<", b"><![CDATA[0]]><"),
        GOOD.replace(b"ns2:", b"").replace(b":ns2", b""),
        GOOD.replace(b"return>", b"ns2:return>"),
    ],
)
def test_the_same_answer_may_be_written_in_many_ways(body: bytes) -> None:
    assert verify_outcome(KEY, HttpAnswer(200, body)) == Confirmed(KEY)


@pytest.mark.parametrize("status", [201, 302, 400, 404, 500, 502])
def test_only_status_200_is_an_answer(status: int) -> None:
    for outcome in (verify_outcome(KEY, HttpAnswer(status, GOOD)), settle_outcome(INQUIRY, HttpAnswer(status, GOOD))):
        assert outcome == CheckUnknown(KEY, "http_status", http_status=status)
    asked = pay_outcome(17, HttpAnswer(status, soap("bpPayRequest", f"0,{REF_ID}")))
    assert asked == RequestUnknown("http_status", http_status=status)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_answer_are_unclear_to_every_call(body: bytes) -> None:
    for outcome in of_every_call(HttpAnswer(200, body)):
        assert isinstance(outcome, RequestUnknown | CheckUnknown)


@given(st.text(max_size=30))
def test_only_digits_are_a_code(text: str) -> None:
    outcome = verify_outcome(KEY, HttpAnswer(200, soap("bpVerifyRequest", text)))
    assert isinstance(outcome, CheckUnknown) or text.strip() in map(str, [0, *CODES])


def test_no_answer_keeps_its_reason() -> None:
    unknown = CheckUnknown(KEY, "timeout")
    given = NoAnswer("timeout", timed_out=True)
    assert of_every_call(given) == [RequestUnknown("timeout", timed_out=True), unknown, unknown, unknown]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ReturnClaim.PAID),
        ({"SaleReferenceId": ""}, ReturnClaim.NOTHING),
        ({"SaleReferenceId": "12a"}, ReturnClaim.NOTHING),
        ({"ResCode": "17"}, ReturnClaim.UNPAID),
        ({"ResCode": "17", "SaleReferenceId": "0"}, ReturnClaim.UNPAID),
        ({"ResCode": "415"}, ReturnClaim.UNPAID),
        ({"ResCode": ""}, ReturnClaim.NOTHING),
        ({"ResCode": "OK"}, ReturnClaim.NOTHING),
        ({"RefId": "AF82041A2BF6989C7FF9"}, ReturnClaim.FOREIGN),
        ({"RefId": ""}, ReturnClaim.NOTHING),
        ({"SaleOrderId": "10"}, ReturnClaim.FOREIGN),
        ({"SaleOrderId": "09007199254740991"}, ReturnClaim.FOREIGN),
        ({"SaleOrderId": ""}, ReturnClaim.NOTHING),
        ({"ResCode": "17", "RefId": "another"}, ReturnClaim.FOREIGN),
    ],
)
def test_what_a_return_claims(changes: dict[str, str], expected: ReturnClaim) -> None:
    assert FAMILY.claim(KEY, RETURN | changes) is expected


def test_a_return_without_anything_claims_nothing() -> None:
    assert FAMILY.claim(KEY, {}) is ReturnClaim.NOTHING


@pytest.mark.parametrize("call", CALLS.values())
@pytest.mark.parametrize(
    "changes",
    [
        {"SaleReferenceId": ""},
        {"SaleReferenceId": "0"},
        {"SaleReferenceId": "1" * 19},
        {"SaleReferenceId": "1</saleReferenceId>"},
        {"RefId": "another"},
        {"RefId": ""},
        {"SaleOrderId": "10"},
        {"SaleOrderId": ""},
    ],
)
async def test_without_a_return_of_this_payment_nothing_is_sent(
    client: MellatClient, call: Callable[..., Any], changes: dict[str, str]
) -> None:
    async with RawServer((answer(GOOD),)) as server:
        result = await call(client, account(server), Inquiry(KEY, AMOUNT, RETURN | changes))
    assert result.outcome == CheckUnknown(KEY, "no_return")
    assert server.requests == []


async def test_another_final_amount_is_not_verified(client: MellatClient) -> None:
    async with RawServer((answer(GOOD),)) as server:
        result = await client.confirm(account(server), Inquiry(KEY, AMOUNT, RETURN | {"FinalAmount": "470000"}))
    assert result.outcome == AmountDiffers(KEY, 470_000)
    assert server.requests == []


@pytest.mark.parametrize("told", ["480000", "", "0", "null", "-1"])
async def test_a_final_amount_that_tells_nothing_else_is_verified(client: MellatClient, told: str) -> None:
    async with RawServer((answer(GOOD),)) as server:
        result = await client.confirm(account(server), Inquiry(KEY, AMOUNT, RETURN | {"FinalAmount": told}))
    assert result.outcome == Confirmed(KEY)


@pytest.mark.parametrize(
    ("pan", "mask"),
    [
        ("610433*****5689", "610433*****5689"),
        ("610433******5689", "610433******5689"),
        ("6104337116615689", None),
        ("Ali Karimi", None),
        ("", None),
    ],
)
def test_a_card_is_told_masked_only(pan: str, mask: str | None) -> None:
    assert settle("0", RETURN | {"CardHolderPan": pan}) == Captured(KEY, AMOUNT, SALE, card_mask=mask)


async def test_there_is_nothing_to_check(client: MellatClient) -> None:
    result = await client.check(Account("trm_1", "http://127.0.0.1:1", CREDENTIALS), KEY, RETURN)
    assert result.outcome == CheckUnknown(KEY, "not_offered")
    assert not FAMILY.traits.checks


@pytest.mark.parametrize(
    ("script", "reason"), [(reset, "reset"), (hang, "timeout"), (drip(b"HTTP/1.1 200 OK\r\n"), "timeout")]
)
async def test_no_answer_is_no_outcome(script: Script, reason: str) -> None:
    client = MellatClient(request_seconds=0.2, check_seconds=0.2)
    async with RawServer((script,)) as server:
        asked = await client.request(account(server), AMOUNT, RETURN_URL, PURCHASE)
        assert asked.outcome == RequestUnknown(reason, timed_out=reason == "timeout")
        for call in CALLS.values():
            assert (await call(client, account(server), INQUIRY)).outcome == CheckUnknown(KEY, reason)
    await client.close()


async def test_a_verify_on_an_idle_connection_that_died_is_sent_once_more(client: MellatClient) -> None:
    async with RawServer((answer(GOOD), reset, answer(soap("bpVerifyRequest", "43")))) as server:
        outcomes = [(await client.confirm(account(server), INQUIRY)).outcome for _ in range(2)]
    assert outcomes == [Confirmed(KEY)] * 2
    assert len(server.requests) == 3


async def test_secrets_are_in_no_excerpt_and_no_repr(client: MellatClient) -> None:
    echo = "".join(f"<{name}>{value}</{name}>" for name, value in CREDENTIALS.items())
    escaped = "p&amp;ss&lt;w0rd&gt;'\" shop&lt;&amp;&gt;user"
    fault = f"<s:Envelope><faultstring>denied: {echo} {escaped} {RETURN_URL}</faultstring></s:Envelope>"
    async with RawServer((answer(fault.encode(), status="500 Oops"),)) as server:
        to = account(server)
        results: list[RequestResult | CheckResult] = [await client.confirm(to, INQUIRY)]
        results.append(await client.request(to, AMOUNT, RETURN_URL, PURCHASE))
    for result in results:
        assert "denied" in result.excerpt
        for secret in (CREDENTIALS["password"], CREDENTIALS["username"], TOKEN):
            assert secret not in f"{result!r} {to!r}"


def test_the_page_of_the_family_has_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gateways" / "mellat.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|", page, re.MULTILINE)
    assert {int(code): (english, persian) for code, english, persian in rows} == {
        code: meaning.explanation for code, meaning in CODES.items()
    }
