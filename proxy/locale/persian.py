"""Numbers as Persian readers write them, dates of the Iranian calendar (Jalali), and the time of day in Tehran.

A year is a leap year where (25y + 11) mod 33 < 8. From 1244 to 1503 (1865 to 2124) that is the official calendar, as
ICU and the University of Tehran have it; the cycle of 2820 years that many libraries use is a day off in 1404.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.kernel.money import RIALS_PER_TOMAN

LATIN_DIGITS: Final = "0123456789"
PERSIAN_DIGITS: Final = "۰۱۲۳۴۵۶۷۸۹"
ARABIC_DIGITS: Final = "٠١٢٣٤٥٦٧٨٩"
_TO_PERSIAN: Final = str.maketrans(f"{LATIN_DIGITS},", f"{PERSIAN_DIGITS}٬")
# Keyboards give either set of digits, and spreadsheets either pair of separators.
_TO_LATIN: Final = str.maketrans(f"{PERSIAN_DIGITS}{ARABIC_DIGITS}٬٫", f"{LATIN_DIGITS}{LATIN_DIGITS},.")
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
_DIGITS: Final = 18


def persian_digits(text: str) -> str:
    """`text` with Persian digits and thousands separators in the place of the Latin ones."""
    return text.translate(_TO_PERSIAN)


def latin_digits(text: str) -> str:
    """`text` with Latin digits and separators in the place of the Persian and Arabic ones."""
    return text.translate(_TO_LATIN)


def persian_number(number: int) -> str:
    """Persian digits, grouped by thousands."""
    return persian_digits(f"{number:,}")


def persian_toman(amount_rials: int) -> str:
    """The amount in toman; an odd rial as a decimal."""
    toman, odd_rials = divmod(amount_rials, RIALS_PER_TOMAN)
    return persian_number(toman) + (f"٫{persian_number(odd_rials)}" if odd_rials else "")


def latin_toman(amount_rials: int) -> str:
    """The same in Latin digits."""
    toman, odd_rials = divmod(amount_rials, RIALS_PER_TOMAN)
    return f"{toman:,}" + (f".{odd_rials}" if odd_rials else "")


def parse_number(text: str) -> int:
    """The whole number that people wrote: in any of the digits, grouped by thousands or not. Raises ValueError."""
    plain = latin_digits(text).strip()
    if len(plain) > 2 * _DIGITS or not plain.isascii() or not _GROUPED.fullmatch(plain):
        raise ValueError("is not a whole number")
    return int(plain.replace(",", ""))


FIRST_YEAR, LAST_YEAR = 1244, 1503
MONTHS: Final = (
    "فروردین", "اردیبهشت", "خرداد", "تیر", "مرداد", "شهریور", "مهر", "آبان", "آذر", "دی", "بهمن", "اسفند",
)  # fmt: skip
WEEKDAYS: Final = ("دوشنبه", "سه‌شنبه", "چهارشنبه", "پنجشنبه", "جمعه", "شنبه", "یکشنبه")
_GREGORIAN_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_CYCLE_YEARS: Final = 33
_YEAR_DAYS: Final = 365
_LONG_MONTHS: Final = 6
_LONG_DAYS: Final = 31 * _LONG_MONTHS
_WRITTEN: Final = re.compile(r"([0-9]{4})[/-]([0-9]{1,2})[/-]([0-9]{1,2})")
# 1 Farvardin 1, by the proleptic Gregorian calendar's ordinals.
_EPOCH: Final = 226_895


@dataclass(frozen=True, slots=True, order=True)
class Jalali:
    """A day of the Iranian calendar. Raises ValueError for one that there is not, or that the rule does not reach."""

    year: int
    month: int
    day: int

    def __post_init__(self) -> None:
        if not FIRST_YEAR <= self.year <= LAST_YEAR:
            raise ValueError(f"the year must be {FIRST_YEAR} to {LAST_YEAR}")
        if not 1 <= self.month <= len(MONTHS) or not 1 <= self.day <= month_days(self.year, self.month):
            raise ValueError("there is no such day")

    @classmethod
    def of(cls, day: date) -> "Jalali":
        """The same day as a Gregorian one."""
        count = day.toordinal() - _EPOCH
        year = 1 + (_CYCLE_YEARS * count + 3) // (_CYCLE_YEARS * _YEAR_DAYS + 8)
        nth = count - _days_before(year)
        if nth < _LONG_DAYS:
            month, left = divmod(nth, 31)
        else:
            month, left = divmod(nth - _LONG_DAYS, 30)
            month += _LONG_MONTHS
        return cls(year, month + 1, left + 1)

    @classmethod
    def parse(cls, text: str) -> "Jalali":
        """`1405/09/03`, `1405-9-3` or `۱۴۰۵/۹/۳`. Raises ValueError."""
        found = _WRITTEN.fullmatch(latin_digits(text).strip())
        if found is None:
            raise ValueError("is not a date such as 1405/09/03")
        return cls(*map(int, found.groups()))

    @property
    def gregorian(self) -> date:
        """The same day of the Gregorian calendar."""
        month = self.month - 1
        nth = 30 * month + min(month, _LONG_MONTHS) + self.day - 1
        return date.fromordinal(_EPOCH + _days_before(self.year) + nth)

    def __str__(self) -> str:
        """`1405/09/03`."""
        return f"{self.year:04}/{self.month:02}/{self.day:02}"


def is_leap(year: int) -> bool:
    """Whether Esfand has 30 days."""
    return (25 * year + 11) % _CYCLE_YEARS < 8  # noqa: PLR2004  eight leap years in a cycle


def month_days(year: int, month: int) -> int:
    """How many days a month has."""
    if month <= _LONG_MONTHS:
        return 31
    return 30 if month < len(MONTHS) or is_leap(year) else 29


def jalali_time(at: int) -> str:
    """`1405/09/03 13:30` in Tehran, in Latin digits, as spreadsheets sort it."""
    moment = _in_tehran(at)
    return f"{Jalali.of(moment.date())} {moment:%H:%M}"


def persian_time(at: int) -> str:
    """`سه‌شنبه ۳ آذر ۱۴۰۵، ساعت ۱۳:۳۰` in Tehran."""
    moment = _in_tehran(at)
    day = Jalali.of(moment.date())
    text = f"{WEEKDAYS[moment.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}، ساعت {moment:%H:%M}"
    return persian_digits(text)


def english_time(at: int) -> str:
    """`24 November 2026, 13:30` in Tehran, without the process's locale."""
    moment = _in_tehran(at)
    return f"{moment.day} {_GREGORIAN_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M}"


def tehran_midnight(day: date) -> int:
    """When a day begins in Tehran, in milliseconds since the epoch."""
    return round(datetime(day.year, day.month, day.day, tzinfo=tehran()).timestamp() * 1000)


@cache
def tehran() -> tzinfo:
    """Asia/Tehran, by the system's table where there is one: +03:30 since 1401, but that is for a law to change."""
    try:
        return ZoneInfo("Asia/Tehran")
    except ZoneInfoNotFoundError:
        return timezone(timedelta(hours=3, minutes=30))


def _in_tehran(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1000, UTC).astimezone(tehran())


def _days_before(year: int) -> int:
    """How many days there were from 1 Farvardin 1 to that of `year`, by the rule of 33 years."""
    return _YEAR_DAYS * (year - 1) + (8 * year + 21) // _CYCLE_YEARS
