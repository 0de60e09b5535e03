"""Zibal's client against Zibal's simulator: the customer's acts, the clocks, verify again, and who is let in."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateways.simulated import AMOUNT, Simulated, simulated
from proxy.gateways.family import ReturnClaim
from proxy.gateways.port import (
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
)
from proxy.gateways.simulation.faults import FaultKind, GatewayOperation
from proxy.gateways.simulation.ledger import SimulatedTerminal, State
from proxy.gateways.zibal import FAMILY
from proxy.kernel.clock import MINUTE, SECOND

MERCHANT = "5c9c7d3718f93461a4f2a0b1"


@pytest.fixture
async def zibal() -> AsyncIterator[Simulated]:
    async with simulated(FAMILY, MERCHANT, {"merchant": MERCHANT}) as made:
        yield made


async def said(simulated: Simulated, call: str, **fields: Any) -> dict[str, Any]:
    """The answer to a call as another client may make it."""
    url = f"{simulated.account.gateway_url}/v1/{call}"
    async with simulated.session.post(url, json={"merchant": MERCHANT, **fields}) as answer:
        assert answer.status == 200
        return dict(await answer.json())


def unclear(key: str, code: int) -> CheckUnknown:
    return CheckUnknown(key, "terminal", error_code=code, alert=True)


async def test_a_payment_from_request_to_capture(zibal: Simulated) -> None:
    key = await zibal.issued()
    assert await zibal.check(key) == NotPaid(key)
    paid = await zibal.paid(key)
    assert FAMILY.claim(key, paid.evidence) is ReturnClaim.PAID
    assert await zibal.check(key) == PaidUnconfirmed(key, AMOUNT)
    outcome = await zibal.confirm(paid)
    row = zibal.invoice(key)
    assert outcome == Captured(key, AMOUNT, row.bank_code, card_mask="603799******1234")
    assert (row.state, row.our_number) == (State.CAPTURED, "1402")
    assert await zibal.check(key) == PaidUnconfirmed(key, AMOUNT, confirmed_before=True)


@pytest.mark.parametrize(("action", "fact"), [("cancel", Canceled), ("fail", Canceled), ("back", NotPaid)])
async def test_a_customer_who_does_not_pay(zibal: Simulated, action: str, fact: Callable[[str], CheckOutcome]) -> None:
    key = await zibal.issued()
    back = zibal.inquiry(key, await zibal.act(key, action))
    assert FAMILY.claim(key, back.evidence) is ReturnClaim.UNPAID
    assert await zibal.check(key) == fact(key)
    assert await zibal.confirm(back) == NotPaid(key)
    assert isinstance(await zibal.confirm(await zibal.paid(key)), Captured)


async def test_a_second_verify_tells_the_same_money(zibal: Simulated) -> None:
    paid = await zibal.paid(await zibal.issued())
    assert await zibal.confirm(paid) == await zibal.confirm(paid)
    assert zibal.gateway.answered["confirm:201"] == 1
    assert zibal.gateway.answered["check:100"] == 0


async def test_who_does_not_ask_for_the_numbers_is_told_201_without_them(zibal: Simulated) -> None:
    key = await zibal.issued()
    await zibal.paid(key)
    assert (await said(zibal, "verify", trackId=key))["amount"] == AMOUNT
    assert set(await said(zibal, "verify", trackId=int(key))) == {"result", "message"}


async def test_a_verify_whose_answer_was_lost_is_made_again(zibal: Simulated) -> None:
    key = await zibal.issued()
    paid = await zibal.paid(key)
    zibal.fault(GatewayOperation.CONFIRM, FaultKind.LOST, times=2)  # an idle connection is tried once more at once
    assert await zibal.confirm(paid) == CheckUnknown(key, "reset")
    assert isinstance(await zibal.confirm(paid), Captured)


@pytest.mark.parametrize("kind", [FaultKind.STRINGS, FaultKind.WRONG_TYPE])
async def test_loose_types_are_a_clear_answer(zibal: Simulated, kind: FaultKind) -> None:
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK, GatewayOperation.CONFIRM):
        zibal.fault(operation, kind)
    key = await zibal.issued()
    paid = await zibal.paid(key)
    assert await zibal.check(key) == PaidUnconfirmed(key, AMOUNT)
    assert isinstance(await zibal.confirm(paid), Captured)


async def test_an_amount_that_differs_is_told_before_it_is_captured(zibal: Simulated) -> None:
    key = await zibal.issued()
    zibal.fault(GatewayOperation.PAY, FaultKind.PAID_AMOUNT)
    await zibal.paid(key)
    assert await zibal.check(key) == PaidUnconfirmed(key, AMOUNT // 10)
    assert zibal.invoice(key).state is State.PAID


async def test_money_that_is_not_verified_goes_back_after_20_minutes(zibal: Simulated) -> None:
    key, other = await zibal.issued(), await zibal.issued()
    paid, late = await zibal.paid(key), await zibal.paid(other)
    zibal.clock.forward(20 * MINUTE - SECOND)
    assert isinstance(await zibal.confirm(paid), Captured)
    zibal.clock.forward(SECOND)
    assert await zibal.confirm(late) == NotPaid(other)
    assert await zibal.check(other) == Reversed(other)
    assert (await said(zibal, "inquiry", trackId=int(other)))["status"] == 18


async def test_captured_money_that_was_given_back_is_refunded(zibal: Simulated) -> None:
    key = await zibal.issued()
    await zibal.confirm(await zibal.paid(key))
    zibal.gateway.bank.give_back(key)
    assert (await said(zibal, "inquiry", trackId=int(key)))["status"] == 15
    assert await zibal.check(key) == Reversed(key)


async def test_anothers_return_is_foreign_and_our_own_track_id_is_asked(zibal: Simulated) -> None:
    key, other = await zibal.issued(), await zibal.issued()
    swapped = replace(await zibal.paid(other), invoice_key=key)
    assert FAMILY.claim(key, swapped.evidence) is ReturnClaim.FOREIGN
    assert await zibal.confirm(swapped) == NotPaid(key)
    assert zibal.invoice(other).state is State.PAID


async def test_a_forged_return_is_worth_asking_and_captures_nothing(zibal: Simulated) -> None:
    key = await zibal.issued()
    zibal.fault(GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    forged = zibal.inquiry(key, await zibal.act(key, "cancel"))
    assert FAMILY.claim(key, forged.evidence) is ReturnClaim.PAID
    assert await zibal.confirm(forged) == NotPaid(key)


async def test_a_track_id_of_nobody_or_of_another_is_not_known(zibal: Simulated) -> None:
    unknown, key = "17", await zibal.issued()
    await zibal.paid(key)
    zibal.gateway.bank.put_terminal(SimulatedTerminal("zibal", family="zibal"))
    another = replace(zibal.account, credentials={"merchant": "zibal"})
    for mine, account in ((unknown, zibal.account), (key, another)):
        assert await zibal.check(mine, account) == unclear(mine, 203)
        assert await zibal.confirm(Inquiry(mine, AMOUNT), account) == unclear(mine, 203)
    assert zibal.invoice(key).state is State.PAID


@pytest.mark.parametrize(("changes", "code"), [({"enabled": False}, 103), ({"registered_ip": "203.0.113.7"}, 115)])
async def test_who_is_let_in(zibal: Simulated, changes: dict[str, object], code: int) -> None:
    key = await zibal.issued()
    paid = await zibal.paid(key)
    zibal.set_up(**changes)
    assert await zibal.request() == RequestRefused(code)
    assert await zibal.check(key) == unclear(key, code)
    assert await zibal.confirm(paid) == unclear(key, code)
    zibal.set_up()
    assert isinstance(await zibal.confirm(paid), Captured)


async def test_a_merchant_of_nobody_is_refused(zibal: Simulated) -> None:
    key = await zibal.issued()
    wrong = replace(zibal.account, credentials={"merchant": "nobody"})
    assert await zibal.request(account=wrong) == RequestRefused(102)
    assert await zibal.check(key, wrong) == unclear(key, 102)


async def test_the_way_back_must_be_of_the_registered_domain(zibal: Simulated) -> None:
    zibal.set_up(registered_domain="shop.example.ir")
    assert await zibal.request() == RequestRefused(106)
    zibal.set_up(registered_domain="example.ir")
    await zibal.issued()


async def test_the_page_turns_a_customer_away_who_comes_from_nowhere(zibal: Simulated) -> None:
    zibal.set_up(referrer_origin="https://pay.example.ir")
    key = await zibal.issued()
    assert (await zibal.open(key))[0] == 403
    assert (await zibal.open(key, referrer="https://pay.example.ir/"))[0] == 200


async def test_a_gateway_that_is_out_of_order_is_unknown(zibal: Simulated) -> None:
    key = await zibal.issued()
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CHECK, GatewayOperation.CONFIRM):
        zibal.fault(operation, FaultKind.ERROR)
    assert await zibal.request() == RequestUnknown("unknown_code", error_code=-2)
    assert await zibal.check(key) == CheckUnknown(key, "unknown_code", error_code=-2)
    assert await zibal.confirm(Inquiry(key, AMOUNT)) == CheckUnknown(key, "unknown_code", error_code=-2)


ASKED = {"amount": 15_000, "callbackUrl": "https://shop.example.ir/back"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 100),
        ({"amount": "15000", "feeMode": 0, "orderId": 17}, 100),
        ({"amount": 999}, 105),
        ({"amount": None}, 105),
        ({"amount": 10**13}, 113),
        ({"callbackUrl": "shop.example.ir"}, 106),
        ({"feeMode": "0"}, 116),
    ],
)
async def test_requests_as_public_clients_write_them(zibal: Simulated, changes: dict[str, Any], code: int) -> None:
    answer = await said(zibal, "request", **ASKED | changes)
    assert answer["result"] == code
    assert ("trackId" in answer) == (code == 100)


async def test_an_orders_number_comes_back_with_its_customer(zibal: Simulated) -> None:
    key = str((await said(zibal, "request", **ASKED, orderId="ZBL-7799"))["trackId"])
    back = await zibal.act(key, "pay")
    assert back == {"trackId": key, "success": "1", "status": "2", "orderId": "ZBL-7799"}
