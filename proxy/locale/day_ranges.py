"""Ranges of days as people choose them: by a name, or from a day to another, which begin at midnight in Tehran."""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from proxy.kernel.text import without_direction
from proxy.locale.persian import Jalali, tehran, tehran_midnight, time_span

Range = tuple[int | None, int | None]
"""Milliseconds since the epoch: the begin, and the end, which is not in it; None is open."""


class NamedRange(StrEnum):
    TODAY = "today"
    YESTERDAY = "yesterday"
    WEEK = "week"
    """The last seven days, today among them."""
    MONTH = "month"
    """The month of the Iranian calendar so far."""


def named_range(name: NamedRange, now: int) -> Range:
    today = tehran_day(now)
    first, last = {
        NamedRange.TODAY: (today, today),
        NamedRange.YESTERDAY: (today - timedelta(days=1),) * 2,
        NamedRange.WEEK: (today - timedelta(days=6), today),
        NamedRange.MONTH: (today - timedelta(days=Jalali.of(today).day - 1), today),
    }[name]
    return tehran_midnight(first), tehran_midnight(last + timedelta(days=1))


def begin_of(text: str) -> int | None:
    """When a day or minute begins that people wrote, such as `1405/09/03` or `2026-11-24`; None for no text.

    Raises ValueError.
    """
    text = without_direction(text).strip()
    return time_span(text)[0] if text else None


def end_of(text: str) -> int | None:
    """When it ends. Raises ValueError."""
    text = without_direction(text).strip()
    return time_span(text)[1] if text else None


def tehran_day(at: int) -> date:
    """The day of a time in Tehran."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(tehran()).date()
