"""Persian numbers and the Iranian calendar."""

from datetime import date, timedelta
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel.clock import parse_rfc3339
from proxy.locale import jalali
from proxy.locale.digits import latin_digits, latin_toman, parse_number, persian_digits, persian_number, persian_toman
from proxy.locale.jalali import Jalali, english_time, is_leap, jalali_time, month_days, persian_time, tehran_midnight

DAYS = st.dates(Jalali(jalali.FIRST_YEAR, 1, 1).gregorian, Jalali(jalali.LAST_YEAR, 12, 29).gregorian)
# As the Calendar Centre of the University of Tehran publishes them, among them the years round 1404, in which the
# rule of 2820 years is wrong.
LEAP_YEARS = (1370, 1375, 1379, 1383, 1387, 1391, 1395, 1399, 1403, 1408, 1412, 1416, 1420, 1424)
KNOWN = {
    "1979-02-11": "1357/11/22",
    "1989-06-03": "1368/03/13",
    "2000-01-01": "1378/10/11",
    "2017-03-20": "1395/12/30",
    "2021-03-20": "1399/12/30",
    "2021-03-21": "1400/01/01",
    "2024-03-20": "1403/01/01",
    "2025-03-20": "1403/12/30",
    "2025-03-21": "1404/01/01",
    "2026-03-21": "1405/01/01",
    "2026-11-24": "1405/09/03",
    "2029-03-20": "1408/01/01",
}


@pytest.mark.parametrize(("gregorian", "shown"), KNOWN.items())
def test_known_days(gregorian: str, shown: str) -> None:
    day = date.fromisoformat(gregorian)
    assert str(Jalali.of(day)) == shown
    assert Jalali.parse(shown).gregorian == day


def test_leap_years_are_the_official_ones() -> None:
    assert tuple(year for year in range(1370, 1425) if is_leap(year)) == LEAP_YEARS


@given(DAYS)
def test_a_day_is_one_day_in_both_calendars(day: date) -> None:
    assert Jalali.of(day).gregorian == day


@given(DAYS.filter(lambda day: day < date(2124, 3, 19)))
def test_the_day_after_is_the_next_one(day: date) -> None:
    today, tomorrow = Jalali.of(day), Jalali.of(day + timedelta(days=1))
    assert today < tomorrow
    if today.day < month_days(today.year, today.month):
        assert tomorrow == Jalali(today.year, today.month, today.day + 1)
    else:
        assert tomorrow.day == 1
        assert tomorrow.month == today.month % 12 + 1


@pytest.mark.parametrize("text", ["1405/13/01", "1404/12/30", "1405/07/31", "1405/00/10", "1405/01/00", "1243/01/01"])
def test_there_is_no_such_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"no such day|the year must be"):
        Jalali.parse(text)


@pytest.mark.parametrize("text", ["", "1405", "1405/1", "05/01/01", "1405/1/1/1", "1405.1.1", "²405/1/1"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        Jalali.parse(text)


def test_dates_are_read_as_people_write_them() -> None:
    assert Jalali.parse(" ۱۴۰۵/۹/۳ ") == Jalali.parse("1405-09-03") == Jalali(1405, 9, 3)


def test_a_time_is_told_in_tehran() -> None:
    at = parse_rfc3339("2026-11-24T20:45:59.999Z")
    assert persian_time(at) == "چهارشنبه ۴ آذر ۱۴۰۵، ساعت ۰۰:۱۵"
    assert english_time(at) == "25 November 2026, 00:15"
    assert jalali_time(at) == "1405/09/04 00:15"


def test_a_day_begins_in_tehran() -> None:
    assert tehran_midnight(Jalali(1405, 9, 3).gregorian) == parse_rfc3339("2026-11-23T20:30:00Z")


def test_without_the_systems_table_the_offset_is_the_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_name: str) -> None:
        raise ZoneInfoNotFoundError

    monkeypatch.setattr(jalali, "ZoneInfo", none)
    jalali.tehran.cache_clear()
    try:
        assert jalali_time(parse_rfc3339("2026-11-24T10:00:00Z")) == "1405/09/03 13:30"
    finally:
        jalali.tehran.cache_clear()


def test_numbers_are_persian() -> None:
    assert persian_number(9_007_199_254_740_991) == "۹٬۰۰۷٬۱۹۹٬۲۵۴٬۷۴۰٬۹۹۱"
    assert (persian_toman(150_000), persian_toman(12_345)) == ("۱۵٬۰۰۰", "۱٬۲۳۴٫۵")
    assert (latin_toman(150_000), latin_toman(12_345)) == ("15,000", "1,234.5")


@given(st.integers(0, 10**18))
def test_what_is_written_is_read_back(number: int) -> None:
    assert parse_number(persian_number(number)) == parse_number(f"{number:,}") == parse_number(str(number)) == number


@given(st.text("0123456789,"))
def test_digits_go_there_and_back(text: str) -> None:
    assert latin_digits(persian_digits(text)) == text


def test_both_keyboards_are_read() -> None:
    assert parse_number(" ١٢٣٤٥٦ ") == parse_number("۱۲۳٬۴۵۶") == 123_456


@pytest.mark.parametrize("text", ["", "1,2", "12,3456", "-5", "1.5", "۱٫۵", "1e3", "1 000", "x", "²", "1" * 99])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        parse_number(text)
