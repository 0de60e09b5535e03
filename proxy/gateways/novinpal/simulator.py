"""NovinPal's simulator: `invoice/request`, `invoice/start` and `invoice/verify`.

Where the invoice script is simulated, too, its `invoice/request` gives the calls of NovinPal's terminals to this one.
What `verify` says to an unpaid invoice is the likeliest: `status` -1 while it is open, 0 after a cancel, -2 once the
money went back. Money that nobody confirms stays, since nothing is documented.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, ClassVar, Final

from aiohttp import web

from proxy.gateways.forms import ways_of
from proxy.gateways.invoice_script.wire import API_KEY
from proxy.gateways.novinpal import FAMILY
from proxy.gateways.novinpal.codes import CODES
from proxy.gateways.novinpal.forms import ERROR_STATUS, SUCCESS_STATUS
from proxy.gateways.shop_calls import parse_fields
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.gateway import Truth
from proxy.gateways.simulation.ledger import PAID_STATES, Invoice, SimulatedTerminal
from proxy.gateways.simulation.locks import domain_allowed, ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import BankFullError, StepResult
from proxy.http.forms import UnreadableForm

WRONG_IP: Final = 101
WRONG_DOMAIN: Final = 103
PROVIDER_ERROR: Final = 104
SERVER_ERROR: Final = 108
WRONG_AMOUNT: Final = 110
WRONG_KEY: Final = 111
DISABLED: Final = 116

_REFUSED: Final = 400
_NOT_FOUND: Final = 404
_TROUBLE: Final = (WRONG_IP, PROVIDER_ERROR, SERVER_ERROR, SERVER_ERROR, DISABLED)
_UNPAID: Final = {StepResult.NOT_PAID: -1, StepResult.CANCELED: 0, StepResult.REVERSED: -2, StepResult.TOO_LATE: -2}


class NovinPalSimulator(Dialect):
    """A terminal's main id is its api_key."""

    family = FAMILY
    ways = ways_of(FAMILY.forms)
    sample: ClassVar[Mapping[str, str]] = {API_KEY: "novinpal-key-of-the-simulator"}
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (WRONG_KEY, WRONG_DOMAIN, *_TROUBLE),
        GatewayOperation.CONFIRM: (WRONG_KEY, *_TROUBLE),
    }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        router.add_post(f"{prefix}/invoice/request", self._request_route)
        router.add_post(f"{prefix}/invoice/verify", self._verify_route)
        self.add_pay_page(router, f"{prefix}/invoice/start/{{invoice_key}}")
        self.gateway.invoice_requests[self.family.name] = self.request

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`POST invoice/request`: a refId, or the first refusal that applies."""
        api_key = str(fields.get("api_key", ""))
        subject = f"{api_key}|{fields.get('return_url')}"
        reply = self.answer(GatewayOperation.REQUEST, subject, api_key, lambda _: self._request(fields, caller_ip))
        return self._spoken(api_key, reply)

    def verify(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`POST invoice/verify`: captures a paid invoice, and tells the same again when it is repeated."""
        ref_id, api_key = str(fields.get("ref_id", "")), str(fields.get("api_key", ""))
        reply = self.answer(
            GatewayOperation.CONFIRM, ref_id, api_key, lambda truth: self._verify(ref_id, fields, caller_ip, truth)
        )
        return self._spoken(api_key, reply)

    def _spoken(self, api_key: str, reply: WireReply) -> WireReply:
        """An answer as the terminal's host writes its errors."""
        with_200 = reply.status == _REFUSED and self.way(ERROR_STATUS, self.terminal(api_key)) == "200"
        return replace(reply, status=200) if with_200 else reply

    def error(self, _operation: GatewayOperation, code: int | None) -> WireReply:
        return _refusal(SERVER_ERROR if code is None else code)

    def return_params(self, invoice: Invoice, _terminal: SimulatedTerminal) -> dict[str, str]:
        return {
            "success": "1" if invoice.state in PAID_STATES else "0",
            "refId": invoice.invoice_key,
            "invoiceNumber": invoice.our_number,
            "amount": str(invoice.money_rials),
        }

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        return self.return_params(invoice, terminal) | {"success": "1"}

    def _refused(self, fields: Mapping[str, Any], caller_ip: str) -> int | None:
        terminal = self.terminal(fields.get("api_key", ""))
        if terminal is None:
            return WRONG_KEY
        if not ip_allowed(terminal, caller_ip):
            return WRONG_IP
        return None if terminal.enabled else DISABLED

    def _request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        refused = self._refused(fields, caller_ip)
        amount_rials = parse_amount(fields.get("amount"), FAMILY.traits.min_rials)
        return_url = sendable_url(fields.get("return_url"))
        if refused is not None:
            return _refusal(refused)
        if amount_rials is None:
            return _refusal(WRONG_AMOUNT)
        terminal = self.bank.terminals[str(fields["api_key"])]
        if return_url is None or not domain_allowed(terminal, return_url):
            return _refusal(WRONG_DOMAIN)
        number, words = str(fields.get("order_id", "")), str(fields.get("description", ""))
        try:
            invoice = self.bank.open(
                terminal, amount_rials, return_url, our_number=number, description=words, reference=_ref_id
            )
        except BankFullError:
            return _refusal(SERVER_ERROR)
        return plain({"status": 1, "refId": invoice.invoice_key}, code=1)

    def _verify(self, ref_id: str, fields: Mapping[str, Any], caller_ip: str, truth: Truth) -> WireReply:
        refused = self._refused(fields, caller_ip)
        if refused is not None:
            return _refusal(refused)
        terminal = self.bank.terminals[str(fields["api_key"])]
        if self.bank.invoice_of(terminal, ref_id) is None:
            return plain({"status": 0, "errorDescription": "تراکنش یافت نشد"}, code=0, status=_NOT_FOUND)
        step = self.bank.confirm(ref_id)
        if step.result in _UNPAID:
            return plain({"status": _UNPAID[step.result]}, code=_UNPAID[step.result])
        told = truth(step.invoice)
        return plain(
            {
                "status": int(self.way(SUCCESS_STATUS, terminal)),
                "refId": told.invoice_key,
                "amount": told.money_rials,
                "refNumber": told.receipt,
                "cardNumber": told.card_mask,
                "orderId": told.our_number,
                "description": told.description,
                "paidAt": told.paid_at,
                "verifiedBefore": step.result is StepResult.BEFORE,
            },
            code=1,
        )

    async def _request_route(self, request: web.Request) -> web.StreamResponse:
        reply = self.request(await _fields(request), request.remote or "")
        return await self.send(request, "request", reply)

    async def _verify_route(self, request: web.Request) -> web.StreamResponse:
        reply = self.verify(await _fields(request), request.remote or "")
        return await self.send(request, "verify", reply)


def _refusal(code: int) -> WireReply:
    words = CODES[code].words if code in CODES else "خطای ناشناخته"
    return plain({"status": 0, "errorCode": code, "errorDescription": words}, code=code, status=_REFUSED)


def _ref_id(random: Random) -> str:
    return str(random.randrange(10**9, 10**10))


async def _fields(request: web.Request) -> dict[str, Any]:
    try:
        return parse_fields(await request.read(), request.headers.get("Content-Type", ""))
    except UnreadableForm:
        return {}
