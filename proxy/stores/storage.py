"""The store of DARGAH_DATABASE, opened, with the properties of its kind."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.config.database import Database
from proxy.config.settings import Settings, SettingsError
from proxy.database.sqlite import Fault
from proxy.database.sqlite.files import FileUse, explained
from proxy.database.transaction import Batch
from proxy.kernel.background import LONGEST_IDLE, IdleTimes, Repeater
from proxy.kernel.clock import SECOND, Now, ProcessClock, WallClock, system_now
from proxy.kernel.errors import StoreRefused, StoreUnavailable
from proxy.kernel.frozen import dataclass
from proxy.operations.backups import Backups
from proxy.stores import sqlite
from proxy.stores.store import Store
from proxy.webhooks.long_poll import LongPollNotifier

if TYPE_CHECKING:
    from proxy.database.postgresql.notifications import ReplicaNotifications


# With other processes about, work comes that nobody here knows of: looking is the truth, notifications are quicker.
_SHARED: Final = IdleTimes(longest_idle=1 * SECOND, shortest_idle=20)
_ALONE: Final = IdleTimes(longest_idle=LONGEST_IDLE)


@dataclass(frozen=True, slots=True)
class Storage:
    """`now` is the clock of all users of this store, `rhythm` is the idle time of its loops, `about` is for the log.

    `replicas` is there where the store is a server, `backups` where it is a file, `clock` where `now` is no test's;
    `look_at_clock` follows it.
    """

    store: Store
    now: Now
    rhythm: IdleTimes
    about: Mapping[str, str]
    replicas: "ReplicaNotifications | None" = None
    backups: Backups | None = None
    clock: ProcessClock | None = None
    look_at_clock: Callable[[], None] = lambda: None

    @property
    def steady(self) -> Now:
        """Elapsed time, for durations inside the process."""
        return self.now if self.clock is None else self.clock.steady

    @property
    def settled(self) -> Now:
        """The time for irreversible steps, which follows a jump of the clock slowly."""
        return self.now if self.clock is None else self.clock.settled

    @property
    def signing_time(self) -> Now:
        """The time in signatures, which receivers compare with their time of day: this machine's, though the database's
        may be wrong.
        """
        return self.now if self.clock is None else system_now

    def skipped(self, at: int) -> bool:
        """Whether `at` is a time that the clock jumped over."""
        return self.clock is not None and self.clock.skipped(at)


@contextmanager
def opening(database: Database, setting: str = "DARGAH_DATABASE") -> Iterator[None]:
    """Names the database, and the setting or option that has it, in what comes out of its first use.

    Raises StoreUnusable of a file, and SettingsError where PostgreSQL cannot be used as it is.
    """
    if isinstance(database, Path):
        with explained(database, FileUse("the database", setting)):
            try:
                yield
            except StoreUnavailable as error:
                raise error.__cause__ or error from None
        return
    try:
        yield
    except (StoreRefused, StoreUnavailable) as error:
        why = error.__cause__ or "it did not answer in time" if isinstance(error, StoreUnavailable) else error
        raise SettingsError(f"{setting} ({database}): {why}") from error


async def open_storage(
    settings: Settings,
    now: Now,
    on_batch: Callable[[Batch], None] | None = None,
    fault: Fault | None = None,
    on_scarce: Callable[[], None] | None = None,
) -> Storage:
    """Opens it, made or migrated when needed. The database's clock takes the system's place, but not another `now`.

    Raises SettingsError where PostgreSQL cannot be used as it is, StoreRefused of a file.
    """
    if isinstance(settings.database, Path):
        clock = WallClock() if now is system_now else None
        now = now if clock is None else clock.now
        with opening(settings.database):
            file = await sqlite.open_store(settings.database, now=now, on_batch=on_batch, fault=fault)
        about = {"sqlite_version": sqlite3.sqlite_version}
        backups = Backups(file.copying, file.heartbeat, settings.database)
        look = (lambda: None) if clock is None else clock.look
        return Storage(file, now, _ALONE, about, backups=backups, clock=clock, look_at_clock=look)
    from proxy.stores import postgresql  # noqa: PLC0415  its driver is 3 MB that a process on a file does without

    options = postgresql.ServerOptions(
        now=None if now is system_now else now,
        pooler=settings.database_pooler,
        connections=settings.database_connections,
        on_batch=on_batch,
        on_scarce=on_scarce,
    )
    with opening(settings.database):
        server = await postgresql.open_store(settings.database.text, options)
    about = {"database": str(settings.database)}
    # The database's clock is looked at on the connection for notifications.
    shared_clock = server.clock if now is system_now else None
    return Storage(server, server.now, _SHARED, about, server.replicas, clock=shared_clock)


class Notifier:
    """Notifies of new events and due checks: the loops of this process, its long polls, and the other replicas.

    `watch` and `deliver` are the loops that it wakes, also after a notification of another replica.
    """

    def __init__(self, storage: Storage, watch: Repeater, deliver: Repeater) -> None:
        self._storage = storage
        self._watch = watch
        self._deliver = deliver
        self.long_polls = LongPollNotifier()
        if storage.replicas is not None:
            storage.replicas.hear(self._hear_events, watch.wake_by)

    def event_waits(self, merchant_id: str) -> None:
        """An event was stored; the loop has to claim its deliveries."""
        self._deliver.wake()
        self.event_stored(merchant_id)

    def event_stored(self, merchant_id: str) -> None:
        """An event was stored; the deliveries that can start at once are claimed."""
        self.long_polls.notify(merchant_id)
        if self._storage.replicas is not None:
            self._storage.replicas.notify_event(merchant_id)

    def check_due(self, due_at: int) -> None:
        """A check was planned."""
        self._watch.wake_by(due_at)
        # The other replicas find by looking what is due later.
        if self._storage.replicas is not None and due_at - self._storage.now() < self._storage.rhythm.longest_idle:
            self._storage.replicas.notify_check(due_at)

    def due_times_moved(self) -> None:
        self._watch.wake()
        self._deliver.wake()

    def _hear_events(self, merchant_ids: Sequence[str]) -> None:
        self._deliver.wake()
        for merchant_id in merchant_ids:
            self.long_polls.notify(merchant_id)
