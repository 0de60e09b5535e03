"""The report of `dargah reconcile`: sums and the first rows of each outcome, printed for people or as JSON."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import islice
from types import TracebackType
from typing import Any, Final, Literal, Self

import click

from proxy.cli.output import Output
from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.operations.reconciliation.cells import same_code
from proxy.operations.reconciliation.file import Reversal, Row, SkippedRow

_TITLES: Final = {
    "missing_here": "missing here: the bank has them, no payment does",
    "amount_differs": "differing amount: the bank's, and what the gateway told us",
    "reversed": "reversed: the bank gave the money back, and the payment stands as paid here",
    "duplicate": "twice in the file",
    "under_review": "under review: decide with `dargah payment resolve`",
    "missing_there": "missing there: paid here, and not in the file",
    "at_the_edge": "at the edge: paid about when the period begins or ends; look in the file of the day beside",
}
# Money that went out and says nothing against a payment: of none of ours, or of one whose review says so.
_WENT_OUT: Final = ("went_out", "refunded")
_COLUMNS: Final = {
    "missing_here": ("number", "bank_code", "amount_rials"),
    "duplicate": ("number", "bank_code", "amount_rials", "first_number"),
    "missing_there": ("payment_id", "order_id", "bank_code", "amount_rials", "paid_at"),
    "at_the_edge": ("payment_id", "order_id", "bank_code", "amount_rials", "paid_at"),
}
_ROW_COLUMNS: Final = ("number", "bank_code", "amount_rials", "captured_rials", "payment_id", "order_id")
_DIFFERENCES: Final = ("missing_here", "amount_differs", "reversed", "duplicate", "under_review", "missing_there")


@dataclass(slots=True)
class Report:
    """Counts and rials by outcome, with the first few of each."""

    show: int
    period: tuple[int, int] | None
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: Sequence[SkippedRow] = ()
    skipped_rows: int = 0
    found_by_asking: dict[str, int] | None = None

    def add(self, outcome: str, entry: dict[str, Any]) -> None:
        count, rials = self.sums.get(outcome, (0, 0))
        self.sums[outcome] = count + 1, rials + entry["amount_rials"]
        if count < self.show:
            self.lists.setdefault(outcome, []).append(entry)

    @property
    def differs(self) -> bool:
        return any(self.sums.get(outcome, (0, 0))[0] for outcome in _DIFFERENCES)


def print_report(out: Output, report: Report) -> None:
    counts = {name: report.sums.get(name, (0, 0)) for name in ("matched", *_TITLES, *_WENT_OUT)}
    period = report.period and [rfc3339(at) for at in report.period]
    if out.as_json:
        out.record(
            {
                "all_matched": not report.differs,
                "period": period,
                "counts": {name: count for name, (count, _) in counts.items()},
                "rials": {name: rials for name, (_, rials) in counts.items()},
                "skipped_rows": report.skipped_rows,
                "skipped": [{"number": each.number, "why": each.why} for each in report.skipped],
                "asked_again": report.found_by_asking,
                **{name: report.lists.get(name, []) for name in _TITLES},
            }
        )
        return
    for name, title in _TITLES.items():
        if (count := counts[name][0]) == 0:
            continue
        click.echo(f"{title} ({count})")
        if listed := report.lists.get(name):
            out.table(listed, _COLUMNS.get(name, _ROW_COLUMNS))
        if count > len(listed or ()):
            click.echo(f"… and {count - len(listed or ())} more; --show says how many are listed")
        click.echo()
    if period:
        click.echo(f"period: {period[0]} to {period[1]}")
    for name, (count, rials) in counts.items():
        click.echo(f"{name.replace('_', ' '):<15}{count:>9,}{rials:>22,} rial")
    if report.skipped_rows:
        click.echo(f"{report.skipped_rows} rows tell of no payment's money:")
        for each in report.skipped:
            click.echo(f"  row {each.number}: {each.why}")
    _hint(report)
    click.echo("something differs" if report.differs else "all matched")


def _hint(report: Report) -> None:
    differing = report.lists.get("amount_differs", [])
    tenfold = [
        each for each in differing if each["captured_rials"] in {each["amount_rials"] * 10, each["amount_rials"] / 10}
    ]
    if tenfold:
        click.echo(f"{len(tenfold)} amounts differ tenfold: is the file in the unit that was said (--unit)?")


Table = Literal["rows", "reversals"]
TABLES: Final[tuple[Table, ...]] = ("rows", "reversals")
_AT_ONCE: Final = 1000
_TABLES: Final = """
PRAGMA journal_mode = OFF;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, bank_code TEXT NOT NULL UNIQUE, amount_rials INTEGER NOT NULL, outcome TEXT,
    payment_id TEXT, order_id TEXT, captured_rials INTEGER
);
CREATE TABLE duplicates (number INTEGER PRIMARY KEY, bank_code TEXT NOT NULL, amount_rials INTEGER NOT NULL);
CREATE TABLE reversals (
    number INTEGER PRIMARY KEY, bank_code TEXT NOT NULL, amount_rials INTEGER NOT NULL, outcome TEXT,
    payment_id TEXT, order_id TEXT, captured_rials INTEGER
);
CREATE INDEX rows_by_outcome ON rows (outcome, number);
CREATE INDEX reversals_by_outcome ON reversals (outcome, number);
"""
_ROW: Final = ("number", "bank_code", "amount_rials", "payment_id", "order_id", "captured_rials")


class BankSheet:
    """Opened by `with`; nothing of it is left afterwards."""

    def __init__(self) -> None:
        # A name of nothing is a file of SQLite's own, deleted with the connection.
        self._database = sqlite3.connect("", isolation_level=None)
        self.first_at: int | None = None
        self.last_at: int | None = None

    def __enter__(self) -> Self:
        self._database.executescript(_TABLES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def fill(self, rows: Iterable[Row | Reversal]) -> None:
        """Adds the rows. A code that was added before is a duplicate, with any amount."""
        rest = iter(rows)
        while some := list(islice(rest, _AT_ONCE)):
            self._database.execute("BEGIN")
            for row in some:
                self._add(row)
            self._database.execute("COMMIT")

    def _add(self, row: Row | Reversal) -> None:
        cells = (row.number, row.bank_code, row.amount_rials)
        if isinstance(row, Reversal):
            self._database.execute("INSERT INTO reversals (number, bank_code, amount_rials) VALUES (?, ?, ?)", cells)
            return
        put = "INSERT INTO rows (number, bank_code, amount_rials) VALUES (?, ?, ?) ON CONFLICT (bank_code) DO NOTHING"
        if self._database.execute(put, cells).rowcount == 0:
            self._database.execute("INSERT INTO duplicates VALUES (?, ?, ?)", cells)
        if row.at is not None:
            self.first_at = row.at if self.first_at is None else min(self.first_at, row.at)
            self.last_at = row.at if self.last_at is None else max(self.last_at, row.at)

    def batches(
        self, size: int, outcome: str | None = None, table: Table = "rows"
    ) -> Iterator[list[tuple[int, str, int]]]:
        """The rows with an outcome, or without one yet, as (number, code, rials), in the file's order."""
        after = 0
        query = (
            f"SELECT number, bank_code, amount_rials FROM {table} "  # noqa: S608  a name of ours
            "WHERE outcome IS ? AND number > ? ORDER BY number LIMIT ?"
        )
        while found := self._database.execute(query, (outcome, after, size)).fetchall():
            after = found[-1][0]
            yield found

    def note(self, numbers: Sequence[int], found: Sequence[Mapping[str, Any]], table: Table = "rows") -> None:
        """Stores the API's answers about the rows with these numbers."""
        values = [
            (each["outcome"], each["payment_id"], each["order_id"], each["captured_rials"], number)
            for number, each in zip(numbers, found, strict=True)
        ]
        self._database.execute("BEGIN")
        self._database.executemany(
            f"UPDATE {table} SET outcome = ?, payment_id = ?, order_id = ?, captured_rials = ? "  # noqa: S608  a name of ours
            "WHERE number = ?",
            values,
        )
        self._database.execute("COMMIT")

    def has(self, bank_code: str) -> bool:
        """Whether a bank_code of ours came in, in whichever digits."""
        query = "SELECT 1 FROM rows WHERE bank_code = ?"
        return self._database.execute(query, (same_code(bank_code),)).fetchone() is not None

    def sums(self) -> dict[str, tuple[int, int]]:
        """How many rows have each outcome, and their rials."""
        query = "SELECT outcome, count(*), sum(amount_rials) FROM {} GROUP BY outcome"
        rows = [row for table in TABLES for row in self._database.execute(query.format(table))]
        doubled = self._database.execute("SELECT count(*), coalesce(sum(amount_rials), 0) FROM duplicates").fetchone()
        return {outcome: (count, rials) for outcome, count, rials in rows} | {"duplicate": doubled}

    def listed(self, outcome: str, limit: int) -> list[dict[str, Any]]:
        """The first rows with an outcome; a duplicate names the first row of its code."""
        if outcome == "duplicate":
            query = (
                "SELECT d.number, d.bank_code, d.amount_rials, r.number AS first_number FROM duplicates AS d "
                "JOIN rows AS r ON r.bank_code = d.bank_code ORDER BY d.number LIMIT ?"
            )
            names = ("number", "bank_code", "amount_rials", "first_number")
            return [dict(zip(names, row, strict=True)) for row in self._database.execute(query, (limit,))]
        table = "reversals" if outcome == "reversed" else "rows"
        query = f"SELECT {', '.join(_ROW)} FROM {table} WHERE outcome = ? ORDER BY number LIMIT ?"  # noqa: S608  names of ours
        return [dict(zip(_ROW, row, strict=True)) for row in self._database.execute(query, (outcome, limit))]
