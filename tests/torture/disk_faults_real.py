"""Disk faults that nobody plays: a full file system, a file that may not grow, a lock that somebody else holds.

`python -m tests.torture.disk_faults_real FOLDER` is the process whose files may not grow. RLIMIT_FSIZE makes the kernel
refuse to write beyond a size, so SQLite meets a true error in the middle of its own work, at whatever page of a commit,
a migration or the opening that is. Prints what SQLite called it; asserts the rest.
"""

import asyncio
import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from store.records import IDS, NOW, create, new_payment

from proxy.kernel.errors import StoreUnavailable
from proxy.payments.payment import Payment
from proxy.stores.sqlite import SqliteStore, open_store

from . import ROOT
from .disk_faults_flow import PROBLEM, Scene, nothing_was_lost, scene, told_once
from .disk_faults_steps import with_history
from .disk_faults_store import rows_of

Change = Callable[[], Awaitable[None]]
# Room for a few hundred payments in the WAL, which is not written from its beginning before 16 MB.
FULL_BYTES: Final = 4 * 1024 * 1024
MOST_CREATES: Final = 5000


async def full_disk(folder: Path) -> str:
    """A whole Dargah whose disk fills up, and is given room again. Gives how the disk was made full."""
    async with _small_disk(folder) as (played, fill, clear, how):
        shop = played.shop
        paid = await shop.created(order_id="paid-before", return_url="https://shop.example/back")
        visit = await shop.act(paid, "pay")
        await fill()
        acknowledged, refused = await _creates_until_refused(played)
        status, checks, _ = await played.ask("GET", "/readyz")
        assert (status, checks["checks"]["store"]) == (503, False)
        way_back = "/return/" + visit["return_url"].partition("/return/")[2]
        assert (await played.ask("GET", way_back))[0] == 503
        await clear()
        assert (await played.ask("GET", "/readyz"))[0] == 200
        assert (await played.eventually(lambda: _status(played, "GET", way_back, 303))) == 303
        await told_once(played, await shop.payment(paid["id"]))
        await played.eventually(lambda: _create(played, refused))
        for payment in acknowledged:
            assert (await shop.payment(payment["id"]))["status"] == "pending", payment
        await nothing_was_lost(played)
        played.acknowledged |= {payment["id"] for payment in (*acknowledged, paid)}
    return how


async def held_lock(folder: Path) -> None:
    """Somebody else (a backup that is none, a curious operator) holds the database's write lock for a while."""
    async with scene(folder) as played:
        acknowledged = await played.shop.created(order_id="before")
        with _locked(played.database):
            (ready, _, _), (status, problem, headers) = await asyncio.gather(
                played.ask("GET", "/readyz"), played.ask("POST", "/v1/payments", _order("locked-out"), key="locked-out")
            )
            assert (ready, status, problem["code"]) == (503, 503, "store_unavailable")
            assert headers["Content-Type"].startswith(PROBLEM)
            assert (await played.shop.payment(acknowledged["id"]))["status"] == "pending"
        assert (await played.ask("GET", "/readyz"))[0] == 200
        await played.eventually(lambda: _create(played, "locked-out"))


async def file_that_may_not_grow(folder: Path) -> str:
    """The store in a process whose files may not grow (RLIMIT_FSIZE). Gives what SQLite said of it."""
    command = (sys.executable, "-m", "tests.torture.disk_faults_real", str(folder))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


async def _creates_until_refused(played: Scene) -> tuple[list[dict[str, Any]], str]:
    acknowledged: list[dict[str, Any]] = []
    for number in range(MOST_CREATES):
        status, payment, _ = await played.ask("POST", "/v1/payments", _order(f"fill-{number}"), key=f"fill-{number}")
        if status != 201:
            assert (status, payment["code"]) == (503, "store_unavailable")
            return acknowledged, f"fill-{number}"
        acknowledged.append(payment)
    raise AssertionError("the disk did not become full")


def _order(order_id: str) -> dict[str, Any]:
    return {"amount": 150_000, "currency": "IRR", "order_id": order_id, "metadata": {"note": "x" * 500}}


async def _create(played: Scene, order_id: str) -> bool | None:
    status, _, _ = await played.ask("POST", "/v1/payments", _order(order_id), key=order_id)
    return True if status == 201 else None


async def _status(played: Scene, method: str, path: str, wanted: int) -> int | None:
    status, _, _ = await played.ask(method, path)
    return status if status == wanted else None


@asynccontextmanager
async def _small_disk(folder: Path) -> AsyncIterator[tuple[Scene, Change, Change, str]]:
    """A scene with what fills its disk and what clears it: for real as root, else by SQLite's own limit.

    At the end its file is opened again, and must have what was acknowledged.
    """
    with _tmpfs(folder) as mounted:
        async with scene(folder) as played:
            if mounted:
                filler = folder / "filler"
                yield played, partial(_fill, filler), partial(_empty, filler), "a full tmpfs"
            else:
                yield played, partial(_limit_pages, played, 1), partial(_limit_pages, played, 2**30), "max_page_count"
        _assert_sound(played.database, played.acknowledged)


async def _limit_pages(played: Scene, limit: int) -> None:
    """SQLite's own idea of a full disk: the database may not grow beyond its pages, or `limit` when that is more."""
    store = cast("SqliteStore", played.dargah.services.store)
    await store._file._database.run(
        lambda connection: connection.execute(f"PRAGMA max_page_count = {limit}").fetchall()
    )


async def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017  what ends the loop is what is looked at


async def _empty(filler: Path) -> None:
    filler.unlink()


@contextmanager
def _tmpfs(folder: Path) -> Iterator[bool]:
    """A file system of its own at `folder`; False where this user may not mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FULL_BYTES}", "dargah-torture", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)  # noqa: S607  the system's own


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def _assert_sound(database: Path, acknowledged: set[str] | frozenset[str] = frozenset()) -> None:
    """Closed and opened again, the file is whole and has what was acknowledged."""
    stored = {row[1] for row in rows_of(database)["payments"]}
    assert acknowledged <= stored, acknowledged - stored
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


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


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
