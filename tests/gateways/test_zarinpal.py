"""ZarinPal's client: what its answers mean, its requests as they leave, and what an unclear answer leaves behind."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from adapters.servers import answer
from hypothesis import given
from hypothesis import strategies as st

from gateways.talk import AMOUNT, RETURN_URL, TOKEN, Talk, plays, told
from proxy.gateways.answers import HttpAnswer, NoAnswer
from proxy.gateways.family import ReturnClaim
from proxy.gateways.port import (
    Account,
    AmountDiffers,
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    Purchase,
    RequestRefused,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.zarinpal import FAMILY
from proxy.gateways.zarinpal.answers import check_outcome, confirm_outcome, request_outcome, reverse_outcome
from proxy.gateways.zarinpal.codes import CODES

KEY = "A00000000000000000000000000217885159"
OTHER = "A00000000000000000000000000217885160"
MERCHANT_ID = "1344b5d4-0048-11e8-94db-005056a205be"
INQUIRY = Inquiry(KEY, AMOUNT)
ISSUED = {"code": 100, "message": "Success", "authority": KEY, "fee_type": "Merchant", "fee": 100}
VERIFIED = {
    "code": 100,
    "message": "Verified",
    "card_hash": "1EBE3EBEBE35C7EC0F8D6EE4F2F859107A87822CA179BC9528767EA7B5489B69",
    "card_pan": "502229******5995",
    "ref_id": 201,
    "fee_type": "Merchant",
    "fee": 1000,
    "shaparak_fee": "1200",
}
CAPTURED = Captured(KEY, AMOUNT, "201", card_mask="502229******5995", fee_rials=1000)
REFUSES = {-9, -10, -11, -13, -14, -15, -16, -17, -18, -19, *range(-39, -29), -40, -41}
ALERTS = (REFUSES - {-41}) | {-53, -54, -55, -62}
OTHER_CODES = [-1, -8, -20, -56, -64, -100, 0, 100, 101, 401, 2**31]


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk.of(FAMILY, merchant_id=MERCHANT_ID)
    yield talk
    await talk.client.close()


def success(data: Any) -> HttpAnswer:
    return told({"data": data, "errors": []})


def error(code: Any, status: int = 200) -> HttpAnswer:
    return told({"data": [], "errors": {"code": code, "message": "no", "validations": []}}, status)


def of_every_call(answer: HttpAnswer | NoAnswer) -> list[CheckOutcome]:
    return [check_outcome(KEY, answer), confirm_outcome(INQUIRY, answer), reverse_outcome(KEY, answer)]


@pytest.mark.parametrize("code", sorted([*CODES, *OTHER_CODES]))
@pytest.mark.parametrize("status", [200, 400, 401, 422, 429])
@pytest.mark.parametrize("as_text", [False, True])
def test_every_code_of_a_request_is_refused_for_good_only_where_the_table_says_so(
    code: int, status: int, as_text: bool
) -> None:
    fact = request_outcome(error(str(code) if as_text else code, status))
    assert fact == (RequestRefused(code) if code in REFUSES else RequestUnknown("unknown_code", error_code=code))


@pytest.mark.parametrize("code", sorted([*CODES, *OTHER_CODES]))
@pytest.mark.parametrize("status", [200, 422])
def test_every_code_of_a_call_about_an_authority(code: int, status: int) -> None:
    alert = code in ALERTS
    unclear = CheckUnknown(KEY, "terminal" if alert else "unknown_code", error_code=code, alert=alert)
    assert check_outcome(KEY, error(code, status)) == unclear
    confirmed = {-50: AmountDiffers(KEY), -51: NotPaid(KEY)}
    assert confirm_outcome(INQUIRY, error(code, status)) == confirmed.get(code, unclear)
    assert reverse_outcome(KEY, error(code, status)) == {-63: TooLate(KEY)}.get(code, unclear)


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        ("PAID", PaidUnconfirmed(KEY)),
        ("VERIFIED", PaidUnconfirmed(KEY, confirmed_before=True)),
        ("IN_BANK", NotPaid(KEY)),
        ("FAILED", Canceled(KEY)),
        ("REVERSED", Reversed(KEY)),
        *((status, CheckUnknown(KEY, "bad_answer")) for status in ("paid", "", "ACTIVE", None, 1, ["PAID"], {"a": 1})),
    ],
)
@pytest.mark.parametrize("code", [100, "100", 101])
def test_every_status_of_an_inquiry(status: Any, fact: CheckOutcome, code: Any) -> None:
    assert check_outcome(KEY, success({"status": status, "code": code, "message": "Success"})) == fact


@pytest.mark.parametrize("code", [None, -9, 0, 102, True, "", "x", [100]])
def test_data_without_a_code_of_success_says_nothing(code: Any) -> None:
    data = {**VERIFIED, "authority": KEY, "status": "PAID", "code": code}
    assert of_every_call(success(data)) == [CheckUnknown(KEY, "bad_answer")] * 3
    assert request_outcome(success(data)) == RequestUnknown("bad_answer")


@pytest.mark.parametrize("code", [100, 101, "100", "101"])
def test_verified_now_and_verified_before_are_the_same_money(code: Any) -> None:
    assert confirm_outcome(INQUIRY, success({**VERIFIED, "code": code})) == CAPTURED


NO_REF_ID: list[Any] = [None, 0, "", "0", -1, [], {}, True]
NO_MASK: list[Any] = [None, "", "5022291234565995", "502229*123456*5995", 5022291234565995, "no card", ["502229**5995"]]


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        (
            {"ref_id": "55685209701"},
            Captured(KEY, AMOUNT, "55685209701", card_mask="502229******5995", fee_rials=1000),
        ),
        ({"fee": "7000"}, Captured(KEY, AMOUNT, "201", card_mask="502229******5995", fee_rials=7000)),
        ({"fee": None}, Captured(KEY, AMOUNT, "201", card_mask="502229******5995")),
        ({"fee": 1.5}, Captured(KEY, AMOUNT, "201", card_mask="502229******5995")),
        *(
            ({"card_pan": pan}, Captured(KEY, AMOUNT, "201", fee_rials=1000))
            for pan in (
                None,
                "",
                "5022291234565995",
                "502229*123456*5995",
                5022291234565995,
                "no card",
                ["502229**5995"],
            )
        ),
        *(({"ref_id": nothing}, CheckUnknown(KEY, "no_bank_code", captured_rials=AMOUNT)) for nothing in NO_REF_ID),
        ({"authority": KEY}, CAPTURED),
        ({"authority": OTHER}, CheckUnknown(KEY, "other_invoice")),
        ({"authority": [KEY]}, CheckUnknown(KEY, "other_invoice")),
    ],
)
def test_what_a_verified_payment_tells(changes: dict[str, Any], fact: CheckOutcome) -> None:
    assert confirm_outcome(INQUIRY, success({**VERIFIED, **changes})) == fact


@pytest.mark.parametrize("nothing", [[], {}, None])
def test_what_says_nothing_may_be_an_array_an_object_or_null(nothing: Any) -> None:
    assert confirm_outcome(INQUIRY, told({"data": VERIFIED, "errors": nothing})) == CAPTURED
    assert confirm_outcome(INQUIRY, told({"data": nothing, "errors": {"code": -51}})) == NotPaid(KEY)
    assert confirm_outcome(INQUIRY, told({"data": nothing, "errors": [{"code": -51}]})) == NotPaid(KEY)
    assert confirm_outcome(INQUIRY, told({"data": VERIFIED})) == CAPTURED
    assert confirm_outcome(INQUIRY, told({"errors": {"code": -51}})) == NotPaid(KEY)


GOOD = {**VERIFIED, "authority": KEY, "status": "PAID"}
REFUSED = {"code": -51, "message": "no"}


@pytest.mark.parametrize(
    "body",
    [
        {"data": GOOD, "errors": REFUSED},
        {"data": GOOD, "errors": [REFUSED]},
        {"data": GOOD, "errors": [{}]},
        {"data": GOOD, "errors": "none"},
        {"data": GOOD, "errors": ["x"]},
        {"data": GOOD, "errors": False},
        {"data": [GOOD], "errors": []},
        {"data": "x", "errors": REFUSED},
        {"data": [1], "errors": REFUSED},
        {"data": [], "errors": [REFUSED, REFUSED]},
        {"data": [], "errors": {"message": "no"}},
        {"data": [], "errors": {"code": None}},
        {"data": [], "errors": {"code": "-51x"}},
        {"data": [], "errors": {"code": "--51"}},
        {"data": [], "errors": {"code": -51.5}},
        {"data": [], "errors": []},
        {"data": {}, "errors": {}},
        {},
        GOOD,
        {"code": -51},
        {"result": {"data": GOOD, "errors": []}},
    ],
)
def test_an_answer_that_says_both_or_neither_is_unclear(body: Any) -> None:
    assert of_every_call(told(body)) == [CheckUnknown(KEY, "bad_answer")] * 3
    assert request_outcome(told(body)) == RequestUnknown("bad_answer")
    unclear = CheckUnknown(KEY, "http_status", http_status=422)
    assert of_every_call(told(body, 422)) == [unclear] * 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<html>welcome</html>", "not_json"),
        (json.dumps({"data": GOOD, "errors": []}).encode()[:-1], "not_json"),
        (b'{"data":{"code":100,"code":-51},"errors":[]}', "duplicate_names"),
        (b'{"errors":{"code":-51},"errors":[]}', "duplicate_names"),
        (b"[]", "bad_answer"),
        (b" " * 65_537, "too_large"),
    ],
)
def test_bytes_that_are_no_object_are_unclear(body: bytes, reason: str) -> None:
    assert of_every_call(told(body)) == [CheckUnknown(KEY, reason)] * 3
    assert request_outcome(told(body)) == RequestUnknown(reason)


@pytest.mark.parametrize("status", [201, 204, 301, 400, 401, 404, 422, 429, 500, 502, 503])
def test_a_success_needs_the_status_200(status: int) -> None:
    answer = told({"data": GOOD, "errors": []}, status)
    assert of_every_call(answer) == [CheckUnknown(KEY, "http_status", http_status=status)] * 3
    assert request_outcome(answer) == RequestUnknown("http_status", http_status=status)


@pytest.mark.parametrize("status", [201, 302, 500, 502, 503])
def test_an_error_code_counts_with_200_and_4xx_alone(status: int) -> None:
    assert of_every_call(error(-51, status)) == [CheckUnknown(KEY, "http_status", http_status=status)] * 3
    assert request_outcome(error(-10, status)) == RequestUnknown("http_status", http_status=status)


def test_no_answer_is_unclear_with_its_reason() -> None:
    assert of_every_call(NoAnswer("timeout", timed_out=True)) == [CheckUnknown(KEY, "timeout")] * 3
    assert request_outcome(NoAnswer("timeout", timed_out=True)) == RequestUnknown("timeout", timed_out=True)


@pytest.mark.parametrize(
    "authority", [None, "", "a b", "a/b", "a?b", "a#b", "a%b", "کلید", "A" * 201, 0, -1, True, [KEY], {"a": KEY}]
)
def test_an_authority_that_cannot_stand_in_a_link_is_none(authority: Any) -> None:
    assert request_outcome(success({**ISSUED, "authority": authority})) == RequestUnknown("bad_answer")


def test_a_reversal_needs_100_since_101_says_that_something_was_done_before() -> None:
    assert reverse_outcome(KEY, success({"code": 100, "message": "Reversed"})) == Reversed(KEY)
    assert reverse_outcome(KEY, success({"code": 101, "message": "Verified"})) == CheckUnknown(KEY, "bad_answer")


VALUES = st.none() | st.booleans() | st.integers(-60, 110) | st.text("-10PAID", max_size=4) | st.just(KEY)
PART = VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.sampled_from([*GOOD, "x"]), VALUES)


@given(st.dictionaries(st.sampled_from(["data", "errors"]), PART), st.sampled_from([200, 422, 500]))
def test_whatever_json_comes_money_needs_a_success_alone_and_200(body: dict[str, Any], status: int) -> None:
    for fact in of_every_call(told(body, status)):
        if isinstance(fact, Captured | PaidUnconfirmed | Reversed):
            assert status == 200
            assert str(body["data"]["code"]) in {"100", "101"}
            assert not body.get("errors")


async def test_a_request_as_it_leaves_says_the_currency(talk: Talk) -> None:
    made = await talk.request(plays({"data": ISSUED, "errors": []}))
    assert made.outcome == InvoiceIssued(KEY)
    assert talk.sent == [
        (
            "/pg/v4/payment/request.json",
            {
                "merchant_id": MERCHANT_ID,
                "amount": AMOUNT,
                "currency": "IRR",
                "description": "سفارش ۱۷",
                "callback_url": RETURN_URL,
                "metadata": {"mobile": "09121234567", "order_id": "17"},
            },
        )
    ]


async def test_a_request_of_nothing_but_an_amount_has_a_description_all_the_same(talk: Talk) -> None:
    await talk.request(plays({"data": ISSUED, "errors": []}), purchase=Purchase(0, " "))
    [(_, fields)] = talk.sent
    assert fields["description"] == "پرداخت"
    assert "metadata" not in fields
    await talk.request(plays({"data": ISSUED, "errors": []}), purchase=Purchase(1, "x" * 600))
    assert len(talk.sent[0][1]["description"]) == 500


async def test_the_calls_about_an_authority_as_they_leave(talk: Talk) -> None:
    about = {"merchant_id": MERCHANT_ID, "authority": KEY}
    assert (await talk.check(KEY, plays({"data": {"code": 100, "status": "PAID"}, "errors": []}))).outcome == (
        PaidUnconfirmed(KEY)
    )
    assert talk.sent == [("/pg/v4/payment/inquiry.json", about)]
    assert (await talk.confirm(KEY, plays({"data": VERIFIED, "errors": []}))).outcome == CAPTURED
    assert talk.sent == [("/pg/v4/payment/verify.json", {**about, "amount": AMOUNT})]
    assert (await talk.reverse(KEY, plays({"data": {"code": 100}, "errors": []}))).outcome == Reversed(KEY)
    assert talk.sent == [("/pg/v4/payment/reverse.json", about)]


async def test_an_error_code_is_read_from_the_body_of_a_4xx(talk: Talk) -> None:
    refused = plays({"data": [], "errors": {"code": -51}}, "422 Unprocessable Entity")
    assert (await talk.confirm(KEY, refused)).outcome == NotPaid(KEY)
    long = {"data": [], "errors": {"code": -9, "message": "x" * 20_000}}
    assert (await talk.request(plays(long, "400 Bad Request"))).outcome == RequestRefused(-9)
    cut = answer(b'{"errors":{"code":-51}}', "422 Unprocessable Entity", length=500, close=True)
    assert isinstance((await talk.confirm(KEY, cut)).outcome, CheckUnknown)


@pytest.mark.parametrize("code", [-60, -61, -62, -63])
@pytest.mark.parametrize("status", ["REVERSED", "VERIFIED", "FAILED", None])
async def test_a_refused_reversal_is_decided_by_the_inquiry(talk: Talk, code: int, status: str | None) -> None:
    refused = plays({"data": {}, "errors": {"code": code}}, "422 Unprocessable Entity")
    made = await talk.reverse(KEY, refused, plays({"data": {"code": 100, "status": status}, "errors": []}))
    told = reverse_outcome(KEY, error(code))
    decided: dict[str | None, CheckOutcome] = {"REVERSED": Reversed(KEY)}
    if isinstance(told, CheckUnknown):
        decided["VERIFIED"] = replace(told, not_reversed=True)
    else:
        decided[None] = CheckUnknown(KEY, "bad_answer")
    assert made.outcome == decided.get(status, told)
    assert [path for path, _ in talk.sent] == ["/pg/v4/payment/reverse.json", "/pg/v4/payment/inquiry.json"]


async def test_it_has_nothing_to_settle(talk: Talk) -> None:
    account = Account("trm_1", "http://127.0.0.1:9", talk.credentials)
    assert (await talk.client.settle(account, INQUIRY)).outcome == CheckUnknown(KEY, "not_offered")


async def test_no_secret_stands_in_what_an_unclear_answer_leaves(talk: Talk) -> None:
    echo = plays({"received": {"merchant_id": MERCHANT_ID, "callback_url": RETURN_URL}, "card": "6037991123456789"})
    for made in (await talk.request(echo), await talk.check(KEY, echo), await talk.confirm(KEY, echo)):
        assert "received" in made.excerpt
        for secret in (MERCHANT_ID, MERCHANT_ID[:8], TOKEN, "60379911"):
            assert secret not in made.excerpt
        assert MERCHANT_ID not in repr(made)
    assert MERCHANT_ID not in repr(Account("trm_1", "http://127.0.0.1:9", talk.credentials))


@pytest.mark.parametrize(
    ("evidence", "claim"),
    [
        ({"Authority": KEY, "Status": "OK"}, ReturnClaim.PAID),
        ({"Authority": KEY, "Status": "NOK"}, ReturnClaim.UNPAID),
        ({"Authority": KEY, "Status": "ok?"}, ReturnClaim.NOTHING),
        ({"Authority": KEY}, ReturnClaim.NOTHING),
        ({"Status": "OK"}, ReturnClaim.NOTHING),
        ({}, ReturnClaim.NOTHING),
        ({"Authority": OTHER, "Status": "OK"}, ReturnClaim.FOREIGN),
        ({"Authority": OTHER}, ReturnClaim.FOREIGN),
        ({"Authority": KEY.lower(), "Status": "NOK"}, ReturnClaim.FOREIGN),
    ],
)
def test_what_a_return_claims(evidence: dict[str, str], claim: ReturnClaim) -> None:
    assert FAMILY.claim(KEY, evidence) is claim
    assert set(evidence) <= set(FAMILY.traits.evidence)


def test_the_way_there_is_the_page_of_the_authority() -> None:
    for gateway_url in (FAMILY.gateway_url, f"{FAMILY.gateway_url}/"):
        way = FAMILY.way_there(gateway_url, KEY)
        assert (way.url, way.fields) == (f"https://payment.zarinpal.com/pg/StartPay/{KEY}", None)
