"""NovinPal's client against its simulator, and both beside the invoice script, whose paths it shares."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from gateways.simulated import AMOUNT, RETURN_URL, Simulated, simulated
from proxy.gateways.family import ReturnClaim
from proxy.gateways.invoice_script.client import InvoiceScript
from proxy.gateways.novinpal import FAMILY
from proxy.gateways.novinpal.client import NovinPalClient
from proxy.gateways.port import (
    Account,
    Captured,
    CheckUnknown,
    Inquiry,
    InvoiceIssued,
    NotPaid,
    Purchase,
    RequestRefused,
)
from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.ledger import SimulatedTerminal, State
from proxy.kernel.clock import HOUR
from proxy.simulator.command import create_app

API_KEY = "sandbox"


@pytest.fixture
async def novinpal() -> AsyncIterator[Simulated]:
    async with simulated(FAMILY, API_KEY, {"api_key": API_KEY}) as made:
        yield made


def fails(novinpal: Simulated, operation: GatewayOperation, kind: FaultKind, **more: Any) -> None:
    novinpal.gateway.faults.add(Rule(operation, Fault(kind, **more), times=1))


async def returned(novinpal: Simulated, key: str, action: str) -> Mapping[str, str]:
    """The parameters with which the customer comes back."""
    way = FAMILY.way_there(novinpal.account.gateway_url, key)
    async with novinpal.session.post(way.url, data={"action": action}, allow_redirects=False) as answer:
        return {**URL(answer.headers["Location"]).query}


@pytest.mark.parametrize("options", [{}, {"body": "json"}])
async def test_a_payment_from_request_to_capture(novinpal: Simulated, options: dict[str, str]) -> None:
    novinpal.account = replace(novinpal.account, options=options)
    key = await novinpal.issued()
    back = await returned(novinpal, key, "pay")
    assert FAMILY.claim(key, back) is ReturnClaim.PAID
    novinpal.clock.forward(HOUR)
    assert novinpal.invoice(key).state is State.PAID
    first = await novinpal.confirm(Inquiry(key, AMOUNT))
    row = novinpal.invoice(key)
    assert first == Captured(key, AMOUNT, row.bank_code, card_mask="603799******1234")
    assert await novinpal.confirm(Inquiry(key, AMOUNT)) == first
    assert (row.state, row.our_number) == (State.CAPTURED, back["invoiceNumber"])


@pytest.mark.parametrize("action", [None, "cancel", "fail"])
async def test_what_is_not_paid_is_not_paid_so_far(novinpal: Simulated, action: str | None) -> None:
    key = await novinpal.issued()
    if action is not None:
        assert FAMILY.claim(key, await returned(novinpal, key, action)) is ReturnClaim.UNPAID
    assert await novinpal.confirm(Inquiry(key, AMOUNT)) == NotPaid(key)
    await returned(novinpal, key, "pay")
    assert isinstance(await novinpal.confirm(Inquiry(key, AMOUNT)), Captured)


async def test_money_that_the_bank_gave_back_is_not_captured(novinpal: Simulated) -> None:
    key = await novinpal.issued()
    await returned(novinpal, key, "pay")
    novinpal.gateway.bank.give_back(key)
    assert await novinpal.confirm(Inquiry(key, AMOUNT)) == NotPaid(key)


async def test_another_amount_is_told_as_it_was_paid(novinpal: Simulated) -> None:
    key = await novinpal.issued()
    fails(novinpal, GatewayOperation.PAY, FaultKind.PAID_AMOUNT)
    await returned(novinpal, key, "pay")
    outcome = await novinpal.confirm(Inquiry(key, AMOUNT))
    assert isinstance(outcome, Captured)
    assert outcome.amount_rials == AMOUNT // 10


async def test_a_forged_return_claims_and_captures_nothing(novinpal: Simulated) -> None:
    key = await novinpal.issued()
    fails(novinpal, GatewayOperation.RETURN, FaultKind.FORGED_RETURN)
    assert FAMILY.claim(key, await returned(novinpal, key, "back")) is ReturnClaim.PAID
    assert await novinpal.confirm(Inquiry(key, AMOUNT)) == NotPaid(key)


async def test_the_return_of_another_invoice_is_foreign(novinpal: Simulated) -> None:
    key, other = await novinpal.issued(), await novinpal.issued()
    await returned(novinpal, other, "pay")
    fails(novinpal, GatewayOperation.RETURN, FaultKind.SWAPPED_RETURN)
    assert FAMILY.claim(key, await returned(novinpal, key, "back")) is ReturnClaim.FOREIGN


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"enabled": False}, 116), ({"registered_ip": "10.0.0.1"}, 101), ({"api_key": "another"}, 111)],
)
async def test_who_is_not_let_in_is_told_by_every_call(novinpal: Simulated, changes: dict[str, Any], code: int) -> None:
    key = await novinpal.issued()
    await returned(novinpal, key, "pay")
    if "api_key" in changes:
        novinpal.account = replace(novinpal.account, credentials=changes)
    else:
        novinpal.set_up(**changes)
    assert await novinpal.request() == RequestRefused(code)
    assert await novinpal.confirm(Inquiry(key, AMOUNT)) == CheckUnknown(key, "terminal", error_code=code, alert=True)
    assert novinpal.invoice(key).state is State.PAID


async def test_amounts_and_return_addresses_that_it_does_not_take(novinpal: Simulated) -> None:
    novinpal.set_up(registered_domain="shop.example.ir")
    assert await novinpal.request() == RequestRefused(103)
    asked = await novinpal.client.request(novinpal.account, 9_999, RETURN_URL, Purchase(17))
    assert asked.outcome == RequestRefused(110)


async def test_an_invoice_that_it_does_not_know_is_unknown(novinpal: Simulated) -> None:
    assert await novinpal.confirm(Inquiry("1", AMOUNT)) == CheckUnknown("1", "http_status", http_status=404)


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        (FaultKind.ERROR, {}, CheckUnknown("", "unknown_code", error_code=108)),
        (FaultKind.ERROR, {"code": 777}, CheckUnknown("", "unknown_code", error_code=777)),
        (FaultKind.HTTP_502, {"processed": True}, CheckUnknown("", "http_status", http_status=502)),
        (FaultKind.HTML, {}, CheckUnknown("", "not_json")),
        (FaultKind.TRUNCATED, {}, CheckUnknown("", "not_json")),
        (FaultKind.FOREIGN, {}, CheckUnknown("", "bad_answer")),
    ],
)
async def test_a_broken_answer_is_unknown_and_the_next_one_captures(
    novinpal: Simulated, kind: FaultKind, more: dict[str, Any], expected: CheckUnknown
) -> None:
    key = await novinpal.issued()
    await returned(novinpal, key, "pay")
    fails(novinpal, GatewayOperation.CONFIRM, kind, **more)
    assert await novinpal.confirm(Inquiry(key, AMOUNT)) == replace(expected, invoice_key=key)
    assert isinstance(await novinpal.confirm(Inquiry(key, AMOUNT)), Captured)


async def test_strings_in_place_of_numbers_are_the_same_answer(novinpal: Simulated) -> None:
    fails(novinpal, GatewayOperation.REQUEST, FaultKind.STRINGS)
    key = await novinpal.issued()
    await returned(novinpal, key, "pay")
    fails(novinpal, GatewayOperation.CONFIRM, FaultKind.STRINGS)
    assert isinstance(await novinpal.confirm(Inquiry(key, AMOUNT)), Captured)


async def test_beside_the_invoice_script_the_terminal_decides_who_answers() -> None:
    terminals = [SimulatedTerminal(API_KEY, family="novinpal"), SimulatedTerminal("script-key")]
    app = create_app(randomness=Random(1), terminals=terminals, prefix="/pay")
    novinpal, script = NovinPalClient(), InvoiceScript()
    async with TestServer(app) as server:
        url = str(server.make_url("/pay"))
        one, other = Account("trm_1", url, {"api_key": API_KEY}), Account("trm_2", url, {"api_key": "script-key"})
        first = (await novinpal.request(one, AMOUNT, RETURN_URL, Purchase(17))).outcome
        second = (await script.request(other, AMOUNT, RETURN_URL)).outcome
        assert isinstance(first, InvoiceIssued)
        assert isinstance(second, InvoiceIssued)
        confirmed = await novinpal.confirm(one, Inquiry(first.invoice_key, AMOUNT))
        assert confirmed.outcome == NotPaid(first.invoice_key)
        assert (await script.check(other, second.invoice_key)).outcome == NotPaid(second.invoice_key)
    await novinpal.close()
    await script.close()
