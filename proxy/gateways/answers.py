"""An answer of a gateway as it came, and what its bytes hold: loose about types, strict about meaning. No I/O.

Hosts differ in types (`1` or `"1"`), never in words, and write a byte order mark, PHP's notices and gzip around their
JSON: the object behind them is still one. A repeated name is ambiguous.
"""

import json
import re
import zlib
from decimal import Decimal
from typing import Any, Final, NoReturn

from proxy.kernel.frozen import dataclass

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_KEY_CHARS: Final = 200
_MAX_AMOUNT: Final = 2**63 - 1
_EXACT_FLOAT: Final = 2**53  # beyond it a host's own floats do not say which number they were
OK: Final = 200
CLIENT_ERRORS: Final = range(400, 500)
_MAX_SHOWN_DIGITS: Final = 10  # of a card: the first six and the last four, as PCI DSS 3.4 allows

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
_MASKED: Final = re.compile(r"(?=.*[*xX])[0-9*xX -]{4,30}", re.ASCII)

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


Answer = HttpAnswer | NoAnswer


def integer(value: object) -> int | None:
    """A number or a text of digits as an int below 2**63, with a fraction of zeros or none; None for anything else."""
    if isinstance(value, str):
        match = _DIGITS.fullmatch(bare(value))
        value = int(match[1]) if match else None
    elif isinstance(value, Decimal):
        value = int(value) if 0 <= value < _EXACT_FLOAT and value == int(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MAX_AMOUNT else None


def signed(value: object) -> int | None:
    """The same for a number that may be below zero, as the codes of some families are."""
    if isinstance(value, str) and re.fullmatch(r"-[0-9].*", text := bare(value)):
        number = integer(text[1:])
    elif isinstance(value, int | Decimal) and value < 0:
        number = integer(-value)
    else:
        return integer(value)
    return None if number is None else -number


def card_mask(value: object) -> str | None:
    """The masked number of a card, such as 502229******5995; None for anything else, a whole number above all."""
    text = bare(value) if isinstance(value, str) else ""
    if _MASKED.fullmatch(text) is None or sum(map(str.isdigit, text)) > _MAX_SHOWN_DIGITS:
        return None
    return text


def identifier(value: object) -> str | None:
    """A printable text of 1 to 200 characters that names something; a number counts as its digits.

    Zeros of any script, dashes and another language's null name nothing, and a negative number means an error.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if not isinstance(value, str):
        return None
    text = bare(value)
    if not 0 < len(text) <= MAX_KEY_CHARS or not text.isprintable():
        return None
    return text if _names(text) else None


def _names(text: str) -> bool:
    word = text.casefold()
    if not (word.isascii() and word.isalnum()):
        word = "".join(char for char in word if char.isalnum() and char != _LINE)
    return bool(word.strip(_ZEROS)) and word not in _NOTHING and not _NEGATIVE.fullmatch(text)


def bare(text: str) -> str:
    return text.strip().strip(_INVISIBLE).strip()


def is_key(text: str) -> bool:
    """Whether it can be part of a path unescaped: it becomes the customer's pay link and the path of every check."""
    return text not in {".", ".."} and _KEY.fullmatch(text) is not None


def names_another(value: object, ours: str) -> bool:
    """Whether a field of an answer names something that is not ours. An empty one and zeros name nothing, and a list
    or an object is not ours.
    """
    named = identifier(value)
    return isinstance(value, list | dict) if named is None else named != ours


def joined_key(number: int, token: str | None) -> str | None:
    """The invoice_key `number:token` of a family whose later calls want both; None where the token cannot be in one."""
    key = f"{number}:{token}"
    fits = token is not None and len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable() and is_key(key)
    return key if fits else None


def parts_of(invoice_key: str) -> tuple[str, str]:
    """Both parts of a `joined_key`, as texts."""
    number, _, token = invoice_key.partition(":")
    return number, token


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


def fields_of(answer: Answer, *, reads_errors: bool = False) -> dict[str, Any] | NoAnswer:
    """The object of an answer whose status is 200, or with `reads_errors` 4xx, too; else why there is none."""
    if isinstance(answer, NoAnswer):
        return answer
    error = reads_errors and answer.status in CLIENT_ERRORS
    if answer.status != OK and not error:
        return NoAnswer("http_status", http_status=answer.status)
    try:
        return object_of(answer.body)
    except Unclear as unclear:
        return NoAnswer("http_status", http_status=answer.status) if error else NoAnswer(unclear.reason)


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
