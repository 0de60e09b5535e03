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

from proxy.adapters.sqlite import SqliteStore, connection, open_store

from .world_loop import Clock
from .world_turns import Turns

T = TypeVar("T")

# Rows that are read by every call and changed by none here: a turn before each would only cost time.
_NO_TURN: Final = frozenset(
    {
        "merchant",
        "terminal",
        "list_terminals",
        "token_by_digest",
        "secrets",
        "next_watch_at",
        "next_delivery_at",
        "kek_ids",
        "ping",
        "close",
    }
)
_READS: Final = frozenset(
    {
        "payment",
        "payment_by_link",
        "list_payments",
        "stored",
        "watch",
        "timeline",
        "sealed_otherwise",
        "unsettled_since",
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
    async def open(cls, path: Path, clock: Clock, fault: Callable[[str], None] | None = None) -> "OpenFile":
        return cls(path, await open_store(path, now=clock, fault=fault))

    @property
    def raw(self) -> sqlite3.Connection:
        """The store's own connection, to look at what is committed between two steps."""
        inline: Any = self.store._database._connection
        raw: sqlite3.Connection = inline._conn
        return raw

    def crash(self, copy: Path) -> None:
        """Copies the files, as a kill would leave them, and closes the originals, which nobody reads again."""
        copy_files(self.path, copy)
        self.raw.close()
        self.store._lock.release()
        shutil.rmtree(self.path.parent)


def copy_files(path: Path, copy: Path) -> None:
    """The database and its WAL; the shared memory of a dead process is worth nothing."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists():
        shutil.copyfile(wal, copy.with_name(f"{copy.name}-wal"))


class TurnStore:
    """The store as the use-cases see it: reads wait for a turn before, writes before and after their commit."""

    def __init__(self, store: SqliteStore, turns: Turns) -> None:
        self._store = store
        self._turns = turns

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        step = self._step(name, getattr(self._store, name))
        setattr(self, name, step)
        return step

    def _step(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        turns = self._turns

        async def untouched(*args: Any, **kwargs: Any) -> Any:
            turns.check_alive()
            return await method(*args, **kwargs)

        async def read(*args: Any, **kwargs: Any) -> Any:
            await turns.wait(name)
            return await method(*args, **kwargs)

        async def write(*args: Any, **kwargs: Any) -> Any:
            await turns.wait(f"{name}: before")
            try:
                result = await method(*args, **kwargs)
            except Exception as error:
                await turns.wait(f"{name}: {type(error).__name__}")
                raise
            await turns.wait(f"{name}: after")
            return result

        if name in _NO_TURN:
            return untouched
        return read if name in _READS or name.startswith("list_") else write
