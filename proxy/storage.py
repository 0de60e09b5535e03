"""The store that DARGAH_DATABASE names, opened, with what the rest must know of its kind."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.adapters import sqlite
from proxy.adapters.store.steps import Batch
from proxy.adapters.store.versions import StoreTooNew
from proxy.clock import SECOND, system_now
from proxy.config.settings import Settings, SettingsError
from proxy.loops import LONGEST_IDLE, Rhythm
from proxy.ports import Now, Store
from proxy.recovery.backups import Backups

if TYPE_CHECKING:
    from proxy.adapters.postgresql.hints import Hints

# With other processes about, work comes without anybody here knowing of it: looking is the truth, hints are quicker.
_SHARED: Final = Rhythm(longest_idle=1 * SECOND, shortest_idle=20)
_ALONE: Final = Rhythm(longest_idle=LONGEST_IDLE)


@dataclass(frozen=True, slots=True)
class Storage:
    """`now` is the clock of all who use this store, `rhythm` is how its loops look for work, `about` is for the log.

    `backups` is there where the store is a file.
    """

    store: Store
    now: Now
    rhythm: Rhythm
    about: Mapping[str, str]
    hints: "Hints | None" = None
    backups: Backups | None = None


async def open_storage(
    settings: Settings,
    now: Now,
    on_batch: Callable[[Batch], None] | None = None,
    fault: sqlite.Fault | None = None,
) -> Storage:
    """Opens it, made or migrated when needed. The database's clock takes the system's place, but not another `now`.

    Raises SettingsError where PostgreSQL cannot be used as it is; StoreLocked, StoreTooNew, OSError or sqlite3.Error
    of a file.
    """
    if isinstance(settings.database, Path):
        file = await sqlite.open_store(settings.database, now=now, on_batch=on_batch, fault=fault)
        return Storage(
            file, now, _ALONE, {"sqlite_version": sqlite3.sqlite_version}, backups=Backups(file, settings.database)
        )
    from proxy.adapters import postgresql  # noqa: PLC0415  its driver is 3 MB that a process on a file does without

    try:
        server = await postgresql.open_store(
            settings.database.text,
            now=None if now is system_now else now,
            pooler=settings.database_pooler,
            connections=settings.database_connections,
            on_batch=on_batch,
        )
    except (postgresql.CannotConnect, postgresql.ServerTooOld, StoreTooNew) as error:
        raise SettingsError(f"DARGAH_DATABASE ({settings.database}): {error}") from error
    return Storage(server, server.now, _SHARED, {"database": str(settings.database)}, server.hints)
