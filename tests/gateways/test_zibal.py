"""Zibal's client: what its answers mean, its requests as they leave, and what an unclear answer leaves behind."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.talk import AMOUNT, RETURN_URL, TOKEN, Talk, plays, told
from proxy.gateways.answers import HttpAnswer, NoAnswer
from proxy.gateways.family import ReturnClaim
from proxy.gateways.port import (
    NO_PURCHASE,
    Account,
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    RequestRefused,
    RequestUnknown,
    Reversed,
)
from proxy.gateways.zibal import FAMILY
from proxy.gateways.zibal.answers import check_outcome, confirm_outcome, request_outcome, verified_outcome
from proxy.gateways.zibal.codes import CODES

KEY = "15966442233311"
MERCHANT = "5c9c7d3718f93461a4f2a0b1"
ISSUED = {"trackId": int(KEY), "result": 100, "message": "success"}
VERIFIED = {
    "paidAt": "2018-03-25T23:43:01.053000",
    "amount": AMOUNT,
    "result": 100,
    "status": 1,
    "refNumber": 12312,
    "description": "Hello World!",
    "cardNumber": "62741****44",
    "orderId": "2211",
    "message": "success",
}
LOOKED = {**VERIFIED, "verifiedAt": "2018-03-25T23:44:01.053000", "wage": 1500, "multiplexingInfos": []}
CAPTURED = Captured(KEY, AMOUNT, "12312", card_mask="62741****44")
CAPTURED_WITH_WAGE = Captured(KEY, AMOUNT, "12312", card_mask="62741****44", fee_rials=1500)
UNREAD = CheckUnknown(KEY, "bad_answer")
REFUSES = set(range(102, 117))
ALERTS = (REFUSES - {105, 113}) | {203, 21}
RESULTS = [code for code in CODES if code > 100]
OTHER_CODES = [0, 1, 99, 101, 117, 204, 999, -9, 2**31]
STATUSES = {
    -1: NotPaid(KEY),
    -2: NotPaid(KEY),
    1: PaidUnconfirmed(KEY, AMOUNT, confirmed_before=True),
    2: PaidUnconfirmed(KEY, AMOUNT),
    **{status: Canceled(KEY) for status in range(3, 13)},
    15: Reversed(KEY),
    16: Reversed(KEY),
    18: Reversed(KEY),
    21: CheckUnknown(KEY, "terminal", error_code=21, alert=True),
    **{status: CheckUnknown(KEY, "unknown_code", error_code=status) for status in (0, 13, 14, 17, 19, 20, 22, -3)},
}


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk.of(FAMILY, merchant=MERCHANT)
    yield talk
    await talk.client.close()


def unclear(code: int) -> CheckUnknown:
    alert = code in ALERTS
    return CheckUnknown(KEY, "terminal" if alert else "unknown_code", error_code=code, alert=alert)


def of_every_call(answer: HttpAnswer | NoAnswer) -> list[CheckOutcome]:
    return [check_outcome(KEY, answer), confirm_outcome(KEY, answer), verified_outcome(KEY, answer)]


@pytest.mark.parametrize("code", [*RESULTS, *OTHER_CODES])
@pytest.mark.parametrize("as_text", [False, True])
def test_every_result_of_a_request_is_refused_for_good_only_where_the_table_says_so(code: int, as_text: bool) -> None:
    fact = request_outcome(told({"result": str(code) if as_text else code, "message": "no"}))
    assert fact == (RequestRefused(code) if code in REFUSES else RequestUnknown("unknown_code", error_code=code))


@pytest.mark.parametrize("code", [*RESULTS, *OTHER_CODES])
def test_every_result_of_a_call_about_a_payment(code: int) -> None:
    answer = told({"result": code, "message": "no"})
    assert check_outcome(KEY, answer) == unclear(code)
    assert confirm_outcome(KEY, answer) == {202: NotPaid(KEY)}.get(code, unclear(code))
    assert verified_outcome(KEY, answer) == unclear(code)


@pytest.mark.parametrize(("status", "fact"), STATUSES.items())
@pytest.mark.parametrize("as_text", [False, True])
def test_every_status_of_an_inquiry(status: int, fact: CheckOutcome, as_text: bool) -> None:
    looked = told({**LOOKED, "status": str(status) if as_text else status})
    assert check_outcome(KEY, looked) == fact
    agrees: dict[int, CheckOutcome] = {1: CAPTURED_WITH_WAGE, 15: fact, 16: fact, 18: fact}
    assert verified_outcome(KEY, looked) == agrees.get(status, fact if isinstance(fact, CheckUnknown) else UNREAD)


@pytest.mark.parametrize("status", [None, "", True, 1.5, [1], {"a": 1}, "paid"])
def test_an_inquiry_without_a_status_says_nothing(status: Any) -> None:
    assert check_outcome(KEY, told({**LOOKED, "status": status})) == UNREAD


@pytest.mark.parametrize("amount", [None, 0, -AMOUNT, "", "15,000", 1.5, True, [AMOUNT], 2**63])
def test_money_without_an_amount_says_nothing(amount: Any) -> None:
    for status in (1, 2):
        assert check_outcome(KEY, told({**LOOKED, "status": status, "amount": amount})) == UNREAD
    assert confirm_outcome(KEY, told({**VERIFIED, "amount": amount})) == UNREAD
    assert check_outcome(KEY, told({**LOOKED, "status": -1, "amount": amount})) == NotPaid(KEY)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({}, CAPTURED),
        ({"result": "100", "status": "1", "amount": str(AMOUNT), "refNumber": "12312"}, CAPTURED),
        ({"status": None}, CAPTURED),
        ({"amount": AMOUNT + 10}, Captured(KEY, AMOUNT + 10, "12312", card_mask="62741****44")),
        ({"trackId": int(KEY)}, CAPTURED),
        ({"trackId": KEY}, CAPTURED),
        ({"trackId": 17}, CheckUnknown(KEY, "other_invoice")),
        ({"trackId": "x"}, CheckUnknown(KEY, "other_invoice")),
        ({"trackId": [KEY]}, CheckUnknown(KEY, "other_invoice")),
        ({"cardNumber": "6274121234567844"}, Captured(KEY, AMOUNT, "12312")),
        ({"cardNumber": None}, Captured(KEY, AMOUNT, "12312")),
        ({"refNumber": None}, CheckUnknown(KEY, "no_bank_code", captured_rials=AMOUNT)),
        ({"refNumber": 0}, CheckUnknown(KEY, "no_bank_code", captured_rials=AMOUNT)),
        *(({"status": status}, UNREAD) for status in (-1, 2, 3, 18, "x", True)),
        ({"result": 201}, CAPTURED),
        *(
            ({"result": 201, **changes}, unclear(201))
            for changes in ({"amount": None}, {"refNumber": None}, {"status": 2}, {"status": 18})
        ),
        *(({"result": 202, "status": status}, STATUSES[status]) for status in (-1, -2, 3, 12, 15, 18, 21, 13)),
        ({"result": 202, "status": None}, NotPaid(KEY)),
        *(({"result": 202, "status": status}, UNREAD) for status in (1, 2, "x")),
    ],
)
def test_what_an_answer_to_verify_tells(changes: dict[str, Any], fact: CheckOutcome) -> None:
    assert confirm_outcome(KEY, told({**VERIFIED, **changes})) == fact


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<html>welcome</html>", "not_json"),
        (json.dumps(VERIFIED).encode()[:-1], "not_json"),
        (b'{"result":100,"result":202}', "duplicate_names"),
        (b"[]", "bad_answer"),
        (b"{}", "bad_answer"),
        (b'{"result":null,"status":1,"amount":150000,"refNumber":1}', "bad_answer"),
        (b'{"result":"ok","status":1,"amount":150000,"refNumber":1}', "bad_answer"),
        (b" " * 65_537, "too_large"),
    ],
)
def test_bytes_that_say_no_result_are_unclear(body: bytes, reason: str) -> None:
    assert of_every_call(told(body)) == [CheckUnknown(KEY, reason)] * 3
    assert request_outcome(told(body)) == RequestUnknown(reason)


@pytest.mark.parametrize("status", [201, 301, 400, 401, 404, 422, 429, 500, 502, 503])
def test_another_status_than_200_is_unclear(status: int) -> None:
    for body in (VERIFIED, {"result": 202}):
        assert of_every_call(told(body, status)) == [CheckUnknown(KEY, "http_status", http_status=status)] * 3
    assert request_outcome(told(ISSUED, status)) == RequestUnknown("http_status", http_status=status)
    assert request_outcome(told({"result": 102}, status)) == RequestUnknown("http_status", http_status=status)


def test_no_answer_is_unclear_with_its_reason() -> None:
    assert of_every_call(NoAnswer("timeout", timed_out=True)) == [CheckUnknown(KEY, "timeout")] * 3
    assert request_outcome(NoAnswer("timeout", timed_out=True)) == RequestUnknown("timeout", timed_out=True)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({}, InvoiceIssued(KEY)),
        ({"trackId": KEY, "result": "100"}, InvoiceIssued(KEY)),
        *(({"trackId": named}, RequestUnknown("bad_answer")) for named in (None, 0, -1, "", "a1", 1.5, True, [1])),
        ({"result": 102}, RequestUnknown("bad_answer")),
        ({"result": 102, "trackId": 0}, RequestRefused(102)),
    ],
)
def test_a_track_id_is_a_number_and_comes_with_success_alone(changes: dict[str, Any], fact: Any) -> None:
    assert request_outcome(told({**ISSUED, **changes})) == fact


VALUES = st.none() | st.booleans() | st.integers(-3, 210) | st.text("-120", max_size=4) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from([*LOOKED, "trackId", "x"]), VALUES), st.sampled_from([200, 422, 500]))
def test_whatever_json_comes_money_needs_a_result_and_200(body: dict[str, Any], status: int) -> None:
    for fact in of_every_call(told(body, status)):
        if isinstance(fact, Captured | PaidUnconfirmed):
            assert status == 200
            assert str(body["result"]) in {"100", "201"}


async def test_a_request_as_it_leaves_has_the_customer_pay_no_fee(talk: Talk) -> None:
    assert (await talk.request(plays(ISSUED))).outcome == InvoiceIssued(KEY)
    asked = {"merchant": MERCHANT, "amount": AMOUNT, "callbackUrl": RETURN_URL, "feeMode": 0}
    more = {"orderId": "17", "description": "سفارش ۱۷", "mobile": "09121234567"}
    assert talk.sent == [("/v1/request", {**asked, **more})]
    await talk.request(plays(ISSUED), purchase=NO_PURCHASE)
    assert talk.sent == [("/v1/request", asked)]


async def test_the_calls_about_a_payment_say_its_number_as_a_number(talk: Talk) -> None:
    about = {"merchant": MERCHANT, "trackId": int(KEY)}
    assert (await talk.check(KEY, plays(LOOKED))).outcome == STATUSES[1]
    assert talk.sent == [("/v1/inquiry", about)]
    assert (await talk.confirm(KEY, plays(VERIFIED))).outcome == CAPTURED
    assert talk.sent == [("/v1/verify", {**about, "dataOnDoubleVerify": True})]
    assert (await talk.confirm(KEY, plays({**VERIFIED, "result": 201}))).outcome == CAPTURED
    assert len(talk.sent) == 1


@pytest.mark.parametrize(
    ("looked", "fact"),
    [
        (LOOKED, CAPTURED_WITH_WAGE),
        ({**LOOKED, "status": 18}, Reversed(KEY)),
        ({**LOOKED, "status": 2}, UNREAD),
        ({**LOOKED, "status": -1}, UNREAD),
        ({**LOOKED, "refNumber": None}, CheckUnknown(KEY, "no_bank_code", captured_rials=AMOUNT)),
        ({"result": 203}, unclear(203)),
    ],
)
async def test_verified_before_without_numbers_is_what_the_inquiry_says(
    talk: Talk, looked: dict[str, Any], fact: CheckOutcome
) -> None:
    made = await talk.confirm(KEY, plays({"result": 201, "message": "verified before"}), plays(looked))
    assert made.outcome == fact
    assert [path for path, _ in talk.sent] == ["/v1/verify", "/v1/inquiry"]


async def test_it_neither_settles_nor_gives_back(talk: Talk) -> None:
    account, inquiry = Account("trm_1", "http://127.0.0.1:9", talk.credentials), Inquiry(KEY, AMOUNT)
    for made in (await talk.client.settle(account, inquiry), await talk.client.reverse(account, inquiry)):
        assert made.outcome == CheckUnknown(KEY, "not_offered")


async def test_no_secret_stands_in_what_an_unclear_answer_leaves(talk: Talk) -> None:
    echo = plays({"received": {"merchant": MERCHANT, "callbackUrl": RETURN_URL}, "card": "6037991123456789"})
    for made in (await talk.request(echo), await talk.check(KEY, echo), await talk.confirm(KEY, echo)):
        assert "received" in made.excerpt
        for secret in (MERCHANT, MERCHANT[:12], TOKEN, "60379911"):
            assert secret not in made.excerpt
        assert MERCHANT not in repr(made)


@pytest.mark.parametrize(
    ("evidence", "claim"),
    [
        ({"trackId": KEY, "success": "1", "status": "2"}, ReturnClaim.PAID),
        ({"trackId": KEY, "success": "2"}, ReturnClaim.PAID),
        ({"trackId": KEY, "success": "0", "status": "3"}, ReturnClaim.UNPAID),
        ({"trackId": KEY, "success": "x"}, ReturnClaim.NOTHING),
        ({"trackId": KEY}, ReturnClaim.NOTHING),
        ({"success": "1"}, ReturnClaim.NOTHING),
        ({}, ReturnClaim.NOTHING),
        ({"trackId": "17", "success": "1"}, ReturnClaim.FOREIGN),
        ({"trackId": f"{KEY} ", "success": "0"}, ReturnClaim.FOREIGN),
    ],
)
def test_what_a_return_claims(evidence: dict[str, str], claim: ReturnClaim) -> None:
    assert FAMILY.claim(KEY, evidence) is claim
    assert set(evidence) <= set(FAMILY.traits.evidence)


def test_the_way_there_is_the_page_of_the_payment() -> None:
    for gateway_url in (FAMILY.gateway_url, f"{FAMILY.gateway_url}/"):
        way = FAMILY.way_there(gateway_url, KEY)
        assert (way.url, way.fields) == (f"https://gateway.zibal.ir/start/{KEY}", None)
