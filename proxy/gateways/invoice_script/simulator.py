"""The invoice script's simulator: `invoice/request`, `invoice/check`, its pay page and its return."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from aiohttp import web

from proxy.gateways.invoice_script import FAMILY
from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.invoice_script.wire import ReturnUrlsDiffer, refusal, return_url_of
from proxy.gateways.shop_calls import parse_fields
from proxy.gateways.simulation.bank import TEST_CARD
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.gateway import Truth
from proxy.gateways.simulation.ledger import Invoice, SimulatedTerminal, State
from proxy.gateways.simulation.locks import domain_allowed, ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import BankFullError, Terms
from proxy.gateways.simulation.wire import play
from proxy.http.forms import UnreadableForm

_UNKNOWN = 999
_COMMON = (
    Code.WRONG_DOMAIN,
    Code.WRONG_IP,
    Code.BANK_UNREACHABLE,
    Code.BANK_UNREACHABLE,
    Code.TERMINAL_DISABLED,
    _UNKNOWN,
)


class ReturnExtra(StrEnum):
    """The parameters that some hosts add to the return beside invoice_key."""

    STATUS = "status"
    BANK_CODE = "bank_code"
    CARD_NUMBER = "card_number"


class InvoiceScriptSimulator(Dialect):
    """The script's paths; what a customer pays is captured at once, however old the link is."""

    family = FAMILY
    sample: ClassVar[Mapping[str, str]] = {"api_key": "sample-api-key"}
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (Code.WRONG_KEY, *_COMMON),
        GatewayOperation.CHECK: (Code.WRONG_KEY, Code.UNKNOWN_INVOICE, Code.NOT_PAID, Code.CANCELED, *_COMMON),
    }
    return_extras = frozenset(ReturnExtra)

    def terms(self) -> Terms:
        return Terms()

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        for path in _paths(prefix, "request"):
            router.add_route("*", path, self._request_route)
        for path in _paths(prefix, "check", "{invoice_key}"):
            router.add_route("*", path, self._check_route)
        for path in _paths(prefix, "pay", "{invoice_key}"):
            self.add_pay_page(router, path)

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`POST invoice/request`: an invoice_key, or the first refusal that applies."""
        api_key = str(fields.get("api_key", ""))
        # The invoice does not exist yet; the shop's return_url names the call, as it is one per payment.
        subject = f"{api_key}|{fields.get('return_url')}"
        return self.answer(GatewayOperation.REQUEST, subject, api_key, lambda _: self._request(fields, caller_ip))

    def check(self, invoice_key: str, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`POST invoice/check/{invoice_key}`: the amount and bank_code of a captured invoice, or why not.

        It may be repeated.
        """
        return self.answer(
            GatewayOperation.CHECK,
            invoice_key,
            str(fields.get("api_key", "")),
            lambda truth: self._check(invoice_key, fields, caller_ip, truth),
        )

    def error(self, _operation: GatewayOperation, code: int | None) -> WireReply:
        return _refused(Code.BANK_UNREACHABLE if code is None else code)

    def return_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
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

    def forged_params(self, invoice: Invoice, _terminal: SimulatedTerminal) -> dict[str, str]:
        other = self.bank.other_invoice(invoice.invoice_key, captured=False)
        key = other.invoice_key if other else "0" * len(invoice.invoice_key)
        return {"invoice_key": key, "status": "0", "bank_code": self.bank.made_up_bank_code()}

    def _request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        terminal = self.terminal(fields.get("api_key", ""))
        amount_rials = parse_amount(fields.get("amount"))
        try:
            return_url = sendable_url(return_url_of(fields))
        except ReturnUrlsDiffer:
            return_url = None
        code = _caller_refused(terminal, caller_ip)
        if code is None and amount_rials is None:
            code = Code.WRONG_AMOUNT
        if code is None and return_url is None:
            code = Code.NO_RETURN_URL
        if code is not None or terminal is None or amount_rials is None or return_url is None:
            return _refused(code or Code.WRONG_KEY)
        if not domain_allowed(terminal, return_url):
            return _refused(Code.WRONG_DOMAIN)
        try:
            invoice = self.bank.open(terminal, amount_rials, return_url)
        except BankFullError:
            return _refused(Code.BANK_UNREACHABLE)
        return plain({"status": 1, "invoice_key": invoice.invoice_key}, code=1)

    def _check(self, invoice_key: str, fields: Mapping[str, Any], caller_ip: str, truth: Truth) -> WireReply:
        terminal = self.terminal(fields.get("api_key", ""))
        code = _caller_refused(terminal, caller_ip)
        if code is not None or terminal is None:
            return _refused(code or Code.WRONG_KEY)
        invoice = self.bank.invoice_of(terminal, invoice_key)
        if invoice is None:
            return _refused(Code.UNKNOWN_INVOICE)
        invoice = self.bank.looked(invoice)
        if not domain_allowed(terminal, invoice.return_url):
            return _refused(Code.WRONG_DOMAIN)
        if invoice.state is State.CAPTURED:
            told = truth(invoice)
            return plain({"status": 1, "amount": told.money_rials, "bank_code": told.bank_code or ""}, code=1)
        return _refused(Code.NOT_PAID if invoice.state is State.OPEN else Code.CANCELED)

    async def _request_route(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await play(request, _refused(Code.NOT_POST))
        fields = await _fields(request)
        terminal = self.bank.terminals.get(str(fields.get("api_key", "")))
        request_of = self.gateway.invoice_requests.get("" if terminal is None else terminal.family, self.request)
        return await self.send(request, "request", request_of(fields, request.remote or ""))

    async def _check_route(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await play(request, _refused(Code.NOT_POST))
        invoice_key = request.match_info["invoice_key"]
        reply = self.check(invoice_key, await _fields(request), request.remote or "")
        return await self.send(request, f"check {invoice_key}", reply)


def _refused(code: int) -> WireReply:
    return plain(refusal(code), code=int(code))


def _caller_refused(terminal: SimulatedTerminal | None, caller_ip: str) -> Code | None:
    if terminal is None:
        return Code.WRONG_KEY
    if not terminal.enabled:
        return Code.TERMINAL_DISABLED
    return None if ip_allowed(terminal, caller_ip) else Code.WRONG_IP


def _paths(prefix: str, *parts: str) -> tuple[str, str]:
    """A path of the script as it should be, and with slashes doubled or behind it, as shops put addresses together."""
    names = [*prefix.strip("/").split("/"), "invoice", *parts] if prefix else ["invoice", *parts]
    slashes = [f"{{slashes{number}:/+}}" for number in range(1, len(names))]
    lenient = "".join(name + mark for name, mark in zip(names, [*slashes, "{last:/*}"], strict=True))
    return "/" + "/".join(names), "/{first:/*}" + lenient


async def _fields(request: web.Request) -> dict[str, object]:
    try:
        return parse_fields(await request.read(), request.headers.get("Content-Type", ""))
    except UnreadableForm:
        return {}
