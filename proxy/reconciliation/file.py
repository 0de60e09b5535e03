"""A bank's or gateway's settlement file, row by row: CSV in any common encoding and with any delimiter."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from proxy.money import Currency
from proxy.reconciliation.cells import plain, read_amount, read_code, read_time
from proxy.reconciliation.headings import AMOUNT, CODE, DATE, TIME, TOTALS, currency_of, normal

MAX_ROWS: Final = 5_000_000
# Banks write their name, the account and the period above the table.
HEADING_ROWS: Final = 40
_SNIFFED_BYTES: Final = 64 * 1024
_DELIMITERS: Final = ",;\t|؛"
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class BadFile(ValueError):
    """The file as a whole cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the operator says of the file. A column is its heading or its number from 1; None is to be found."""

    code: str | None = None
    amount: str | None = None
    date: str | None = None
    time: str | None = None
    currency: Currency | None = None
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Money that came in. `number` is the row's in the file, from 1; `at` is milliseconds, None without a date."""

    number: int
    bank_code: str
    amount_rials: int
    at: int | None


@dataclass(frozen=True, slots=True)
class BadRow:
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that brings no money in: a total, a fee, money that went out."""

    number: int


@dataclass(frozen=True, slots=True)
class _Columns:
    code: int
    amount: int
    date: int | None
    time: int | None
    currency: Currency


def read_rows(file: BinaryIO, layout: Layout) -> Iterator[Row | BadRow | Skipped]:
    """The rows under the headings, empty ones left out; one row is in memory at a time. Raises BadFile."""
    start = file.read(_SNIFFED_BYTES)
    encoding = layout.encoding or _encoding(start)
    file.seek(0)
    with io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            delimiter = layout.delimiter or _delimiter(start.decode(encoding, "ignore"))
            yield from _read(csv.reader(text, delimiter=delimiter), layout)
        except UnicodeError:
            raise BadFile(f"the file is not all {encoding}: name its encoding, such as windows-1256") from None
        except csv.Error as error:
            raise BadFile(f"the file is no CSV: {error}") from None


def _read(lines: Iterable[list[str]], layout: Layout) -> Iterator[Row | BadRow | Skipped]:
    columns = None
    for number, cells in enumerate(lines, 1):
        if number > MAX_ROWS:
            raise BadFile(f"the file has more than {MAX_ROWS} rows: split it")
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns, headings = _find(cells, layout)
            if columns is None and number > HEADING_ROWS:
                break
            if headings or columns is None:
                continue
        yield _row(number, cells, columns)
    if columns is None:
        raise BadFile("no row has headings for the code and the amount: name the columns, by heading or number")


def _find(cells: Sequence[str], layout: Layout) -> tuple[_Columns | None, bool]:
    """The columns when this row tells them, and whether the row is the headings."""
    names = [normal(cell) for cell in cells]
    code, amount = _place(names, layout.code, CODE), _place(names, layout.amount, AMOUNT)
    if code is None or amount is None or max(code, amount) >= len(cells):
        return None, False
    numbered = _numbered(layout.code) and _numbered(layout.amount)
    told = currency_of(names[amount])
    if numbered and told is None and not _is_data(cells, amount):
        return None, False
    if layout.currency and told and layout.currency is not told:
        raise BadFile(f"the heading {cells[amount].strip()!r} says another unit than was said")
    currency = layout.currency or told
    if currency is None:
        raise BadFile("neither the heading nor you say whether amounts are rials or tomans")
    found = _Columns(code, amount, _place(names, layout.date, DATE), _place(names, layout.time, TIME), currency)
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


def _row(number: int, cells: list[str], columns: _Columns) -> Row | BadRow | Skipped:
    def cell(place: int | None) -> str:
        return "" if place is None or place >= len(cells) else cells[place]

    if len(cells) <= max(columns.code, columns.amount):
        # A delimiter in an unquoted text, or a remark below the table.
        return BadRow(number, f"has only {len(cells)} columns") if len(cells) > 1 else Skipped(number)
    try:
        code = read_code(cell(columns.code))
        if not code and any(normal(each) in TOTALS for each in cells):
            return Skipped(number)
        amount = read_amount(cell(columns.amount), columns.currency)
        if amount <= 0:
            return Skipped(number)
        if not code:
            return BadRow(number, "has an amount and no code")
        day = cell(columns.date)
        at = None if columns.date is None else read_time(day, cell(columns.time))
    except ValueError as error:
        return BadRow(number, str(error))
    return Row(number, code, amount, at)


def _encoding(start: bytes) -> str:
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        # What Persian Windows and the banks' older programs write.
        return "windows-1256"
    return "utf-8"


def _delimiter(start: str) -> str:
    """The one that stands in most of the first rows, and of those the most frequent."""
    lines = [line for line in start.splitlines()[:HEADING_ROWS] if plain(line)]
    return max(
        _DELIMITERS,
        key=lambda mark: (sum(mark in line for line in lines), sum(map(str.count, lines, mark * len(lines)))),
    )
