"""Disk faults below HTTP: each kind at each statement of each step of the store, and of its opening.

The disk fails at a chosen statement. What was refused is not there, what was acknowledged is, and the same step goes
through when the fault has ended.
"""

import asyncio
import itertools
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from store.records import NOW

from proxy.audit.log import AuditLog
from proxy.kernel.errors import StoreUnavailable
from proxy.payments.payment import Payment
from proxy.stores.sqlite import SqliteStore, open_store

from .disk_faults_steps import STEPS, Act, with_history

FOR_GOOD: Final = 1_000_000_000
ONCE: Final = 1
# The rollback is the next statement, so this is a fault during which even that fails.
TWICE: Final = 2

CODES: Final = {
    "SQLITE_FULL": sqlite3.SQLITE_FULL,
    "SQLITE_IOERR": sqlite3.SQLITE_IOERR,
    "SQLITE_BUSY": sqlite3.SQLITE_BUSY,
}
MODES: Final = {"once": ONCE, "twice": TWICE, "for good": FOR_GOOD}

Rows = dict[str, list[tuple[Any, ...]]]


class Disk:
    """The `fault` hook of a store. After `arm(n)` the n-th statement from then on fails, and those that follow it.

    `seen` are the statements since it was armed, `struck_at` those that failed; `on_strike` hears of the first.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.struck = 0
        self.struck_at: set[str] = set()
        self.on_strike: Callable[[str], None] = lambda _sql: None
        self._at: int | None = None
        self._left = 0
        self._code = sqlite3.SQLITE_IOERR

    def arm(self, at: int | None, code: int = sqlite3.SQLITE_IOERR, times: int = ONCE) -> None:
        """None only records."""
        self.seen, self.struck, self.struck_at = [], 0, set()
        self._at, self._code, self._left = at, code, times

    def heal(self) -> None:
        """No faults from here on."""
        self._at = None

    def __call__(self, sql: str) -> None:
        self.seen.append(sql)
        if self._at is not None and len(self.seen) > self._at and self._left > 0:
            self._left -= 1
            self.struck += 1
            self.struck_at.add(sql)
            if self.struck == 1:
                self.on_strike(sql)
            error = sqlite3.OperationalError("disk fault")
            error.sqlite_errorcode = self._code
            raise error


def rows_of(path: Path) -> Rows:
    """Every row of every table that is committed, seen by a connection of its own."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables if _counts(name)}  # noqa: S608  the schema's own names
    finally:
        connection.close()


def _counts(table: str) -> bool:
    """The heartbeat is what `ping` writes to see whether it can: nobody was told anything about it."""
    return table != "heartbeat"


CHAINS: Final = 10
Fault = tuple[int, str, str]
"""At which statement, of which kind of CODES, and how often by MODES."""


class StoreFaults:
    """Runs the steps in `folder`. `counts` tells how many faults struck; a broken promise is an AssertionError."""

    def __init__(self, folder: Path, *, short: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._folder = folder
        self._template = folder / "template.db"
        self._short = short
        self._turn = itertools.count()
        self._numbers = itertools.count()

    async def begin(self) -> None:
        """Makes the database that every run begins with."""
        store = await open_store(self._template, now=lambda: NOW)
        await with_history(store)
        await store.close()

    async def step(self, name: str) -> None:
        """One step under faults at every statement of it."""
        for fault in self._faults(await self._statements(name)):
            await self._run(name, fault)

    async def opening(self) -> None:
        """The opening of a new database and of one with history, under faults at every statement."""
        for fresh in (True, False):
            disk = Disk()
            disk.arm(None)
            path = self._path(fresh=fresh)
            await (await open_store(path, now=lambda: NOW, fault=disk)).close()
            for fault in self._faults(len(disk.seen)):
                await self._open(self._path(fresh=fresh), fault)

    def _faults(self, statements: int) -> Iterator[Fault]:
        """Every kind in every mode at every statement; in short, one of them at each, all in their turn."""
        for at in range(statements):
            kinds = list(itertools.product(CODES, MODES))
            for code, mode in [kinds[next(self._turn) % len(kinds)]] if self._short else kinds:
                yield at, code, mode

    async def _statements(self, name: str) -> int:
        disk = Disk()
        store = await open_store(self._path(), now=lambda: NOW, fault=disk)
        act = await STEPS[name](store)
        disk.arm(None)
        await act()
        await store.close()
        assert disk.seen, name
        return len(disk.seen)

    async def _run(self, name: str, fault: Fault) -> None:
        at, code, mode = fault
        path, disk = self._path(), Disk()
        store = await open_store(path, now=lambda: NOW, fault=disk)
        act = await STEPS[name](store)
        acknowledged = rows_of(path)
        disk.arm(at, CODES[code], MODES[mode])
        result = await _result(act)
        told = f"{name}: {code} {mode} at statement {at}"
        assert disk.struck, told
        assert _refused(result), f"{told} was answered {result}"
        _same(rows_of(path), acknowledged, told)
        if MODES[mode] == FOR_GOOD:
            await _still_refused(store, act, told)
            _same(rows_of(path), acknowledged, told)
        disk.heal()
        await store.heartbeat.ping()
        again = await _result(act)
        assert not _refused(again), f"{told}, done again: {again}"
        written = rows_of(path)
        log = AuditLog(store.audit)
        for chain in await log.chains("", CHAINS):
            verified = await log.verify(chain)
            assert verified.broken is None, f"{told}: {verified}"
        await store.close()
        _same(rows_of(path), written, f"{told}, reopened")
        self._forget(path)
        self.counts[f"{mode}: {code}"] += 1

    async def _open(self, path: Path, fault: Fault) -> None:
        at, code, mode = fault
        disk = Disk()
        disk.arm(at, CODES[code], MODES[mode])
        before = rows_of(path) if path.exists() else {}
        try:
            await open_store(path, now=lambda: NOW, fault=disk)
        except sqlite3.Error:
            pass
        else:
            raise AssertionError(f"opening did not fail: {fault}")
        after = rows_of(path) if path.exists() else {}
        assert _migrated_whole_or_not(before, after), f"opening, {fault}: {after.keys()}"
        store = await open_store(path, now=lambda: NOW)
        await store.heartbeat.ping()
        await store.close()
        self._forget(path)
        self.counts[f"{mode}: {code} at the opening"] += 1

    def _path(self, *, fresh: bool = False) -> Path:
        path = self._folder / f"run-{next(self._numbers)}.db"
        if not fresh:
            shutil.copyfile(self._template, path)
        return path

    def _forget(self, path: Path) -> None:
        for file in self._folder.glob(f"{path.name}*"):
            file.unlink()


async def _result(act: Act) -> Any:
    try:
        return await act()
    except Exception as error:  # noqa: BLE001  whatever a caller is told is what is looked at
        return error


def _refused(result: Any) -> bool:
    """Whether the caller, or every one of the callers of a group, was told that the store is unavailable."""
    return all(isinstance(each, StoreUnavailable) for each in _each(result))


def _each(result: Any) -> Iterator[Any]:
    if isinstance(result, list) and result and not isinstance(result[0], tuple | Payment):
        yield from result
    else:
        yield result


async def _still_refused(store: SqliteStore, act: Act, told: str) -> None:
    results = await asyncio.gather(store.heartbeat.ping(), _result(act), return_exceptions=True)
    assert all(_refused(result) for result in results), f"{told}, while it lasts: {results}"


def _same(found: Rows, expected: Rows, told: str) -> None:
    for table, rows in expected.items():
        assert found.get(table) == rows, f"{told}: {table} has {found.get(table)}, not {rows}"


def _migrated_whole_or_not(before: Rows, after: Rows) -> bool:
    if before:
        return {**before, **_leases(before)} == {**after, **_leases(before)}
    return set(after) <= {"schema_versions"} or bool(after["schema_versions"])


def _leases(rows: Mapping[str, Any]) -> dict[str, Any]:
    """What opening a database may change: the leases of the process before."""
    return {table: None for table in ("payments", "deliveries", "turns") if table in rows}
