"""What the bytes of the gateway's answers mean: loose about types, strict about meaning. No I/O.

The protocol's source is the gateway script's own page; its hosts differ in types (`1` or `"1"`), never in words.
Only an answer that says exactly one thing is a fact; everything else leaves the outcome unknown.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.facts import (
    Canceled,
    Captured,
    CheckFact,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    RequestFact,
    RequestRefused,
    RequestUnknown,
)
from proxy.frozen import dataclass

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_KEY_CHARS: Final = 200
_MAX_AMOUNT: Final = 2**63 - 1
_EXACT_FLOAT: Final = 2**53
_OK: Final = 200
_BOM: Final = b"\xef\xbb\xbf"

BANK_UNREACHABLE: Final = 301
NOT_PAID: Final = 201
CANCELED: Final = 202
REFUSALS: Final = frozenset({100, 101, 102, 103, 203, 204, 302})
ABOUT_THE_TERMINAL: Final = frozenset({100, 101, 200, 203, 204, 302})
"""Codes of `check` that tell of our call or the terminal's account, not of the payment."""

_DIGITS: Final = re.compile(r"\s*([0-9]{1,19})\s*", re.ASCII)
_KEY: Final = re.compile(r"[^\s/\\?#%]+")


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came: HTTP status, and the body up to its limit."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer, and the stable word for why."""

    reason: str
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class _Success:
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int


def request_fact(answer: Raw | Broken) -> RequestFact:
    """What an answer to `request` says."""
    meaning = _meaning(answer)
    match meaning:
        case Broken(reason, timed_out):
            return RequestUnknown(reason, timed_out=timed_out)
        case _Refusal(code) if code in REFUSALS:
            return RequestRefused(code)
        case _Refusal(code):
            return RequestUnknown(_unclear_code(code), error_code=code)
    key = _text(meaning.fields.get("invoice_key"))
    if key is None or not _is_key(key):
        return RequestUnknown("bad_answer")
    return InvoiceIssued(key)


def check_fact(invoice_key: str, answer: Raw | Broken) -> CheckFact:
    """What an answer to `check` of this invoice says."""
    meaning = _meaning(answer)
    match meaning:
        case Broken(reason):
            return CheckUnknown(invoice_key, reason)
        case _Refusal(code):
            return _refused_check(invoice_key, code)
    amount, bank_code = _whole(meaning.fields.get("amount")), _text(meaning.fields.get("bank_code"))
    if not amount or bank_code is None:
        return CheckUnknown(invoice_key, "bad_answer")
    return Captured(invoice_key, amount, bank_code)


def _refused_check(invoice_key: str, code: int) -> CheckFact:
    if code == NOT_PAID:
        return NotPaid(invoice_key)
    if code == CANCELED:
        return Canceled(invoice_key)
    alert = code in ABOUT_THE_TERMINAL
    return CheckUnknown(invoice_key, "terminal" if alert else _unclear_code(code), error_code=code, alert=alert)


def _unclear_code(code: int) -> str:
    return "bank_unreachable" if code == BANK_UNREACHABLE else "unknown_code"


def _meaning(answer: Raw | Broken) -> _Success | _Refusal | Broken:
    if isinstance(answer, Broken):
        return answer
    if answer.status != _OK:
        return Broken("http_status")
    if len(answer.body) > MAX_ANSWER_BYTES:
        return Broken("too_large")
    try:
        fields = orjson.loads(answer.body.strip().removeprefix(_BOM).strip())
    except orjson.JSONDecodeError:
        return Broken("not_json")
    return _said(fields) if isinstance(fields, dict) else Broken("bad_answer")


def _said(fields: Mapping[str, Any]) -> _Success | _Refusal | Broken:
    status, code = _whole(fields.get("status")), _whole(fields.get("errorCode"))
    if status == 0 and code:
        return _Refusal(code)
    # A success that carries an error code says two things, so it says nothing.
    if status == 1 and (code == 0 or fields.get("errorCode") in (None, "")):
        return _Success(fields)
    return Broken("bad_answer")


def _whole(value: object) -> int | None:
    """A number or a string of digits as an int below 2**63; None for anything else, a bool or a fraction too."""
    if isinstance(value, str):
        match = _DIGITS.fullmatch(value)
        value = int(match[1]) if match else None
    elif isinstance(value, float):
        # Some hosts' encoders write 150000.0; beyond 2**53 a float no longer says which number it was.
        value = int(value) if value.is_integer() and value < _EXACT_FLOAT else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MAX_AMOUNT else None


def _text(value: object) -> str | None:
    """A printable text of 1 to 200 characters; a number counts as its digits, but a negative one tells of an error."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    return text if 0 < len(text) <= MAX_KEY_CHARS and text.isprintable() else None


def _is_key(text: str) -> bool:
    """Whether it can stand in a path as it is: it becomes the customer's pay link and the path of every check."""
    return text not in {".", ".."} and _KEY.fullmatch(text) is not None
