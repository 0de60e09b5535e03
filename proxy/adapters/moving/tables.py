"""What there is to move: the tables of the schema itself, so that a new one is not forgotten."""

import sqlite3
from dataclasses import dataclass
from typing import Final

# Each database has its own of these from its migrations.
_OWN: Final = frozenset({"schema_versions", "heartbeat"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns in their order, and those of its primary key, by which its rows are read in order."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, row: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(row[self.columns.index(column)] for column in self.key)

    def page_query(self, mark: str, *, onwards: bool, limit: int) -> str:
        """The next rows in key order, after a key when `onwards`. `mark` introduces a parameter's number."""
        key = ", ".join(self.key)
        marks = ", ".join(f"{mark}{number}" for number in range(1, len(self.key) + 1))
        after = f" WHERE ({key}) > ({marks})" if onwards else ""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}{after} ORDER BY {key} LIMIT {limit}"  # noqa: S608  names of the schema

    @property
    def last_query(self) -> str:
        """The last key that there is."""
        order = ", ".join(f"{column} DESC" for column in self.key)
        return f"SELECT {', '.join(self.key)} FROM {self.name} ORDER BY {order} LIMIT 1"  # noqa: S608  the same


def tables_of(source: sqlite3.Connection) -> list[Table]:
    """Every table that is moved, by name."""
    names = source.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    return [_table(source, name) for (name,) in names.fetchall() if name not in _OWN]


def _table(source: sqlite3.Connection, name: str) -> Table:
    rows = source.execute("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (name,)).fetchall()
    key = sorted((place, column) for column, place in rows if place)
    return Table(name, tuple(column for column, _ in rows), tuple(column for _, column in key))
