"""Amounts: whole rials or a refusal that says why, numbers as Persian writes them, and toman taken for rials.

And the files of banks, as banks, spreadsheets and people write them.
"""

import csv
import io
from datetime import date
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.kernel.errors import InvalidInput
from proxy.kernel.money import MAX_RIALS, Currency, to_rials, to_toman
from proxy.locale.persian import (
    Jalali,
    jalali_time,
    latin_digits,
    latin_toman,
    parse_number,
    persian_digits,
    persian_number,
    persian_toman,
    tehran_midnight,
)
from proxy.operations.reconciliation.cells import read_amount, read_code, read_time
from proxy.operations.reconciliation.file import BadFile, BadRow, Entry, Layout, Reversal, Row, SkippedRow, read_rows
from proxy.payments.drop_in import MAX_STOREFRONTS, MOST_KEPT, RECENT, AmountJumps, Jump


@pytest.mark.parametrize(
    "amount",
    [
        1000.0,
        15000.5,
        float("nan"),
        float("inf"),
        "15000",
        "۱۵۰۰۰",
        "",
        True,
        False,
        None,
        [15000],
        {"amount": 15000},
        Decimal(15000),
        Fraction(15000),
        b"15000",
    ],
)
@pytest.mark.parametrize("currency", list(Currency))
def test_what_is_not_an_int_is_refused_and_not_converted(amount: object, currency: Currency) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_rials(amount, currency)
    assert [(error.field, error.code) for error in caught.value.errors] == [("amount", "amount_not_integer")]


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (999, Currency.IRR, "amount_too_small"),
        (99, Currency.IRT, "amount_too_small"),
        (0, Currency.IRR, "amount_too_small"),
        (-150_000, Currency.IRR, "amount_too_small"),
        (MAX_RIALS + 1, Currency.IRR, "amount_too_large"),
        (MAX_RIALS // 10 + 1, Currency.IRT, "amount_too_large"),
        (2**63, Currency.IRR, "amount_too_large"),
        (10**400, Currency.IRT, "amount_too_large"),
    ],
)
def test_what_the_gateway_or_json_cannot_carry_is_refused(amount: int, currency: Currency, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_rials(amount, currency)
    error = caught.value.errors[0]
    assert error.code == code
    assert error.detail
    assert error.detail_fa


@pytest.mark.parametrize(
    ("amount", "currency", "rials"),
    [
        (1000, Currency.IRR, 1000),
        (100, Currency.IRT, 1000),
        (15_000, Currency.IRT, 150_000),
        (MAX_RIALS, Currency.IRR, MAX_RIALS),
        (MAX_RIALS // 10, Currency.IRT, MAX_RIALS // 10 * 10),
    ],
)
def test_a_toman_is_ten_rials(amount: int, currency: Currency, rials: int) -> None:
    assert to_rials(amount, currency) == rials


@pytest.mark.parametrize(("rials", "toman"), [(150_000, 15_000), (1005, 100.5), (1001, 100.1), (1000, 100)])
def test_rials_are_shown_with_their_toman(rials: int, toman: float) -> None:
    assert to_toman(rials) == toman
    assert isinstance(to_toman(rials), int) == (rials % 10 == 0)


@given(st.integers(100, MAX_RIALS // 10))
def test_toman_survive_the_way_to_rials_and_back(toman: int) -> None:
    assert to_toman(to_rials(toman, Currency.IRT)) == toman


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


def jumps(amounts: list[int]) -> list[tuple[int, Jump]]:
    """Which of the amounts completed a jump."""
    watched = AmountJumps()
    found = [(number, watched.observe("shop", amount)) for number, amount in enumerate(amounts)]
    return [(number, jump) for number, jump in found if jump is not None]


def basket(random: Random) -> int:
    return round(random.lognormvariate(13, 0.5))


@pytest.mark.parametrize("factor", [10, 0.1])
@pytest.mark.parametrize("seed", range(20))
def test_ten_times_more_or_less_is_told_once_and_soon(factor: float, seed: int) -> None:
    random = Random(seed)
    before = [basket(random) for _ in range(30)]
    after = [round(basket(random) * factor) for _ in range(30)]
    [(number, jump)] = jumps(before + after)
    assert len(before) <= number < len(before) + 2 * RECENT
    assert 0.04 < jump.recent_rials / jump.usual_rials / factor < 2.5


def test_the_return_to_the_old_unit_is_told_too() -> None:
    amounts = [150_000] * 20 + [1_500_000] * 20 + [150_000] * 20
    assert [number for number, _ in jumps(amounts)] == [24, 44]


@pytest.mark.parametrize("seed", range(20))
def test_an_ordinary_shop_is_left_alone(seed: int) -> None:
    random = Random(seed)
    dear = [basket(random) * (10 if random.random() < 0.1 else 1) for _ in range(500)]
    assert jumps(dear) == []
    assert jumps([150_000] * 50 + [450_000] * 50) == []
    assert jumps([150_000] * 50 + [15_000_000] * 50) == []


def test_a_shop_with_few_payments_says_nothing() -> None:
    assert jumps([150_000] * 9 + [1_500_000] * 5) == []


def test_each_has_amounts_of_its_own_and_the_state_is_bounded() -> None:
    watched = AmountJumps()
    for _ in range(20):
        assert watched.observe("one", 150_000) is None
        assert watched.observe("other", 1_500_000) is None
    for number in range(MAX_STOREFRONTS + 50):
        watched.observe(number, 1000)
    assert len(watched._kept) == MAX_STOREFRONTS
    assert all(len(amounts) <= MOST_KEPT for amounts in watched._kept.values())


RIALS = Layout(currency=Currency.IRR)
AT = tehran_midnight(date(2026, 11, 24))
PERSIAN = "کد پیگیری;مبلغ (ریال);تاریخ\n۱۲۳۴۵۶;۱۵۰٬۰۰۰;۱۴۰۵/۰۹/۰۳\n"


def rows(text: str | bytes, layout: Layout = RIALS) -> list[Entry]:
    return list(read_rows(io.BytesIO(text if isinstance(text, bytes) else text.encode()), layout))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1256", "utf-16"])
def test_a_file_of_a_persian_bank_is_read_in_any_encoding_it_may_have(encoding: str) -> None:
    # The code page has no Persian digits, and writes the Arabic letters.
    text = PERSIAN if encoding != "windows-1256" else "كد پيگيري;مبلغ (ريال);تاريخ\n123456;150,000;1405/09/03\n"
    assert rows(text.encode(encoding), Layout()) == [Row(2, "123456", 150_000, AT)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([["bank_code", "amount"], ["77", "1,500,000"]])
    assert rows(text.getvalue()) == [Row(2, "77", 1_500_000, None)]


def test_what_stands_above_and_below_the_table_is_no_row() -> None:
    text = "بانک آزمایش\n\nاز تاریخ,1405/09/01\nشماره مرجع,مبلغ,تاریخ\n5,1000,1405/9/3\n,-500,1405/9/3\nجمع,1000,\n"
    assert rows(text) == [
        Row(5, "5", 1000, AT),
        SkippedRow(6, "money that went out, without a code"),
        SkippedRow(7, "a total"),
    ]


def test_a_total_is_no_money() -> None:
    assert rows("نوع,شماره مرجع,مبلغ\nخرید,5,1000\nجمع,,1000\n") == [Row(2, "5", 1000, None), SkippedRow(3, "a total")]


def test_columns_may_be_named_or_numbered_and_a_file_may_have_no_headings() -> None:
    named = Layout("Ref A", "Paid", currency=Currency.IRT)
    assert rows("ref a,paid\n9,150\n", named) == [Row(2, "9", 1500, None)]
    numbered = Layout("3", "1", "2", currency=Currency.IRR)
    assert rows("150000,2026-11-24,9\n", numbered) == [Row(1, "9", 150_000, AT)]
    assert rows("how much,when,what\n150000,2026-11-24,9\n", numbered) == [Row(2, "9", 150_000, AT)]


@pytest.mark.parametrize(
    ("text", "layout", "why"),
    [
        ("bank_code,amount\n1,2\n", Layout(), "rials or tomans"),
        ("bank_code,مبلغ (تومان)\n1,2\n", RIALS, "another unit"),
        ("rrn,tracking code,amount\n1,2,3\n", RIALS, "several columns"),
        ("a,b\n1,2\n", RIALS, "no row has headings"),
        ("", RIALS, "no row has headings"),
        ('bank_code,amount\n1,1000\n2,"2000\n3,3000\n', RIALS, "row 3 is no CSV"),
        ('bank_code,amount\n1,1000\n2,"20"00\n3,3000\n', RIALS, "row 3 is no CSV"),
        (b"bank_code,amount\n\xff\xfe,2\n", Layout(currency=Currency.IRR, encoding="utf-8"), "not all utf-8"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str | bytes, layout: Layout, why: str) -> None:
    with pytest.raises(BadFile, match=why):
        rows(text, layout)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("6.04E+11,1000", "rounded by a spreadsheet"),
        ("7,ten", "is not a number"),
        ("7,1.5", "no whole number of rials"),
        (",1000", "no code"),
        ("7,", "a code and no amount"),
        ("8,70702E+11,1000", "has 3 cells where the headings have 2"),
        ('"8,70702E+11",1000', "rounded by a spreadsheet"),
        ("8.70702e11,1000", "rounded by a spreadsheet"),
        ("۸٫۷۰۷۰۲E+11,1000", "rounded by a spreadsheet"),
        ('"870,701,123,456",1000', "grouped like an amount"),
        ("1234567890123456.00,1000", "has changed its last digits"),
        (f"{'9' * 201},1000", "longer than 200"),
        ('7,"1500,00"', "not grouped by threes"),
        ('7,"15,0000"', "not grouped by threes"),
        ("7,1500 00", "not grouped by threes"),
        ('7,"1,500 000"', "not grouped by threes"),
        ('7,"1,50,000"', "not grouped by threes"),
        ("7,150.000", "thousands or decimals"),
        ("7,۱۵۰٫۰۰۰", "thousands or decimals"),
        ("7,1000,9", "has 3 cells where the headings have 2"),
        ('"7\n8,2000\n9",1000', "whole rows within one cell"),
        ("7,99999999999999999999", "too large"),
    ],
)
def test_a_bad_row_tells_its_number_and_why(line: str, why: str) -> None:
    [row] = rows(f"bank_code,amount\n{line}\n")
    assert isinstance(row, BadRow)
    assert row.number == 2
    assert why in row.why


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("c0,-150000,", Reversal(2, "c0", 150_000)),
        ("c0,\u2212150000,", Reversal(2, "c0", 150_000)),
        ("c0,(150000),", Reversal(2, "c0", 150_000)),
        ("c0,,150000", Reversal(2, "c0", 150_000)),
        ("c0,0,150000", Reversal(2, "c0", 150_000)),
        ("c0,150000,0", Row(2, "c0", 150_000, None)),
        ("c0,150000,5", BadRow(2, "has money that came in and money that went out")),
        ("جمع کل,150000,5", SkippedRow(2, "a total")),
        ("Total:,150000,", SkippedRow(2, "a total")),
        ("c0,0,", Row(2, "c0", 0, None)),
        (",0,", SkippedRow(2, "no money")),
        ("c0,150000,,,", Row(2, "c0", 150_000, None)),
        ("the end", SkippedRow(2, "a remark of one cell")),
    ],
)
def test_every_row_is_money_in_money_out_or_left_out_for_a_reason(line: str, row: Entry) -> None:
    assert rows(f"bank_code,amount,debit\n{line}\n") == [row]


@pytest.mark.parametrize(
    ("cell", "rials"),
    [
        ("1 500 000", 1_500_000),
        ("1.500.000", 1_500_000),
        ("1.500.000,00", 1_500_000),
        ("1.500,00", 1500),
        ("1,500.00", 1500),
        ("1'500'000", 1_500_000),
        ("1500.0000", 1500),
        ("15.0", 15),
        ("+15", 15),
    ],
)
def test_an_amount_is_read_where_its_separators_can_mean_one_thing_only(cell: str, rials: int) -> None:
    assert read_amount(cell, Currency.IRR) == rials


@pytest.mark.parametrize("cell", ["123", "123.00", "۱۲۳", "١٢٣", "'123", '="123"', "123.0", " \u200f123\u200e "])
def test_a_code_is_the_same_however_a_spreadsheet_wrote_it(cell: str) -> None:
    assert read_code(cell) == "123"


@pytest.mark.parametrize(
    "cell",
    ["1405/09/03 13:30", "۱۴۰۵/۰۹/۰۳ ۱۳:۳۰", "2026-11-24T10:00:00Z", "2026-11-24 15:00+0500", "20261124, 13:30:00"],
)
def test_a_moment_is_the_same_in_any_calendar_and_zone(cell: str) -> None:
    assert read_time(cell) == AT + 13 * 3_600_000 + 30 * 60_000


@pytest.mark.parametrize("clock", ["13:30", "13:30:00", "133000", "۱۳:۳۰"])
def test_the_time_of_day_may_stand_apart(clock: str) -> None:
    assert read_time("1405/09/03", clock) == AT + 13 * 3_600_000 + 30 * 60_000


@pytest.mark.parametrize(
    "cell", ["24/11/2026", "1405123", "1405/13/01", "05/09/03", "1405/12/30", "2026-02-29", "1405/09/03 25:00"]
)
def test_a_day_that_may_be_two_or_is_none_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match=r"day|date|time"):
        read_time(cell)


@settings(deadline=None)
@given(st.integers(1, 9 * 10**14), st.sampled_from(["", " ریال", "\u00a0", " rial"]))
def test_any_amount_survives_being_written_in_persian_or_grouped(rials: int, end: str) -> None:
    for text in (str(rials), f"{rials:,}", persian_number(rials), persian_digits(str(rials)), f"{rials}.00"):
        assert read_amount(text + end, Currency.IRR) == rials
        assert read_amount(text + end.replace("ریال", "تومان").replace("rial", "toman"), Currency.IRT) == (10 * rials)


@settings(deadline=None)
@given(
    st.integers(
        tehran_midnight(Jalali(1390, 1, 1).gregorian) // 60_000, tehran_midnight(Jalali(1420, 1, 1).gregorian) // 60_000
    )
)
def test_any_minute_survives_being_written_as_a_jalali_date(minute: int) -> None:
    # In an hour that summer time repeated, the text itself names two moments.
    assert jalali_time(read_time(jalali_time(minute * 60_000))) == jalali_time(minute * 60_000)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_do_anything_but_give_rows_or_say_what_is_wrong(data: bytes) -> None:
    try:
        found = rows(data)
    except BadFile:
        return
    assert all(row.number >= 1 for row in found)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("0123456789ABCxyz-"), min_size=1, max_size=20).filter(
                lambda code: not code.endswith(".0")
            ),
            st.integers(1, 10**12),
        ),
        max_size=20,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_whatever_was_written_is_read_back(
    lines: list[tuple[str, int]], delimiter: str, encoding: str, persian: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["کد رهگیری", "مبلغ ریال"])
    for code, rials in lines:
        writer.writerow([persian_digits(code), persian_number(rials)] if persian else [code, rials])
    found = rows(text.getvalue().encode(encoding), Layout(delimiter=delimiter))
    assert found == [Row(number, code, rials, None) for number, (code, rials) in enumerate(lines, 2)]
