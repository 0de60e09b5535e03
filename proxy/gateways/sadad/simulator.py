"""Sadad's simulator: PaymentRequest, the pay page, Advice/Verify, and the signature of each call."""

import hmac
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar, Final

from aiohttp import web

from proxy.gateways.forms import ways_of
from proxy.gateways.sadad import FAMILY
from proxy.gateways.sadad.client import KEY, MERCHANT_ID, sign_data
from proxy.gateways.sadad.codes import CODES, FAILED, REVERSED, TOO_LATE
from proxy.gateways.sadad.forms import REPEATED_NUMBERS, REPEATED_VERIFY, RETURN_TOKEN
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.gateway import Truth
from proxy.gateways.simulation.ledger import PAID_STATES, HostReturnMethod, Invoice, SimulatedTerminal
from proxy.gateways.simulation.locks import domain_allowed, ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import BankFullError, StepResult, UnknownInvoiceError
from proxy.gateways.simulation.wire import named_fields
from proxy.kernel.clock import HOUR
from proxy.locale.persian import tehran

_WRONG_IP: Final = 1003
_REPEATED_ORDER: Final = 1011
_WRONG_CLOCK: Final = 1018
_DISABLED: Final = 1020
_BAD_RETURN_URL: Final = 1023
_NO_TIME: Final = 1024
_BAD_SIGNATURE: Final = 1025
_BAD_ORDER: Final = 1026
_WRONG_MERCHANT: Final = 1027
_WRONG_TERMINAL: Final = 1028
_WRONG_DOMAIN: Final = 1030
_OUT_OF_ORDER: Final = 1056
_BAD_AMOUNT: Final = 1101
_VERIFIED_BEFORE: Final = 100
_STEP_CODES: Final = {
    StepResult.DONE: 0,
    StepResult.TOO_LATE: TOO_LATE,
    StepResult.REVERSED: REVERSED,
}
CLOCK_TOLERANCE: Final = 12 * HOUR
"""Sadad's own is not documented. This one lets clients pass that write the time of another zone, and no other day."""
_TIMES: Final = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S %p", "%m/%d/%Y %H:%M:%S")


class SadadSimulator(Dialect):
    """Sadad's paths, with `/VPG` before them and without. An invoice's key is its Token, and its number the OrderId.

    A terminal's main id is its terminal_id; `credentials` have merchant_id and key. As with theirs, the names of a JSON
    body are read in any case. The return has `token` in small letters, which their own sample in PHP reads, unless the
    terminal is set otherwise.
    """

    family = FAMILY
    ways = ways_of(FAMILY.forms)
    sample: ClassVar[Mapping[str, str]] = {
        "terminal_id": "24001234",
        "merchant_id": "140212345",
        "key": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY",
    }
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (_WRONG_IP, _DISABLED, _WRONG_DOMAIN, _OUT_OF_ORDER, _OUT_OF_ORDER),
        GatewayOperation.CONFIRM: (_WRONG_IP, _BAD_SIGNATURE, _OUT_OF_ORDER, _OUT_OF_ORDER),
    }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        for base in (prefix, f"{prefix}/VPG", f"{prefix}/vpg"):
            router.add_post(f"{base}/api/v0/Request/PaymentRequest", self._request_route)
            router.add_post(f"{base}/api/v0/Advice/Verify", self._verify_route)
            self.add_pay_page(router, f"{base}/Purchase")
            self.add_pay_page(router, f"{base}/Purchase/Index")

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """PaymentRequest: a Token, or the first refusal that applies. `fields` have names in lower case."""
        terminal_id = str(fields.get("terminalid", ""))
        subject = f"{terminal_id}|{fields.get('orderid')}"
        return self.answer(GatewayOperation.REQUEST, subject, terminal_id, lambda _: self._request(fields, caller_ip))

    def verify(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """Advice/Verify, which captures. It may be repeated."""
        token = str(fields.get("token", ""))
        terminal_id = ""
        with suppress(UnknownInvoiceError):
            terminal_id = self.bank.invoice(token).api_key

        def work(truth: Truth) -> WireReply:
            terminal = self.terminal(terminal_id)
            if terminal is None:
                return _answered(FAILED)
            code = _caller_refused(terminal, caller_ip)
            if code is None and not _is_signed(terminal, token, fields):
                code = _BAD_SIGNATURE
            if code is not None:
                return _answered(code)
            step = self.bank.confirm(token)
            if step.result is StepResult.BEFORE:
                return self._repeated(terminal, truth(step.invoice))
            return _answered(_STEP_CODES.get(step.result, FAILED), truth(step.invoice))

        return self.answer(GatewayOperation.CONFIRM, token, terminal_id, work)

    def _repeated(self, terminal: SimulatedTerminal, invoice: Invoice) -> WireReply:
        """The answer to a verify of what was verified before."""
        name, bare = self.way(REPEATED_VERIFY, terminal), self.way(REPEATED_NUMBERS, terminal) == "bare"
        answer = {"ResCode": name if name == "010" else int(name), "Description": CODES[_VERIFIED_BEFORE].words}
        return plain(answer if bare else answer | _numbers(invoice), code=name)

    def error(self, _operation: GatewayOperation, code: int | None) -> WireReply:
        return _answered(_OUT_OF_ORDER if code is None else code)

    def return_method(self, _invoice: Invoice, _terminal: SimulatedTerminal) -> HostReturnMethod:
        return HostReturnMethod.POST

    def return_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        paid = invoice.state in PAID_STATES
        return {
            "PrimaryAccNo": invoice.card_mask or "",
            "HashedCardNo": "",
            "OrderId": invoice.our_number,
            "SwitchResCode": "00" if paid else "",
            "ResCode": "0" if paid else "-1",
            self.way(RETURN_TOKEN, terminal): invoice.invoice_key,
            "CardHolderFullName": "",
        }

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        """A success of this invoice, whoever paid."""
        return self.return_params(invoice, terminal) | {"ResCode": "0", "SwitchResCode": "00"}

    def key_of(self, request: web.Request, form: Mapping[str, Any]) -> str:
        named = {name.lower(): str(value) for name, value in (*request.query.items(), *form.items())}
        return named["token"]

    def _request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        terminal = self.terminal(fields.get("terminalid"))
        amount_rials, order_id = parse_amount(fields.get("amount")), parse_amount(fields.get("orderid"), least=1)
        return_url = sendable_url(fields.get("returnurl"))
        code = _WRONG_TERMINAL if terminal is None else self._terminal_refused(terminal, fields, caller_ip)
        if code is None and amount_rials is None:
            code = _BAD_AMOUNT
        if code is None and order_id is None:
            code = _BAD_ORDER
        if code is None and return_url is None:
            code = _BAD_RETURN_URL
        if code is not None or terminal is None or amount_rials is None or order_id is None or return_url is None:
            return _answered(code or _WRONG_TERMINAL)
        if not _is_signed(terminal, f"{terminal.api_key};{order_id};{amount_rials}", fields):
            return _answered(_BAD_SIGNATURE)
        if not domain_allowed(terminal, return_url):
            return _answered(_WRONG_DOMAIN)
        if self.bank.numbered(terminal, str(order_id)) is not None:
            return _answered(_REPEATED_ORDER)
        try:
            invoice = self.bank.open(terminal, amount_rials, return_url, our_number=str(order_id))
        except BankFullError:
            return _answered(_OUT_OF_ORDER)
        return plain({"ResCode": 0, "Token": invoice.invoice_key, "Description": ""}, code=0)

    def _terminal_refused(self, terminal: SimulatedTerminal, fields: Mapping[str, Any], caller_ip: str) -> int | None:
        code = _caller_refused(terminal, caller_ip)
        if code is None and str(fields.get("merchantid")) != terminal.credentials.get(MERCHANT_ID):
            code = _WRONG_MERCHANT
        if code is not None:
            return code
        named = _milliseconds(str(fields.get("localdatetime", "")))
        if named is None:
            return _NO_TIME
        return None if abs(named - self.bank.now()) <= CLOCK_TOLERANCE else _WRONG_CLOCK

    async def _request_route(self, request: web.Request) -> web.StreamResponse:
        fields = await named_fields(request)
        reply = self.request(fields, request.remote or "")
        return await self.send(request, f"request {fields.get('orderid')}", reply)

    async def _verify_route(self, request: web.Request) -> web.StreamResponse:
        fields = await named_fields(request)
        reply = self.verify(fields, request.remote or "")
        return await self.send(request, f"verify {fields.get('token')}", reply)


def _caller_refused(terminal: SimulatedTerminal, caller_ip: str) -> int | None:
    if not terminal.enabled:
        return _DISABLED
    return None if ip_allowed(terminal, caller_ip) else _WRONG_IP


def _is_signed(terminal: SimulatedTerminal, text: str, fields: Mapping[str, Any]) -> bool:
    try:
        ours = sign_data(terminal.credentials.get(KEY, ""), text)
    except ValueError:
        return False  # a terminal that was set up without a key
    return hmac.compare_digest(str(fields.get("signdata", "")).encode(), ours.encode())


def _milliseconds(text: str) -> int | None:
    """The time that a LocalDateTime names in Tehran; None for a text that is none."""
    for form in _TIMES:
        with suppress(ValueError):
            return round(datetime.strptime(text, form).replace(tzinfo=tehran()).timestamp() * 1000)
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=tehran())).timestamp() * 1000)
    return None


def _answered(code: int, invoice: Invoice | None = None) -> WireReply:
    """An answer; the numbers of a payment come with a success."""
    answer: dict[str, Any] = {"ResCode": code, "Description": CODES[code].words if code in CODES else ""}
    if invoice is not None and code == 0:
        answer |= _numbers(invoice)
    return plain(answer, code=code)


def _numbers(invoice: Invoice) -> dict[str, Any]:
    return {
        "Amount": invoice.money_rials,
        "RetrivalRefNo": invoice.receipt,
        "SystemTraceNo": invoice.trace_number,
        "OrderId": int(invoice.our_number),
    }
