"""Sadad's client against Sadad's simulator: the customer's acts, the bank's clocks, signatures, and who is let in."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateways.simulated import AMOUNT, Simulated, simulated
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
from proxy.gateways.sadad import FAMILY
from proxy.gateways.sadad.client import SadadClient, sign_data
from proxy.gateways.simulation.faults import FaultKind, GatewayOperation
from proxy.gateways.simulation.ledger import State
from proxy.http.outbound.connector import ClientOptions
from proxy.kernel.clock import DAY, MINUTE, SECOND

TERMINAL = "24000615"
CREDENTIALS = {
    "merchant_id": "000000140212149",
    "terminal_id": TERMINAL,
    "key": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY",
}
ANOTHER_KEY = "A" * 32


@pytest.fixture
async def sadad() -> AsyncIterator[Simulated]:
    async with simulated(FAMILY, TERMINAL, CREDENTIALS) as made:
        yield made


async def test_a_payment_from_request_to_capture(sadad: Simulated) -> None:
    key = await sadad.issued()
    paid = await sadad.paid(key)
    assert FAMILY.claim(key, paid.evidence) is ReturnClaim.PAID
    outcome = await sadad.confirm(paid)
    row = sadad.invoice(key)
    mask, trace = "603799******1234", row.trace_number
    assert outcome == Captured(key, AMOUNT, row.bank_code, card_mask=mask, trace_number=trace)
    assert (row.state, row.our_number) == (State.CAPTURED, "1402")


async def test_a_payment_is_captured_though_its_customer_never_came_back(sadad: Simulated) -> None:
    key = await sadad.issued()
    await sadad.paid(key)
    outcome = await sadad.confirm(Inquiry(key, AMOUNT))
    assert isinstance(outcome, Captured)
    assert outcome.card_mask is None


async def test_the_paths_without_vpg_are_the_same(sadad: Simulated) -> None:
    sadad.account = replace(sadad.account, gateway_url=f"{sadad.account.gateway_url}/VPG")
    assert isinstance(await sadad.confirm(await sadad.paid(await sadad.issued())), Captured)


@pytest.mark.parametrize("action", ["cancel", "fail", "back"])
async def test_a_customer_who_does_not_pay_is_told_as_unpaid(sadad: Simulated, action: str) -> None:
    key = await sadad.issued()
    back = sadad.inquiry(key, await sadad.act(key, action))
    assert FAMILY.claim(key, back.evidence) is ReturnClaim.UNPAID
    assert await sadad.confirm(back) == NotPaid(key)
    assert isinstance(await sadad.confirm(await sadad.paid(key)), Captured)


async def test_a_second_verify_tells_the_same_money(sadad: Simulated) -> None:
    paid = await sadad.paid(await sadad.issued())
    assert await sadad.confirm(paid) == await sadad.confirm(paid)
    assert sadad.gateway.answered["confirm:100"] == 1


async def test_a_verify_whose_answer_was_lost_is_made_again(sadad: Simulated) -> None:
    key = await sadad.issued()
    paid = await sadad.paid(key)
    sadad.fault(GatewayOperation.CONFIRM, FaultKind.LOST, times=2)  # an idle connection is tried once more at once
    assert await sadad.confirm(paid) == CheckUnknown(key, "reset")
    assert isinstance(await sadad.confirm(paid), Captured)


@pytest.mark.parametrize("kind", [FaultKind.STRINGS, FaultKind.WRONG_TYPE])
async def test_loose_types_are_a_clear_answer(sadad: Simulated, kind: FaultKind) -> None:
    sadad.fault(GatewayOperation.REQUEST, kind)
    paid = await sadad.paid(await sadad.issued())
    sadad.fault(GatewayOperation.CONFIRM, kind)
    assert isinstance(await sadad.confirm(paid), Captured)


async def test_an_amount_that_differs_is_told(sadad: Simulated) -> None:
    paid = await sadad.paid(await sadad.issued())
    sadad.fault(GatewayOperation.CONFIRM, FaultKind.WRONG_AMOUNT)
    outcome = await sadad.confirm(paid)
    assert isinstance(outcome, Captured)
    assert outcome.amount_rials == AMOUNT // 10


async def test_money_that_is_not_confirmed_goes_back_after_15_minutes(sadad: Simulated) -> None:
    key, other = await sadad.issued(), await sadad.issued()
    paid, late = await sadad.paid(key), await sadad.paid(other)
    sadad.clock.forward(15 * MINUTE - SECOND)
    assert isinstance(await sadad.confirm(paid), Captured)
    sadad.clock.forward(SECOND)
    assert await sadad.confirm(late) == TooLate(other)
    assert sadad.invoice(other).state is State.REVERSED


async def test_money_that_the_bank_gave_back_is_told(sadad: Simulated) -> None:
    key = await sadad.issued()
    paid = await sadad.paid(key)
    await sadad.confirm(paid)
    sadad.gateway.bank.give_back(sadad.invoice(key).invoice_key)
    assert await sadad.confirm(paid) == Reversed(key)


async def test_anothers_return_is_foreign_and_our_own_token_is_asked(sadad: Simulated) -> None:
    key, other = await sadad.issued(), await sadad.issued()
    swapped = replace(await sadad.paid(other), invoice_key=key)
    assert FAMILY.claim(key, swapped.evidence) is ReturnClaim.FOREIGN
    assert await sadad.confirm(swapped) == NotPaid(key)
    assert sadad.invoice(other).state is State.PAID


async def test_a_forged_return_is_worth_asking_and_captures_nothing(sadad: Simulated) -> None:
    key = await sadad.issued()
    sadad.fault(GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    forged = sadad.inquiry(key, await sadad.act(key, "cancel"))
    assert FAMILY.claim(key, forged.evidence) is ReturnClaim.PAID
    assert await sadad.confirm(forged) == NotPaid(key)


async def test_a_token_under_another_order_is_not_ours(sadad: Simulated) -> None:
    key = await sadad.issued()
    await sadad.paid(key)
    mixed = f"9999:{key.partition(':')[2]}"
    assert await sadad.confirm(Inquiry(mixed, AMOUNT)) == CheckUnknown(mixed, "other_invoice")


async def test_a_signature_with_another_key_is_refused_and_captures_nothing(sadad: Simulated) -> None:
    key = await sadad.issued()
    paid = await sadad.paid(key)
    wrong = replace(sadad.account, credentials={**CREDENTIALS, "key": ANOTHER_KEY})
    assert await sadad.request(account=wrong) == RequestRefused(1025)
    assert await sadad.confirm(paid, wrong) == CheckUnknown(key, "terminal", error_code=1025, alert=True)
    assert sadad.invoice(key).state is State.PAID
    sadad.set_up(credentials={**CREDENTIALS, "key": ""})
    assert await sadad.request() == RequestRefused(1025)


@pytest.mark.parametrize(("name", "value", "code"), [("terminal_id", "777", 1028), ("merchant_id", "777", 1027)])
async def test_numbers_of_nobody_are_refused(sadad: Simulated, name: str, value: str, code: int) -> None:
    account = replace(sadad.account, credentials={**CREDENTIALS, name: value})
    assert await sadad.request(account=account) == RequestRefused(code)


async def test_an_order_number_is_used_once(sadad: Simulated) -> None:
    await sadad.request(17)
    assert await sadad.request(17) == RequestRefused(1011)
    assert await sadad.request(0) == RequestRefused(1026)


async def test_a_clock_that_is_a_day_off_is_refused(sadad: Simulated) -> None:
    ahead = SadadClient(ClientOptions(now=lambda: sadad.clock.now + DAY))
    sadad.client, ours = ahead, sadad.client
    assert await sadad.request() == RequestRefused(1018)
    sadad.client = ours
    await ahead.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"enabled": False}, 1020), ({"registered_ip": "203.0.113.7"}, 1003)],
)
async def test_who_is_let_in(sadad: Simulated, changes: dict[str, object], code: int) -> None:
    key = await sadad.issued()
    paid = await sadad.paid(key)
    sadad.set_up(**changes)
    assert await sadad.request() == RequestRefused(code)
    assert await sadad.confirm(paid) == CheckUnknown(key, "terminal", error_code=code, alert=True)
    sadad.set_up()
    assert isinstance(await sadad.confirm(paid), Captured)


async def test_the_way_back_must_be_of_the_registered_domain(sadad: Simulated) -> None:
    sadad.set_up(registered_domain="shop.example.ir")
    assert await sadad.request() == RequestRefused(1030)
    sadad.set_up(registered_domain="example.ir")
    await sadad.issued()


async def test_the_page_wants_to_know_where_its_customer_comes_from(sadad: Simulated) -> None:
    sadad.set_up(referrer_origin="https://pay.example.ir")
    key = await sadad.issued()
    assert (await sadad.open(key))[0] == 403
    assert (await sadad.open(key, referrer="https://pay.example.ir/"))[0] == 200


async def test_a_bank_that_is_out_of_order_is_unknown(sadad: Simulated) -> None:
    key = await sadad.issued()
    for operation in (GatewayOperation.REQUEST, GatewayOperation.CONFIRM):
        sadad.fault(operation, FaultKind.ERROR)
    assert await sadad.request() == RequestUnknown("unknown_code", error_code=1056)
    assert await sadad.confirm(Inquiry(key, AMOUNT)) == CheckUnknown(key, "unknown_code", error_code=1056)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("01/15/2027 11:30:00 am", 0),  # multipay, larapay, Sadad's own sample
        ("01/15/2027 11:30:00 AM", 0),  # az-iranian-bank-gateways
        ("01/15/2027 13:30:00 PM", 0),  # the same in the afternoon
        ("2027-01-15T11:30:00.0000000+03:30", 0),  # Parbad
        ("1405/10/25 11:30", 1024),
        ("", 1024),
    ],
)
async def test_times_as_public_clients_write_them_are_read(sadad: Simulated, written: str, code: int) -> None:
    signature = sign_data(CREDENTIALS["key"], f"{TERMINAL};17;{AMOUNT}")
    body = {"TerminalId": TERMINAL, "MerchantId": CREDENTIALS["merchant_id"], "Amount": AMOUNT, "OrderId": "17"}
    body |= {"ReturnUrl": "https://shop.example.ir/", "LocalDateTime": written, "SignData": signature}
    url = f"{sadad.account.gateway_url}/vpg/api/v0/Request/PaymentRequest"
    async with sadad.session.post(url, json=body) as answer:
        assert (await answer.json())["ResCode"] == code
