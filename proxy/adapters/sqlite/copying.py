"""A copy of a database that is being written, by SQLite's backup API and on the store's own connection.

A second connection may not be opened beside it. The API's copy follows what its own connection writes meanwhile, so it
is of one moment: the one at which it ends. Python's `backup` gives no control back between its steps, so it runs on a
thread of its own, which waits before each step for a turn that the connection's thread gives it between two batches.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from proxy.adapters.sqlite.connection import Database

# One megabyte, which takes a millisecond or two.
PAGES_AT_ONCE: Final = 256
# Between two steps, as often as a step takes: payments have at least three quarters of the store's time.
REST: Final = 3
LEAST_REST_SECONDS: Final = 0.001
_DONE: Final = 101  # SQLITE_DONE


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy is, in pages. `longest_pause_ms` is the most that payments have waited for a step of it."""

    pages: int
    total: int
    longest_pause_ms: float


class _Gone(Exception):
    """The copy is not wanted any more."""


class _Copyist:
    """`step` has the thread do one step, while the caller, whose connection it is, waits."""

    def __init__(self, source: sqlite3.Connection, target: Path) -> None:
        self._source = source
        self._target = target
        self._go = Event()
        self._stopped = Event()
        self._gone = False
        self.error: Exception | None = None
        self.remaining, self.total = 0, 0
        self.finished = False
        self._thread = Thread(target=self._run, name="store-copy", daemon=True)
        self._thread.start()

    def step(self, connection: sqlite3.Connection) -> float:
        """Seconds that it took. Raises sqlite3.OperationalError once the store has another connection: then there
        would be two.
        """
        if connection is not self._source:
            raise sqlite3.OperationalError("the store's connection broke, and the copy with it")
        return self._turn()

    def _turn(self) -> float:
        started = time.perf_counter()
        self._stopped.clear()
        self._go.set()
        self._stopped.wait()
        return time.perf_counter() - started

    def leave(self) -> None:
        """Ends the copy where it is."""
        self._gone = True
        if not self.finished:
            self._turn()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._await_turn()
            with closing(sqlite3.connect(self._target, isolation_level=None)) as copy:
                # It is of no use before it is whole, and is synced once then.
                copy.execute("PRAGMA synchronous = OFF").fetchall()
                copy.execute("PRAGMA journal_mode = OFF").fetchall()
                self._source.backup(copy, pages=PAGES_AT_ONCE, progress=self._between)
        except Exception as error:  # noqa: BLE001  whoever waits for the step gets it
            self.error = error
        finally:
            self.finished = True
            self._stopped.set()

    def _between(self, status: int, remaining: int, total: int) -> None:
        self.remaining, self.total = remaining, total
        # The end is a part of the last step: it lets go of the connection.
        if status != _DONE:
            self._stopped.set()
            self._await_turn()

    def _await_turn(self) -> None:
        self._go.wait()
        self._go.clear()
        if self._gone:
            raise _Gone


async def copying(database: Database, target: Path) -> AsyncGenerator[Copied, None]:
    """Copies into the file `target`, which exists and is empty; tells how far it is after each step. At the end the
    copy is synced. Raises sqlite3.Error or OSError when it cannot be written. Close it when it is not read to its end.
    """
    copyist = await database.run(lambda connection: _Copyist(connection, target))
    longest = 0.0
    try:
        while not copyist.finished:
            took = await database.run(copyist.step)
            if copyist.error is not None:
                raise copyist.error
            longest = max(longest, took)
            yield Copied(copyist.total - copyist.remaining, copyist.total, round(longest * 1000, 1))
            await asyncio.sleep(max(took * REST, LEAST_REST_SECONDS))
    finally:
        # On the connection's thread too, which no batch then shares with it.
        await asyncio.shield(database.run(lambda _connection: copyist.leave()))
    await asyncio.to_thread(_sync, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
