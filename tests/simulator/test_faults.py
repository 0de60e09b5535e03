"""The hostile gateway: each fault as a caller feels it, what the ledger says all the same, and chaos by seed."""

from random import Random
from typing import Any

import aiohttp
import orjson
import pytest
from support.clock import ManualClock

from proxy.gateways.invoice_script.simulator import InvoiceScriptSimulator
from proxy.gateways.simulation.bank import Bank
from proxy.gateways.simulation.chaos import Chaos
from proxy.gateways.simulation.faults import KINDS, Fault, FaultKind, Faults, GatewayCall, GatewayOperation
from proxy.gateways.simulation.gateway import Act, SimulatedGateway
from proxy.gateways.simulation.ledger import HostReturnMethod, SimulatedTerminal, State
from proxy.gateways.simulation.replies import HUGE_BYTES
from simulator.conftest import RETURN_URL, Shop, StartShop

FORM = {"api_key": "key-one"}


async def _raw(shop: Shop, key: str) -> tuple[int, str, bytes]:
    response = await shop.post(f"/invoice/check/{key}", data=FORM)
    return response.status, response.content_type, await response.read()


async def _paid(shop: Shop) -> str:
    key = await shop.invoice()
    await shop.control("POST", f"invoices/{key}/pay")
    return key


async def test_a_lost_answer_to_request_leaves_an_invoice_that_nobody_knows(shop: Shop) -> None:
    await shop.fault("request", "lost", times=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await shop.request()
    (orphan,) = (await shop.control("GET", "invoices"))["invoices"]
    assert orphan["state"] == "open"
    assert (await shop.request())["status"] == 1


@pytest.mark.parametrize(
    ("kind", "processed", "checks"), [("lost", None, 1), ("reset", None, 0), ("reset", True, 1), ("http_500", None, 0)]
)
async def test_a_broken_check_is_done_or_not_as_the_fault_says(
    shop: Shop, kind: str, processed: bool | None, checks: int
) -> None:
    key = await _paid(shop)
    await shop.fault("check", kind, times=1, processed=processed)
    try:
        assert (await _raw(shop, key))[0] == 500
    except aiohttp.ClientConnectionError:
        assert kind != "http_500"
    assert (await shop.stored(key))["checks"] == checks
    assert (await shop.check(key))["status"] == 1


async def test_a_delay_outlasts_the_callers_time_out_and_the_work_is_done(shop: Shop) -> None:
    key = await _paid(shop)
    await shop.fault("check", "delay", times=1, seconds=60)
    with pytest.raises(TimeoutError):
        await shop.post(f"/invoice/check/{key}", data=FORM, timeout=aiohttp.ClientTimeout(total=0.05))
    assert (await shop.stored(key))["checks"] == 1


async def test_a_short_delay_still_answers(shop: Shop) -> None:
    key = await _paid(shop)
    await shop.fault("check", "delay", times=1, seconds=0.01)
    assert (await shop.check(key))["status"] == 1


@pytest.mark.parametrize("kind", ["drip", "huge"])
async def test_a_caller_that_gives_up_on_a_body_hurts_nobody(shop: Shop, kind: str) -> None:
    key = await _paid(shop)
    await shop.fault("check", kind, times=1, seconds=60)
    response = await shop.post(f"/invoice/check/{key}", data=FORM)
    assert len(await response.content.readany()) > 0
    response.close()
    assert (await shop.check(key))["status"] == 1


async def test_a_drip_comes_byte_by_byte_and_is_whole_in_the_end(shop: Shop) -> None:
    key = await _paid(shop)
    await shop.fault("check", "drip", times=1, seconds=0.0001)
    assert orjson.loads((await _raw(shop, key))[2])["amount"] == 150000


async def test_spoiled_answers_of_check(shop: Shop) -> None:
    key = await _paid(shop)
    whole = (await _raw(shop, key))[2]
    seen: dict[str, tuple[int, str, bytes]] = {}
    for kind in ("http_500", "http_502", "html", "truncated", "wrong_type", "foreign", "huge", "strings"):
        await shop.fault("check", kind, times=1)
        seen[kind] = await _raw(shop, key)
    assert [seen[kind][:2] for kind in ("http_500", "http_502", "html")] == [
        (500, "text/html"),
        (502, "text/html"),
        (200, "text/html"),
    ]
    assert b"<html" in seen["html"][2]
    assert seen["truncated"] == (200, "application/json", whole[: len(whole) // 2])
    assert seen["wrong_type"] == (200, "text/html", whole)
    assert "status" not in orjson.loads(seen["foreign"][2])
    assert len(seen["huge"][2]) == HUGE_BYTES + len(whole)
    assert orjson.loads(seen["huge"][2]) == orjson.loads(whole)
    assert orjson.loads(seen["strings"][2]) == {name: str(value) for name, value in orjson.loads(whole).items()}
    assert (await _raw(shop, key))[2] == whole


@pytest.mark.parametrize("code", [101, 203, 204, 301, 302, 999])
async def test_any_code_comes_in_storms_from_both_calls(shop: Shop, code: int) -> None:
    key = await _paid(shop)
    await shop.fault("check", "error", code=code, times=3)
    await shop.fault("request", "error", code=code, times=3)
    assert [(await shop.check(key)).get("errorCode") for _ in range(4)] == [code, code, code, None]
    assert [(await shop.request()).get("errorCode") for _ in range(4)] == [code, code, code, None]
    assert len((await shop.control("GET", "invoices"))["invoices"]) == 2


async def test_wrong_money_never_reaches_the_ledger(shop: Shop) -> None:
    first, key = await _paid(shop), await _paid(shop)
    before = await shop.check(key)
    await shop.fault("check", "wrong_amount", times=1)
    assert await shop.check(key) == before | {"amount": 15000}
    await shop.fault("check", "wrong_amount", times=1, amount_rials=1000)
    assert await shop.check(key) == before | {"amount": 1000}
    await shop.fault("check", "reused_bank_code", times=1)
    assert await shop.check(key) == before | {"bank_code": (await shop.stored(first))["bank_code"]}
    await shop.fault("check", "wrong_bank_code", times=1)
    made_up = (await shop.check(key))["bank_code"]
    assert made_up not in {row["bank_code"] for row in (await shop.control("GET", "invoices"))["invoices"]}
    assert await shop.check(key) == before


async def test_wrong_money_is_never_told_of_an_invoice_that_is_not_paid(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.fault("check", "wrong_amount", times=1)
    assert (await shop.check(key))["errorCode"] == 201


async def test_the_customer_is_back_before_the_money_is_taken(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.fault("pay", "late_capture", times=1, seconds=3600)
    assert (await shop.press(key, "pay")).status == 303
    assert (await shop.check(key))["errorCode"] == 201
    shop.clock.now += 3_599_999
    assert (await shop.check(key))["errorCode"] == 201
    due_at = shop.clock.now + 1
    shop.clock.now += 60_000
    (row,) = (await shop.control("GET", "invoices", None))["invoices"]
    assert (row["state"], row["captured_at"]) == ("captured", due_at)
    assert (await shop.check(key))["status"] == 1


async def test_money_lands_late_even_after_the_customer_canceled(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.fault("pay", "late_capture", times=1, seconds=60)
    await shop.press(key, "pay")
    await shop.press(key, "cancel")
    assert (await shop.check(key))["errorCode"] == 202
    shop.clock.now += 60_000
    assert (await shop.check(key))["status"] == 1


@pytest.mark.parametrize(("kind", "state"), [("lost", "captured"), ("reset", "open")])
async def test_a_customer_can_lose_the_connection_around_the_payment(shop: Shop, kind: str, state: str) -> None:
    key = await shop.invoice()
    await shop.fault("pay", kind, times=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await shop.press(key, "pay")
    assert (await shop.stored(key))["state"] == state


@pytest.mark.parametrize("method", list(HostReturnMethod))
async def test_returns_go_missing_come_twice_or_are_forged(start_shop: StartShop, method: HostReturnMethod) -> None:
    shop = await start_shop(terminals=[SimulatedTerminal("key-one", return_method=method)])
    other = await shop.invoice()
    ways: dict[str, Any] = {}
    for kind in ("missing_return", "duplicate_return", "forged_return"):
        key = await shop.invoice()
        await shop.fault("return", kind, times=1)
        ways[kind] = await shop.control("POST", f"invoices/{key}/pay")
        assert ways[kind]["faults"] == [kind]
        assert ways[kind]["invoice"]["state"] == "captured"
        other, previous = key, other
    assert (ways["missing_return"]["return_url"], ways["missing_return"]["returns"]) == (None, [])
    twice = ways["duplicate_return"]["returns"]
    assert len(twice) == 2
    assert twice[0] == twice[1]
    forged = ways["forged_return"]["params"]
    assert forged["invoice_key"] == previous
    assert forged["status"] == "0"
    assert (method is HostReturnMethod.GET) == (previous in ways["forged_return"]["return_url"])


async def test_a_forged_return_carries_what_the_script_says(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.fault("return", "forged_return", params={"invoice_key": "k", "status": "5"})
    response = await shop.press(key, "cancel")
    assert response.headers["Location"] == f"{RETURN_URL}&invoice_key=k&status=5"


@pytest.mark.parametrize("method", list(HostReturnMethod))
async def test_a_browser_returns_twice_from_one_page(start_shop: StartShop, method: HostReturnMethod) -> None:
    shop = await start_shop(terminals=[SimulatedTerminal("key-one", return_method=method)])
    key = await shop.invoice()
    await shop.fault("return", "duplicate_return", times=1)
    text = await (await shop.press(key, "pay")).text()
    assert text.count(key) == 2
    assert text.count("<iframe") == 1


async def test_a_browser_whose_return_is_missing_stays_at_the_bank(shop: Shop) -> None:
    key = await shop.invoice()
    await shop.fault("return", "missing_return", times=1)
    response = await shop.press(key, "pay")
    assert response.status == 200
    assert "shop.example.ir" not in await response.text()


async def test_rules_aim_at_one_invoice_or_one_terminal(shop: Shop) -> None:
    keys = [await shop.invoice(), await shop.invoice()]
    foreign = await shop.invoice(api_key="key-two")
    await shop.fault("check", "error", code=301, invoice_key=keys[0])
    assert [(await shop.check(key))["errorCode"] for key in keys] == [301, 201]
    await shop.control("DELETE", "faults")
    await shop.fault("check", "error", code=301, api_key="key-two")
    assert (await shop.check(keys[0]))["errorCode"] == 201
    assert (await shop.check(foreign, "key-two"))["errorCode"] == 301


async def test_rules_are_listed_and_cleared(shop: Shop) -> None:
    await shop.fault("check", "error", code=301, times=2)
    await shop.control("POST", "chaos", {"seed": 1, "rate": 1})
    listed = await shop.control("GET", "faults")
    assert (listed["rules"][0]["fault"]["code"], listed["rules"][0]["times"]) == (301, 2)
    assert listed["chaos"]["seed"] == 1
    await shop.control("DELETE", "faults")
    assert await shop.control("GET", "faults") == {"rules": [], "chaos": None}
    assert (await shop.check(await shop.invoice()))["errorCode"] == 201


async def test_a_rule_falls_with_its_probability_and_the_same_by_its_seed(start_shop: StartShop) -> None:
    runs = []
    for _ in range(2):
        shop = await start_shop()
        key = await shop.invoice()
        await shop.fault("check", "error", code=301, probability=0.5, seed=9)
        runs.append([(await shop.check(key))["errorCode"] for _ in range(40)])
    assert runs[0] == runs[1]
    assert 8 <= runs[0].count(301) <= 32


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"operation": "check"}, "kind"),
        ({"operation": "check", "kind": "nonsense"}, "kind"),
        ({"operation": "pay", "kind": "huge"}, "huge does not happen on pay"),
        ({"operation": "check", "kind": "lost", "tmes": 1}, "tmes"),
        ({"operation": "check", "kind": "lost", "times": 0}, "times"),
        ({"operation": "check", "kind": "lost", "probability": 2}, "probability"),
    ],
)
async def test_a_wrong_rule_is_refused_by_name(shop: Shop, body: dict[str, Any], named: str) -> None:
    assert named in (await shop.control("POST", "faults", body, status=400))["error"]
    assert (await shop.control("GET", "faults"))["rules"] == []


def test_every_kind_happens_somewhere() -> None:
    assert frozenset[FaultKind]().union(*KINDS.values()) == set(FaultKind)
    assert set(KINDS) == set(GatewayOperation)


async def test_stats_count_answers_faults_and_money(shop: Shop) -> None:
    key = await _paid(shop)
    await shop.invoice()
    await shop.request("5")
    await shop.fault("check", "error", code=301, times=1)
    await shop.check(key)
    assert await shop.control("GET", "stats") == {
        "invoices": {state: int(state in {"open", "captured"}) for state in State},
        "captured_rials": 150000,
        "answered": {"request:1": 2, "request:102": 1, "check:301": 1},
        "faults": {"check:error": 1},
    }


FIELDS = {"api_key": "k", "amount": 150000, "return_url": RETURN_URL}


def _script(chaos: Chaos | None, seed: int = 1) -> InvoiceScriptSimulator:
    bank = Bank(clock=ManualClock(), randomness=Random(seed))
    bank.put_terminal(SimulatedTerminal("k"))
    return InvoiceScriptSimulator(SimulatedGateway(bank, Faults(chaos)))


def _calls(operation: GatewayOperation, count: int) -> list[tuple[GatewayCall, int]]:
    return [(GatewayCall(operation, f"invoice-{number % 50}", "k"), number // 50) for number in range(count)]


def _story(seed: int) -> list[Any]:
    script = _script(Chaos(seed, rate=0.5, odd_money=True))
    story: list[Any] = []
    for number in range(30):
        reply = script.request(FIELDS | {"return_url": f"{RETURN_URL}&n={number}"}, "127.0.0.1")
        story.append(reply)
    for invoice in list(script.bank.invoices()):
        story.append(script.gateway.act(invoice.invoice_key, Act.PAY))
        story.extend(script.check(invoice.invoice_key, FIELDS, "127.0.0.1") for _ in range(3))
    return [*story, *script.bank.invoices()]


def test_a_seed_replays_exactly_and_another_differs() -> None:
    assert _story(7) == _story(7)
    assert _story(7) != _story(8)


def test_a_fault_depends_on_the_invoice_and_not_on_what_others_did() -> None:
    alone = Faults(Chaos(3, rate=0.5))
    crowded = Faults(Chaos(3, rate=0.5))
    mine = GatewayCall(GatewayOperation.CHECK, "mine", "k")
    seen: list[Fault | None] = []
    for number in range(50):
        crowded.decide(GatewayCall(GatewayOperation.CHECK, f"other-{number}", "k"))
        crowded.decide(GatewayCall(GatewayOperation.RETURN, "mine", "k"))
        seen.append(crowded.decide(mine))
    assert seen == [alone.decide(mine) for _ in range(50)]


@pytest.mark.parametrize("operation", list(GatewayOperation))
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_chaos_strikes_its_share_with_kinds_that_happen_there(operation: GatewayOperation, rate: float) -> None:
    chaos = Chaos(11, rate=rate, odd_money=True)
    struck = [fault for call, nth in _calls(operation, 4000) if (fault := chaos.fault(call, nth))]
    assert abs(len(struck) / 4000 - rate) < 0.03
    assert {fault.kind for fault in struck} <= KINDS[operation]


def test_chaos_reaches_every_kind_but_the_lie_that_no_oracle_can_see() -> None:
    chaos = Chaos(11, rate=1, odd_money=True)
    kinds = {
        fault.kind
        for operation in GatewayOperation
        for call, nth in _calls(operation, 2000)
        if (fault := chaos.fault(call, nth))
    }
    assert set(FaultKind) - kinds == {FaultKind.WRONG_BANK_CODE}


def test_without_odd_money_a_success_is_always_true() -> None:
    script = _script(Chaos(5, rate=0.9))
    seen = 0
    for number in range(50):
        script.request(FIELDS | {"return_url": f"{RETURN_URL}&n={number}"}, "127.0.0.1")
    for invoice in list(script.bank.invoices()):
        captured = script.bank.pay(invoice.invoice_key)
        for _ in range(20):
            reply = script.check(invoice.invoice_key, FIELDS, "127.0.0.1")
            try:
                answer = orjson.loads(reply.body.strip())
            except orjson.JSONDecodeError:
                continue
            if str(answer.get("status")) == "1":
                seen += 1
                assert (int(answer["amount"]), answer["bank_code"]) == (150000, captured.bank_code)
    assert seen > 50


def test_faults_end_when_cleared() -> None:
    script = _script(Chaos(5, rate=1))
    script.gateway.faults.clear()
    key = orjson.loads(script.request(FIELDS, "127.0.0.1").body)["invoice_key"]
    visit = script.gateway.act(key, Act.PAY)
    assert (visit.faults, visit.invoice.state, len(visit.returns)) == ((), State.CAPTURED, 1)
    assert orjson.loads(script.check(key, FIELDS, "127.0.0.1").body)["status"] == 1


async def test_a_process_under_chaos_draws_the_same_keys_for_the_same_seed(start_shop: StartShop) -> None:
    shops = [await start_shop(chaos=Chaos(seed, rate=0), randomness=None) for seed in (4, 4, 5)]
    first, same, other = [await shop.invoice() for shop in shops]
    assert first == same != other
