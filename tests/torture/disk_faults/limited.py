"""The store in a process whose files may not grow: `python -m tests.torture.disk_faults.limited FOLDER`.

RLIMIT_FSIZE makes the kernel refuse to write beyond a size, so SQLite meets a true error in the middle of its own work,
at whatever page of a commit, a migration or the opening that is. Prints what SQLite called it; asserts the rest.
"""

import asyncio
import resource
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from store.records import IDS, NOW, create, new_payment

from proxy.kernel.errors import StoreUnavailable
from proxy.payments.payment import Payment
from proxy.stores.sqlite import SqliteStore, open_store

from .disk import rows_of
from .steps import with_history

PAGE_BYTES: Final = 4096
GROUP: Final = 5
MOST_GROUPS: Final = 2000


async def main(folder: Path) -> None:
    met: Counter[str] = Counter()
    await _writing(folder / "writing.db", met)
    await _opening(folder, met)
    print(", ".join(f"{name} {count}" for name, count in sorted(met.items())))  # noqa: T201  the parent reads it


async def _writing(path: Path, met: Counter[str]) -> None:
    """Groups of creates until the WAL may not grow: each is stored whole or refused whole, and told so."""
    store = await open_store(path, now=lambda: NOW)
    await with_history(store)
    acknowledged = {row[1] for row in rows_of(path)["payments"]}
    for room in range(0, 20 * PAGE_BYTES, PAGE_BYTES // 2):
        with _limited(_wal(path).stat().st_size + room):
            refused = await _until_refused(store, acknowledged, met)
        assert {row[1] for row in rows_of(path)["payments"]} == acknowledged
        await store.heartbeat.ping()
        acknowledged |= {(await create(store, payment)).id for payment in refused}
    await store.close()
    assert {row[1] for row in rows_of(path)["payments"]} == acknowledged
    _assert_sound(path)


async def _until_refused(store: SqliteStore, acknowledged: set[str], met: Counter[str]) -> list[Payment]:
    """Adds what was acknowledged; gives the group that was refused."""
    for _ in range(MOST_GROUPS):
        group = [new_payment(IDS.random(8)) for _ in range(GROUP)]
        results = await asyncio.gather(*(create(store, payment) for payment in group), return_exceptions=True)
        refusals = [result for result in results if isinstance(result, StoreUnavailable)]
        if refusals:
            assert len(refusals) == GROUP, results
            met[_name(refusals[0].__cause__)] += 1
            return group
        acknowledged |= {payment.id for payment in group}
    raise AssertionError("the limit had no effect")


def _name(error: BaseException | None) -> str:
    """SQLite's own name of what went wrong."""
    assert isinstance(error, sqlite3.Error), error
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


async def _opening(folder: Path, met: Counter[str]) -> None:
    """A new database whose file may have so many pages: each migration whole, or not at all."""
    for pages in range(200):
        path = folder / f"opening-{pages}.db"
        try:
            with _limited(pages * PAGE_BYTES + 1):
                await (await open_store(path, now=lambda: NOW)).close()
        except sqlite3.Error as error:
            met[f"{_name(error)} at the opening"] += 1
        else:
            assert pages > 1, "the limit had no effect"
            break
        versions = rows_of(path).get("schema_versions", []) if path.exists() else []
        store = await open_store(path, now=lambda: NOW)
        await store.heartbeat.ping()
        await store.close()
        assert set(versions) <= set(rows_of(path)["schema_versions"])
        _assert_sound(path)


@contextmanager
def _limited(size_bytes: int) -> Iterator[None]:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _assert_sound(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
