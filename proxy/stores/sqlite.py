"""The store in a SQLite file."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from proxy.database.sqlite import Fault, SqliteFile, open_file
from proxy.database.sqlite.backups import CopyProgress
from proxy.database.transaction import MAX_WAITING, Batch, Transaction
from proxy.kernel.clock import Now
from proxy.stores.store import Store
from proxy.webhooks.storage.queue import take_over


class SqliteStore(Store):
    """Made by `open_store`; `close` it on the loop that opened it."""

    def __init__(self, file: SqliteFile, now: Now) -> None:
        super().__init__(file.lanes, now, file.close)
        self._file = file

    def copying(self, target: Path) -> AsyncGenerator[CopyProgress, None]:
        """Copies the database, while it is used, into the empty file `target`: see `backups.copying`."""
        return self._file.copying(target)


async def open_store(
    path: str | Path,
    *,
    now: Now,
    max_waiting: int = MAX_WAITING,
    on_batch: Callable[[Batch], None] | None = None,
    fault: Fault | None = None,
) -> SqliteStore:
    """The store in the file at `path`, made or migrated when needed. Raises as `open_file` does."""
    file = await open_file(
        path, now=now, take_over=_end_leases, max_waiting=max_waiting, on_batch=on_batch, fault=fault
    )
    return SqliteStore(file, now)


async def _end_leases(transaction: Transaction, now: int) -> None:
    """Of the process before, which is dead."""
    await transaction.run("end_request_leases")
    await take_over(transaction, now)
