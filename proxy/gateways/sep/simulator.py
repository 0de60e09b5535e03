"""SEP's simulator: the token request, the pay page that a form opens, VerifyTransaction and ReverseTransaction."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from aiohttp import web

from proxy.gateways.forms import ways_of
from proxy.gateways.sep import FAMILY
from proxy.gateways.sep.codes import CODES, NOT_FOUND, REPEATED, REVERSED, TOO_LATE
from proxy.gateways.sep.forms import AMOUNT_NAME, REPEATED_VERIFY
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.gateway import Truth
from proxy.gateways.simulation.ledger import PAID_STATES, HostReturnMethod, Invoice, SimulatedTerminal, State
from proxy.gateways.simulation.locks import ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import BankFullError, Step, StepResult, Terms, UnknownInvoiceError
from proxy.gateways.simulation.wire import named_fields
from proxy.locale.persian import tehran

_BAD_PARAMETERS: Final = 5
_WRONG_IP: Final = 8
_NO_TERMINAL: Final = 12
_DISABLED: Final = -104
_NO_SUCH_TERMINAL: Final = -105
_IP_NOT_ALLOWED: Final = -106
_OUT_OF_ORDER: Final = -1  # the guide has no code for it
_MAX_RES_NUM: Final = 50
_ABOUT_TERMINAL: Final = (_DISABLED, _NO_SUCH_TERMINAL, _IP_NOT_ALLOWED, _OUT_OF_ORDER)
_STATES: Final = {
    State.OPEN: ("SessionIsNull", "4"),
    State.CANCELED: ("CanceledByUser", "1"),
    State.FAILED: ("Failed", "3"),
}
_STEP_CODES: Final = {
    StepResult.DONE: 0,
    StepResult.BEFORE: REPEATED,
    StepResult.TOO_LATE: TOO_LATE,
    StepResult.REVERSED: REVERSED,
}


def receipt_of(number: str) -> str:
    """A RefNum of the bank's twelve digits. Like theirs it has characters that a URL or a form must escape."""
    return f"Gmsht+{number}/xS"


class SepSimulator(Dialect):
    """SEP's paths. An invoice's key is its Token, its receipt the RefNum, and its number the ResNum.

    As with theirs, one path takes the token request (JSON) and the customer's form, the names of a JSON body are read
    in any case, and a receipt that was verified before is told again, as code 2.
    """

    family = FAMILY
    ways = ways_of(FAMILY.forms)
    sample: ClassVar[Mapping[str, str]] = {"terminal_id": "13402001"}
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (_BAD_PARAMETERS, _WRONG_IP, _NO_TERMINAL, _OUT_OF_ORDER),
        GatewayOperation.CONFIRM: _ABOUT_TERMINAL,
        GatewayOperation.REVERSE: _ABOUT_TERMINAL,
    }

    def terms(self) -> Terms:
        return Terms.of(self.family.traits, receipt_of)

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        for path in ("/onlinepg/onlinepg", "/OnlinePG/OnlinePG", "/OnlinePG/SendToken"):
            self.add_pay_page(router, prefix + path)
        calls = f"{prefix}/verifyTxnRandomSessionkey/ipg"
        router.add_post(f"{calls}/VerifyTransaction", self._verify_route)
        router.add_post(f"{calls}/ReverseTransaction", self._reverse_route)

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """The token request: a Token, or the first refusal that applies. `fields` have names in lower case."""
        terminal_id = str(fields.get("terminalid", ""))
        subject = f"{terminal_id}|{fields.get('resnum')}"
        return self.answer(GatewayOperation.REQUEST, subject, terminal_id, lambda _: self._request(fields, caller_ip))

    def verify(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """VerifyTransaction, which captures. It may be repeated."""
        return self._about_receipt(GatewayOperation.CONFIRM, fields, caller_ip)

    def reverse(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """ReverseTransaction, of what was verified."""
        return self._about_receipt(GatewayOperation.REVERSE, fields, caller_ip)

    def error(self, operation: GatewayOperation, code: int | None) -> WireReply:
        code = _OUT_OF_ORDER if code is None else code
        return _refused(code) if operation is GatewayOperation.REQUEST else _result(code)

    def return_method(self, invoice: Invoice, _terminal: SimulatedTerminal) -> HostReturnMethod:
        return invoice.return_method or HostReturnMethod.POST

    def return_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        paid = invoice.state in PAID_STATES
        state, status = ("OK", "2") if paid else _STATES[invoice.state]
        return {
            "MID": "0",
            "TerminalId": terminal.api_key,
            "State": state,
            "Status": status,
            "Rrn": _rrn(invoice) if paid else "",
            "RefNum": invoice.receipt or "" if paid else "",
            "ResNum": invoice.our_number,
            "TraceNo": invoice.trace_number or "",
            "Amount": str(invoice.amount_rials),
            "AffectiveAmount": str(invoice.money_rials),
            "Wage": "",
            "SecurePan": invoice.card_mask or "",
            "Token": invoice.invoice_key,
        }

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        """A success of this invoice by the receipt of another that was captured, which anyone has who paid before."""
        other = self.bank.other_invoice(invoice.invoice_key, captured=True)
        terms = self.bank.terms_of(invoice)
        receipt = terms.receipt(self.bank.made_up_bank_code(terms)) if other is None else other.receipt
        return self.return_params(invoice, terminal) | {"State": "OK", "Status": "2", "RefNum": receipt or ""}

    def key_of(self, request: web.Request, form: Mapping[str, Any]) -> str:
        named = {name.lower(): str(value) for name, value in (*request.query.items(), *form.items())}
        return named["token"]

    def page_fields(self, invoice: Invoice) -> Mapping[str, str]:
        return {"Token": invoice.invoice_key}

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The pay page, or the token request. A form with GetMethod has the customer come back by GET."""
        if fields := await named_fields(request):
            return await self.send(request, "token", self.request(fields, request.remote or ""))
        form = await request.post()
        if str(form.get("GetMethod", "")).lower() == "true":
            with suppress(UnknownInvoiceError, KeyError):
                self.bank.choose_return(self.bank.invoice(self.key_of(request, form)), HostReturnMethod.GET)
        return await super().page(request)

    def _request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        terminal = self.terminal(fields.get("terminalid"))
        if terminal is None or not terminal.enabled:
            return _refused(_NO_TERMINAL)
        if not ip_allowed(terminal, caller_ip):
            return _refused(_WRONG_IP)
        amount_rials, return_url = parse_amount(fields.get("amount")), sendable_url(fields.get("redirecturl"))
        res_num = str(fields.get("resnum") or "")
        named = str(fields.get("action", "")).lower() == "token" and 0 < len(res_num) <= _MAX_RES_NUM
        if not named or amount_rials is None or return_url is None:
            return _refused(_BAD_PARAMETERS)
        try:
            invoice = self.bank.open(terminal, amount_rials, return_url, our_number=res_num)
        except BankFullError:
            return _refused(_OUT_OF_ORDER)
        return plain({"status": 1, "token": invoice.invoice_key}, code=1)

    def _about_receipt(self, operation: GatewayOperation, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        ref_num, terminal_id = str(fields.get("refnum", "")), str(fields.get("terminalnumber", ""))
        terminal = self.terminal(terminal_id)
        invoice = None if terminal is None else self.bank.receipted(terminal, ref_num)

        def work(truth: Truth) -> WireReply:
            if terminal is None:
                return _result(_NO_SUCH_TERMINAL)
            if not terminal.enabled or not ip_allowed(terminal, caller_ip):
                return _result(_IP_NOT_ALLOWED if terminal.enabled else _DISABLED)
            if invoice is None:
                return _result(NOT_FOUND)
            does = self.bank.confirm if operation is GatewayOperation.CONFIRM else self.bank.reverse
            step = does(invoice.invoice_key)
            told = None if self._is_bare(terminal, step) else truth(step.invoice)
            return _result(_STEP_CODES.get(step.result, NOT_FOUND), told, self.way(AMOUNT_NAME, terminal))

        return self.answer(operation, ref_num if invoice is None else invoice.invoice_key, terminal_id, work)

    def _is_bare(self, terminal: SimulatedTerminal, step: Step) -> bool:
        return step.result is StepResult.BEFORE and self.way(REPEATED_VERIFY, terminal) == "bare"

    async def _verify_route(self, request: web.Request) -> web.StreamResponse:
        fields = await named_fields(request)
        reply = self.verify(fields, request.remote or "")
        return await self.send(request, f"verify {fields.get('refnum')}", reply)

    async def _reverse_route(self, request: web.Request) -> web.StreamResponse:
        fields = await named_fields(request)
        reply = self.reverse(fields, request.remote or "")
        return await self.send(request, f"reverse {fields.get('refnum')}", reply)


def _refused(code: int) -> WireReply:
    return plain({"status": -1, "errorCode": str(code), "errorDesc": _words(code)}, code=code)


def _result(code: int, invoice: Invoice | None = None, amount_name: str = "OrginalAmount") -> WireReply:
    """An answer of the verify service; the details of a receipt come with a success and its repetition."""
    detail = None if invoice is None or code not in {0, REPEATED} else _detail(invoice, amount_name)
    answer = {"TransactionDetail": detail, "ResultCode": code, "ResultDescription": _words(code)}
    return plain(answer | {"Success": detail is not None}, code=code)


def _detail(invoice: Invoice, amount_name: str) -> dict[str, Any]:
    paid_at = datetime.fromtimestamp((invoice.paid_at or 0) // 1000, UTC).astimezone(tehran())
    return {
        "RRN": _rrn(invoice),
        "RefNum": invoice.receipt,
        "MaskedPan": invoice.card_mask,
        "HashedPan": "",
        "TerminalNumber": int(invoice.api_key),
        amount_name: invoice.amount_rials,
        "AffectiveAmount": invoice.money_rials,
        "StraceDate": f"{paid_at:%Y-%m-%d %H:%M:%S}",
        "StraceNo": invoice.trace_number,
    }


def _rrn(invoice: Invoice) -> str:
    return "".join(filter(str.isdigit, invoice.receipt or ""))


def _words(code: int) -> str:
    return CODES[code].words if code in CODES else ""
