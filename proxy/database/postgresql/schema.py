"""Brings a database to this code's schema: numbered scripts, each in one transaction with the row that says so."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import asyncpg

from proxy.database.postgresql.transaction import SQL
from proxy.database.transaction import load_migrations
from proxy.database.versions import COLUMNS, NEWER, StoreTooNew, oldest_code
from proxy.kernel.clock import within_reach
from proxy.kernel.errors import StoreRefused

OLDEST_SERVER: Final = 14
ENCODING: Final = "UTF8"
# Beside the present one: a loop that stood still for a month has lost nothing.
PARTITIONS_AHEAD: Final = 2
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


class ServerRefused(StoreRefused):
    """The server, or the database on it, cannot be used; the message says why and shows no password."""


class ServerTooOld(ServerRefused):
    """The server is a PostgreSQL without the features that the store needs."""


class WrongEncoding(ServerRefused):
    """The database cannot hold Persian."""


class NeedsMigration(ServerRefused):
    """The schema is older than this code, and the role may not change it."""


async def migrate(connection: Any, now: int) -> None:
    """Applies the missing migrations, under a lock against other processes; without missing ones it takes no lock.

    Raises ServerTooOld, WrongEncoding, StoreTooNew, NeedsMigration, and asyncpg's errors with nothing half applied.
    """
    await _check_server(connection)
    migrations = load_migrations("postgresql")
    try:
        if await schema_version(connection) < len(migrations):
            while await _apply_next(connection, migrations, now):
                pass
    except asyncpg.InsufficientPrivilegeError as error:
        raise NeedsMigration(
            f"its role may not bring the schema to version {len(migrations)} ({error}): run `dargah migrate` with the "
            "owner's URL in DARGAH_MIGRATION_DATABASE"
        ) from error


async def schema_version(connection: Any) -> int:
    """Of the schema that is there; 0 where there is none. Raises StoreTooNew."""
    known = len(load_migrations("postgresql"))
    async with connection.transaction():  # of which a pooler keeps all parts on one server
        if await connection.fetchval("SELECT to_regclass('schema_versions')") is None:
            return 0
        newer = await connection.fetchrow(NEWER.format(known=known))
        if newer is not None:
            raise StoreTooNew(newer[0], newer[1], known)
        return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_versions"))


async def _check_server(connection: Any) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise ServerTooOld(f"the server is PostgreSQL {version.major} and Dargah needs {OLDEST_SERVER} or newer")
    encoding = connection.get_settings().server_encoding
    if encoding != ENCODING:
        database = await connection.fetchval("SELECT current_database()")
        raise WrongEncoding(
            f"its encoding is {encoding}, which cannot hold Persian. Make one that can, and name that: "
            f"createdb --encoding={ENCODING} --locale=C --template=template0 {shlex.quote(f'{database}_utf8')}"
        )


async def make_partitions(connection: Any, first: int, last: int | None = None) -> None:
    """Makes the missing partitions from `first` to `last`, or as many ahead as PARTITIONS_AHEAD.

    Raises asyncpg.InsufficientPrivilegeError for a role that may not.
    """
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute("SELECT make_parts($1, $2)", first, first + PARTITIONS_AHEAD if last is None else last)


async def settled(connection: Any, now: int) -> int:
    """The time whose partitions are made: not that of a clock far beyond the newest time in the database."""
    return within_reach(now, await connection.fetchval("SELECT coalesce(settled_at, nullif(at, 0)) FROM heartbeat"))


async def _apply_next(connection: Any, migrations: tuple[tuple[int, str, str], ...], now: int) -> bool:
    """Whether there was one to apply. The lock is a transaction's, which a pooler keeps on one connection."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(_VERSIONS)
        version = await schema_version(connection)
        if version >= len(migrations):
            return False
        number, name, script = migrations[version]
        await connection.execute(script)
        await connection.execute(_RECORD, number, name, now, oldest_code(number, script))
        return True


FUNCTIONS: Final = ("make_parts(bigint, bigint)", "drop_events(bigint)", "drop_attempts(bigint)")
_VERBS: Final = {
    "SELECT": re.compile(r"\b(?:FROM|JOIN) (?:ONLY )?(\w+)"),
    "INSERT": re.compile(r"\bINSERT INTO (\w+)"),
    "UPDATE": re.compile(r"\bUPDATE (\w+)|\bINSERT INTO (\w+)\b[^;]*?\bDO UPDATE\b"),
    "DELETE": re.compile(r"\bDELETE FROM (\w+)"),
}
_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
"""


def rights(tables: set[str]) -> Mapping[str, set[str]]:
    """The privileges that the queries need on each table."""
    found: dict[str, set[str]] = defaultdict(set)
    for text in SQL.values():
        for verb, pattern in _VERBS.items():
            for match in pattern.finditer(text):
                found[next(filter(None, match.groups()))].add(verb)
    # Whoever writes says by its WHERE and RETURNING what it reads.
    found["schema_versions"].add("SELECT")
    return {table: verbs | {"SELECT"} for table, verbs in found.items() if table in tables}


async def grant(connection: Any, role: str) -> list[str]:
    """Grants them in the present schema, and nothing that was granted before is left; gives the statements.

    Raises asyncpg's errors: UndefinedObjectError where there is no such role.
    """
    async with connection.transaction():
        tables = {name for (name,) in await connection.fetch(_TABLES)}
        named = await connection.fetchrow("SELECT quote_ident($1), quote_ident(current_schema())", role)
        statements = list(_statements(rights(tables), *named))
        for statement in statements:
            await connection.execute(statement)
    return statements


def _statements(found: Mapping[str, set[str]], role: str, schema: str) -> Iterator[str]:
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    for table, verbs in sorted(found.items()):
        yield f"GRANT {', '.join(sorted(verbs))} ON {schema}.{table} TO {role}"
    for function in FUNCTIONS:
        yield f"GRANT EXECUTE ON FUNCTION {schema}.{function} TO {role}"
