"""Brings a database to this code's schema: numbered scripts, each in one transaction with the row that says so."""

from typing import Any, Final

from proxy.adapters.queries import load_migrations
from proxy.adapters.store.versions import COLUMNS, NEWER, StoreTooNew, oldest_code

OLDEST_SERVER: Final = 14
# Beside the present one: a loop that stood still for a month has lost nothing.
PERIODS_AHEAD: Final = 2
# The locks of this application's own; a merchant's are hashes of its id, so these two never meet but by chance.
_MIGRATION_LOCK: Final = 0x6461_7267_6168
_LOCK: Final = (
    f"SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"
)
_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version bigint PRIMARY KEY,
    name text NOT NULL,
    applied_at bigint NOT NULL,
    oldest_code bigint NOT NULL
)
"""

_RECORD: Final = f"INSERT INTO schema_versions ({COLUMNS}) VALUES ($1, $2, $3, $4)"  # noqa: S608  names of ours


class ServerTooOld(Exception):
    """The server is a PostgreSQL that lacks what the store needs."""


async def migrate(connection: Any, now: int) -> None:
    """Applies the migrations that are missing, while no other process does.

    Raises ServerTooOld, StoreTooNew, and asyncpg's errors with nothing half applied.
    """
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise ServerTooOld(f"the server is PostgreSQL {version.major} and Dargah needs {OLDEST_SERVER} or newer")
    migrations = load_migrations("postgresql")
    while await _apply_next(connection, migrations, now):
        pass


async def make_parts(connection: Any, first: int, last: int | None = None) -> None:
    """Makes the partitions of the periods `first` to `last`, or of as many as are made ahead, that are missing."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute("SELECT make_parts($1, $2)", first, first + PERIODS_AHEAD if last is None else last)


async def _apply_next(connection: Any, migrations: tuple[tuple[int, str, str], ...], now: int) -> bool:
    """Whether there was one to apply. The lock is a transaction's, which a pooler keeps on one connection."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(_VERSIONS)
        newer = await connection.fetchrow(NEWER.format(known=len(migrations)))
        if newer is not None:
            raise StoreTooNew(newer[0], newer[1], len(migrations))
        version = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_versions")
        if version >= len(migrations):
            return False
        number, name, script = migrations[version]
        await connection.execute(script)
        await connection.execute(_RECORD, number, name, now, oldest_code(number, script))
        return True
