"""The meaning of an answer of the script: a fact where it says exactly one thing, else the outcome is unknown. No I/O.

The protocol's source is the gateway script's own page.
"""

from collections.abc import Mapping
from typing import Any

from proxy.gateways.answers import Answer, NoAnswer, fields_of, identifier, integer, is_key
from proxy.gateways.invoice_script.codes import Code, code_of
from proxy.gateways.port import (
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    RequestOutcome,
    RequestRefused,
    RequestUnknown,
)
from proxy.kernel.frozen import dataclass


@dataclass(frozen=True, slots=True)
class _Success:
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int
    fields: Mapping[str, Any]


def request_outcome(answer: Answer) -> RequestOutcome:
    """The outcome of an answer to `request`."""
    meaning = _meaning(answer)
    match meaning:
        case NoAnswer(reason, timed_out, http_status):
            return RequestUnknown(reason, timed_out=timed_out, http_status=http_status)
        case _Refusal(code):
            known = code_of(code)
            if known is not None and known.meaning.refuses:
                return RequestRefused(code)
            return RequestUnknown(_unclear_code(code), error_code=code)
    key = identifier(meaning.fields.get("invoice_key"))
    if key is None or not is_key(key):
        return RequestUnknown("bad_answer")
    return InvoiceIssued(key)


def check_outcome(invoice_key: str, answer: Answer) -> CheckOutcome:
    """The outcome of an answer to `check` of this invoice."""
    meaning = _meaning(answer)
    if isinstance(meaning, NoAnswer):
        return CheckUnknown(invoice_key, meaning.reason, http_status=meaning.http_status)
    if _names_another(invoice_key, meaning.fields):
        return CheckUnknown(invoice_key, "other_invoice")
    if isinstance(meaning, _Refusal):
        return _refused_check(invoice_key, meaning.code)
    amount, bank_code = integer(meaning.fields.get("amount")), identifier(meaning.fields.get("bank_code"))
    if not amount:
        return CheckUnknown(invoice_key, "bad_answer")
    if bank_code is None:
        return CheckUnknown(invoice_key, "no_bank_code", captured_rials=amount)
    return Captured(invoice_key, amount, bank_code)


def _names_another(invoice_key: str, fields: Mapping[str, Any]) -> bool:
    """Whether it names another invoice than this one. Most hosts name none."""
    named = fields.get("invoice_key")
    return identifier(named) not in {None, invoice_key} or isinstance(named, list | dict)


def _refused_check(invoice_key: str, code: int) -> CheckOutcome:
    known = code_of(code)
    if known is Code.NOT_PAID:
        return NotPaid(invoice_key)
    if known is Code.CANCELED:
        return Canceled(invoice_key)
    alert = known is not None and known.meaning.alerts
    return CheckUnknown(invoice_key, "terminal" if alert else _unclear_code(code), error_code=code, alert=alert)


def _unclear_code(code: int) -> str:
    return "bank_unreachable" if code == Code.BANK_UNREACHABLE else "unknown_code"


def _meaning(answer: Answer) -> _Success | _Refusal | NoAnswer:
    fields = fields_of(answer)
    return fields if isinstance(fields, NoAnswer) else _classify(fields)


def _classify(fields: Mapping[str, Any]) -> _Success | _Refusal | NoAnswer:
    status, code = integer(fields.get("status")), integer(fields.get("errorCode"))
    if status == 0 and code:
        return _Refusal(code, fields)
    # A success that carries an error code says two things, so it says nothing.
    if status == 1 and (code == 0 or fields.get("errorCode") in (None, "")):
        return _Success(fields)
    return NoAnswer("bad_answer")
