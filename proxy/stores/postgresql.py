"""The store on a PostgreSQL server."""

from typing import Final

from proxy.database.postgresql import CONNECTIONS, CannotConnect, PostgresqlServer, ServerOptions, open_server
from proxy.database.postgresql.schema import NeedsMigration, ServerTooOld, WrongEncoding
from proxy.kernel.clock import Now
from proxy.stores.store import Store
from proxy.webhooks.partitions import PartitionRetention

__all__ = [
    "CONNECTIONS",
    "CannotConnect",
    "NeedsMigration",
    "PostgresqlStore",
    "ServerOptions",
    "ServerTooOld",
    "WrongEncoding",
    "open_store",
]

_DEFAULT: Final = ServerOptions()


class PostgresqlStore(Store):
    """Made by `open_store`; `close` it on the loop that opened it.

    `replicas` notifies other processes of work, and hears their notifications. `clock` is the database's.
    """

    def __init__(self, server: PostgresqlServer, now: Now) -> None:
        super().__init__(server.lanes, now, server.close, PartitionRetention)
        self._server = server
        self.replicas = server.replicas
        self.clock = server.clock


async def open_store(url: str, options: ServerOptions = _DEFAULT) -> PostgresqlStore:
    """The store in the database at `url`, made or migrated when needed. Raises the errors of `open_server`."""
    server = await open_server(url, options)
    return PostgresqlStore(server, options.now or server.clock.now)
