"""Numbers as Persian readers write them, dates of the Iranian calendar (Jalali), and the time of day in Tehran.

A year is a leap year where (25y + 11) mod 33 < 8. From 1244 to 1503 (1865 to 2124) that is the official calendar, as
ICU and the University of Tehran have it; the cycle of 2820 years that many libraries use is a day off in 1404.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.kernel.clock import DAY, HOUR, MINUTE, parse_rfc3339
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


_ALIKE: Final = {
    **{latin: (latin, *others) for latin, *others in zip(LATIN_DIGITS, PERSIAN_DIGITS, ARABIC_DIGITS, strict=True)},
    "ی": ("ی", "ي", "ى"),
    "ک": ("ک", "ك"),
    " ": (" ", "\u200c"),
    ",": (",", "٬"),
    ".": (".", "٫"),
}
_FOLDED: Final = [(written, plain) for plain, forms in _ALIKE.items() for written in forms if written != plain]


def folded(text: str) -> str:
    """As texts are compared: without case, in Latin digits, with one form of the Arabic and Persian letters."""
    folded_text = text.casefold()
    # `translate` takes a hundred times as long, where a text is not all ASCII.
    for written, plain in () if text.isascii() else _FOLDED:
        folded_text = folded_text.replace(written, plain)
    return folded_text


def alike(char: str) -> tuple[str, ...]:
    """The characters that are `char` when they are folded, which it is itself; but for their case."""
    return _ALIKE.get(char, (char,))


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
_PERSIAN_GREGORIAN_MONTHS: Final = (
    "ژانویه", "فوریه", "مارس", "آوریل", "مه", "ژوئن", "ژوئیه", "اوت", "سپتامبر", "اکتبر", "نوامبر", "دسامبر",
)  # fmt: skip
_LATIN_MONTHS: Final = (
    "Farvardin", "Ordibehesht", "Khordad", "Tir", "Mordad", "Shahrivar", "Mehr", "Aban", "Azar", "Dey", "Bahman",
    "Esfand",
)  # fmt: skip
_CYCLE_YEARS: Final = 33
_YEAR_DAYS: Final = 365
_LONG_MONTHS: Final = 6
_LONG_DAYS: Final = 31 * _LONG_MONTHS
_WRITTEN: Final = re.compile(r"([0-9]{4})[/-]([0-9]{1,2})[/-]([0-9]{1,2})")
_WRITTEN_TIME: Final = re.compile(_WRITTEN.pattern + r"(?:[ T]+([0-9]{1,2}):([0-9]{2}))?")
_FIRST_GREGORIAN, _LAST_GREGORIAN = 1971, 2124
_END_OF_TIMES: Final = 4_891_363_200_000  # 2125
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


def jalali_time(at: int, *, seconds: bool = False) -> str:
    """`1405/09/03 13:30` in Tehran, in Latin digits, as spreadsheets sort it."""
    moment = _in_tehran(at)
    return f"{Jalali.of(moment.date())} {_clock(moment, seconds=seconds)}"


def english_jalali_time(at: int) -> str:
    """`3 Azar 1405, 13:30:05` in Tehran."""
    moment = _in_tehran(at)
    day = Jalali.of(moment.date())
    return f"{day.day} {_LATIN_MONTHS[day.month - 1]} {day.year}, {_clock(moment)}"


def persian_time(at: int) -> str:
    """`سه‌شنبه ۳ آذر ۱۴۰۵، ساعت ۱۳:۳۰` in Tehran."""
    moment = _in_tehran(at)
    day = Jalali.of(moment.date())
    text = f"{WEEKDAYS[moment.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}، ساعت {moment:%H:%M}"
    return persian_digits(text)


def english_time(at: int, *, seconds: bool = False) -> str:
    """`24 November 2026, 13:30` in Tehran, without the process's locale."""
    moment = _in_tehran(at)
    return f"{moment.day} {_GREGORIAN_MONTHS[moment.month - 1]} {moment.year}, {_clock(moment, seconds=seconds)}"


def persian_gregorian_time(at: int) -> str:
    """`۲۴ نوامبر ۲۰۲۶، ساعت ۱۳:۳۰:۰۵` in Tehran."""
    moment = _in_tehran(at)
    month = _PERSIAN_GREGORIAN_MONTHS[moment.month - 1]
    return persian_digits(f"{moment.day} {month} {moment.year}، ساعت {_clock(moment)}")


def _clock(moment: datetime, *, seconds: bool = True) -> str:
    return f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"


def time_span(text: str) -> tuple[int, int]:
    """The day or minute that people wrote: its begin and the begin of the next one, in milliseconds since the epoch.

    `1405/09/10`, `1405/09/10 14:30` and `2026-12-01 14:30` are Tehran's, in any digits; an RFC 3339 time has its own
    offset. Raises ValueError.
    """
    plain = latin_digits(text).strip()
    found = _WRITTEN_TIME.fullmatch(plain)
    if found is None:
        minute = parse_rfc3339(plain) // MINUTE * MINUTE
        return _reached(minute, minute + MINUTE)
    year, month, day = map(int, found.groups()[:3])
    gregorian = date(year, month, day) if _FIRST_GREGORIAN <= year <= _LAST_GREGORIAN else None
    midnight = tehran_midnight(gregorian or Jalali(year, month, day).gregorian)
    if found[4] is None:
        return _reached(midnight, midnight + DAY)
    of_day = time(int(found[4]), int(found[5]))
    minute = midnight + of_day.hour * HOUR + of_day.minute * MINUTE
    return _reached(minute, minute + MINUTE)


def _reached(begin: int, end: int) -> tuple[int, int]:
    if not 0 <= begin < _END_OF_TIMES:
        raise ValueError("the year must be 1971 to 2124")
    return begin, end


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
