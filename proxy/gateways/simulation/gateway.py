"""The simulated gateways without a transport: the bank's rules and the faults. One process can run it with no HTTP."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from proxy.gateways.simulation.bank import Bank
from proxy.gateways.simulation.faults import Fault, FaultKind, Faults, GatewayCall, GatewayOperation
from proxy.gateways.simulation.ledger import HostReturnMethod, Invoice, State
from proxy.gateways.simulation.replies import WireReply, spoiled
from proxy.gateways.simulation.terms import UnknownInvoiceError
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import with_params


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


Truth = Callable[[Invoice], Invoice]
"""An invoice as an answer tells it: as it is, or as a fault about money has it."""
WayBack = Callable[[Invoice, bool], tuple[HostReturnMethod, Mapping[str, str]]]
"""How a family sends the customer of an invoice back, and with which parameters; forged ones when asked for them."""


class SimulatedGateway:
    """The bank behind its faults. Answers are counted by operation and code.

    `ways_back` are the families' by their names; each family's Dialect puts its own there. `invoice_requests` are the
    requests of families other than the invoice script that have its path, `invoice/request`.
    """

    def __init__(self, bank: Bank, faults: Faults) -> None:
        self.bank = bank
        self.faults = faults
        self.answered: Counter[str] = Counter()
        self.ways_back: dict[str, WayBack] = {}
        self.invoice_requests: dict[str, Callable[[Mapping[str, Any], str], WireReply]] = {}

    def answer(
        self, call: GatewayCall, work: Callable[[Truth], WireReply], error: Callable[[int | None], WireReply]
    ) -> WireReply:
        """The answer to one call, with the fault that strikes it: `work` does it, `error` writes a family's error."""
        fault = self.faults.decide(call)
        if fault is None:
            reply = work(_as_it_is)
        else:
            reply = WireReply() if fault.skips_work else work(lambda invoice: self._told(invoice, fault))
            if fault.kind is FaultKind.ERROR:
                reply = error(fault.code)
            reply = spoiled(reply, fault)
        self.answered[f"{call.operation}:{reply.code}"] += 1
        return reply

    def lets_in(self, invoice: Invoice, referrer: str) -> bool:
        """Whether the pay page opens for a customer who comes from `referrer`; a refusal is counted."""
        let_in = self.bank.lets_in(invoice, referrer)
        if not let_in:
            self.answered["page:referrer"] += 1
        return let_in

    def act(self, invoice_key: str, act: Act) -> ActResult:
        """The customer's act at the bank. Raises UnknownInvoiceError, AlreadyCapturedError and LinkExpiredError."""
        invoice = self.bank.invoice(invoice_key)
        if self.bank.terminal_of(invoice).family not in self.ways_back:
            raise UnknownInvoiceError(invoice_key)
        fault = (
            self.faults.decide(GatewayCall(GatewayOperation.PAY, invoice_key, invoice.api_key))
            if act is Act.PAY
            else None
        )
        if fault is None or not fault.skips_work:
            invoice = self._done(invoice, act, fault)
        if fault and fault.kind not in _FELT_LATER:
            return ActResult(invoice, broken=spoiled(WireReply(), fault), faults=(fault.kind,))
        visit = self._return_visit(
            invoice, delay_seconds=fault.seconds if fault and fault.kind is FaultKind.DELAY else 0.0
        )
        return replace(visit, faults=(fault.kind, *visit.faults)) if fault else visit

    def _told(self, invoice: Invoice, fault: Fault) -> Invoice:
        """The invoice as an answer with this fault tells it."""
        match fault.kind:
            case FaultKind.WRONG_AMOUNT:
                return replace(invoice, paid_rials=_odd_amount(invoice.money_rials, fault))
            case FaultKind.WRONG_BANK_CODE if invoice.state in PAID:
                terms = self.bank.terms_of(invoice)
                receipt = terms.receipt(self.bank.made_up_bank_code(terms))
                return replace(invoice, receipt=receipt, bank_code=receipt)
            case FaultKind.REUSED_BANK_CODE:
                other = self.bank.other_invoice(invoice.invoice_key, captured=True)
                return replace(invoice, receipt=other.receipt, bank_code=other.bank_code) if other else invoice
            case _:
                return invoice

    def _done(self, invoice: Invoice, act: Act, fault: Fault | None) -> Invoice:
        match act:
            case Act.PAY:
                late = fault is not None and fault.kind is FaultKind.LATE_CAPTURE
                odd = fault is not None and fault.kind is FaultKind.PAID_AMOUNT
                return self.bank.pay(
                    invoice.invoice_key,
                    land_after_ms=int(fault.seconds * 1000) if fault and late else 0,
                    paid_rials=_odd_amount(invoice.amount_rials, fault) if fault and odd else None,
                )
            case Act.CANCEL:
                return self.bank.cancel(invoice.invoice_key)
            case Act.FAIL:
                return self.bank.fail(invoice.invoice_key)
            case Act.BACK:
                return invoice

    def _return_visit(self, invoice: Invoice, delay_seconds: float) -> ActResult:
        fault = self.faults.decide(GatewayCall(GatewayOperation.RETURN, invoice.invoice_key, invoice.api_key))
        method, params = self._way_back(invoice, fault)
        url = with_params(invoice.return_url, params) if method is HostReturnMethod.GET else invoice.return_url
        if fault and fault.kind is FaultKind.DELAY:
            delay_seconds += fault.seconds
        trip = Return(method, url, params, delay_seconds)
        if fault is None:
            return ActResult(invoice, (trip,))
        times = {FaultKind.MISSING_RETURN: 0, FaultKind.DUPLICATE_RETURN: 2}.get(fault.kind, 1)
        return ActResult(invoice, (trip,) * times, faults=(fault.kind,))

    def _way_back(self, invoice: Invoice, fault: Fault | None) -> tuple[HostReturnMethod, Mapping[str, str]]:
        way = self.ways_back[self.bank.terminal_of(invoice).family]
        method, params = way(invoice, False)
        if fault and fault.kind is FaultKind.FORGED_RETURN:
            params = dict(fault.params) or way(invoice, True)[1]
        if fault and fault.kind is FaultKind.SWAPPED_RETURN:
            other = self.bank.other_invoice(invoice.invoice_key, captured=False)
            params = way(other, False)[1] if other else params
        return method, params


_FELT_LATER = frozenset({FaultKind.DELAY, FaultKind.LATE_CAPTURE, FaultKind.PAID_AMOUNT})
PAID = frozenset({State.PAID, State.CONFIRMED, State.CAPTURED})
"""The states in which the customer's money is at the bank."""


def _as_it_is(invoice: Invoice) -> Invoice:
    return invoice


def _odd_amount(rials: int, fault: Fault) -> int:
    # Rial and toman mixed up is the commonest error of the field.
    return rials // 10 if fault.amount_rials is None else fault.amount_rials
