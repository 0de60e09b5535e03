"""Behpardakht Mellat's simulator: its SOAP service with a WSDL, its pay page, and a return by POST.

Verified money that is not settled in time goes back here, the worst that a merchant could meet: the guide 1.29 says
that it is not paid out, 1.39 that it is settled after 3 hours. The code of each refusal is the likeliest one where the
guide names none; inquiry answers 0 to what was verified, as public clients expect.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Any, ClassVar, Final

from aiohttp import web

from proxy.gateways.answers import Unclear
from proxy.gateways.forms import ways_of
from proxy.gateways.mellat import FAMILY
from proxy.gateways.mellat.client import MAX_ADDITIONAL_DATA, PASSWORD, TERMINAL_ID, USERNAME
from proxy.gateways.mellat.codes import (
    CANCELED,
    INVALID_SALE,
    NUMBER_USED,
    REVERSED,
    SALE_NOT_FOUND,
    SETTLED_BEFORE,
    SUCCESS,
    VERIFIED_BEFORE,
)
from proxy.gateways.mellat.forms import FINAL_AMOUNT, UNKNOWN_SALE
from proxy.gateways.mellat.soap import PATH, call_of, fault, response
from proxy.gateways.mellat.wsdl import wsdl
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.ledger import PAID_STATES, HostReturnMethod, Invoice, SimulatedTerminal, State
from proxy.gateways.simulation.locks import domain_allowed, ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply
from proxy.gateways.simulation.terms import BankFullError, StepResult

NO_FUNDS: Final = 12
NO_MERCHANT: Final = 21
WRONG_LOGIN: Final = 24
WRONG_AMOUNT: Final = 25
WRONG_FORMAT: Final = 32
SYSTEM_ERROR: Final = 34
WRONG_DATE: Final = 35
NOT_VERIFIED: Final = 44
WRONG_DOMAIN: Final = 62
SILENT_BANK: Final = 113
SESSION_OVER: Final = 415
WRONG_IP: Final = 421

_XML: Final = "text/xml"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_NAMES: Final = {
    GatewayOperation.REQUEST: "bpPayRequest",
    GatewayOperation.CHECK: "bpInquiryRequest",
    GatewayOperation.CONFIRM: "bpVerifyRequest",
    GatewayOperation.SETTLE: "bpSettleRequest",
    GatewayOperation.REVERSE: "bpReversalRequest",
}
_OPERATIONS: Final = {name: operation for operation, name in _NAMES.items()}
_TROUBLE: Final = (SYSTEM_ERROR, SYSTEM_ERROR, SILENT_BANK, SILENT_BANK, WRONG_IP)
_STEPS: Final = {
    StepResult.DONE: SUCCESS,
    StepResult.NOT_PAID: SALE_NOT_FOUND,
    StepResult.CANCELED: CANCELED,
    StepResult.NOT_CONFIRMED: NOT_VERIFIED,
    StepResult.TOO_LATE: REVERSED,
    StepResult.REVERSED: REVERSED,
}
_RES_CODES: Final = {State.OPEN: SESSION_OVER, State.CANCELED: CANCELED, State.FAILED: NO_FUNDS}
_STATES: Final = {State.PAID: NOT_VERIFIED, State.REVERSED: REVERSED}


class MellatSimulator(Dialect):
    """A terminal's main id is its `terminal_id`; its `credentials` are `username` and `password`."""

    family = FAMILY
    ways = ways_of(FAMILY.forms)
    sample: ClassVar[Mapping[str, str]] = {TERMINAL_ID: "1234567", USERNAME: "mellat-user", PASSWORD: "pass<w0rd>&'"}
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (NO_MERCHANT, WRONG_LOGIN, NUMBER_USED, WRONG_DOMAIN, *_TROUBLE),
        **dict.fromkeys(list(_NAMES)[1:], (WRONG_LOGIN, *_TROUBLE)),
    }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_post(f"{prefix}{PATH}", self._call_route)
        router.add_get(f"{prefix}{PATH}", self._wsdl_route)
        for page in ("startpay", "enstartpay"):
            self.add_pay_page(router, f"{prefix}/pgwchannel/{page}.mellat")

    def call(self, body: bytes, caller_ip: str) -> WireReply:
        """One SOAP call of any operation."""
        try:
            name, fields = call_of(body)
            operation = _OPERATIONS[name]
        except (Unclear, KeyError):
            return WireReply(fault("no such call").encode(), 500, _XML, code="fault")
        terminal_id = fields.get("terminalId", "")
        subject = f"{terminal_id}|{fields.get('callBackUrl')}"
        if operation is not GatewayOperation.REQUEST:
            sale = self._sale(fields)
            subject = fields.get("saleReferenceId", "") if isinstance(sale, int) else sale.invoice_key
        return self.answer(operation, subject, terminal_id, lambda _: self._said(operation, fields, caller_ip))

    def error(self, operation: GatewayOperation, code: int | None) -> WireReply:
        return _reply(operation, SYSTEM_ERROR if code is None else code)

    def return_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        paid = invoice.state in PAID_STATES
        params = {
            "RefId": invoice.invoice_key,
            "ResCode": str(_RES_CODES.get(invoice.state, SUCCESS)),
            "SaleOrderId": invoice.our_number,
            "SaleReferenceId": invoice.receipt or "0",
            "CardHolderPan": invoice.card_mask or "",
            "CreditCardSaleResponseDetail": "",
            "FinalAmount": str(invoice.money_rials) if paid else "0",
        }
        if self.way(FINAL_AMOUNT, terminal) == "missing":
            del params["FinalAmount"]
        return params

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        """A success for this very invoice with a made-up reference: its RefId and number are the customer's to know."""
        forged = {"ResCode": str(SUCCESS), "SaleReferenceId": self.bank.made_up_bank_code()}
        return self.return_params(invoice, terminal) | forged

    def return_method(self, _invoice: Invoice, _terminal: SimulatedTerminal) -> HostReturnMethod:
        return HostReturnMethod.POST

    def key_of(self, request: web.Request, form: Mapping[str, Any]) -> str:
        # The guide wants a POST; az-iranian-bank-gateways sends its customers by GET.
        return str(form.get("RefId") or request.query["RefId"])

    def page_fields(self, invoice: Invoice) -> Mapping[str, str]:
        return {"RefId": invoice.invoice_key}

    def _said(self, operation: GatewayOperation, fields: Mapping[str, str], caller_ip: str) -> WireReply:
        refused = self._refused(fields, caller_ip)
        if refused is not None:
            return _reply(operation, refused)
        if operation is GatewayOperation.REQUEST:
            issued = self._pay(self.bank.terminals[fields["terminalId"]], fields)
            return _reply(operation, issued) if isinstance(issued, int) else _issued(issued)
        sale = self._sale(fields)
        return _reply(operation, sale if isinstance(sale, int) else self._step(operation, sale))

    def _refused(self, fields: Mapping[str, str], caller_ip: str) -> int | None:
        terminal = self.terminal(fields.get("terminalId", ""))
        if terminal is None or not terminal.enabled:
            return NO_MERCHANT
        if not ip_allowed(terminal, caller_ip):
            return WRONG_IP
        login = {USERNAME: fields.get("userName"), PASSWORD: fields.get("userPassword")}
        wrong = any(terminal.credentials.get(name, told) != told for name, told in login.items())
        return WRONG_LOGIN if wrong else None

    def _pay(self, terminal: SimulatedTerminal, fields: Mapping[str, str]) -> Invoice | int:
        """A new invoice, or the code of the first refusal that applies."""
        amount_rials, return_url = parse_amount(fields.get("amount")), sendable_url(fields.get("callBackUrl"))
        number, data = fields.get("orderId", ""), fields.get("additionalData", "")
        if amount_rials is None:
            return WRONG_AMOUNT
        if return_url is None or not _NUMBER.fullmatch(number) or len(data) > MAX_ADDITIONAL_DATA:
            return WRONG_FORMAT
        refusals = {
            WRONG_DATE: not _is_time(f"{fields.get('localDate')} {fields.get('localTime')}"),
            WRONG_DOMAIN: not domain_allowed(terminal, return_url),
            NUMBER_USED: self.bank.numbered(terminal, number) is not None,
        }
        for code, applies in refusals.items():
            if applies:
                return code
        try:
            return self.bank.open(
                terminal, amount_rials, return_url, our_number=number, description=data, reference=_ref_id
            )
        except BankFullError:
            return SYSTEM_ERROR

    def _sale(self, fields: Mapping[str, str]) -> Invoice | int:
        """The payment that a call is about, or the code that there is none."""
        terminal = self.terminal(fields.get("terminalId", ""))
        sale = terminal and self.bank.receipted(terminal, fields.get("saleReferenceId", ""))
        if not sale:
            return int(self.way(UNKNOWN_SALE, terminal))
        return sale if sale.our_number == fields.get("saleOrderId") else SALE_NOT_FOUND

    def _step(self, operation: GatewayOperation, sale: Invoice) -> int:
        if operation is GatewayOperation.CHECK:
            return _STATES.get(self.bank.looked(sale).state, SUCCESS)
        bank = self.bank
        step: Callable[[str], Any] = {
            GatewayOperation.CONFIRM: bank.confirm,
            GatewayOperation.SETTLE: bank.settle,
            GatewayOperation.REVERSE: bank.reverse,
        }[operation]
        done = step(sale.invoice_key)
        if done.result is StepResult.BEFORE:
            return VERIFIED_BEFORE if operation is GatewayOperation.CONFIRM else SETTLED_BEFORE
        if operation is GatewayOperation.REVERSE and done.result is StepResult.TOO_LATE:
            return SETTLED_BEFORE if sale.state is State.CAPTURED else INVALID_SALE
        return _STEPS[done.result]

    async def _call_route(self, request: web.Request) -> web.StreamResponse:
        reply = self.call(await request.read(), request.remote or "")
        return await self.send(request, "soap", reply)

    async def _wsdl_route(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=wsdl(str(request.url.with_query(None))), content_type=_XML)


def _reply(operation: GatewayOperation, code: int) -> WireReply:
    return WireReply(response(_NAMES[operation], str(code)).encode(), content_type=_XML, code=str(code))


def _issued(invoice: Invoice) -> WireReply:
    text = f"{SUCCESS},{invoice.invoice_key}"
    return WireReply(response("bpPayRequest", text).encode(), content_type=_XML, code=str(SUCCESS))


def _ref_id(random: Random) -> str:
    """Twenty letters and digits: their case matters."""
    return "".join(random.choices("0123456789ABCDEFabcdef", k=20))


def _is_time(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y%m%d %H%M%S") is not None  # noqa: DTZ007  only its form matters
    except ValueError:
        return False
