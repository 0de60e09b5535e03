"""A bank's or gateway's settlement file, row by row: CSV in any common encoding and with any delimiter."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final

from proxy.kernel.frozen import dataclass
from proxy.kernel.money import Currency
from proxy.operations.reconciliation.cells import (
    AMOUNT,
    CODE,
    DATE,
    DEBIT,
    TIME,
    TOTALS,
    currency_of,
    normal,
    plain,
    read_amount,
    read_code,
    read_time,
)

MAX_ROWS: Final = 5_000_000
# Banks write their name, the account and the period above the table.
HEADING_ROWS: Final = 40
_SNIFFED_BYTES: Final = 64 * 1024
_WINDOWS: Final = "windows-1256"
_DELIMITERS: Final = ",;\t|؛"
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class BadFile(ValueError):
    """The file as a whole cannot be used; the text names the remedy."""


class NoHeadings(BadFile):
    """No row names the columns."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The operator's description of the file. A column is its heading or its number from 1; None is to be found."""

    code: str | None = None
    amount: str | None = None
    date: str | None = None
    time: str | None = None
    debit: str | None = None
    currency: Currency | None = None
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Money that came in, or a code with an amount of 0. `number` is the row's in the file, from 1; `at` is
    milliseconds, None without a date.
    """

    number: int
    bank_code: str
    amount_rials: int
    at: int | None


@dataclass(frozen=True, slots=True)
class BadRow:
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money of a code that went out again; `amount_rials` is above zero."""

    number: int
    bank_code: str
    amount_rials: int


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row without a payment's money: a total, a fee, a remark. `why` names it."""

    number: int
    why: str


Entry = Row | Reversal | BadRow | SkippedRow


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the columns are. `width` is how many cells the headings have, or the first row where there are none."""

    width: int
    code: int
    amount: int
    debit: int | None
    date: int | None
    time: int | None
    currency: Currency


def read_rows(file: BinaryIO, layout: Layout) -> Iterator[Entry]:
    """The rows under the headings, empty ones left out; one row is in memory at a time. Raises BadFile."""
    start = file.read(_SNIFFED_BYTES)
    encoding = layout.encoding or _encoding(start)
    file.seek(0)
    with io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            delimiter = layout.delimiter or _delimiter(start.decode(encoding, "ignore"))
            yield from _read(_records(text, delimiter), layout, delimiter)
        except NoHeadings:
            if layout.encoding is None and encoding == _WINDOWS and (line := _line_of_fault(start)):
                raise BadFile(
                    f"line {line} is not UTF-8, and read as {_WINDOWS} no row has headings: save the file as UTF-8, or "
                    "name its encoding"
                ) from None
            raise
        except UnicodeError:
            raise BadFile(f"the file is not all {encoding}: name its encoding, such as windows-1256") from None


def _records(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records with their numbers from 1. Raises BadFile, also for a quote that is never closed."""
    number = 0
    try:
        for number, cells in enumerate(csv.reader(text, delimiter=delimiter, strict=True), 1):
            if number > MAX_ROWS:
                raise BadFile(f"the file has more than {MAX_ROWS} rows: split it")
            yield number, cells
    except csv.Error as error:
        raise BadFile(f"row {number + 1} is no CSV ({error}): is a quote in it never closed, or not doubled?") from None


def _read(records: Iterable[tuple[int, list[str]]], layout: Layout, delimiter: str) -> Iterator[Entry]:
    columns = None
    for number, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns, headings = _find(cells, layout)
            if columns is None and number > HEADING_ROWS:
                break
            if headings or columns is None:
                continue
        yield _row(number, cells, columns, delimiter)
    if columns is None:
        raise NoHeadings("no row has headings for the code and the amount: name the columns, by heading or number")


def _find(cells: Sequence[str], layout: Layout) -> tuple[_Columns | None, bool]:
    """The columns if this row shows them, and whether the row is the headings."""
    names = [normal(cell) for cell in cells]
    code, amount = _place(names, layout.code, CODE), _place(names, layout.amount, AMOUNT)
    if code is None or amount is None or max(code, amount) >= len(cells):
        return None, False
    numbered = _numbered(layout.code) and _numbered(layout.amount)
    stated_currency = currency_of(names[amount])
    if numbered and stated_currency is None and not _is_data(cells, amount):
        return None, False
    if layout.currency and stated_currency and layout.currency is not stated_currency:
        raise BadFile(f"the heading {cells[amount].strip()!r} says another unit than was said")
    currency = layout.currency or stated_currency
    if currency is None:
        raise BadFile("neither the heading nor you say whether amounts are rials or tomans")
    found = _Columns(
        width=len(cells),
        code=code,
        amount=amount,
        debit=_place(names, layout.debit, DEBIT),
        date=_place(names, layout.date, DATE),
        time=_place(names, layout.time, TIME),
        currency=currency,
    )
    return found, not (numbered and _is_data(cells, amount))


def _place(names: Sequence[str], said: str | None, known: frozenset[str]) -> int | None:
    """Where a column is. Raises BadFile when several could be meant."""
    if said is not None and said.isascii() and said.isdigit():
        return int(said) - 1
    wanted = known if said is None else {normal(said)}
    places = [place for place, name in enumerate(names) if name in wanted]
    if len(places) > 1:
        both = ", ".join(f"{names[place]!r} (column {place + 1})" for place in places)
        raise BadFile(f"several columns could be meant: {both}; name one by its number")
    return places[0] if places else None


def _numbered(said: str | None) -> bool:
    return said is not None and said.isascii() and said.isdigit()


def _is_data(cells: Sequence[str], amount: int) -> bool:
    try:
        return read_amount(cells[amount], Currency.IRR) != 0
    except ValueError:
        return False


def _row(number: int, cells: Sequence[str], columns: _Columns, delimiter: str) -> Entry:
    if len(cells) <= max(columns.code, columns.amount):
        # A delimiter in an unquoted text, or a remark below the table.
        few = f"has only {len(cells)} columns"
        return BadRow(number, few) if len(cells) > 1 else SkippedRow(number, "a remark of one cell")
    if any(cell.strip() for cell in cells[columns.width :]):
        more = f"has {len(cells)} cells where the headings have {columns.width}: is a delimiter in an unquoted text?"
        return BadRow(number, more)
    if any(_swallows_rows(cell, delimiter, columns.width) for cell in cells):
        return BadRow(number, "has whole rows within one cell: is a quote in it never closed?")
    try:
        return _meaning(number, cells, columns)
    except ValueError as error:
        return BadRow(number, str(error))


def _swallows_rows(cell: str, delimiter: str, width: int) -> bool:
    return "\n" in cell and any(line.count(delimiter) >= width - 1 for line in cell.splitlines()[1:])


def _meaning(number: int, cells: Sequence[str], columns: _Columns) -> Entry:
    """The values of a row with the right shape. Raises ValueError."""

    def cell(place: int | None) -> str:
        return "" if place is None or place >= len(cells) else cells[place]

    raw = cell(columns.code)
    if normal(raw) in TOTALS or (not raw.strip() and any(normal(each) in TOTALS for each in cells)):
        return SkippedRow(number, "a total")
    code, amount = read_code(raw), read_amount(cell(columns.amount), columns.currency)
    out = abs(read_amount(cell(columns.debit), columns.currency))
    if amount > 0 and out > 0:
        raise ValueError("has money that came in and money that went out")
    out = max(out, -amount)
    if out > 0:
        return Reversal(number, code, out) if code else SkippedRow(number, "money that went out, without a code")
    if amount == 0 and code and not cell(columns.amount).strip():
        raise ValueError("has a code and no amount; a column of money that went out is named by --debit-column")
    if amount == 0 and not code:
        return SkippedRow(number, "no money")
    if not code:
        raise ValueError("has an amount and no code")
    at = None if columns.date is None else read_time(cell(columns.date), cell(columns.time))
    return Row(number, code, amount, at)


def _encoding(start: bytes) -> str:
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        # What Persian Windows and the banks' older programs write.
        return _WINDOWS
    return "utf-8"


def _line_of_fault(start: bytes) -> int:
    """The number of the first line that is not UTF-8; 0 where all are."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError as error:
        return start.count(b"\n", 0, error.start) + 1
    return 0


def _delimiter(start: str) -> str:
    """The delimiter in most of the first rows, and of those the most frequent."""
    lines = [line for line in start.splitlines()[:HEADING_ROWS] if plain(line)]
    return max(
        _DELIMITERS,
        key=lambda mark: (sum(mark in line for line in lines), sum(map(str.count, lines, mark * len(lines)))),
    )
