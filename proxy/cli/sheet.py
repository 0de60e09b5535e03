"""The rows of one bank file and what was found of each, in a temporary file: memory stays small, however long it is."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self

from proxy.reconciliation.file import Row

_AT_ONCE: Final = 1000
_TABLES: Final = """
PRAGMA journal_mode = OFF;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, bank_code TEXT NOT NULL UNIQUE, amount_rials INTEGER NOT NULL, outcome TEXT,
    payment_id TEXT, order_id TEXT, captured_rials INTEGER
);
CREATE TABLE duplicates (number INTEGER PRIMARY KEY, bank_code TEXT NOT NULL, amount_rials INTEGER NOT NULL);
CREATE INDEX rows_by_outcome ON rows (outcome, number);
"""
_ROW: Final = ("number", "bank_code", "amount_rials", "payment_id", "order_id", "captured_rials")


class Sheet:
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

    def fill(self, rows: Iterable[Row]) -> None:
        """Adds the rows. A code that stood before is a duplicate, whatever its amount."""
        rest = iter(rows)
        while some := list(islice(rest, _AT_ONCE)):
            self._database.execute("BEGIN")
            for row in some:
                self._add(row)
            self._database.execute("COMMIT")

    def _add(self, row: Row) -> None:
        cells = (row.number, row.bank_code, row.amount_rials)
        put = "INSERT INTO rows (number, bank_code, amount_rials) VALUES (?, ?, ?) ON CONFLICT (bank_code) DO NOTHING"
        if self._database.execute(put, cells).rowcount == 0:
            self._database.execute("INSERT INTO duplicates VALUES (?, ?, ?)", cells)
        if row.at is not None:
            self.first_at = row.at if self.first_at is None else min(self.first_at, row.at)
            self.last_at = row.at if self.last_at is None else max(self.last_at, row.at)

    def batches(self, size: int, outcome: str | None = None) -> Iterator[list[tuple[int, str, int]]]:
        """The rows with an outcome, or without one yet, as (number, code, rials), in the file's order."""
        after = 0
        query = (
            "SELECT number, bank_code, amount_rials FROM rows WHERE outcome IS ? AND number > ? ORDER BY number LIMIT ?"
        )
        while found := self._database.execute(query, (outcome, after, size)).fetchall():
            after = found[-1][0]
            yield found

    def note(self, numbers: Sequence[int], found: Sequence[Mapping[str, Any]]) -> None:
        """What the API said of the rows with these numbers."""
        values = [
            (each["outcome"], each["payment_id"], each["order_id"], each["captured_rials"], number)
            for number, each in zip(numbers, found, strict=True)
        ]
        self._database.execute("BEGIN")
        self._database.executemany(
            "UPDATE rows SET outcome = ?, payment_id = ?, order_id = ?, captured_rials = ? WHERE number = ?", values
        )
        self._database.execute("COMMIT")

    def has(self, bank_code: str) -> bool:
        return self._database.execute("SELECT 1 FROM rows WHERE bank_code = ?", (bank_code,)).fetchone() is not None

    def sums(self) -> dict[str, tuple[int, int]]:
        """How many rows have each outcome, and their rials."""
        rows = self._database.execute("SELECT outcome, count(*), sum(amount_rials) FROM rows GROUP BY outcome")
        doubled = self._database.execute("SELECT count(*), coalesce(sum(amount_rials), 0) FROM duplicates").fetchone()
        return {outcome: (count, rials) for outcome, count, rials in rows} | {"duplicate": doubled}

    def listed(self, outcome: str, limit: int) -> list[dict[str, Any]]:
        """The first rows with an outcome; a duplicate tells where its code stood first."""
        if outcome == "duplicate":
            query = (
                "SELECT d.number, d.bank_code, d.amount_rials, r.number AS first_number FROM duplicates AS d "
                "JOIN rows AS r ON r.bank_code = d.bank_code ORDER BY d.number LIMIT ?"
            )
            names = ("number", "bank_code", "amount_rials", "first_number")
            return [dict(zip(names, row, strict=True)) for row in self._database.execute(query, (limit,))]
        query = f"SELECT {', '.join(_ROW)} FROM rows WHERE outcome = ? ORDER BY number LIMIT ?"  # noqa: S608  names of ours
        return [dict(zip(_ROW, row, strict=True)) for row in self._database.execute(query, (outcome, limit))]
