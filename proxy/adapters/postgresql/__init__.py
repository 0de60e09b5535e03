"""The PostgreSQL store: `open_store` gives it, everything else in here is its inside."""

from proxy.adapters.postgresql.migrations import ServerTooOld
from proxy.adapters.postgresql.store import CONNECTIONS, CannotConnect, PostgresqlStore, open_store

__all__ = ["CONNECTIONS", "CannotConnect", "PostgresqlStore", "ServerTooOld", "open_store"]
