"""The meaning of the bytes that a gateway answers: loose about types, strict about meaning. No I/O.

The protocol's source is the gateway script's own page; its hosts differ in types (`1` or `"1"`), never in words. Hosts
write a byte order mark, PHP's notices and gzip around their JSON: the object behind them is still one. Only an answer
that says exactly one thing is a fact; everything else leaves the outcome unknown. A repeated name is ambiguous.
"""

import json
import re
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

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

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_KEY_CHARS: Final = 200
_MAX_AMOUNT: Final = 2**63 - 1
_EXACT_FLOAT: Final = 2**53  # beyond it a host's own floats do not say which number they were
OK: Final = 200

_DIGITS: Final = re.compile(r"([0-9]{1,19})(?:\.0{1,9})?", re.ASCII)
_INVISIBLE: Final = (
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
"""Marks of direction and the like, which hosts leave around a value that is right-to-left text to them."""
_NOTHING: Final = frozenset(
    {"null", "none", "nil", "undefined", "nan", "false", "true", "na", "array", "object", "objectobject"}
)
"""What other languages write where there is no value: its letters and digits, as in `(null)` and `[object Object]`."""
_ZEROS: Final = "0\u0660\u06f0"
_LINE: Final = "\u0640"  # Persian keyboards draw lines with it
_NEGATIVE: Final = re.compile(r"[-\u2212][0-9]+(?:\.[0-9]+)?")
_KEY: Final = re.compile(r"[^\s/\\?#%]+")

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_AROUND: Final = "\ufeff \t\r\n"
_NOTICES: Final = ("Notice", "Warning", "Deprecated", "Strict Standards")
_NOTICE_END: Final = " on line "


class Unclear(ValueError):
    """The bytes are not one JSON object; `reason` is a stable word for why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer as it came: HTTP status, and the body up to its limit."""

    status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer, and the stable word for why."""

    reason: str
    timed_out: bool = False
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class _Success:
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int
    fields: Mapping[str, Any]


def request_outcome(answer: HttpAnswer | NoAnswer) -> RequestOutcome:
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
    key = _identifier(meaning.fields.get("invoice_key"))
    if key is None or not _is_key(key):
        return RequestUnknown("bad_answer")
    return InvoiceIssued(key)


def check_outcome(invoice_key: str, answer: HttpAnswer | NoAnswer) -> CheckOutcome:
    """The outcome of an answer to `check` of this invoice."""
    meaning = _meaning(answer)
    if isinstance(meaning, NoAnswer):
        return CheckUnknown(invoice_key, meaning.reason, http_status=meaning.http_status)
    if _names_another(invoice_key, meaning.fields):
        return CheckUnknown(invoice_key, "other_invoice")
    if isinstance(meaning, _Refusal):
        return _refused_check(invoice_key, meaning.code)
    amount, bank_code = _integer(meaning.fields.get("amount")), _identifier(meaning.fields.get("bank_code"))
    if not amount:
        return CheckUnknown(invoice_key, "bad_answer")
    if bank_code is None:
        return CheckUnknown(invoice_key, "no_bank_code", captured_rials=amount)
    return Captured(invoice_key, amount, bank_code)


def _names_another(invoice_key: str, fields: Mapping[str, Any]) -> bool:
    """Whether it names another invoice than this one. Most hosts name none."""
    named = fields.get("invoice_key")
    return _identifier(named) not in {None, invoice_key} or isinstance(named, list | dict)


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


def _meaning(answer: HttpAnswer | NoAnswer) -> _Success | _Refusal | NoAnswer:
    if isinstance(answer, NoAnswer):
        return answer
    if answer.status != OK:
        return NoAnswer("http_status", http_status=answer.status)
    try:
        return _classify(object_of(answer.body))
    except Unclear as unclear:
        return NoAnswer(unclear.reason)


def _classify(fields: Mapping[str, Any]) -> _Success | _Refusal | NoAnswer:
    status, code = _integer(fields.get("status")), _integer(fields.get("errorCode"))
    if status == 0 and code:
        return _Refusal(code, fields)
    # A success that carries an error code says two things, so it says nothing.
    if status == 1 and (code == 0 or fields.get("errorCode") in (None, "")):
        return _Success(fields)
    return NoAnswer("bad_answer")


def _integer(value: object) -> int | None:
    """A number or a text of digits as an int below 2**63, with a fraction of zeros or none; None for anything else."""
    if isinstance(value, str):
        match = _DIGITS.fullmatch(_bare(value))
        value = int(match[1]) if match else None
    elif isinstance(value, Decimal):
        value = int(value) if 0 <= value < _EXACT_FLOAT and value == int(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MAX_AMOUNT else None


def _identifier(value: object) -> str | None:
    """A printable text of 1 to 200 characters that names something; a number counts as its digits.

    Zeros of any script, dashes and another language's null name nothing, and a negative number means an error.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if not isinstance(value, str):
        return None
    text = _bare(value)
    if not 0 < len(text) <= MAX_KEY_CHARS or not text.isprintable():
        return None
    return text if _names(text) else None


def _names(text: str) -> bool:
    word = "".join(char for char in text.casefold() if char.isalnum() and char != _LINE)
    return bool(word.strip(_ZEROS)) and word not in _NOTHING and not _NEGATIVE.fullmatch(text)


def _bare(text: str) -> str:
    return text.strip().strip(_INVISIBLE).strip()


def _is_key(text: str) -> bool:
    """Whether it can be part of a path unescaped: it becomes the customer's pay link and the path of every check."""
    return text not in {".", ".."} and _KEY.fullmatch(text) is not None


def unpacked(body: bytes) -> bytes:
    """`body` without unsolicited gzip, at most one byte longer than an answer may be. Raises Unclear."""
    if not body.startswith(_GZIP):
        return body
    reader = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = reader.decompress(body, MAX_ANSWER_BYTES + 1)
    except zlib.error:
        raise Unclear("not_json") from None
    if len(plain) <= MAX_ANSWER_BYTES and (not reader.eof or reader.unused_data):
        raise Unclear("not_json")
    return plain


def object_of(body: bytes) -> dict[str, Any]:
    """The object; a number with a fraction is a Decimal. Raises Unclear."""
    plain = unpacked(body)
    if len(plain) > MAX_ANSWER_BYTES:
        raise Unclear("too_large")
    # Names and digits are ASCII in every charset of the field. Other bytes become surrogates, which identify nothing.
    text = plain.decode("utf-8", "surrogateescape").strip(_AROUND)
    try:
        value = _DECODER.decode(_behind_notices(text))
    except Unclear:
        raise
    except (ValueError, RecursionError):
        raise Unclear("not_json") from None
    if not isinstance(value, dict):
        raise Unclear("bad_answer")
    return value


def _behind_notices(text: str) -> str:
    notices, brace, rest = text.partition("{")
    if brace and _NOTICE_END in notices and any(word in notices for word in _NOTICES):
        return brace + rest
    return text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Unclear("duplicate_names")
    return fields


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)  # a float may round a fraction away
    except ArithmeticError:
        raise ValueError("an exponent beyond reason") from None


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_distinct, parse_float=_decimal, parse_constant=_no_number)
