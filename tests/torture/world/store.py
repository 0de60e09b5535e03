"""The real SQLite store in the simulation: its thread taken away, turns around its steps, and crashes that leave its
files as a kill would.
"""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from proxy.database.repository import Repository
from proxy.database.sqlite import connection
from proxy.kernel.clock import Now
from proxy.payments.payment import Payment
from proxy.stores.sqlite import SqliteStore, open_store

from .loop import ABOUT, About, Turns

T = TypeVar("T")

# Rows that are read by every call and changed by none here: a turn before each would only cost time.
_NO_TURN: Final = frozenset(
    {
        "merchant",
        "terminal",
        "list_terminals",
        "token_by_digest",
        "secrets",
        "next_check_at",
        "next_delivery_at",
        "kek_ids",
        "ping",
        "last_heartbeat",
        "close",
    }
)
_READS: Final = frozenset(
    {
        "payment",
        "payment_by_link",
        "list_payments",
        "stored",
        "check_schedule",
        "timeline",
        "sealed_otherwise",
        "unsettled_since",
        "last_heartbeat",
    }
)


_TRACER: Final[list[Callable[[str], None] | None]] = [None]


@contextmanager
def traced(before: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, connections that are opened tell each statement, those of a script too, before it runs."""
    _TRACER[0] = before
    try:
        yield
    finally:
        _TRACER[0] = None


class InlineConnection:
    """What the store uses of aiosqlite's connection, on the caller's thread: threads would order things by chance."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._conn = sqlite3.connect(path, **options)
        self._conn.set_trace_callback(_TRACER[0])
        self._thread = SimpleNamespace()

    def __await__(self) -> Generator[None, None, "InlineConnection"]:
        yield from ()
        return self

    async def _execute(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    async def close(self) -> None:
        self._conn.close()


@contextmanager
def inline_sqlite() -> Iterator[None]:
    """While it lasts, stores that are opened have no thread. Everything else of the adapter is as it always is."""
    names = vars(connection)
    real = names["aiosqlite"]
    names["aiosqlite"] = SimpleNamespace(connect=InlineConnection, Connection=InlineConnection)
    try:
        yield
    finally:
        names["aiosqlite"] = real


class OpenFile:
    """An open store and its file. `crash` leaves the files as they are at that moment, and gives a copy of them."""

    def __init__(self, path: Path, store: SqliteStore) -> None:
        self.path = path
        self.store = store

    @classmethod
    async def open(cls, path: Path, now: Now, fault: Callable[[str], None] | None = None) -> "OpenFile":
        return cls(path, await open_store(path, now=now, fault=fault))

    @property
    def raw(self) -> sqlite3.Connection:
        """The store's own connection, to look at what is committed between two steps."""
        inline: Any = self.store._file._database._connection
        raw: sqlite3.Connection = inline._conn
        return raw

    def crash(self, copy: Path) -> None:
        """Copies the files, as a kill would leave them, and closes the originals, which nobody reads again."""
        copy_files(self.path, copy)
        self.raw.close()
        self.store._file._lock.release()
        shutil.rmtree(self.path.parent)


def copy_files(path: Path, copy: Path) -> None:
    """The database and its WAL; the shared memory of a dead process is worth nothing."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        shutil.copyfile(wal, copy.with_name(f"{copy.name}-wal"))


class TurnStore:
    """The store as the use-cases see it: each of its repositories waits for turns."""

    def __init__(self, store: SqliteStore, turns: Turns) -> None:
        self._store = store
        self._turns = turns

    def __getattr__(self, name: str) -> "TurnRepository":
        repository = TurnRepository(getattr(self._store, name), self._turns)
        setattr(self, name, repository)
        return repository


class TurnRepository:
    """Reads wait for a turn before, writes before and after their commit."""

    def __init__(self, repository: Repository, turns: Turns) -> None:
        self._repository = repository
        self._turns = turns

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        step = self._step(name, getattr(self._repository, name))
        setattr(self, name, step)
        return step

    def _step(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        turns = self._turns

        async def untouched(*args: Any, **kwargs: Any) -> Any:
            turns.check_alive()
            return await method(*args, **kwargs)

        async def read(*args: Any, **kwargs: Any) -> Any:
            await turns.wait(name, about=_about(args))
            return await method(*args, **kwargs)

        async def write(*args: Any, **kwargs: Any) -> Any:
            about = _about(args)
            await turns.wait(f"{name}: before", about=about)
            try:
                result = await method(*args, **kwargs)
            except Exception as error:
                await turns.wait(f"{name}: {type(error).__name__}", about=about)
                raise
            await turns.wait(f"{name}: after", about=about)
            return result

        if name in _NO_TURN:
            return untouched
        return read if name in _READS or name.startswith("list_") else write


def _about(args: tuple[Any, ...]) -> About:
    """The state in which a step finds its payment, where it is given one."""
    payment = getattr(args[0], "before", None) if args else None
    return About(payment.status) if isinstance(payment, Payment) else ABOUT.get()
