"""A start that PostgreSQL does not let through: the sentence names the setting and the database, and what to do."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from databases.bouncer import bouncer, missing
from databases.cluster import Postgres, folder_of_servers

from e2e.refused import Refused, of
from e2e.test_refusals import Walk

_RULES: Final = """
local all all reject
host all dargah 127.0.0.1/32 trust
host all with_password 127.0.0.1/32 scram-sha-256
hostssl all with_tls 127.0.0.1/32 trust
host all no_connections,no_ddl,stranger,reader 127.0.0.1/32 trust
"""
_MADE: Final = (
    "CREATE ROLE with_password LOGIN PASSWORD 'right'",
    "CREATE ROLE with_tls LOGIN",
    "CREATE ROLE no_connections LOGIN CONNECTION LIMIT 0",
    "CREATE ROLE no_ddl LOGIN",
    "CREATE ROLE stranger LOGIN",
    "CREATE ROLE reader LOGIN",
    "ALTER ROLE reader SET default_transaction_read_only = on",
    "CREATE DATABASE shop",
    "REVOKE CONNECT ON DATABASE shop FROM public",
    "GRANT CONNECT ON DATABASE shop TO no_ddl",
    "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
)


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    async with folder_of_servers() as made:
        await made.make()
        (made.folder / "pg_hba.conf").write_text(_RULES)
        try:
            await made.start()
            for statement in _MADE:
                await made.sql(statement)
            yield made
        finally:
            await made.stop()


def cases(server: Postgres) -> tuple[Refused, ...]:
    def by(says: str, user: str, database: str = "shop", more: str = "sslmode=disable") -> Refused:
        url = f"postgresql://{user}@127.0.0.1:{server.port}/{database}?{more}"
        return of(rf"DARGAH_DATABASE \(postgresql://127.0.0.1:{server.port}/{database}\): .*{says}", DATABASE=url)

    return (
        by(
            "password.*; look at the user and the password: in the URL, PGPASSWORD or PGPASSFILE", "with_password:wrong"
        ),
        by("; look at the user and the password", "with_password"),
        by("no encryption; .*set sslmode=require", "with_tls"),
        by("rejected SSL.*; it has no TLS: turn `ssl` on there", "dargah", more="sslmode=require"),
        by("no pg_hba.conf entry .*; add a line", "nobody"),
        by('database "none" does not exist; look at the names .*`createdb`', "dargah", "none"),
        by(
            "too many connections for role .*; raise its max_connections, or lower DARGAH_DATABASE_CONNECTIONS",
            "no_connections",
        ),
        by("permission denied for database .*; GRANT it", "stranger"),
        by("its role may not bring the schema to version .*: run `dargah migrate` with the owner's URL", "no_ddl"),
        by("it takes no writes: .*; name the primary", "reader", "postgres"),
        by("its encoding is LATIN1, which cannot hold Persian. Make one that can.*createdb", "dargah", "latin"),
        by("sslrootcert: /nowhere.pem cannot be read", "dargah", more="sslmode=verify-full&sslrootcert=/nowhere.pem"),
    )


async def test_what_postgresql_does_not_let_through_is_refused_with_what_to_do(
    tmp_path: Path, server: Postgres
) -> None:
    assert await Walk(tmp_path, {}).faults(cases(server)) == []


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize(
    ("mode", "pooler", "says"),
    [
        (
            "statement",
            "true",
            "PgBouncer has pool_mode=statement: set it to transaction, with DARGAH_DATABASE_POOLER=true",
        ),
        ("transaction", "false", "a pooler stands before it: set DARGAH_DATABASE_POOLER=true"),
    ],
)
async def test_a_pooler_in_the_wrong_mode_is_named(
    tmp_path: Path, server: Postgres, mode: str, pooler: str, says: str
) -> None:
    async with bouncer(f"host=127.0.0.1 port={server.port} user=dargah", pool_mode=mode) as pgbouncer:
        case = of(says, DATABASE=pgbouncer.url("postgres"), DATABASE_POOLER=pooler)
        assert await Walk(tmp_path, {}).faults([case]) == []
