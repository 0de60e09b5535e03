"""Families whose money goes back unless it is confirmed: the bank's clocks, by a toy of a dialect, on any wire."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web
from support.clock import ManualClock

from proxy.gateways.family import Family, Traits, WayThere
from proxy.gateways.simulation.bank import Bank
from proxy.gateways.simulation.chaos import Chaos
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import KINDS, Fault, FaultKind, Faults, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import Act, SimulatedGateway
from proxy.gateways.simulation.ledger import HostReturnMethod, Invoice, Journal, SimulatedTerminal, State
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import (
    AlreadyCapturedError,
    LinkExpiredError,
    NothingPaidError,
    Terms,
    UnknownInvoiceError,
)
from proxy.gateways.simulation.wire import json_fields
from proxy.kernel.clock import MINUTE
from proxy.simulator.control import Control

RETURN_URL = "https://shop.example.ir/cb"
TRAITS = Traits(confirms=True, reverses=True, gives_back_after=15 * MINUTE, reverse_within=30 * MINUTE)
SETTLES = replace(TRAITS, settles=True)
STEPS = (GatewayOperation.CONFIRM, GatewayOperation.SETTLE, GatewayOperation.REVERSE)
OUT_OF_ORDER = 500


def _family(traits: Traits) -> Family:
    return Family(
        name="toy",
        title=("Toy", "اسباب‌بازی"),
        gateway_url="",
        credentials=(),
        traits=traits,
        codes={},
        make=lambda: None,
        way_there=lambda url, key: WayThere(f"{url}/toy?token={key}"),
    )


class ToyDialect(Dialect):
    """Its page knows the invoice by a field of the form, it comes back by POST, and its answers are text."""

    family = _family(TRAITS)
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = dict.fromkeys(STEPS, (7, 8))

    def terms(self) -> Terms:
        return Terms.of(self.family.traits, receipt=lambda number: f"R-{number}")

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_post(f"{prefix}/toy/confirm", self.confirm_route)
        self.add_pay_page(router, f"{prefix}/toy/pay")

    def error(self, _operation: GatewayOperation, code: int | None) -> WireReply:
        return plain({"error": code or OUT_OF_ORDER}, code=code or OUT_OF_ORDER)

    def return_params(self, invoice: Invoice, _terminal: SimulatedTerminal) -> dict[str, str]:
        return {"token": invoice.invoice_key, "receipt": invoice.receipt or ""}

    def return_method(self, invoice: Invoice, _terminal: SimulatedTerminal) -> HostReturnMethod:
        return invoice.return_method or HostReturnMethod.POST

    def key_of(self, _request: web.Request, form: Mapping[str, Any]) -> str:
        return str(form["token"])

    def page_fields(self, invoice: Invoice) -> Mapping[str, str]:
        return {"token": invoice.invoice_key}

    def step(self, operation: GatewayOperation, key: str) -> WireReply:
        return self.answer(operation, key, "terminal", lambda truth: self._step(operation, key, truth))

    async def confirm_route(self, request: web.Request) -> web.StreamResponse:
        key = str((await json_fields(request)).get("token"))
        return await self.send(request, f"confirm {key}", self.step(GatewayOperation.CONFIRM, key))

    def _step(self, operation: GatewayOperation, key: str, truth: Callable[[Invoice], Invoice]) -> WireReply:
        bank = self.bank
        done = {STEPS[0]: bank.confirm, STEPS[1]: bank.settle, STEPS[2]: bank.reverse}[operation](key)
        told = truth(done.invoice)
        return plain({"result": done.result, "amount": told.money_rials, "receipt": told.receipt}, code=done.result)


class SettlingToy(ToyDialect):
    family = _family(SETTLES)


class Stage:
    """A toy of a gateway at a time that the test says, with one terminal and one invoice, and maybe a ledger's file."""

    def __init__(
        self, kind: type[ToyDialect] = ToyDialect, ledger: str = ":memory:", chaos: Chaos | None = None
    ) -> None:
        self.clock = ManualClock()
        self.journal = Journal(ledger)
        self.bank = Bank(clock=self.clock, randomness=Random(1), on_change=self.journal.note)
        self.gateway = SimulatedGateway(self.bank, Faults(chaos))
        self.toy = kind(self.gateway, self.journal)
        self.bank.restore(*self.journal.load())
        self.terminal = SimulatedTerminal("terminal", family="toy", credentials={"password": "p"})
        self.bank.put_terminal(self.terminal)
        self.key = self.open("17")

    def open(self, number: str) -> str:
        invoice = self.bank.open(
            self.terminal, 150_000, RETURN_URL, our_number=number, reference=lambda random: f"A+/{random.random()}="
        )
        return invoice.invoice_key

    def after(self, minutes: float) -> None:
        self.clock.now += int(minutes * MINUTE)

    def state(self) -> State:
        return self.bank.invoice(self.key).state

    def step(self, operation: GatewayOperation) -> dict[str, Any]:
        said: dict[str, Any] = orjson.loads(self.toy.step(operation, self.key).body)
        return said

    def confirm(self) -> str:
        return str(self.step(GatewayOperation.CONFIRM)["result"])

    def settle(self) -> str:
        return str(self.step(GatewayOperation.SETTLE)["result"])

    def reverse(self) -> str:
        return str(self.step(GatewayOperation.REVERSE)["result"])


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_payment_is_captured_by_confirm_alone_and_once(stage: Stage) -> None:
    stage.bank.pay(stage.key)
    paid = stage.bank.invoice(stage.key)
    assert (paid.state, paid.bank_code, paid.captured_at) == (State.PAID, None, None)
    assert paid.receipt is not None
    assert paid.receipt.startswith("R-")
    assert paid.receipt.endswith(str(paid.trace_number))
    stage.after(14.9)
    assert [stage.confirm(), stage.confirm()] == ["done", "before"]
    kept = stage.bank.invoice(stage.key)
    assert (kept.state, kept.bank_code, kept.captured_at, kept.confirms) == (
        State.CAPTURED,
        paid.receipt,
        stage.clock.now,
        2,
    )
    stage.after(60)
    assert stage.state() is State.CAPTURED


@pytest.mark.parametrize("act", [Act.CANCEL, Act.FAIL, None])
def test_what_is_not_paid_is_not_confirmed(stage: Stage, act: Act | None) -> None:
    if act is not None:
        stage.gateway.act(stage.key, act)
    assert stage.confirm() == ("not_paid" if act is None else "canceled")
    assert stage.reverse() == ("not_paid" if act is None else "canceled")


def test_unconfirmed_money_goes_back_by_itself_and_confirm_is_too_late(stage: Stage) -> None:
    stage.bank.pay(stage.key)
    paid_at = stage.clock.now
    stage.after(20)
    assert stage.state() is State.REVERSED
    assert stage.bank.invoice(stage.key).reversed_at == paid_at + 15 * MINUTE
    assert stage.confirm() == "too_late"
    with pytest.raises(AlreadyCapturedError):
        stage.bank.cancel(stage.key)


def test_money_that_lands_late_has_its_own_time_and_goes_back_unseen(stage: Stage) -> None:
    landing = stage.clock.now + 10 * MINUTE
    stage.bank.pay(stage.key, land_after_ms=10 * MINUTE)
    stage.after(24.9)
    assert (stage.state(), stage.bank.invoice(stage.key).paid_at) == (State.PAID, landing)
    stage.after(300)
    assert stage.bank.invoice(stage.key).reversed_at == landing + 15 * MINUTE


def test_an_old_link_takes_no_money(stage: Stage) -> None:
    stage.after(20.1)
    with pytest.raises(LinkExpiredError):
        stage.gateway.act(stage.key, Act.PAY)
    assert stage.state() is State.OPEN


def test_money_is_reversed_in_time_and_once(stage: Stage) -> None:
    stage.bank.pay(stage.key)
    assert stage.reverse() == "not_confirmed"
    stage.confirm()
    stage.after(30)
    assert [stage.reverse(), stage.reverse(), stage.confirm()] == ["done", "reversed", "reversed"]
    assert stage.bank.invoice(stage.key).reversed_at == stage.clock.now


def test_a_reverse_after_its_time_changes_nothing(stage: Stage) -> None:
    stage.bank.pay(stage.key)
    stage.confirm()
    stage.after(30.1)
    assert (stage.reverse(), stage.state()) == ("too_late", State.CAPTURED)


def test_the_bank_gives_back_whenever_it_wants(stage: Stage) -> None:
    with pytest.raises(NothingPaidError):
        stage.bank.give_back(stage.key)
    stage.bank.pay(stage.key)
    stage.confirm()
    stage.after(10_000)
    assert stage.bank.give_back(stage.key) == stage.bank.give_back(stage.key)
    assert stage.state() is State.REVERSED


def test_settled_money_stays_and_can_no_longer_be_reversed() -> None:
    stage = Stage(SettlingToy)
    stage.bank.pay(stage.key)
    assert stage.settle() == "not_confirmed"
    assert (stage.confirm(), stage.state()) == ("done", State.CONFIRMED)
    assert [stage.settle(), stage.settle(), stage.confirm(), stage.reverse()] == [
        "done",
        "before",
        "before",
        "too_late",
    ]
    kept = stage.bank.invoice(stage.key)
    assert (kept.state, kept.settled_at, kept.bank_code) == (State.CAPTURED, stage.clock.now, kept.receipt)


def test_confirmed_money_that_nobody_settles_goes_back() -> None:
    stage = Stage(SettlingToy)
    stage.bank.pay(stage.key)
    stage.confirm()
    stage.after(15)
    assert [stage.settle(), stage.confirm(), stage.reverse()] == ["reversed"] * 3


def test_an_invoice_is_found_by_what_the_family_knows(stage: Stage) -> None:
    stage.bank.pay(stage.key)
    newer = stage.open("18")
    again = stage.open("18")
    stage.bank.cancel(newer)
    stranger = SimulatedTerminal("another", family="toy")
    paid = stage.bank.invoice(stage.key)
    assert stage.bank.numbered(stage.terminal, "17") == stage.bank.receipted(stage.terminal, str(paid.receipt)) == paid
    found = stage.bank.numbered(stage.terminal, "18")
    assert found is not None
    assert found.invoice_key == again
    assert stage.bank.numbered(stranger, "17") is stage.bank.receipted(stranger, str(paid.receipt)) is None
    assert stage.bank.receipted(stage.terminal, "") is None
    assert stage.toy.terminal("terminal") == stage.terminal
    stage.bank.put_terminal(replace(stage.terminal, family="invoice_script"))
    assert stage.toy.terminal("terminal") is None
    with pytest.raises(UnknownInvoiceError):
        stage.gateway.act(stage.key, Act.BACK)


async def test_a_restart_knows_everything_and_what_became_due_meanwhile(tmp_path: Path) -> None:
    ledger = str(tmp_path / "l.db")
    before = Stage(SettlingToy, ledger)
    forgotten, settled = before.open("2"), before.open("3")
    for key in (before.key, forgotten, settled):
        before.bank.pay(key)
    before.bank.confirm(forgotten)
    before.bank.confirm(settled)
    before.bank.settle(settled)
    kept = before.bank.invoice(settled)
    await before.journal.close()
    after = Stage(SettlingToy, ledger)
    assert after.bank.invoice(settled) == kept
    assert after.bank.terminals["terminal"].credentials == {"password": "p"}
    assert [after.bank.invoice(key).state for key in (before.key, forgotten)] == [State.PAID, State.CONFIRMED]
    after.clock.now = before.clock.now + 15 * MINUTE
    assert [after.bank.invoice(key).state for key in (before.key, forgotten)] == [State.REVERSED, State.REVERSED]
    await after.journal.close()


@pytest.mark.parametrize("operation", STEPS)
def test_each_step_has_every_fault_of_the_wire_and_the_familys_errors(operation: GatewayOperation) -> None:
    assert KINDS[GatewayOperation.REQUEST] <= KINDS[operation]
    stage = Stage(SettlingToy)
    stage.bank.pay(stage.key)
    if operation is not GatewayOperation.CONFIRM:
        stage.bank.confirm(stage.key)
    faults = (
        (Fault(FaultKind.ERROR), {"error": 500}),
        (Fault(FaultKind.ERROR, code=9), {"error": 9}),
        (Fault(FaultKind.LOST), None),
    )
    for fault, said in faults:
        stage.gateway.faults.add(Rule(operation, fault, invoice_key=stage.key, times=1))
        reply = stage.toy.step(operation, stage.key)
        assert reply.reset if said is None else orjson.loads(reply.body) == said
    assert stage.step(operation)["result"] in {"before", "reversed"}, "a lost answer's work was done"
    assert stage.gateway.answered == {
        f"{operation}:500": 1,
        f"{operation}:9": 1,
        f"{operation}:done": 1,
        f"{operation}:{'reversed' if operation is GatewayOperation.REVERSE else 'before'}": 1,
    }


def test_chaos_draws_the_familys_own_codes() -> None:
    stage = Stage(chaos=Chaos(5, rate=1))
    for _ in range(200):
        stage.toy.step(GatewayOperation.CONFIRM, stage.key)
    codes = {code.partition(":")[2] for code in stage.gateway.answered}
    assert {"7", "8"} <= codes <= {"7", "8", "not_paid", "none"}


def test_odd_money_is_told_by_confirm_or_paid_in_truth(stage: Stage) -> None:
    other = stage.open("18")
    stage.bank.pay(other)
    stage.bank.confirm(other)
    stage.gateway.faults.add(Rule(GatewayOperation.PAY, Fault(FaultKind.PAID_AMOUNT, amount_rials=2_000), times=1))
    stage.gateway.act(stage.key, Act.PAY)
    assert stage.bank.invoice(stage.key).money_rials == 2_000
    for kind in (FaultKind.WRONG_AMOUNT, FaultKind.REUSED_BANK_CODE, FaultKind.WRONG_BANK_CODE):
        stage.gateway.faults.add(Rule(GatewayOperation.CONFIRM, Fault(kind), times=1))
    lies = [stage.step(GatewayOperation.CONFIRM) for _ in range(3)]
    receipts = [stage.bank.invoice(key).receipt for key in (stage.key, other)]
    assert [lie["amount"] for lie in lies] == [200, 2_000, 2_000]
    assert [lie["receipt"] for lie in lies[:2]] == receipts
    assert lies[2]["receipt"] not in receipts
    assert stage.step(GatewayOperation.CONFIRM) == {"result": "before", "amount": 2_000, "receipt": receipts[0]}


def test_a_swapped_return_is_the_true_one_of_another_invoice(stage: Stage) -> None:
    other = stage.open("18")
    stage.bank.pay(other)
    for kind in (FaultKind.SWAPPED_RETURN, FaultKind.FORGED_RETURN):
        stage.gateway.faults.add(Rule(GatewayOperation.RETURN, Fault(kind), times=1))
        [trip] = stage.gateway.act(stage.key, Act.BACK).returns
        assert (trip.method, trip.url) == (HostReturnMethod.POST, RETURN_URL)
        assert trip.params == {"token": other, "receipt": stage.bank.invoice(other).receipt}
    stage.bank.choose_return(stage.bank.invoice(stage.key), HostReturnMethod.GET)
    [trip] = stage.gateway.act(stage.key, Act.BACK).returns
    assert (trip.method, trip.params["token"]) == (HostReturnMethod.GET, stage.key)


async def test_a_page_may_know_its_invoice_by_a_field_and_keys_may_be_any_text(
    stage: Stage, aiohttp_client: Any
) -> None:
    app = web.Application()
    stage.toy.add_routes(app.router, "/x")
    Control(stage.gateway, stage.journal, {"toy": stage.toy}).add_routes(app.router)
    client = await aiohttp_client(app)
    page = await (await client.post("/x/toy/pay", data={"token": stage.key})).text()
    assert f'<input type="hidden" name="token" value="{stage.key}">' in page
    assert (await client.post("/x/toy/pay", data={"token": "none"})).status == 404
    assert (await client.get("/x/toy/pay")).status == 404
    pressed = await client.post("/x/toy/pay", data={"token": stage.key, "action": "pay"})
    assert (pressed.status, f'value="{stage.key}"' in await pressed.text()) == (200, True)

    control = f"/control/invoices/{quote(stage.key, safe='')}"
    assert (await (await client.get(control)).json())["state"] == "paid"
    said = await (await client.post("/x/toy/confirm", json={"token": stage.key})).json()
    assert said["result"] == "done"
    assert (await (await client.post(f"{control}/back")).json())["params"]["token"] == stage.key
    given = await (await client.post(f"{control}/reverse")).json()
    assert given == asdict(stage.bank.invoice(stage.key))
    assert given["state"] == "reversed"
    assert 'value="back"' in await (await client.post("/x/toy/pay", data={"token": stage.key})).text()
    late = stage.open("19")
    assert (await client.post(f"/control/invoices/{quote(late, safe='')}/reverse")).status == 409
    stage.after(30)
    assert (await client.post(f"/control/invoices/{quote(late, safe='')}/pay")).status == 409
    over = await client.post("/x/toy/pay", data={"token": late, "action": "pay"})
    assert (over.status, 'value="pay"' in await over.text(), 'value="back"' in await over.text()) == (409, False, True)
