"""SEP's client against SEP's simulator: what the customer does, the bank's clocks, and who is let in."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateways.simulated import AMOUNT, RETURN_URL, Simulated, simulated
from proxy.gateways.family import ReturnClaim
from proxy.gateways.port import (
    Captured,
    CheckUnknown,
    Inquiry,
    NotPaid,
    RequestRefused,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.sep import FAMILY
from proxy.gateways.simulation.faults import FaultKind, GatewayOperation
from proxy.gateways.simulation.ledger import State
from proxy.gateways.simulation.terms import LinkExpiredError
from proxy.kernel.clock import MINUTE, SECOND

TERMINAL = "12096014"


@pytest.fixture
async def sep() -> AsyncIterator[Simulated]:
    async with simulated(FAMILY, TERMINAL, {"terminal_id": TERMINAL}) as made:
        yield made


async def test_a_payment_from_request_to_capture(sep: Simulated) -> None:
    key = await sep.issued()
    paid = await sep.paid(key)
    assert FAMILY.claim(key, paid.evidence) is ReturnClaim.PAID
    sep.clock.forward(5 * MINUTE)
    outcome = await sep.confirm(paid)
    row = sep.invoice(key)
    assert outcome == Captured(
        key,
        AMOUNT,
        row.bank_code,
        card_mask="603799******1234",
        trace_number=(row.receipt or "")[6:18],
        reversible_until=sep.clock.now + 45 * MINUTE,
    )
    assert (row.state, row.our_number) == (State.CAPTURED, "1402")


@pytest.mark.parametrize("action", ["cancel", "fail", "back"])
async def test_a_customer_who_does_not_pay_comes_back_without_a_receipt(sep: Simulated, action: str) -> None:
    key = await sep.issued()
    back = sep.inquiry(key, await sep.act(key, action))
    assert FAMILY.claim(key, back.evidence) is ReturnClaim.UNPAID
    assert await sep.confirm(back) == CheckUnknown(key, "no_return")


async def test_a_canceled_payment_can_be_paid_after_all(sep: Simulated) -> None:
    key = await sep.issued()
    await sep.act(key, "cancel")
    assert isinstance(await sep.confirm(await sep.paid(key)), Captured)


async def test_a_second_verify_tells_the_same_money(sep: Simulated) -> None:
    key = await sep.issued()
    paid = await sep.paid(key)
    first = await sep.confirm(paid)
    assert await sep.confirm(paid) == first
    assert sep.gateway.answered["confirm:2"] == 1
    assert sep.invoice(key).confirms == 2


async def test_a_verify_whose_answer_was_lost_is_made_again(sep: Simulated) -> None:
    key = await sep.issued()
    paid = await sep.paid(key)
    sep.fault(GatewayOperation.CONFIRM, FaultKind.LOST, times=2)  # an idle connection is tried once more at once
    assert await sep.confirm(paid) == CheckUnknown(key, "reset")
    assert isinstance(await sep.confirm(paid), Captured)
    assert sep.gateway.answered["confirm:2"] > 0


@pytest.mark.parametrize("kind", [FaultKind.STRINGS, FaultKind.WRONG_TYPE])
async def test_loose_types_are_a_clear_answer(sep: Simulated, kind: FaultKind) -> None:
    sep.fault(GatewayOperation.REQUEST, kind)
    key = await sep.issued()
    paid = await sep.paid(key)
    sep.fault(GatewayOperation.CONFIRM, kind)
    assert isinstance(await sep.confirm(paid), Captured)


async def test_a_customer_who_paid_less_is_told(sep: Simulated) -> None:
    key = await sep.issued()
    sep.fault(GatewayOperation.PAY, FaultKind.PAID_AMOUNT)
    outcome = await sep.confirm(await sep.paid(key))
    assert isinstance(outcome, Captured)
    assert outcome.amount_rials == AMOUNT // 10
    assert await sep.reverse(await _returned(sep, key)) == Reversed(key)


async def _returned(sep: Simulated, key: str) -> Inquiry:
    return sep.inquiry(key, await sep.act(key, "back"))


async def test_money_that_is_not_confirmed_goes_back_after_half_an_hour(sep: Simulated) -> None:
    key, other = await sep.issued(), await sep.issued()
    paid, late = await sep.paid(key), await sep.paid(other)
    sep.clock.forward(30 * MINUTE - SECOND)
    assert isinstance(await sep.confirm(paid), Captured)
    sep.clock.forward(SECOND)
    assert await sep.confirm(late) == TooLate(other)
    assert sep.invoice(other).state is State.REVERSED


async def test_money_is_given_back_once_and_within_50_minutes(sep: Simulated) -> None:
    key, other = await sep.issued(), await sep.issued()
    paid, kept = await sep.paid(key), await sep.paid(other)
    assert await sep.reverse(paid) == CheckUnknown(key, "unknown_code", error_code=-2)  # it was not verified
    for inquiry in (paid, kept):
        assert isinstance(await sep.confirm(inquiry), Captured)
    sep.clock.forward(50 * MINUTE)
    assert [await sep.reverse(paid) for _ in range(2)] == [Reversed(key)] * 2
    assert await sep.confirm(paid) == Reversed(key)
    sep.clock.forward(SECOND)
    assert await sep.reverse(kept) == TooLate(other)
    assert sep.invoice(other).state is State.CAPTURED


async def test_a_link_is_dead_after_20_minutes(sep: Simulated) -> None:
    key = await sep.issued()
    sep.clock.forward(20 * MINUTE + SECOND)
    with pytest.raises(LinkExpiredError):
        sep.gateway.bank.pay(sep.invoice(key).invoice_key)
    assert "action" not in (await sep.act(key, "pay"))
    assert sep.invoice(key).state is State.OPEN


async def test_a_forged_return_with_an_old_receipt_has_the_bank_code_of_the_old_payment(sep: Simulated) -> None:
    """SEP does not say whose ResNum a RefNum is of. By its bank_code the core knows that another payment has it."""
    key, other = await sep.issued(), await sep.issued()
    paid = await sep.paid(other)
    captured = await sep.confirm(paid)
    assert FAMILY.claim(key, paid.evidence) is ReturnClaim.FOREIGN
    sep.fault(GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    forged = sep.inquiry(key, await sep.act(key, "cancel"))
    assert FAMILY.claim(key, forged.evidence) is ReturnClaim.PAID
    told = await sep.confirm(forged)
    assert isinstance(captured, Captured)
    assert isinstance(told, Captured)
    assert told.bank_code == captured.bank_code
    assert sep.invoice(key).state is State.CANCELED


async def test_a_made_up_receipt_is_not_found(sep: Simulated) -> None:
    key = await sep.issued()
    sep.fault(GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    assert await sep.confirm(sep.inquiry(key, await sep.act(key, "cancel"))) == NotPaid(key)


async def test_a_receipt_of_another_terminal_is_not_found(sep: Simulated) -> None:
    key = await sep.issued()
    paid = await sep.paid(key)
    sep.set_up(api_key="777", credentials={"terminal_id": "777"})
    assert await sep.confirm(paid, replace(sep.account, credentials={"terminal_id": "777"})) == NotPaid(key)
    alert = CheckUnknown(key, "terminal", error_code=-105, alert=True)
    assert await sep.confirm(paid, replace(sep.account, credentials={"terminal_id": "888"})) == alert


@pytest.mark.parametrize(
    ("changes", "refused", "alert"),
    [({"enabled": False}, 12, -104), ({"registered_ip": "203.0.113.7"}, 8, -106)],
)
async def test_who_is_let_in(sep: Simulated, changes: dict[str, object], refused: int, alert: int) -> None:
    key = await sep.issued()
    paid = await sep.paid(key)
    sep.set_up(**changes)
    assert await sep.request() == RequestRefused(refused)
    told = CheckUnknown(key, "terminal", error_code=alert, alert=True)
    assert await sep.confirm(paid) == await sep.reverse(paid) == told
    sep.set_up()
    assert isinstance(await sep.confirm(paid), Captured)


async def test_a_bank_that_is_out_of_order_is_unknown(sep: Simulated) -> None:
    key = await sep.issued()
    paid = await sep.paid(key)
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CONFIRM, GatewayOperation.REVERSE):
        sep.fault(operation, FaultKind.ERROR)
    assert await sep.request() == RequestUnknown("unknown_code", error_code=-1)
    unknown = CheckUnknown(key, "unknown_code", error_code=-1)
    assert await sep.confirm(paid) == await sep.reverse(paid) == unknown


async def test_a_form_with_get_method_has_the_customer_come_back_by_get(sep: Simulated) -> None:
    key = await sep.issued()
    await sep.open(key, {"GetMethod": "true"})
    status, location = await sep.open(key, {"action": "pay"})
    assert status == 303
    assert location.startswith(f"{RETURN_URL}?")
    assert "State=OK" in location


async def test_the_page_is_opened_by_a_get_of_send_token_too(sep: Simulated) -> None:
    key = await sep.issued()
    url = f"{sep.account.gateway_url}/OnlinePG/SendToken"
    async with sep.session.get(url, params={"token": key.partition(":")[2]}) as page:
        assert page.status == 200
        assert "۱۵۰٬۰۰۰" in await page.text()
    async with sep.session.get(url, params={"token": "unknown"}) as page:
        assert page.status == 404


async def test_bad_parameters_are_refused(sep: Simulated) -> None:
    fields = {"action": "token", "TerminalId": TERMINAL, "Amount": AMOUNT, "ResNum": "1", "RedirectUrl": RETURN_URL}
    changes: list[dict[str, object]] = [
        {"action": "pay"},
        {"Amount": 1},
        {"ResNum": ""},
        {"RedirectUrl": "shop.ir"},
        {},
    ]
    answers = []
    for change in changes:
        async with sep.session.post(f"{sep.account.gateway_url}/onlinepg/onlinepg", json=fields | change) as answer:
            answers.append(await answer.json())
    assert [each.get("errorCode") for each in answers] == ["5"] * 4 + [None]
    assert answers[-1]["status"] == 1
