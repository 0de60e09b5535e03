"""Behpardakht Mellat's client against its simulator: the customer, the bank's clocks, and who is let in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from gateways.simulated import AMOUNT, RETURN_URL, Simulated, simulated
from proxy.gateways.family import ReturnClaim
from proxy.gateways.mellat import FAMILY
from proxy.gateways.mellat.soap import PATH, envelope
from proxy.gateways.mellat.wsdl import OPERATIONS
from proxy.gateways.port import (
    AmountDiffers,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Confirmed,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    Purchase,
    RequestRefused,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.ledger import State
from proxy.kernel.clock import HOUR, MINUTE

TERMINAL = "1234567"
CREDENTIALS = {"terminal_id": TERMINAL, "username": "shop", "password": "p&ss<w0rd>"}


@pytest.fixture
async def mellat() -> AsyncIterator[Simulated]:
    async with simulated(FAMILY, TERMINAL, CREDENTIALS) as made:
        yield made


async def settle(mellat: Simulated, inquiry: Inquiry) -> CheckOutcome:
    return (await mellat.client.settle(mellat.account, inquiry)).outcome


def fails(mellat: Simulated, operation: GatewayOperation, kind: FaultKind, **more: Any) -> None:
    mellat.gateway.faults.add(Rule(operation, Fault(kind, **more), times=1))


async def soap(mellat: Simulated, operation: str, **changes: Any) -> tuple[int, str]:
    """One call as any client makes it: the status, and the text returned."""
    fields = dict.fromkeys(OPERATIONS[operation], "")
    fields |= {"terminalId": TERMINAL, "userName": "shop", "userPassword": CREDENTIALS["password"]}
    url = f"{mellat.account.gateway_url.rstrip('/')}{PATH}?wsdl"
    async with mellat.session.post(url, data=envelope(operation, fields | changes).encode()) as answer:
        body = await answer.read()
        return answer.status, "".join(fromstring(body).itertext())


async def test_a_payment_from_request_to_settle(mellat: Simulated) -> None:
    key = await mellat.issued()
    paid = await mellat.paid(key)
    assert FAMILY.claim(key, paid.evidence) is ReturnClaim.PAID
    mellat.clock.forward(19 * MINUTE)
    assert await mellat.confirm(paid) == Confirmed(key)
    assert mellat.invoice(key).state is State.CONFIRMED
    outcome = await settle(mellat, paid)
    row = mellat.invoice(key)
    assert outcome == Captured(key, AMOUNT, row.bank_code, card_mask="603799******1234")
    assert (row.state, row.our_number) == (State.CAPTURED, key.partition(":")[0])


async def test_each_step_may_be_repeated(mellat: Simulated) -> None:
    paid = await mellat.paid(await mellat.issued())
    assert await mellat.confirm(paid) == await mellat.confirm(paid) == Confirmed(paid.invoice_key)
    first = await settle(mellat, paid)
    assert isinstance(first, Captured)
    assert await settle(mellat, paid) == first
    assert await mellat.confirm(paid) == Confirmed(paid.invoice_key)
    assert mellat.gateway.answered["confirm:43"] == 2
    assert mellat.gateway.answered["settle:45"] == 1


@pytest.mark.parametrize("operation", [GatewayOperation.CONFIRM, GatewayOperation.SETTLE])
async def test_a_step_whose_answer_was_lost_is_done_by_the_next(mellat: Simulated, operation: GatewayOperation) -> None:
    paid = await mellat.paid(await mellat.issued())
    fails(mellat, operation, FaultKind.HTTP_502, processed=True)
    unknown = CheckUnknown(paid.invoice_key, "http_status", http_status=502)
    if operation is GatewayOperation.CONFIRM:
        assert await mellat.confirm(paid) == unknown
    assert await mellat.confirm(paid) == Confirmed(paid.invoice_key)
    if operation is GatewayOperation.SETTLE:
        assert await settle(mellat, paid) == unknown
    assert isinstance(await settle(mellat, paid), Captured)


@pytest.mark.parametrize("action", ["cancel", "fail", "back"])
async def test_a_customer_who_does_not_pay_claims_nothing(mellat: Simulated, action: str) -> None:
    key = await mellat.issued()
    back = mellat.inquiry(key, await mellat.act(key, action))
    assert FAMILY.claim(key, back.evidence) is ReturnClaim.UNPAID
    assert await mellat.confirm(back) == CheckUnknown(key, "no_return")


async def test_a_canceled_payment_can_be_paid_after_all(mellat: Simulated) -> None:
    key = await mellat.issued()
    await mellat.act(key, "cancel")
    assert await mellat.confirm(await mellat.paid(key)) == Confirmed(key)


async def test_money_that_nobody_verifies_goes_back(mellat: Simulated) -> None:
    paid = await mellat.paid(await mellat.issued())
    mellat.clock.forward(20 * MINUTE)
    assert await mellat.confirm(paid) == Reversed(paid.invoice_key)
    assert await settle(mellat, paid) == Reversed(paid.invoice_key)


async def test_a_settle_that_was_forgotten_finds_the_money_gone(mellat: Simulated) -> None:
    paid = await mellat.paid(await mellat.issued())
    await mellat.confirm(paid)
    mellat.clock.forward(20 * MINUTE)
    assert await settle(mellat, paid) == Reversed(paid.invoice_key)


async def test_a_settle_without_a_verify_settles_nothing(mellat: Simulated) -> None:
    paid = await mellat.paid(await mellat.issued())
    assert await settle(mellat, paid) == CheckUnknown(paid.invoice_key, "unknown_code", error_code=44)
    assert mellat.invoice(paid.invoice_key).state is State.PAID


async def test_verified_money_is_reversed_until_it_is_settled(mellat: Simulated) -> None:
    first, second = [await mellat.paid(await mellat.issued()) for _ in range(2)]
    unverified = CheckUnknown(first.invoice_key, "unknown_code", error_code=44)
    assert await mellat.reverse(first) == unverified
    await mellat.confirm(first)
    assert [await mellat.reverse(first) for _ in range(2)] == [Reversed(first.invoice_key)] * 2
    assert await mellat.confirm(first) == Reversed(first.invoice_key)
    await mellat.confirm(second)
    await settle(mellat, second)
    mellat.clock.forward(HOUR)
    assert await mellat.reverse(second) == TooLate(second.invoice_key)


async def test_a_made_up_reference_is_no_payment(mellat: Simulated) -> None:
    key = await mellat.issued()
    fails(mellat, GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    forged = mellat.inquiry(key, await mellat.act(key, "back"))
    assert FAMILY.claim(key, forged.evidence) is ReturnClaim.PAID
    assert await mellat.confirm(forged) == NotPaid(key)
    assert await mellat.confirm(await mellat.paid(key)) == Confirmed(key)


async def test_the_reference_of_another_payment_is_no_payment_of_this_one(mellat: Simulated) -> None:
    cheap, dear = await mellat.issued(), await mellat.issued()
    spent = (await mellat.paid(cheap)).evidence
    named = dict(zip(("SaleOrderId", "RefId"), dear.split(":"), strict=True))
    assert await mellat.confirm(mellat.inquiry(dear, {**spent, **named})) == NotPaid(dear)
    assert FAMILY.claim(dear, spent) is ReturnClaim.FOREIGN
    assert await mellat.confirm(Inquiry(dear, AMOUNT, spent)) == CheckUnknown(dear, "no_return")


async def test_another_amount_is_not_verified_and_goes_back(mellat: Simulated) -> None:
    key = await mellat.issued()
    fails(mellat, GatewayOperation.PAY, FaultKind.PAID_AMOUNT, amount_rials=AMOUNT - 10_000)
    paid = await mellat.paid(key)
    assert await mellat.confirm(paid) == AmountDiffers(key, AMOUNT - 10_000)
    mellat.clock.forward(20 * MINUTE)
    assert mellat.invoice(key).state is State.REVERSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"enabled": False}, 21),
        ({"registered_ip": "10.0.0.1"}, 421),
        ({"credentials": {"username": "another"}}, 24),
        ({"credentials": CREDENTIALS | {"password": "another"}}, 24),
    ],
)
async def test_who_is_not_let_in_is_told_by_every_call(mellat: Simulated, changes: dict[str, Any], code: int) -> None:
    paid = await mellat.paid(await mellat.issued())
    mellat.set_up(**changes)
    assert await mellat.request() == RequestRefused(code)
    alert = CheckUnknown(paid.invoice_key, "terminal", error_code=code, alert=True)
    assert [await mellat.confirm(paid), await settle(mellat, paid), await mellat.reverse(paid)] == [alert] * 3
    assert mellat.invoice(paid.invoice_key).state is State.PAID
    assert mellat.gateway.answered[f"confirm:{code}"] == 1


async def test_a_return_address_of_another_domain_is_refused(mellat: Simulated) -> None:
    mellat.set_up(registered_domain="shop.example.ir")
    assert await mellat.request() == RequestRefused(62)
    mellat.set_up(registered_domain="example.ir")
    assert isinstance(await mellat.request(), InvoiceIssued)


async def test_an_order_number_is_used_once(mellat: Simulated) -> None:
    assert isinstance(await mellat.request(17), InvoiceIssued)
    assert await mellat.request(17) == RequestUnknown("unknown_code", error_code=41)


async def test_an_amount_below_the_least_is_refused(mellat: Simulated) -> None:
    asked = await mellat.client.request(mellat.account, 999, RETURN_URL, Purchase(17))
    assert asked.outcome == RequestRefused(25)


async def test_a_page_lets_in_who_comes_from_the_registered_site(mellat: Simulated) -> None:
    key = await mellat.issued()
    mellat.set_up(referrer_origin="https://pay.example.ir")
    assert (await mellat.open(key))[0] == 403
    assert (await mellat.open(key, referrer="https://pay.example.ir/p/1"))[0] == 200


async def test_the_page_opens_by_post_and_by_get_for_the_exact_ref_id(mellat: Simulated) -> None:
    _, _, ref_id = (await mellat.issued()).partition(":")
    page = f"{mellat.account.gateway_url.rstrip('/')}/pgwchannel/enstartpay.mellat"
    for params, status in (({"RefId": ref_id}, 200), ({"RefId": ref_id.swapcase()}, 404), ({}, 404)):
        async with mellat.session.post(page, data=params) as posted, mellat.session.get(page, params=params) as got:
            assert (posted.status, got.status) == (status, status)


@pytest.mark.parametrize("query", ["", "?wsdl"])
async def test_the_wsdl_names_every_operation_and_its_own_address(mellat: Simulated, query: str) -> None:
    url = f"{mellat.account.gateway_url.rstrip('/')}{PATH}"
    async with mellat.session.get(f"{url}{query}") as answer:
        assert answer.content_type == "text/xml"
        wsdl = fromstring(await answer.read())
    tags = {"wsdl": "http://schemas.xmlsoap.org/wsdl/", "soap": "http://schemas.xmlsoap.org/wsdl/soap/"}
    assert [each.get("location") for each in wsdl.iterfind(".//soap:address", tags)] == [url]
    assert [each.get("name") for each in wsdl.iterfind("wsdl:binding/wsdl:operation", tags)] == list(OPERATIONS)


async def test_an_inquiry_tells_where_a_payment_is(mellat: Simulated) -> None:
    paid = await mellat.paid(await mellat.issued())
    named = {name: paid.evidence[each] for name, each in SALE.items()}
    said = [await soap(mellat, "bpInquiryRequest", **named)]
    await mellat.confirm(paid)
    said.append(await soap(mellat, "bpInquiryRequest", **named))
    await mellat.reverse(paid)
    said.append(await soap(mellat, "bpInquiryRequest", **named))
    said.append(await soap(mellat, "bpInquiryRequest", **named | {"saleReferenceId": "1"}))
    assert said == [(200, "44"), (200, "0"), (200, "48"), (200, "54")]


SALE = {"saleOrderId": "SaleOrderId", "saleReferenceId": "SaleReferenceId"}
GOOD = {"orderId": "17", "amount": "150000", "localDate": "20260321", "localTime": "005015", "callBackUrl": RETURN_URL}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"orderId": "x"}, "32"),
        ({"callBackUrl": "nowhere"}, "32"),
        ({"additionalData": "x" * 1001}, "32"),
        ({"localDate": "1405/01/01"}, "35"),
        ({"localTime": "256060"}, "35"),
        ({"amount": "15e4"}, "25"),
        ({"terminalId": "7"}, "21"),
    ],
)
async def test_a_request_in_another_form_is_refused(mellat: Simulated, changes: dict[str, str], code: str) -> None:
    assert await soap(mellat, "bpPayRequest", **GOOD | changes) == (200, code)
    status, text = await soap(mellat, "bpPayRequest", **GOOD)
    assert (status, text[:2], len(text)) == (200, "0,", 22)


@pytest.mark.parametrize("body", [b"", b"<a/>", envelope("bpRefundRequest", {}).encode(), b"<!DOCTYPE a []><a/>"])
async def test_what_is_no_call_is_a_fault(mellat: Simulated, body: bytes) -> None:
    async with mellat.session.post(f"{mellat.account.gateway_url.rstrip('/')}{PATH}", data=body) as answer:
        assert answer.status == 500
        assert b"<faultstring>no such call</faultstring>" in await answer.read()


@pytest.mark.parametrize("operation", [GatewayOperation.CONFIRM, GatewayOperation.SETTLE, GatewayOperation.REVERSE])
@pytest.mark.parametrize(("code", "told"), [(None, 34), (113, 113)])
async def test_errors_of_the_bank_are_unknown(
    mellat: Simulated, operation: GatewayOperation, code: int | None, told: int
) -> None:
    paid = await mellat.paid(await mellat.issued())
    await mellat.confirm(paid)
    fails(mellat, operation, FaultKind.ERROR, code=code)
    result = await getattr(mellat.client, operation.value)(mellat.account, paid)
    assert result.outcome == CheckUnknown(paid.invoice_key, "unknown_code", error_code=told)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.HTML, "not_xml"),
        (FaultKind.TRUNCATED, "not_xml"),
        (FaultKind.FOREIGN, "not_xml"),
        (FaultKind.HUGE, "too_large"),
    ],
)
async def test_a_broken_answer_is_unknown_and_asked_again(mellat: Simulated, kind: FaultKind, reason: str) -> None:
    paid = await mellat.paid(await mellat.issued())
    fails(mellat, GatewayOperation.CONFIRM, kind)
    assert await mellat.confirm(paid) == CheckUnknown(paid.invoice_key, reason)
    assert await mellat.confirm(paid) == Confirmed(paid.invoice_key)


async def test_an_account_of_another_terminal_reaches_no_payment_of_this_one(mellat: Simulated) -> None:
    paid = await mellat.paid(await mellat.issued())
    other = replace(mellat.account, credentials=CREDENTIALS | {"terminal_id": "7654321"})
    mellat.set_up(api_key="7654321")
    assert await mellat.confirm(paid, other) == NotPaid(paid.invoice_key)
    assert mellat.invoice(paid.invoice_key).state is State.PAID
