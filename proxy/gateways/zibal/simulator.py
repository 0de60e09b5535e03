"""Zibal's simulator: request, the start page, verify and inquiry."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, ClassVar, Final

from aiohttp import web

from proxy.gateways.forms import ways_of
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.gateway import Truth
from proxy.gateways.simulation.ledger import PAID_STATES, HostReturnMethod, Invoice, SimulatedTerminal, State
from proxy.gateways.simulation.locks import domain_allowed, ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import BankFullError, StepResult
from proxy.gateways.simulation.wire import json_fields
from proxy.gateways.zibal import FAMILY
from proxy.gateways.zibal.client import MERCHANT
from proxy.gateways.zibal.codes import (
    BAD_CALLBACK,
    BAD_FEE_MODE,
    CANCELED,
    CODES,
    INACTIVE,
    INTERNAL_ERROR,
    NO_MERCHANT,
    NOT_PAID,
    PAID,
    PAID_AND_VERIFIED,
    REFUNDED,
    REVERSED,
    SUCCESS,
    TOO_LARGE,
    TOO_SMALL,
    UNKNOWN_TRACK_ID,
    VERIFIED_BEFORE,
    WAITING,
    WRONG_IP,
)
from proxy.gateways.zibal.forms import REF_NUMBER, REPEATED_VERIFY
from proxy.locale.persian import tehran

_STATUSES: Final = {
    State.OPEN: WAITING,
    State.PAID: PAID,
    State.CAPTURED: PAID_AND_VERIFIED,
    State.CANCELED: CANCELED,
    State.FAILED: 5,
}
_ABOUT_TERMINAL: Final = (INACTIVE, WRONG_IP, INTERNAL_ERROR, INTERNAL_ERROR)


class ZibalSimulator(Dialect):
    """Zibal's paths. An invoice's key is its trackId, and its number the orderId.

    A terminal's main id is its merchant. Money that nobody verified is reversed (18), and money that was given back
    after the verify is refunded (15). A repeated verify tells the payment's numbers to those who ask for them by
    dataOnDoubleVerify, where the host knows that.
    """

    family = FAMILY
    ways = ways_of(FAMILY.forms)
    sample: ClassVar[Mapping[str, str]] = {MERCHANT: "5c9c7d3718f93461a4f2a0b1"}
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (BAD_CALLBACK, *_ABOUT_TERMINAL),
        GatewayOperation.CHECK: _ABOUT_TERMINAL,
        GatewayOperation.CONFIRM: _ABOUT_TERMINAL,
    }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        calls = {"request": self.request, "verify": self.verify, "inquiry": self.inquiry}
        for name, call in calls.items():
            router.add_post(f"{prefix}/v1/{name}", self._route(name, call))
        for end in ("", "/direct"):
            self.add_pay_page(router, f"{prefix}/start/{{invoice_key}}{end}")

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`request`: a trackId, or the first refusal that applies."""
        merchant = str(fields.get("merchant", ""))
        # The trackId does not exist yet; the shop's callbackUrl names the call, as it is one per payment.
        subject = f"{merchant}|{fields.get('callbackUrl')}"
        return self.answer(GatewayOperation.REQUEST, subject, merchant, lambda _: self._request(fields, caller_ip))

    def inquiry(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`inquiry`, which captures nothing."""

        def work(truth: Truth, invoice: Invoice) -> WireReply:
            told = truth(self.bank.looked(invoice))
            dates = {"createdAt": told.created_at, "verifiedAt": told.confirmed_at}
            shown = {name: None if at is None else _date(at) for name, at in dates.items()}
            return _answered(SUCCESS, self._numbers(told) | shown | {"wage": 0, "multiplexingInfos": []})

        return self._about(GatewayOperation.CHECK, fields, caller_ip, work)

    def verify(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """`verify`, which captures. It takes no amount, and may be repeated."""

        def work(truth: Truth, invoice: Invoice) -> WireReply:
            step = self.bank.confirm(invoice.invoice_key)
            if step.result is StepResult.DONE:
                return _answered(SUCCESS, self._numbers(truth(step.invoice)))
            if step.result is StepResult.BEFORE:
                knows = self.way(REPEATED_VERIFY, self.bank.terminal_of(invoice)) == "numbers"
                asked = knows and fields.get("dataOnDoubleVerify") is True
                return _answered(VERIFIED_BEFORE, self._numbers(truth(step.invoice)) if asked else {})
            return _answered(NOT_PAID)

        return self._about(GatewayOperation.CONFIRM, fields, caller_ip, work)

    def error(self, _operation: GatewayOperation, code: int | None) -> WireReply:
        return _answered(INTERNAL_ERROR if code is None else code)

    def return_method(self, _invoice: Invoice, _terminal: SimulatedTerminal) -> HostReturnMethod:
        return HostReturnMethod.GET

    def return_params(self, invoice: Invoice, _terminal: SimulatedTerminal) -> dict[str, str]:
        success = "1" if invoice.state in PAID_STATES else "0"
        params = {"trackId": invoice.invoice_key, "success": success, "status": str(_status(invoice))}
        return params | ({"orderId": invoice.our_number} if invoice.our_number else {})

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        """A success of this invoice, whoever paid."""
        return self.return_params(invoice, terminal) | {"success": "1", "status": str(PAID)}

    def _request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        terminal = self.terminal(fields.get("merchant"))
        code = _caller_refused(terminal, caller_ip)
        amount_rials, return_url = parse_amount(fields.get("amount")), sendable_url(fields.get("callbackUrl"))
        if code is None and amount_rials is None:
            code = TOO_SMALL
        if code is None and return_url is None:
            code = BAD_CALLBACK
        if code is not None or terminal is None or amount_rials is None or return_url is None:
            return _answered(code or NO_MERCHANT)
        if amount_rials > FAMILY.traits.max_rials:
            return _answered(TOO_LARGE)
        if not domain_allowed(terminal, return_url):
            return _answered(BAD_CALLBACK)
        if type(fields.get("feeMode", 0)) is not int:
            return _answered(BAD_FEE_MODE)
        try:
            invoice = self.bank.open(
                terminal,
                amount_rials,
                return_url,
                our_number=str(fields.get("orderId") or ""),
                description=str(fields.get("description") or ""),
                reference=_track_id,
            )
        except BankFullError:
            return _answered(INTERNAL_ERROR)
        return _answered(SUCCESS, {"trackId": int(invoice.invoice_key)})

    def _numbers(self, invoice: Invoice) -> dict[str, Any]:
        numbers = _numbers(invoice)
        if self.way(REF_NUMBER, self.bank.terminal_of(invoice)) == "text":
            numbers["refNumber"] = invoice.receipt
        return numbers

    def _about(
        self,
        operation: GatewayOperation,
        fields: Mapping[str, Any],
        caller_ip: str,
        work: Callable[[Truth, Invoice], WireReply],
    ) -> WireReply:
        """The answer to a call about a trackId of the caller's. It may be written as a text, as some clients do."""
        merchant, track_id = str(fields.get("merchant", "")), str(fields.get("trackId", ""))

        def checked(truth: Truth) -> WireReply:
            terminal = self.terminal(merchant)
            code = _caller_refused(terminal, caller_ip)
            if code is not None or terminal is None:
                return _answered(code or NO_MERCHANT)
            invoice = self.bank.invoice_of(terminal, track_id)
            return _answered(UNKNOWN_TRACK_ID) if invoice is None else work(truth, invoice)

        return self.answer(operation, track_id, merchant, checked)

    def _route(
        self, name: str, call: Callable[[Mapping[str, Any], str], WireReply]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def route(request: web.Request) -> web.StreamResponse:
            fields = await json_fields(request)
            reply = call(fields, request.remote or "")
            return await self.send(request, f"{name} {fields.get('trackId', '')}".rstrip(), reply)

        return route


def _track_id(random: Random) -> str:
    return str(random.randrange(10**13, 10**14))


def _status(invoice: Invoice) -> int:
    if invoice.state is State.REVERSED:
        return REVERSED if invoice.confirmed_at is None else REFUNDED
    return _STATUSES[invoice.state]


def _numbers(invoice: Invoice) -> dict[str, Any]:
    return {
        "paidAt": None if invoice.paid_at is None else _date(invoice.paid_at),
        "amount": invoice.money_rials,
        "status": _status(invoice),
        "refNumber": None if invoice.receipt is None else int(invoice.receipt),
        "description": invoice.description,
        "cardNumber": invoice.card_mask,
        "orderId": invoice.our_number or None,
    }


def _date(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1000, UTC).astimezone(tehran())
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03}000"


def _caller_refused(terminal: SimulatedTerminal | None, caller_ip: str) -> int | None:
    if terminal is None:
        return NO_MERCHANT
    if not terminal.enabled:
        return INACTIVE
    return None if ip_allowed(terminal, caller_ip) else WRONG_IP


def _answered(result: int, more: Mapping[str, Any] | None = None) -> WireReply:
    words = CODES[result].words if result in CODES else "success"
    return plain({**(more or {}), "result": result, "message": words}, code=result)
