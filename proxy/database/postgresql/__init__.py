"""PostgreSQL: `open_server` opens a database, everything else in here is its inside."""

from proxy.database.postgresql.schema import NeedsMigration, ServerTooOld, WrongEncoding
from proxy.database.postgresql.store import CONNECTIONS, CannotConnect, PostgresqlServer, ServerOptions, open_server

__all__ = [
    "CONNECTIONS",
    "CannotConnect",
    "NeedsMigration",
    "PostgresqlServer",
    "ServerOptions",
    "ServerTooOld",
    "WrongEncoding",
    "open_server",
]
