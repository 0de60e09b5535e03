"""The tasks of the database's owner, because the role of Dargah owns nothing: migrations, partitions and grants."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from proxy.database.postgresql.schema import grant, make_partitions, migrate, schema_version, settled
from proxy.database.postgresql.store import CannotConnect, connected_to, first_connection
from proxy.kernel.ids import partition_at

NAME: Final = "dargah-migrate"


@dataclass(frozen=True, slots=True)
class UpkeepResult:
    """The schema's version before and now, and the grants that were made, as SQL."""

    before: int
    version: int
    grants: Sequence[str]


async def keep_up(url: str, now: int, role: str | None) -> UpkeepResult:
    """Brings the schema to this code's, makes the missing partitions, and lets `role` do what Dargah does.

    Raises StoreRefused.
    """
    # As through a pooler: no setting of a session's that would end a migration, and no statement that is kept.
    connection = await first_connection(connected_to(url, pooler=True, name=NAME))
    try:
        return await _keep_up(connection, now, role)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise CannotConnect(f"the database says: {error}") from error
    finally:
        connection.terminate()


async def _keep_up(connection: Any, now: int, role: str | None) -> UpkeepResult:
    before = await schema_version(connection)
    await migrate(connection, now)
    await make_partitions(connection, partition_at(await settled(connection, now)))
    grants = [] if role is None else await grant(connection, role)
    return UpkeepResult(before, await schema_version(connection), grants)
