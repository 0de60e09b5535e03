"""Numbers in Persian, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.persian import latin_digits, latin_toman, parse_number, persian_digits, persian_number, persian_toman


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
