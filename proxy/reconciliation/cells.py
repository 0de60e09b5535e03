"""What stands in the cells of a bank's file: codes, amounts and times, as people and spreadsheets write them."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from proxy.jalali import Jalali, tehran
from proxy.money import MAX_RIALS, RIALS_PER_TOMAN, Currency
from proxy.persian import latin_digits

MAX_CODE_CHARS: Final = 64
# The Iranian year 1700 is far, and so is the Gregorian one behind us.
_FIRST_GREGORIAN_YEAR: Final = 1700
_ROUNDED: Final = re.compile(r"[0-9][.][0-9]+[eE][+]?[0-9]+|[0-9]+[eE][+][0-9]+")
_FORMULA: Final = re.compile(r'="(.*)"')
_GROUPS: Final = str.maketrans("", "", ",'’ \u00a0\u202f\u2009")
_MARKS: Final = str.maketrans("", "", "\u200c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069\ufeff")
_UNITS: Final = re.compile(r"(ریال|تومان|rials?|tomans?|irr|irt)\s*$", re.IGNORECASE)
_TOMANS: Final = ("تومان", "toman", "irt")
_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,20}([.][0-9]{1,4})?")
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
    if text.endswith(".0") and text[:-2].isdigit():
        text = text[:-2]
    if len(text) > MAX_CODE_CHARS or not text.isprintable():
        raise ValueError(f"the code is longer than {MAX_CODE_CHARS} characters, or no text")
    return text


def read_amount(cell: str, currency: Currency) -> int:
    """Whole rials, 0 for an empty cell; below zero where money went out. Raises ValueError."""
    text = plain(cell)
    if text.startswith("(") and text.endswith(")"):
        text = f"-{text[1:-1]}"
    if unit := _UNITS.search(text):
        if unit[1].casefold().startswith(_TOMANS) is not (currency is Currency.IRT):
            raise ValueError(f"the amount {cell.strip()[:40]!r} is in another unit than the column")
        text = text[: unit.start()]
    text = text.translate(_GROUPS)
    if not text:
        return 0
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"the amount {cell.strip()[:40]!r} is not a number")
    try:
        rials = Decimal(text) * (RIALS_PER_TOMAN if currency is Currency.IRT else 1)
    except InvalidOperation:
        raise ValueError(f"the amount {cell.strip()[:40]!r} is not a number") from None
    if rials != int(rials) or abs(rials) > MAX_RIALS:
        raise ValueError(f"the amount {cell.strip()[:40]!r} is no whole number of rials, or too large")
    return int(rials)


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
    return round(_placed(moment, offset).timestamp() * 1000)


def _day(year: int, month: int, nth: int) -> date:
    return Jalali(year, month, nth).gregorian if year < _FIRST_GREGORIAN_YEAR else date(year, month, nth)


def _clock(cell: str) -> tuple[str, str, str]:
    text = plain(cell)
    # A spreadsheet takes 09:05:00 for a number and drops its zero.
    found = _CLOCK.fullmatch(text.zfill(6) if text.isdigit() and len(text) > 4 else text)  # noqa: PLR2004  HMMSS
    if found is None:
        raise ValueError(f"{cell.strip()[:40]!r} is not a time of day such as 13:30")
    return found[1], found[2], found[3] or "0"


def _placed(moment: datetime, offset: str | None) -> datetime:
    if offset is None:
        return moment.replace(tzinfo=tehran())
    if offset == "Z":
        return moment.replace(tzinfo=UTC)
    digits = offset[1:].replace(":", "")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return (moment - (ahead if offset[0] == "+" else -ahead)).replace(tzinfo=UTC)
