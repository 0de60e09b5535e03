"""The cells of a bank's file: codes, amounts and times, as people and spreadsheets write them."""

import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from proxy.kernel.money import MAX_RIALS, RIALS_PER_TOMAN, Currency
from proxy.locale.persian import Jalali, latin_digits, tehran

MAX_CODE_CHARS: Final = 200
"""As many as a gateway's bank_code may have."""
# Beyond this many digits a spreadsheet has changed a number's last ones.
_EXACT_DIGITS: Final = 15
# The Iranian year 1700 is far, and so is the Gregorian one behind us.
_FIRST_GREGORIAN_YEAR: Final = 1700
_ROUNDED: Final = re.compile(r"[0-9][.,][0-9]+[eE][+]?[0-9]+|[0-9]+[eE][+][0-9]+")
_DECIMAL: Final = re.compile(r"([0-9]+)[.]0+")
_GROUPED_CODE: Final = re.compile(r"[0-9]{1,3}([,'’ \u00a0\u202f\u2009][0-9]{3})+")
_FORMULA: Final = re.compile(r'="(.*)"')
_MARKS: Final = str.maketrans("", "", "\u200c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069\ufeff")
_UNITS: Final = re.compile(r"(ریال|تومان|rials?|tomans?|irr|irt)\s*$", re.IGNORECASE)
_TOMANS: Final = ("تومان", "toman", "irt")
# Grouped by threes throughout, or not at all; behind the other mark at most two decimals, or four behind a point.
_AMOUNT: Final = re.compile(
    r"""(?P<sign>[+-]?)(?:
    (?P<plain>[0-9]{1,20}) (?:[.](?P<rest>[0-9]{1,2}|[0-9]{4}))?
    |(?P<marked>[0-9]{1,3}(?P<mark>[,'’\ \u00a0\u202f\u2009])[0-9]{3}(?:(?P=mark)[0-9]{3})*)
        (?:[.](?P<cents>[0-9]{1,2}))?
    |(?P<dotted>[0-9]{1,3}(?:[.][0-9]{3}){2,}|[0-9]{1,3}[.][0-9]{3}(?=,)) (?:,(?P<comma>[0-9]{1,2}))?
    )""",
    re.VERBOSE,
)
_TWO_WAYS: Final = re.compile(r"[+-]?[0-9]{1,3}[.][0-9]{3}")
_TIME: Final = re.compile(
    r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})"
    r"(?:[T ,_-]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.][0-9]{1,9})?)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_CLOCK: Final = re.compile(r"([0-9]{1,2}):?([0-9]{2})(?::?([0-9]{2}))?")


def plain(cell: str) -> str:
    """The cell without the marks that steer the direction of text, in Latin digits."""
    return latin_digits(cell.translate(_MARKS)).strip()


def read_code(cell: str) -> str:
    """A bank's tracking number, or the empty text. Raises ValueError when a spreadsheet spoilt it, or it is no code."""
    text = plain(cell)
    if formula := _FORMULA.fullmatch(text):
        text = formula[1].strip()
    text = text.removeprefix("'")
    if _ROUNDED.fullmatch(text):
        raise ValueError(f"the code {text!r} was rounded by a spreadsheet: export the column as text")
    if _GROUPED_CODE.fullmatch(text):
        raise ValueError(f"the code {text!r} was grouped like an amount: export the column as text")
    if decimal := _DECIMAL.fullmatch(text):
        text = decimal[1]
        if len(text) > _EXACT_DIGITS:
            raise ValueError(f"the code {text!r} was a number in a spreadsheet, which has changed its last digits")
    if len(text) > MAX_CODE_CHARS or not text.isprintable():
        raise ValueError(f"the code is longer than {MAX_CODE_CHARS} characters, or no text")
    return text


def same_code(code: str) -> str:
    """A bank_code of ours in the form that `read_code` gives those of a file."""
    return plain(code)


def read_amount(cell: str, currency: Currency) -> int:
    """Whole rials, 0 for an empty cell; below zero where money went out. Raises ValueError.

    Separators group by threes throughout. `150.000` may be 150 or 150,000 and is refused.
    """
    text = plain(cell).replace("\u2212", "-")
    if text.startswith("(") and text.endswith(")"):
        text = f"-{text[1:-1]}"
    if unit := _UNITS.search(text):
        if unit[1].casefold().startswith(_TOMANS) is not (currency is Currency.IRT):
            raise ValueError(f"the amount {cell.strip()[:40]!r} is in another unit than the column")
        text = text[: unit.start()].strip()
    if not text:
        return 0
    rials = _decimal(text, cell) * (RIALS_PER_TOMAN if currency is Currency.IRT else 1)
    if rials != int(rials) or abs(rials) > MAX_RIALS:
        raise ValueError(f"the amount {cell.strip()[:40]!r} is no whole number of rials, or too large")
    return int(rials)


def _decimal(text: str, cell: str) -> Decimal:
    if _TWO_WAYS.fullmatch(text):
        raise ValueError(f"the amount {cell.strip()[:40]!r} may be thousands or decimals: export it without separators")
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"the amount {cell.strip()[:40]!r} is not a number, or is not grouped by threes")
    whole = found["plain"] or re.sub("[^0-9]", "", found["marked"] or found["dotted"])
    return Decimal(f"{found['sign']}{whole}.{found['rest'] or found['cents'] or found['comma'] or 0}")


def read_time(day: str, clock: str = "") -> int:
    """When, in milliseconds since the epoch: a Jalali or Gregorian day, in Tehran's time unless there is an offset.

    A day alone is its midnight. Raises ValueError.
    """
    found = _TIME.fullmatch(plain(day))
    # Without separators 1405123 could be two days.
    if found is None or (not found[2] and len(found[3] + found[4]) < 4):  # noqa: PLR2004  MMDD
        raise ValueError(f"{day.strip()[:40]!r} is not a date such as 1405/09/03 or 2026-11-24")
    year, _, month, nth, hour, minute, second, offset = found.groups()
    try:
        the_day = _day(int(year), int(month), int(nth))
    except ValueError:
        raise ValueError(f"there is no day {day.strip()[:40]!r}") from None
    if hour is None and clock.strip():
        hour, minute, second = _clock(clock)
    try:
        moment = datetime.combine(the_day, time(int(hour or 0), int(minute or 0), int(second or 0)))
    except ValueError:
        raise ValueError(f"there is no time {day.strip()[:40]!r}") from None
    return round(_localize(moment, offset).timestamp() * 1000)


def _day(year: int, month: int, nth: int) -> date:
    return Jalali(year, month, nth).gregorian if year < _FIRST_GREGORIAN_YEAR else date(year, month, nth)


def _clock(cell: str) -> tuple[str, str, str]:
    text = plain(cell)
    # A spreadsheet takes 09:05:00 for a number and drops its zero.
    found = _CLOCK.fullmatch(text.zfill(6) if text.isdigit() and len(text) > 4 else text)  # noqa: PLR2004  HMMSS
    if found is None:
        raise ValueError(f"{cell.strip()[:40]!r} is not a time of day such as 13:30")
    return found[1], found[2], found[3] or "0"


def _localize(moment: datetime, offset: str | None) -> datetime:
    if offset is None:
        return moment.replace(tzinfo=tehran())
    if offset == "Z":
        return moment.replace(tzinfo=UTC)
    digits = offset[1:].replace(":", "")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return (moment - (ahead if offset[0] == "+" else -ahead)).replace(tzinfo=UTC)


_LETTERS: Final = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک", "ة": "ه", "أ": "ا", "إ": "ا", "ٔ": None, "ً": None})
_RIAL: Final = ("ریال", "rial", "irr")
_TOMAN: Final = ("تومان", "toman", "irt")


def normal(heading: str) -> str:
    """A heading as it is compared: letters and digits alone, in one form of each letter."""
    text = unicodedata.normalize("NFKC", heading).translate(_LETTERS).casefold()
    return "".join(char for char in text if char.isalnum())


def _with_units(*names: str) -> frozenset[str]:
    units = ("", *_RIAL, *_TOMAN, "rials", "tomans", "بهریال", "بهتومان")
    return frozenset(normal(name) + unit for name in names for unit in units)


CODE: Final = frozenset(
    normal(name)
    for name in (
        "کد پیگیری", "شماره پیگیری", "کد پیگیری بانک", "کد رهگیری", "شماره رهگیری", "کد مرجع", "شماره مرجع",
        "شماره ارجاع", "شماره مرجع تراکنش", "کد پیگیری تراکنش",
        "bank_code", "bank code", "tracking code", "tracking number", "trace number",
        "trace no", "reference", "reference number", "reference no", "ref", "ref no", "rrn",
    )
)  # fmt: skip
AMOUNT: Final = _with_units(
    "مبلغ", "مبلغ تراکنش", "مبلغ واریز", "مبلغ واریزی", "مبلغ بستانکار", "بستانکار", "واریز",
    "amount", "credit", "deposit", "transaction amount", "paid amount",
)  # fmt: skip
DATE: Final = frozenset(
    normal(name)
    for name in (
        "تاریخ", "تاریخ تراکنش", "تاریخ واریز", "تاریخ پرداخت", "تاریخ و ساعت", "تاریخ و زمان", "زمان تراکنش", "date",
        "transaction date", "payment date", "date time", "paid_at", "captured_at", "timestamp",
    )
)  # fmt: skip
TIME: Final = frozenset(normal(name) for name in ("ساعت", "زمان", "ساعت تراکنش", "time", "transaction time"))
DEBIT: Final = _with_units("بدهکار", "مبلغ بدهکار", "برداشت", "مبلغ برداشت", "debit", "withdrawal")
TOTALS: Final = _with_units(
    "جمع", "جمع کل", "جمع صفحه", "مجموع", "total", "totals", "subtotal", "sub total", "sum", "grand total",
)  # fmt: skip


def currency_of(heading: str) -> Currency | None:
    """The unit that a normal heading names, if it does."""
    if any(unit in heading for unit in _TOMAN):
        return Currency.IRT
    return Currency.IRR if any(unit in heading for unit in _RIAL) else None
