"""A disk that fails at a chosen statement, and what a database file holds."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

FOR_GOOD: Final = 1_000_000_000
ONCE: Final = 1
# The rollback is the next statement, so this is a fault during which even that fails.
TWICE: Final = 2

CODES: Final = {
    "SQLITE_FULL": sqlite3.SQLITE_FULL,
    "SQLITE_IOERR": sqlite3.SQLITE_IOERR,
    "SQLITE_BUSY": sqlite3.SQLITE_BUSY,
}
MODES: Final = {"once": ONCE, "twice": TWICE, "for good": FOR_GOOD}

Rows = dict[str, list[tuple[Any, ...]]]


class Disk:
    """The `fault` hook of a store. After `arm(n)` the n-th statement from then on fails, and those that follow it.

    `seen` are the statements since it was armed, `struck_at` those that failed; `on_strike` hears of the first.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.struck = 0
        self.struck_at: set[str] = set()
        self.on_strike: Callable[[str], None] = lambda _sql: None
        self._at: int | None = None
        self._left = 0
        self._code = sqlite3.SQLITE_IOERR

    def arm(self, at: int | None, code: int = sqlite3.SQLITE_IOERR, times: int = ONCE) -> None:
        """None only records."""
        self.seen, self.struck, self.struck_at = [], 0, set()
        self._at, self._code, self._left = at, code, times

    def heal(self) -> None:
        """No faults from here on."""
        self._at = None

    def __call__(self, sql: str) -> None:
        self.seen.append(sql)
        if self._at is not None and len(self.seen) > self._at and self._left > 0:
            self._left -= 1
            self.struck += 1
            self.struck_at.add(sql)
            if self.struck == 1:
                self.on_strike(sql)
            error = sqlite3.OperationalError("disk fault")
            error.sqlite_errorcode = self._code
            raise error


def rows_of(path: Path) -> Rows:
    """Every row of every table that is committed, seen by a connection of its own."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables if _counts(name)}  # noqa: S608  the schema's own names
    finally:
        connection.close()


def _counts(table: str) -> bool:
    """The heartbeat is what `ping` writes to see whether it can: nobody was told anything about it."""
    return table != "heartbeat"
