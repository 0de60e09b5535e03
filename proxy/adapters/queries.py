"""Named queries from `.sql` files: `sql/common` holds what both dialects share, `sql/<dialect>` what only one can say.

A query is introduced by two comment lines, its name and what it does, and ends at the next one:

    -- name: payment_by_link
    -- The payment of a pay or return link.
    SELECT … WHERE merchant_id = $1 AND link = $2;

SQLite gets each as its own kind likes it: see `_for_sqlite`.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final, Literal

Dialect = Literal["sqlite", "postgresql"]

_QUERY: Final = re.compile(
    r"^-- name: (?P<name>\w+)\n-- (?P<about>.+)\n(?P<text>(?:(?!^-- name: ).*\n?)+)", re.MULTILINE
)


class BadQueryFile(Exception):
    """A `.sql` file has text outside a named and described query, or a name that is taken."""


def load_queries(dialect: Dialect) -> Mapping[str, str]:
    """The SQL of every query of the dialect by its name. Raises BadQueryFile."""
    root = files("proxy.adapters") / "sql"
    queries: dict[str, str] = {}
    for folder in (root / "common", root / dialect):
        for file in _sql_files(folder):
            for name, text in parse(file.read_text("utf-8"), file.name):
                if name in queries:
                    raise BadQueryFile(f"{file.name}: there is another query named {name}")
                queries[name] = _for_sqlite(text) if dialect == "sqlite" else text
    return MappingProxyType(queries)


def load_migrations(dialect: Dialect) -> tuple[tuple[int, str, str], ...]:
    """Number, name and SQL of every migration of the dialect, in order. Raises BadQueryFile when one is missing."""
    folder = files("proxy.adapters") / "sql" / dialect / "migrations"
    migrations = []
    for number, file in enumerate(_sql_files(folder), start=1):
        if not file.name.startswith(f"{number:04}_"):
            raise BadQueryFile(f"migration {number:04} is missing: {file.name} stands in its place")
        migrations.append((number, file.name.removesuffix(".sql"), file.read_text("utf-8")))
    return tuple(migrations)


def parse(text: str, file_name: str) -> Iterator[tuple[str, str]]:
    """The name and SQL of each query of a file's text. Raises BadQueryFile."""
    end = 0
    for match in _QUERY.finditer(text):
        if text[end : match.start()].strip():
            break
        end = match.end()
        yield match["name"], match["text"].strip().removesuffix(";")
    if end != len(text):
        raise BadQueryFile(f"{file_name}: text after character {end} belongs to no named and described query")


def _for_sqlite(text: str) -> str:
    """Parameters are written `$1`, and bind by position as `?1`.

    An INSERT of what a SELECT gives is said to FAIL rather than to ABORT: SQLite otherwise keeps a copy of each page
    that the statement changes, a fifth of what a payment's costs, to undo that statement alone. Whoever runs one here
    undoes its whole step.
    """
    return re.sub(r"\$(\d+)", r"?\1", re.sub(r"^INSERT INTO\b", "INSERT OR FAIL INTO", text))


def _sql_files(folder: Traversable) -> list[Traversable]:
    return sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
