"""The whole gateway without a transport: the bank's rules and the faults. One process can run it with no HTTP."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from proxy.gateways.invoice_script.wire import refusal
from proxy.kernel.urls import with_params
from proxy.simulator.bank import Bank
from proxy.simulator.faults import Fault, FaultKind, Faults, GatewayCall, GatewayOperation, WireReply, plain, spoiled
from proxy.simulator.ledger import Answer, HostReturnMethod, Invoice, ReturnExtra, SimulatedTerminal, State

TEST_CARD = "603799******1234"


class Act(StrEnum):
    """The customer's acts at the bank."""

    PAY = "pay"
    CANCEL = "cancel"
    FAIL = "fail"
    BACK = "back"
    """Goes back to the shop from an invoice that is settled."""


@dataclass(frozen=True, slots=True)
class Return:
    """One trip back to the shop. For GET `url` already carries `params`; for POST they are the form."""

    method: HostReturnMethod
    url: str
    params: Mapping[str, str]
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ActResult:
    """The result of an act: the trips back (none when the return goes missing), or a broken answer instead."""

    invoice: Invoice
    returns: tuple[Return, ...] = ()
    broken: WireReply | None = None
    faults: tuple[FaultKind, ...] = ()


class SimulatedGateway:
    """The bank behind its faults. Answers are counted by operation and code."""

    def __init__(self, bank: Bank, faults: Faults) -> None:
        self.bank = bank
        self.faults = faults
        self.answered: Counter[str] = Counter()

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`POST invoice/request`."""
        api_key = str(fields.get("api_key", ""))
        # The invoice does not exist yet; the shop's return_url names the call, as it is one per payment.
        call = GatewayCall(GatewayOperation.REQUEST, f"{api_key}|{fields.get('return_url')}", api_key)
        fault = self.faults.decide(call)
        answer = {} if fault and fault.skips_work else self.bank.request(fields, caller_ip)
        return self._reply(call, answer, fault)

    def check(self, invoice_key: str, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`POST invoice/check/{invoice_key}`."""
        call = GatewayCall(GatewayOperation.CHECK, invoice_key, str(fields.get("api_key", "")))
        fault = self.faults.decide(call)
        answer = {} if fault and fault.skips_work else self.bank.check(invoice_key, fields, caller_ip)
        if fault and answer.get("status") == 1:
            answer = self._odd_money(invoice_key, answer, fault)
        return self._reply(call, answer, fault)

    def lets_in(self, invoice: Invoice, referrer: str) -> bool:
        """Whether the pay page opens for a customer who comes from `referrer`; a refusal is counted."""
        let_in = self.bank.lets_in(invoice, referrer)
        if not let_in:
            self.answered["page:referrer"] += 1
        return let_in

    def act(self, invoice_key: str, act: Act) -> ActResult:
        """The customer's act at the bank. Raises UnknownInvoiceError and AlreadyCapturedError."""
        invoice = self.bank.invoice(invoice_key)
        fault = (
            self.faults.decide(GatewayCall(GatewayOperation.PAY, invoice_key, invoice.api_key))
            if act is Act.PAY
            else None
        )
        if fault is None or not fault.skips_work:
            late_ms = int(fault.seconds * 1000) if fault and fault.kind is FaultKind.LATE_CAPTURE else 0
            invoice = self._done(invoice, act, late_ms)
        if fault and fault.kind not in (FaultKind.DELAY, FaultKind.LATE_CAPTURE):
            return ActResult(invoice, broken=spoiled({}, fault), faults=(fault.kind,))
        visit = self._return_visit(
            invoice, delay_seconds=fault.seconds if fault and fault.kind is FaultKind.DELAY else 0.0
        )
        return replace(visit, faults=(fault.kind, *visit.faults)) if fault else visit

    def _reply(self, call: GatewayCall, answer: Answer, fault: Fault | None) -> WireReply:
        if fault and fault.kind is FaultKind.ERROR:
            answer = refusal(fault.code)
        code = answer.get("errorCode", answer.get("status", "none"))
        self.answered[f"{call.operation}:{code}"] += 1
        return spoiled(answer, fault) if fault else plain(answer)

    def _odd_money(self, invoice_key: str, answer: Answer, fault: Fault) -> Answer:
        match fault.kind:
            case FaultKind.WRONG_AMOUNT:
                # Rial and toman mixed up is the commonest error of the field.
                amount_rials = fault.amount_rials
                return answer | {"amount": int(answer["amount"]) // 10 if amount_rials is None else amount_rials}
            case FaultKind.WRONG_BANK_CODE:
                return answer | {"bank_code": self.bank.made_up_bank_code()}
            case FaultKind.REUSED_BANK_CODE:
                other = self.bank.other_invoice(invoice_key, captured=True)
                return answer | ({"bank_code": other.bank_code} if other and other.bank_code else {})
            case _:
                return answer

    def _done(self, invoice: Invoice, act: Act, late_ms: int) -> Invoice:
        match act:
            case Act.PAY:
                return self.bank.pay(invoice.invoice_key, land_after_ms=late_ms)
            case Act.CANCEL:
                return self.bank.cancel(invoice.invoice_key)
            case Act.FAIL:
                return self.bank.fail(invoice.invoice_key)
            case Act.BACK:
                return invoice

    def _return_visit(self, invoice: Invoice, delay_seconds: float) -> ActResult:
        terminal = self.bank.terminals.get(invoice.api_key) or SimulatedTerminal(invoice.api_key)
        fault = self.faults.decide(GatewayCall(GatewayOperation.RETURN, invoice.invoice_key, invoice.api_key))
        params = true_params(invoice, terminal)
        if fault and fault.kind is FaultKind.FORGED_RETURN:
            params = dict(fault.params) or self._forged_params(invoice)
        url = invoice.return_url
        if terminal.return_method is HostReturnMethod.GET:
            url = with_params(url, params)
        if fault and fault.kind is FaultKind.DELAY:
            delay_seconds += fault.seconds
        trip = Return(terminal.return_method, url, params, delay_seconds)
        if fault is None:
            return ActResult(invoice, (trip,))
        times = {FaultKind.MISSING_RETURN: 0, FaultKind.DUPLICATE_RETURN: 2}.get(fault.kind, 1)
        return ActResult(invoice, (trip,) * times, faults=(fault.kind,))

    def _forged_params(self, invoice: Invoice) -> dict[str, str]:
        other = self.bank.other_invoice(invoice.invoice_key, captured=False)
        key = other.invoice_key if other else "0" * len(invoice.invoice_key)
        return {"invoice_key": key, "status": "0", "bank_code": self.bank.made_up_bank_code()}


def true_params(invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
    """The parameters that the script adds to return_url: invoice_key, and the extras of this terminal's host."""
    params = {"invoice_key": invoice.invoice_key}
    captured = invoice.state is State.CAPTURED
    if ReturnExtra.STATUS in terminal.return_extras:
        # 0 means "fine" in a return, although it means "error" in every JSON answer.
        params["status"] = "0" if captured else "1"
    if captured and ReturnExtra.BANK_CODE in terminal.return_extras:
        params["bank_code"] = invoice.bank_code or ""
    if captured and ReturnExtra.CARD_NUMBER in terminal.return_extras:
        params["card_number"] = TEST_CARD
    return params
