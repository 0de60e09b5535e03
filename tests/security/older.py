"""What the Dargah before sealed and stored: a secret without its origin, and endpoints' headers as they are."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from databases.places import database_in

from proxy.database.transaction import load_migrations
from proxy.merchants.vault import KeyRing, SealedSecret

VERSION = b"\x01"


def older_seal(ring: KeyRing, merchant_id: str, owner_id: str, name: str, secret: str) -> SealedSecret:
    """A blob of version 1, written by its description and not by the code."""
    bound = b"\0".join((VERSION, merchant_id.encode(), owner_id.encode(), name.encode()))
    data_key, wrapping, nonce = os.urandom(32), os.urandom(12), os.urandom(12)
    wrapped = AESGCM(ring.keys[ring.kek_id]).encrypt(wrapping, data_key, bound)
    ciphertext = AESGCM(data_key).encrypt(nonce, secret.encode(), bound)
    return SealedSecret(merchant_id, owner_id, name, ring.kek_id, VERSION + wrapping + wrapped + nonce + ciphertext)


def sql(folder: Path, statement: str, *values: Any) -> list[Any]:
    """What somebody does who can write the database; `$1` stands for a value."""
    database = database_in(folder)
    if isinstance(database, str):
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(asyncio.run, _on_server(database, statement, values)).result()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        return connection.execute(statement.replace("$", "?"), values).fetchall()


async def _on_server(url: str, statement: str, values: Sequence[Any]) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


def put_older(folder: Path, sealed: SealedSecret) -> None:
    """The sealed secret in place of the one that is there."""
    where = "WHERE merchant_id = $3 AND owner_id = $4 AND name = $5"
    key = (sealed.merchant_id, sealed.owner_id, sealed.name)
    sql(folder, f"UPDATE secrets SET kek_id = $1, blob = $2 {where}", sealed.kek_id, sealed.blob, *key)  # noqa: S608


def put_plain(folder: Path, endpoint_id: str, headers: dict[str, str]) -> None:
    """The endpoint's headers as they lay in its row."""
    sql(folder, "DELETE FROM secrets WHERE owner_id = $1 AND name = 'headers'", endpoint_id)
    sql(folder, "UPDATE endpoints SET headers = $1 WHERE id = $2", orjson.dumps(headers).decode(), endpoint_id)


def make_older(folder: Path) -> None:
    """The database is as before the upgrade; a file also has the schema of then."""
    sql(folder, "UPDATE heartbeat SET secrets_bound_at = NULL")
    database = database_in(folder)
    if isinstance(database, Path):
        _with_first_schema(database)


def _with_first_schema(database: Path) -> None:
    number, name, script = load_migrations("sqlite")[0]
    newer = database.with_name("newer.db")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(newer),))
    for path in database.parent.glob(f"{database.name}*"):
        if path.suffix != ".lock":
            path.unlink()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.executescript(script)
        connection.execute("ATTACH ? AS newer", (str(newer),))
        for (table,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            kept = f"SELECT {columns} FROM newer.{table}"  # noqa: S608
            connection.execute(f"INSERT OR REPLACE INTO main.{table} ({columns}) {kept}")
        connection.execute(
            "CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
            "applied_at INTEGER NOT NULL, oldest_code INTEGER NOT NULL) STRICT"
        )
        connection.execute("INSERT INTO schema_versions VALUES (?, ?, 0, 1)", (number, name))
    newer.unlink()
