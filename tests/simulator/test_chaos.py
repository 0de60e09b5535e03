"""Chaos by seed, and the gateway run in one process with no HTTP."""

from random import Random
from typing import Any

import orjson
import pytest

from proxy.simulator.bank import Bank
from proxy.simulator.chaos import Chaos
from proxy.simulator.faults import KINDS, Call, Fault, Faults, Kind, Operation
from proxy.simulator.gateway import Act, Gateway
from proxy.simulator.ledger import State, Terminal
from simulator.shop_side import RETURN_URL, HandClock, StartShop

FIELDS = {"api_key": "k", "amount": 150000, "return_url": RETURN_URL}


def _gateway(chaos: Chaos | None, seed: int = 1) -> Gateway:
    bank = Bank(clock=HandClock(), randomness=Random(seed))
    bank.put_terminal(Terminal("k"))
    return Gateway(bank, Faults(chaos))


def _calls(operation: Operation, count: int) -> list[tuple[Call, int]]:
    return [(Call(operation, f"invoice-{number % 50}", "k"), number // 50) for number in range(count)]


def _story(seed: int) -> list[Any]:
    gateway = _gateway(Chaos(seed, rate=0.5, odd_money=True))
    story: list[Any] = []
    for number in range(30):
        reply = gateway.request(FIELDS | {"return_url": f"{RETURN_URL}&n={number}"}, "127.0.0.1")
        story.append(reply)
    for invoice in list(gateway.bank.invoices()):
        story.append(gateway.act(invoice.invoice_key, Act.PAY))
        story.extend(gateway.check(invoice.invoice_key, FIELDS, "127.0.0.1") for _ in range(3))
    return [*story, *gateway.bank.invoices()]


def test_a_seed_replays_exactly_and_another_differs() -> None:
    assert _story(7) == _story(7)
    assert _story(7) != _story(8)


def test_a_fault_depends_on_the_invoice_and_not_on_what_others_did() -> None:
    alone = Faults(Chaos(3, rate=0.5))
    crowded = Faults(Chaos(3, rate=0.5))
    mine = Call(Operation.CHECK, "mine", "k")
    seen: list[Fault | None] = []
    for number in range(50):
        crowded.decide(Call(Operation.CHECK, f"other-{number}", "k"))
        crowded.decide(Call(Operation.RETURN, "mine", "k"))
        seen.append(crowded.decide(mine))
    assert seen == [alone.decide(mine) for _ in range(50)]


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_chaos_strikes_its_share_with_kinds_that_happen_there(operation: Operation, rate: float) -> None:
    chaos = Chaos(11, rate=rate, odd_money=True)
    struck = [fault for call, nth in _calls(operation, 4000) if (fault := chaos.fault(call, nth))]
    assert abs(len(struck) / 4000 - rate) < 0.03
    assert {fault.kind for fault in struck} <= KINDS[operation]


def test_chaos_reaches_every_kind_but_the_lie_that_no_oracle_can_see() -> None:
    chaos = Chaos(11, rate=1, odd_money=True)
    kinds = {
        fault.kind
        for operation in Operation
        for call, nth in _calls(operation, 2000)
        if (fault := chaos.fault(call, nth))
    }
    assert set(Kind) - kinds == {Kind.WRONG_BANK_CODE}


def test_without_odd_money_a_success_is_always_true() -> None:
    gateway = _gateway(Chaos(5, rate=0.9))
    seen = 0
    for number in range(50):
        gateway.request(FIELDS | {"return_url": f"{RETURN_URL}&n={number}"}, "127.0.0.1")
    for invoice in list(gateway.bank.invoices()):
        captured = gateway.bank.pay(invoice.invoice_key)
        for _ in range(20):
            reply = gateway.check(invoice.invoice_key, FIELDS, "127.0.0.1")
            try:
                answer = orjson.loads(reply.body.strip())
            except orjson.JSONDecodeError:
                continue
            if str(answer.get("status")) == "1":
                seen += 1
                assert (int(answer["amount"]), answer["bank_code"]) == (150000, captured.bank_code)
    assert seen > 50


def test_faults_end_when_cleared() -> None:
    gateway = _gateway(Chaos(5, rate=1))
    gateway.faults.clear()
    key = orjson.loads(gateway.request(FIELDS, "127.0.0.1").body)["invoice_key"]
    visit = gateway.act(key, Act.PAY)
    assert (visit.faults, visit.invoice.state, len(visit.returns)) == ((), State.CAPTURED, 1)
    assert orjson.loads(gateway.check(key, FIELDS, "127.0.0.1").body)["status"] == 1


async def test_a_process_under_chaos_draws_the_same_keys_for_the_same_seed(start_shop: StartShop) -> None:
    shops = [await start_shop(chaos=Chaos(seed, rate=0), randomness=None) for seed in (4, 4, 5)]
    first, same, other = [await shop.invoice() for shop in shops]
    assert first == same != other
