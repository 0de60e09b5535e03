"""ZarinPal's client against ZarinPal's simulator: the customer's acts, the clocks, verify again, and who is let in."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateways.simulated import AMOUNT, RETURN_URL, Simulated, simulated
from proxy.gateways.family import ReturnClaim
from proxy.gateways.port import (
    AmountDiffers,
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    Inquiry,
    NotPaid,
    PaidUnconfirmed,
    RequestRefused,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.simulation.faults import FaultKind, GatewayOperation
from proxy.gateways.simulation.ledger import SimulatedTerminal, State
from proxy.gateways.zarinpal import FAMILY
from proxy.kernel.clock import DAY, MINUTE, SECOND

MERCHANT_ID = "1344b5d4-0048-11e8-94db-005056a205be"
ANOTHER = "9" * 36
HERE = "127.0.0.1"


@pytest.fixture
async def zarinpal() -> AsyncIterator[Simulated]:
    async with simulated(FAMILY, MERCHANT_ID, {"merchant_id": MERCHANT_ID}) as made:
        yield made


async def said(simulated: Simulated, call: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    """The status and the body of an answer to a call as another client may make it."""
    url = f"{simulated.account.gateway_url}/pg/v4/payment/{call}.json"
    async with simulated.session.post(url, json={"merchant_id": MERCHANT_ID, **fields}) as answer:
        return answer.status, await answer.json()


def unclear(key: str, code: int) -> CheckUnknown:
    return CheckUnknown(key, "terminal", error_code=code, alert=True)


async def test_a_payment_from_request_to_capture(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    assert len(key) == 36
    assert await zarinpal.check(key) == NotPaid(key)
    paid = await zarinpal.paid(key)
    assert FAMILY.claim(key, paid.evidence) is ReturnClaim.PAID
    assert await zarinpal.check(key) == PaidUnconfirmed(key)
    outcome = await zarinpal.confirm(paid)
    row = zarinpal.invoice(key)
    assert outcome == Captured(key, AMOUNT, row.bank_code, card_mask="603799******1234", fee_rials=1500)
    assert (row.state, row.our_number) == (State.CAPTURED, "1402")
    assert await zarinpal.check(key) == PaidUnconfirmed(key, confirmed_before=True)


@pytest.mark.parametrize(("action", "fact"), [("cancel", Canceled), ("fail", Canceled), ("back", NotPaid)])
async def test_a_customer_who_does_not_pay(
    zarinpal: Simulated, action: str, fact: Callable[[str], CheckOutcome]
) -> None:
    key = await zarinpal.issued()
    back = zarinpal.inquiry(key, await zarinpal.act(key, action))
    assert FAMILY.claim(key, back.evidence) is ReturnClaim.UNPAID
    assert await zarinpal.check(key) == fact(key)
    assert await zarinpal.confirm(back) == NotPaid(key)
    assert isinstance(await zarinpal.confirm(await zarinpal.paid(key)), Captured)


async def test_a_second_verify_tells_the_same_money(zarinpal: Simulated) -> None:
    paid = await zarinpal.paid(await zarinpal.issued())
    assert await zarinpal.confirm(paid) == await zarinpal.confirm(paid)
    assert zarinpal.gateway.answered["confirm:101"] == 1


async def test_a_verify_whose_answer_was_lost_is_made_again(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    zarinpal.fault(GatewayOperation.CONFIRM, FaultKind.LOST, times=2)  # an idle connection is tried once more at once
    assert await zarinpal.confirm(paid) == CheckUnknown(key, "reset")
    assert isinstance(await zarinpal.confirm(paid), Captured)


@pytest.mark.parametrize("kind", [FaultKind.STRINGS, FaultKind.WRONG_TYPE])
async def test_loose_types_are_a_clear_answer(zarinpal: Simulated, kind: FaultKind) -> None:
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK, GatewayOperation.CONFIRM):
        zarinpal.fault(operation, kind)
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    assert await zarinpal.check(key) == PaidUnconfirmed(key)
    assert isinstance(await zarinpal.confirm(paid), Captured)


async def test_another_amount_is_refused_and_captures_nothing(zarinpal: Simulated) -> None:
    key, other = await zarinpal.issued(), await zarinpal.issued()
    paid = await zarinpal.paid(key)
    assert await zarinpal.confirm(replace(paid, amount_rials=AMOUNT // 10)) == AmountDiffers(key)
    zarinpal.fault(GatewayOperation.PAY, FaultKind.PAID_AMOUNT)
    assert await zarinpal.confirm(await zarinpal.paid(other)) == AmountDiffers(other)
    assert {zarinpal.invoice(each).state for each in (key, other)} == {State.PAID}


async def test_money_that_nobody_verified_stays_and_is_listed(zarinpal: Simulated) -> None:
    keys = [await zarinpal.issued() for _ in range(3)]
    for key in keys[:2]:
        await zarinpal.paid(key)
    await zarinpal.confirm(Inquiry(keys[0], AMOUNT))
    zarinpal.clock.forward(30 * DAY)
    status, listed = await said(zarinpal, "unVerified")
    assert (status, listed["data"]["code"]) == (200, "100")
    [forgotten] = listed["data"]["authorities"]
    shown = (forgotten["authority"], forgotten["amount"], forgotten["callback_url"])
    assert shown == (keys[1], AMOUNT, RETURN_URL)
    assert isinstance(await zarinpal.confirm(Inquiry(keys[1], AMOUNT)), Captured)


async def test_a_reversal_gives_captured_money_back_and_may_be_repeated(zarinpal: Simulated) -> None:
    zarinpal.set_up(registered_ip=HERE)
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    refused = CheckUnknown(key, "unknown_code", error_code=-61, not_reversed=True)
    assert await zarinpal.reverse(paid) == refused
    await zarinpal.confirm(paid)
    zarinpal.clock.forward(30 * MINUTE)
    assert await zarinpal.reverse(paid) == Reversed(key)
    assert await zarinpal.reverse(paid) == Reversed(key)
    assert await zarinpal.check(key) == Reversed(key)
    assert await zarinpal.confirm(paid) == NotPaid(key)


async def test_a_reversal_after_30_minutes_is_too_late(zarinpal: Simulated) -> None:
    zarinpal.set_up(registered_ip=HERE)
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    await zarinpal.confirm(paid)
    zarinpal.clock.forward(30 * MINUTE + SECOND)
    assert await zarinpal.reverse(paid) == TooLate(key)
    assert zarinpal.invoice(key).state is State.CAPTURED


async def test_a_reversal_wants_a_registered_ip(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    await zarinpal.confirm(paid)
    assert await zarinpal.reverse(paid) == replace(unclear(key, -62), not_reversed=True)


async def test_a_reversal_whose_answer_was_lost_is_found_done(zarinpal: Simulated) -> None:
    zarinpal.set_up(registered_ip=HERE)
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    await zarinpal.confirm(paid)
    zarinpal.fault(GatewayOperation.REVERSE, FaultKind.LOST, times=2)
    assert await zarinpal.reverse(paid) == CheckUnknown(key, "reset")
    assert await zarinpal.reverse(paid) == Reversed(key)


async def test_money_that_the_bank_gave_back_is_told(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    await zarinpal.paid(key)
    zarinpal.gateway.bank.give_back(key)
    assert await zarinpal.check(key) == Reversed(key)
    assert await zarinpal.confirm(Inquiry(key, AMOUNT)) == NotPaid(key)


async def test_anothers_return_is_foreign_and_our_own_authority_is_asked(zarinpal: Simulated) -> None:
    key, other = await zarinpal.issued(), await zarinpal.issued()
    swapped = replace(await zarinpal.paid(other), invoice_key=key)
    assert FAMILY.claim(key, swapped.evidence) is ReturnClaim.FOREIGN
    assert await zarinpal.confirm(swapped) == NotPaid(key)
    assert zarinpal.invoice(other).state is State.PAID


async def test_a_forged_return_is_worth_asking_and_captures_nothing(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    zarinpal.fault(GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    forged = zarinpal.inquiry(key, await zarinpal.act(key, "cancel"))
    assert FAMILY.claim(key, forged.evidence) is ReturnClaim.PAID
    assert await zarinpal.confirm(forged) == NotPaid(key)


async def test_an_authority_of_nobody_or_of_another_is_told_apart(zarinpal: Simulated) -> None:
    unknown, key = "A" + "0" * 35, await zarinpal.issued()
    await zarinpal.paid(key)
    zarinpal.gateway.bank.put_terminal(SimulatedTerminal(ANOTHER, registered_ip=HERE, family="zarinpal"))
    another = replace(zarinpal.account, credentials={"merchant_id": ANOTHER})
    assert await zarinpal.check(unknown) == unclear(unknown, -54)
    assert await zarinpal.confirm(Inquiry(unknown, AMOUNT)) == unclear(unknown, -54)
    assert await zarinpal.check(key, another) == unclear(key, -53)
    assert await zarinpal.confirm(Inquiry(key, AMOUNT), another) == unclear(key, -53)
    assert zarinpal.invoice(key).state is State.PAID


@pytest.mark.parametrize(("merchant_id", "code"), [("8" * 36, -10), ("short", -9)])
async def test_a_merchant_id_of_nobody_is_refused(zarinpal: Simulated, merchant_id: str, code: int) -> None:
    key = await zarinpal.issued()
    wrong = replace(zarinpal.account, credentials={"merchant_id": merchant_id})
    assert await zarinpal.request(account=wrong) == RequestRefused(code)
    assert await zarinpal.check(key, wrong) == unclear(key, code)


@pytest.mark.parametrize(("changes", "code"), [({"enabled": False}, -11), ({"registered_ip": "203.0.113.7"}, -10)])
async def test_who_is_let_in(zarinpal: Simulated, changes: dict[str, object], code: int) -> None:
    key = await zarinpal.issued()
    paid = await zarinpal.paid(key)
    zarinpal.set_up(**changes)
    assert await zarinpal.request() == RequestRefused(code)
    assert await zarinpal.check(key) == unclear(key, code)
    assert await zarinpal.confirm(paid) == unclear(key, code)
    assert (await said(zarinpal, "unVerified"))[1]["errors"]["code"] == code
    zarinpal.set_up()
    assert isinstance(await zarinpal.confirm(paid), Captured)


@pytest.mark.parametrize(
    ("domain", "issues"), [("pay.example.ir", True), ("example.ir", False), ("shop.example.ir", False)]
)
async def test_the_way_back_must_be_of_the_whole_registered_domain(
    zarinpal: Simulated, domain: str, issues: bool
) -> None:
    zarinpal.set_up(registered_domain=domain)
    outcome = await zarinpal.request()
    assert (outcome != RequestRefused(-14)) == issues


async def test_the_page_wants_to_know_where_its_customer_comes_from(zarinpal: Simulated) -> None:
    zarinpal.set_up(referrer_origin="https://pay.example.ir")
    key = await zarinpal.issued()
    assert (await zarinpal.open(key))[0] == 403
    assert (await zarinpal.open(key, referrer="https://pay.example.ir/"))[0] == 200


async def test_a_link_that_is_too_old_cannot_be_paid(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    zarinpal.clock.forward(FAMILY.traits.link_lasts + SECOND)
    assert await zarinpal.act(key, "pay") == {}
    assert await zarinpal.check(key) == NotPaid(key)


async def test_a_gateway_that_is_out_of_order_is_unknown(zarinpal: Simulated) -> None:
    key = await zarinpal.issued()
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK, GatewayOperation.CONFIRM):
        zarinpal.fault(operation, FaultKind.ERROR)
    assert await zarinpal.request() == RequestUnknown("unknown_code", error_code=-52)
    assert await zarinpal.check(key) == CheckUnknown(key, "unknown_code", error_code=-52)
    assert await zarinpal.confirm(Inquiry(key, AMOUNT)) == CheckUnknown(key, "unknown_code", error_code=-52)


ASKED = {"amount": 15_000, "callback_url": "https://shop.example.ir/back", "description": "x"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 100),
        ({"amount": "15000"}, 100),  # ZarinPal's own sample writes a text
        ({"amount": 15_000.0}, 100),
        ({"amount": 15_000.5}, -9),
        ({"metadata": [], "currency": "IRR"}, 100),
        ({"amount": 999}, -9),
        ({"amount": 99, "currency": "IRT"}, -9),
        ({"amount": 1_000_000_001}, -41),
        ({"amount": 100_000_001, "currency": "IRT"}, -41),
        ({"amount": "۱۵۰۰۰"}, -9),
        ({"currency": "USD"}, -9),
        ({"description": ""}, -9),
        ({"description": "x" * 501}, -9),
        ({"callback_url": "shop.example.ir"}, -9),
    ],
)
async def test_requests_as_public_clients_write_them(zarinpal: Simulated, changes: dict[str, Any], code: int) -> None:
    status, answer = await said(zarinpal, "request", **ASKED | changes)
    assert (answer["data"] or answer["errors"])["code"] == code
    assert (status, bool(answer["data"])) == ((200, True) if code == 100 else (422, False))


async def test_a_client_that_counts_in_toman_verifies_in_toman(zarinpal: Simulated) -> None:
    key = (await said(zarinpal, "request", **ASKED, currency="IRT"))[1]["data"]["authority"]
    assert zarinpal.invoice(key).amount_rials == 150_000
    await zarinpal.act(key, "pay")
    assert (await said(zarinpal, "verify", authority=key, amount=150_000))[1]["errors"]["code"] == -50
    assert (await said(zarinpal, "verify", authority=key, amount=15_000))[1]["data"]["code"] == 100
