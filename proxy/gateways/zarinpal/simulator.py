"""ZarinPal's simulator: request, the StartPay page, verify, inquiry, reverse, and the list of what nobody verified."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any, ClassVar, Final

import orjson
from aiohttp import web

from proxy.gateways.forms import ways_of
from proxy.gateways.simulation.dialect import Dialect
from proxy.gateways.simulation.faults import GatewayOperation
from proxy.gateways.simulation.gateway import Truth
from proxy.gateways.simulation.ledger import PAID_STATES, HostReturnMethod, Invoice, SimulatedTerminal, State
from proxy.gateways.simulation.locks import domain_allowed, ip_allowed, parse_amount, sendable_url
from proxy.gateways.simulation.replies import WireReply, plain
from proxy.gateways.simulation.terms import BankFullError, StepResult, UnknownInvoiceError
from proxy.gateways.simulation.wire import json_fields
from proxy.gateways.zarinpal import FAMILY
from proxy.gateways.zarinpal.client import MERCHANT_ID
from proxy.gateways.zarinpal.codes import (
    AMOUNT_DIFFERS,
    ANOTHERS,
    CODES,
    DONE_BEFORE,
    INACTIVE,
    INTERNAL_ERROR,
    INVALID,
    IP_NEEDED,
    NOT_PAID,
    NOT_REVERSIBLE,
    REVERSAL_TOO_LATE,
    SUCCESS,
    TOO_LARGE,
    TOO_MANY,
    UNKNOWN_AUTHORITY,
    WRONG_DOMAIN,
    WRONG_TERMINAL,
)
from proxy.gateways.zarinpal.forms import ERROR_SHAPE, ERROR_STATUS
from proxy.locale.persian import tehran

_MERCHANT_ID_CHARS: Final = 36
_MAX_DESCRIPTION_CHARS: Final = 500
_MAX_UNVERIFIED: Final = 100
_CURRENCIES: Final = {"IRR": ("r", 1), "IRT": ("t", 10)}
_SHAPARAK_FEE: Final = 1200
_ERROR_STATUS: Final = 422
_STATUSES: Final = {
    State.OPEN: "IN_BANK",
    State.PAID: "PAID",
    State.CAPTURED: "VERIFIED",
    State.CANCELED: "FAILED",
    State.FAILED: "FAILED",
    State.REVERSED: "REVERSED",
}
_ABOUT_TERMINAL: Final = (WRONG_TERMINAL, INACTIVE, TOO_MANY, INTERNAL_ERROR)


class ZarinPalSimulator(Dialect):
    """ZarinPal's paths. An invoice's key is its authority, and its number the metadata's order_id.

    A terminal's main id is its merchant_id. The amount is in rials unless `currency` says IRT, and verify takes it as
    the request had it: the ninth character from an authority's end tells which. The registered domain is the whole
    host, and a reversal wants a registered IP. Errors have the status 422, which public clients met for verify, or 200.
    """

    family = FAMILY
    ways = ways_of(FAMILY.forms)
    sample: ClassVar[Mapping[str, str]] = {MERCHANT_ID: "1344b5d4-0048-11e8-94db-005056a205be"}
    errors: ClassVar[Mapping[GatewayOperation, tuple[int, ...]]] = {
        GatewayOperation.REQUEST: (WRONG_DOMAIN, *_ABOUT_TERMINAL),
        GatewayOperation.CHECK: _ABOUT_TERMINAL,
        GatewayOperation.CONFIRM: _ABOUT_TERMINAL,
        GatewayOperation.REVERSE: (IP_NEEDED, *_ABOUT_TERMINAL),
    }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        calls = {
            "request": self.request,
            "verify": self.verify,
            "inquiry": self.inquiry,
            "reverse": self.reverse,
            "unVerified": self.unverified,
        }
        for name, call in calls.items():
            for end in ("", "/"):
                router.add_post(f"{prefix}/pg/v4/payment/{name}.json{end}", self._route(name, call))
        self.add_pay_page(router, f"{prefix}/pg/StartPay/{{invoice_key}}")

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """request.json: an authority, or the first refusal that applies."""
        merchant_id = str(fields.get("merchant_id", ""))
        # The authority does not exist yet; the shop's callback_url names the call, as it is one per payment.
        subject = f"{merchant_id}|{fields.get('callback_url')}"
        return self._spoken(
            merchant_id,
            self.answer(GatewayOperation.REQUEST, subject, merchant_id, lambda _: self._request(fields, caller_ip)),
        )

    def inquiry(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """inquiry.json, which captures nothing."""

        def work(_: Truth, _terminal: SimulatedTerminal, invoice: Invoice) -> WireReply:
            status = _STATUSES[self.bank.looked(invoice).state]
            return _success({"code": SUCCESS, "message": "Success", "status": status})

        return self._about(GatewayOperation.CHECK, fields, caller_ip, work)

    def verify(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """verify.json, which captures. A second one is 101, with the same numbers."""

        def work(truth: Truth, _terminal: SimulatedTerminal, invoice: Invoice) -> WireReply:
            if _amount(fields.get("amount")) != invoice.money_rials // _unit_of(invoice):
                return _error(AMOUNT_DIFFERS)
            step = self.bank.confirm(invoice.invoice_key)
            if step.result not in {StepResult.DONE, StepResult.BEFORE}:
                return _error(NOT_PAID)
            before = step.result is StepResult.BEFORE
            return _success(_verified(truth(step.invoice), DONE_BEFORE if before else SUCCESS))

        return self._about(GatewayOperation.CONFIRM, fields, caller_ip, work)

    def reverse(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """reverse.json, of what was verified."""

        def work(_: Truth, terminal: SimulatedTerminal, invoice: Invoice) -> WireReply:
            if terminal.registered_ip is None:
                return _error(IP_NEEDED)
            result = self.bank.reverse(invoice.invoice_key).result
            if result is not StepResult.DONE:
                return _error(REVERSAL_TOO_LATE if result is StepResult.TOO_LATE else NOT_REVERSIBLE)
            return _success({"code": SUCCESS, "message": "Reversed"})

        return self._about(GatewayOperation.REVERSE, fields, caller_ip, work)

    def unverified(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        """unVerified.json: the newest 100 payments that are paid and not verified."""
        terminal = self.terminal(fields.get("merchant_id"))
        code = _caller_refused(terminal, fields, caller_ip)
        if code is not None:
            return _error(code)
        forgotten = (
            invoice
            for invoice in reversed(list(self.bank.invoices()))
            if invoice.state is State.PAID and self.bank.terminal_of(invoice) == terminal
        )
        authorities = [_listed(invoice) for invoice in islice(forgotten, _MAX_UNVERIFIED)]
        return _success({"code": str(SUCCESS), "message": "Success", "authorities": authorities})

    def error(self, _operation: GatewayOperation, code: int | None) -> WireReply:
        return _error(INTERNAL_ERROR if code is None else code)

    def return_method(self, _invoice: Invoice, _terminal: SimulatedTerminal) -> HostReturnMethod:
        return HostReturnMethod.GET

    def return_params(self, invoice: Invoice, _terminal: SimulatedTerminal) -> dict[str, str]:
        return {"Authority": invoice.invoice_key, "Status": "OK" if invoice.state in PAID_STATES else "NOK"}

    def forged_params(self, invoice: Invoice, terminal: SimulatedTerminal) -> dict[str, str]:
        """A success of this invoice, whoever paid."""
        return self.return_params(invoice, terminal) | {"Status": "OK"}

    def _request(self, fields: Mapping[str, Any], caller_ip: str) -> WireReply:
        terminal = self.terminal(fields.get("merchant_id"))
        code = _caller_refused(terminal, fields, caller_ip)
        if code is not None or terminal is None:
            return _error(code or WRONG_TERMINAL)
        currency = _CURRENCIES.get(str(fields.get("currency") or "IRR"))
        amount, return_url = _amount(fields.get("amount")), sendable_url(fields.get("callback_url"))
        description = str(fields.get("description") or "")
        described = 0 < len(description) <= _MAX_DESCRIPTION_CHARS
        if currency is None or amount is None or return_url is None or not described:
            return _error(INVALID)
        mark, unit = currency
        if not FAMILY.traits.min_rials <= amount * unit <= FAMILY.traits.max_rials:
            return _error(TOO_LARGE if amount * unit > FAMILY.traits.max_rials else INVALID)
        if not domain_allowed(terminal, return_url, below=False):
            return _error(WRONG_DOMAIN)
        reported = fields.get("metadata")
        order_id = str(reported.get("order_id") or "") if isinstance(reported, dict) else ""
        try:
            invoice = self.bank.open(
                terminal,
                amount * unit,
                return_url,
                our_number=order_id,
                description=description,
                reference=lambda random: _authority(random, mark),
            )
        except BankFullError:
            return _error(INTERNAL_ERROR)
        data = {"code": SUCCESS, "message": "Success", "authority": invoice.invoice_key}
        return _success(data | {"fee_type": "Merchant", "fee": _fee(invoice)})

    def _about(
        self,
        operation: GatewayOperation,
        fields: Mapping[str, Any],
        caller_ip: str,
        work: Callable[[Truth, SimulatedTerminal, Invoice], WireReply],
    ) -> WireReply:
        """The answer to a call about an authority of the caller's."""
        merchant_id, authority = str(fields.get("merchant_id", "")), str(fields.get("authority", ""))

        def checked(truth: Truth) -> WireReply:
            terminal = self.terminal(merchant_id)
            code = _caller_refused(terminal, fields, caller_ip)
            if code is not None or terminal is None:
                return _error(code or WRONG_TERMINAL)
            try:
                invoice = self.bank.invoice(authority)
            except UnknownInvoiceError:
                return _error(UNKNOWN_AUTHORITY)
            return work(truth, terminal, invoice) if invoice.api_key == merchant_id else _error(ANOTHERS)

        return self._spoken(merchant_id, self.answer(operation, authority, merchant_id, checked))

    def _spoken(self, merchant_id: str, reply: WireReply) -> WireReply:
        """An answer as the terminal's host writes its errors."""
        terminal = self.terminal(merchant_id)
        if reply.status != _ERROR_STATUS:
            return reply
        if self.way(ERROR_STATUS, terminal) == "200":
            reply = replace(reply, status=200)
        if self.way(ERROR_SHAPE, terminal) == "array":
            answer = orjson.loads(reply.body)
            reply = replace(reply, body=orjson.dumps(answer | {"errors": [answer["errors"]]}))
        return reply

    def _route(
        self, name: str, call: Callable[[Mapping[str, Any], str], WireReply]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def route(request: web.Request) -> web.StreamResponse:
            fields = await json_fields(request)
            reply = call(fields, request.remote or "")
            return await self.send(request, f"{name} {fields.get('authority', '')}".rstrip(), reply)

        return route


def _authority(random: Random, mark: str) -> str:
    return f"A{'0' * 26}{mark}{random.randrange(10**8):08}"


def _unit_of(invoice: Invoice) -> int:
    """The rials of one of the currency that the request had."""
    return next(unit for mark, unit in _CURRENCIES.values() if invoice.invoice_key[-9] == mark)


def _amount(value: object) -> int | None:
    """A whole amount. A decimal that is whole is one: az-iranian-bank-gateways sends tomans as 15000.0."""
    return parse_amount(int(value) if isinstance(value, float) and value.is_integer() else value, least=1)


def _fee(invoice: Invoice) -> int:
    return invoice.amount_rials // 100


def _verified(invoice: Invoice, code: int) -> dict[str, Any]:
    return {
        "wages": None,
        "code": code,
        "message": "Paid" if code == SUCCESS else "Verified",
        "card_hash": "0866A6EAEA5CB085E4CF6EF19296BF19647552DD5F96F1E530DB3AE61837EFE7",
        "card_pan": invoice.card_mask,
        "ref_id": int(invoice.receipt or 0),
        "fee_type": "Merchant",
        "fee": _fee(invoice),
        "shaparak_fee": _SHAPARAK_FEE,
        "order_id": invoice.our_number or None,
    }


def _listed(invoice: Invoice) -> dict[str, Any]:
    paid_at = datetime.fromtimestamp((invoice.paid_at or 0) // 1000, UTC).astimezone(tehran())
    return {
        "authority": invoice.invoice_key,
        "amount": invoice.money_rials,
        "callback_url": invoice.return_url,
        "referer": "/",
        "date": f"{paid_at:%Y-%m-%d %H:%M:%S}",
    }


def _caller_refused(terminal: SimulatedTerminal | None, fields: Mapping[str, Any], caller_ip: str) -> int | None:
    if len(str(fields.get("merchant_id", ""))) != _MERCHANT_ID_CHARS:
        return INVALID
    if terminal is None or not ip_allowed(terminal, caller_ip):
        return WRONG_TERMINAL
    return None if terminal.enabled else INACTIVE


def _success(data: Mapping[str, Any]) -> WireReply:
    return plain({"data": data, "errors": []}, code=data["code"])


def _error(code: int) -> WireReply:
    words = CODES[code].words if code in CODES else ""
    answer = {"data": [], "errors": {"code": code, "message": words, "validations": []}}
    return plain(answer, code=code, status=_ERROR_STATUS)
