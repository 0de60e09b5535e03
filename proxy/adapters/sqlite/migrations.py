"""Brings a database to this code's schema: numbered scripts, each in one transaction with the row that says so."""

import sqlite3
from typing import Final

from proxy.adapters.queries import load_migrations
from proxy.adapters.store.versions import COLUMNS, NEWER, StoreTooNew, oldest_code

_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    oldest_code INTEGER NOT NULL
) STRICT
"""


def migrate(connection: sqlite3.Connection, now: int) -> None:
    """Applies the migrations that are missing. Raises StoreTooNew, and sqlite3.Error with nothing half applied."""
    migrations = load_migrations("sqlite")
    connection.execute(_VERSIONS)
    newer = connection.execute(NEWER.format(known=len(migrations))).fetchone()
    if newer is not None:
        raise StoreTooNew(newer[0], newer[1], len(migrations))
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM schema_versions").fetchone()
    for number, name, script in migrations[version:]:
        _apply(connection, script, (number, name, now))


def _apply(connection: sqlite3.Connection, script: str, row: tuple[int, str, int]) -> None:
    number, name, now = row
    row_of = f"{number:d}, '{name}', {now:d}, {oldest_code(number, script):d}"
    record = f"INSERT INTO schema_versions ({COLUMNS}) VALUES ({row_of});"  # noqa: S608  our own file's name
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{record}\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
