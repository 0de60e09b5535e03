"""The PostgreSQL database that a store is moved into: whether it may be, and what of it is there already."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from proxy.adapters.moving.tables import Table
from proxy.adapters.postgresql.migrations import make_parts, migrate
from proxy.adapters.store.versions import COLUMNS, MOVING
from proxy.ids import part_at

CONNECT_SECONDS: Final = 10.0
# Of the newest periods. Older ones are soon forgotten, and each partition costs every query a little.
MOST_PARTS: Final = 36
_LOCK: Final = 0x6461_7267_6D76
_RUNNING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'dargah' AND pid <> pg_backend_pid()
"""
_MARK: Final = f"INSERT INTO schema_versions ({COLUMNS}) VALUES ($1, 'a_store_is_moved_here', $2, $1)"  # noqa: S608  names of ours


class MoveRefused(Exception):
    """Nothing was moved, or no more; the message says why."""


class Target:
    """One connection to it, which also keeps a second move out."""

    def __init__(self, connection: Any) -> None:
        self._connection: asyncpg.Connection = connection

    @classmethod
    async def open(cls, url: str) -> "Target":
        """Raises MoveRefused, OSError and asyncpg's errors."""
        settings = {"application_name": "dargah-move"}
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            await connection.close()
            raise MoveRefused("another `dargah migrate-store` is moving a store into that database")
        return cls(connection)

    async def close(self) -> None:
        await self._connection.close()

    async def begin(self, tables: Sequence[Table], now: int) -> bool:
        """Makes the schema and marks the database, so that no Dargah starts on it; gives whether it was begun before.

        Raises MoveRefused where somebody uses it, or where there is something in it that no move has brought.
        """
        if await self._connection.fetchval(_RUNNING):
            raise MoveRefused("a Dargah is running on the database that the store is to be moved to: stop it first")
        if await self._marked():
            return True
        await migrate(self._connection, now)
        await self._check_columns(tables)
        for table in tables:
            if await self._connection.fetchrow(table.last_query) is not None:
                raise MoveRefused(f"the database is not empty: there are rows in {table.name}. Move into a new one")
        await self._connection.execute(_MARK, MOVING, now)
        return False

    async def make_parts(self, parts: Sequence[int], now: int) -> None:
        """Has a place for the rows of these periods. What is in none lies in the rest: nothing depends on it."""
        for part in parts[-MOST_PARTS:]:
            await make_parts(self._connection, part, part)
        await make_parts(self._connection, part_at(now))

    async def last_key(self, table: Table) -> tuple[object, ...] | None:
        """How far a move before this one came."""
        row = await self._connection.fetchrow(table.last_query)
        return None if row is None else tuple(row)

    async def add(self, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
        """All of the rows, or none."""
        await self._connection.copy_records_to_table(table.name, records=rows, columns=table.columns)

    async def page(self, table: Table, after: tuple[object, ...] | None, limit: int) -> list[tuple[object, ...]]:
        query = table.page_query("$", onwards=after is not None, limit=limit)
        return [tuple(row) for row in await self._connection.fetch(query, *(after or ()))]

    async def finish(self, heartbeat: int) -> None:
        """Lets Dargah start on it, with what its planner must know."""
        await self._connection.execute("ANALYZE")
        async with self._connection.transaction():
            await self._connection.execute("UPDATE heartbeat SET at = $1", heartbeat)
            await self._connection.execute("DELETE FROM schema_versions WHERE version = $1", MOVING)

    async def _marked(self) -> bool:
        if await self._connection.fetchval("SELECT to_regclass('schema_versions')") is None:
            return False
        found = await self._connection.fetchval("SELECT 1 FROM schema_versions WHERE version = $1", MOVING)
        return found is not None

    async def _check_columns(self, tables: Sequence[Table]) -> None:
        rows = await self._connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        there = {tuple(row) for row in rows}
        for table in tables:
            for column in table.columns:
                if (table.name, column) not in there:
                    raise MoveRefused(f"the new database has no place for {table.name}.{column}")
