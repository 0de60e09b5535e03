"""The SQLite store: `open_store` gives it, everything else in here is its inside."""

from proxy.adapters.sqlite.connection import Fault
from proxy.adapters.sqlite.lock import StoreLocked
from proxy.adapters.sqlite.store import SQLITE_VERSION, SqliteStore, open_store
from proxy.adapters.store.steps import Batch
from proxy.adapters.store.versions import StoreTooNew

__all__ = ["SQLITE_VERSION", "Batch", "Fault", "SqliteStore", "StoreLocked", "StoreTooNew", "open_store"]
