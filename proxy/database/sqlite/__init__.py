"""SQLite: `open_file` opens a database file, everything else in here is its inside."""

from proxy.database.sqlite.connection import Fault
from proxy.database.sqlite.files import StoreLocked, StoreMisplaced
from proxy.database.sqlite.store import SQLITE_VERSION, SqliteFile, open_file
from proxy.database.transaction import Batch
from proxy.database.versions import StoreTooNew

__all__ = [
    "SQLITE_VERSION",
    "Batch",
    "Fault",
    "SqliteFile",
    "StoreLocked",
    "StoreMisplaced",
    "StoreTooNew",
    "open_file",
]
