"""A backup of a database that is being written, what is looked at before it counts, and a restore that asks again."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from databases.places import AnyStore, database_in, rows_in, served
from support.clock import ManualClock
from support.command import Cli
from support.dargah import KEY_RING, OPERATOR_TOKEN
from support.eventually import eventually
from support.process import process_shop
from support.shop import playground

from operators.conftest import Desk, desk
from proxy.database.sqlite import backups as copying
from proxy.kernel.clock import DAY, MINUTE, SECOND, parse_rfc3339, system_now
from proxy.operations.backups import BackupRunning, Backups
from proxy.operations.recovery import LAST_WALK, STILL_OPEN, Rechecker, RecoveryStep
from proxy.stores.sqlite import SqliteStore, open_store


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Desk]:
    (tmp_path / "served").mkdir()
    async with desk(tmp_path / "served") as made:
        yield made


def stopped(folder: Path) -> Cli:
    """The commands where no Dargah runs, and where its settings are."""
    database = str(folder / "dargah.db")
    return Cli({"DARGAH_DATABASE": database, "DARGAH_KEYS": KEY_RING, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, folder)


def numbers(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


async def test_a_running_database_is_copied_while_payments_go_on(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAGES_AT_ONCE", 2)
    before = {(await office.shop.created())["id"] for _ in range(30)}
    made: list[str] = []

    async def go_on() -> None:
        while True:
            made.append((await office.shop.created())["id"])

    others = asyncio.create_task(go_on())
    file, started = tmp_path / "backup.db", system_now()
    ran = await office.cli.run("backup", str(file), "--json")
    others.cancel()

    assert ran.code == 0, ran.error
    told = json.loads(ran.out)
    assert told["bytes"] == file.stat().st_size
    assert told["longest_pause_ms"] > 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert "pages copied" in ran.error
    meanwhile = {row[0] for row in numbers(file, "SELECT id FROM payments")} - before
    # One moment: the first of those made meanwhile, and perhaps one that was not answered before its end.
    assert set(made[: len(meanwhile)]) - meanwhile == set() or len(meanwhile - set(made)) == 1
    assert 0 < len(meanwhile) < len(made)
    assert numbers(file, "PRAGMA integrity_check") == [("ok",)]
    alone = "SELECT count(*) FROM payments WHERE id NOT IN (SELECT payment_id FROM watches)"
    assert numbers(file, alone) == [(0,)]
    assert numbers(file, "SELECT at FROM heartbeat")[0][0] >= started
    assert [path.name for path in (tmp_path / "served").iterdir() if "backup" in path.name] == []
    _, log = await office.call("GET", "/audit")
    assert log["data"][0]["action"] == "backup.take"


async def test_a_backup_overwrites_nothing_and_leaves_no_part(office: Desk, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    file.write_text("precious")
    ran = await office.cli.run("backup", str(file))
    assert (ran.code, "overwrites nothing" in ran.error) == (1, True)
    assert file.read_text() == "precious"
    away = await office.cli.given(DARGAH_ADMIN_URL="http://127.0.0.1:1").run("backup", str(tmp_path / "other.db"))
    assert (away.code, "cannot be reached" in away.error) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "served"]


async def test_backups_run_one_at_a_time_and_an_abandoned_one_lets_go_of_the_store(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAGES_AT_ONCE", 2)
    store = office.dargah.services.store
    assert isinstance(store, SqliteStore)
    (tmp_path / ".dargah.db.backup-of-one-that-was-killed").touch()
    backups = Backups(store.copying, store.heartbeat, tmp_path / "dargah.db")
    pieces = backups.begin()
    assert isinstance(await anext(pieces), copying.CopyProgress)
    with pytest.raises(BackupRunning):
        backups.begin()
    await office.shop.created()
    await pieces.aclose()
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    *_, digest = [piece async for piece in backups.begin()]
    assert isinstance(digest, str)


async def test_a_copy_ends_when_the_store_has_another_connection(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAGES_AT_ONCE", 2)
    store = office.dargah.services.store
    assert isinstance(store, SqliteStore)
    (tmp_path / "copy.db").touch()
    steps = store.copying(tmp_path / "copy.db")
    await anext(steps)
    await store._file._database.reopen()
    with pytest.raises(sqlite3.OperationalError, match="connection broke"):
        await anext(steps)
    await office.shop.created()


async def test_a_copy_that_fails_is_told_and_payments_go_on(
    office: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying, "_sync", full)
    ran = await office.cli.run("backup", str(tmp_path / "backup.db"))
    assert (ran.code, "the server's log says why" in ran.error) == (1, True)
    assert not (tmp_path / "backup.db").exists()
    await office.shop.created()


async def test_a_backup_is_the_owners_to_take(office: Desk, tmp_path: Path) -> None:
    _, made = await office.call("POST", "/operators", {"name": "looker", "role": "operate"})
    ran = await office.cli.given(DARGAH_ADMIN_TOKEN=made["token"]).run("backup", str(tmp_path / "backup.db"))
    assert (ran.code, "role `owner`" in ran.error) == (1, True)


async def test_postgresql_is_backed_up_by_its_own_tools(tmp_path: Path, postgresql_url: str) -> None:
    with served(tmp_path, postgresql_url):
        async with desk(tmp_path) as office:
            status, problem = await office.call("POST", "/backup", {})
            assert (status, "pg_dump" in problem["detail"]) == (409, True)
            ran = await office.cli.given(DARGAH_DATABASE=postgresql_url).run("backup", "backup.db")
    assert (ran.code, "pg_basebackup" in ran.error) == (1, True)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\1" * 5000])
async def test_a_file_that_is_no_backup_is_not_restored(tmp_path: Path, content: bytes) -> None:
    cli = stopped(tmp_path)
    (tmp_path / "dargah.db").write_text("what was there")
    (tmp_path / "bad.db").write_bytes(content)
    ran = await cli.run("restore", "bad.db")
    assert (ran.code, "nothing was changed" in ran.error) == (1, True)
    assert (tmp_path / "dargah.db").read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.db", "dargah.db", "dargah.db.lock"]


async def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    cli = stopped(tmp_path)
    async with playground(tmp_path) as (shop, _):
        for _ in range(20):
            await shop.created()
    assert (await cli.run("backup", "good.db")).code == 0
    damaged = bytearray((tmp_path / "good.db").read_bytes())
    for start in range(40 * 4096, len(damaged), 8 * 4096):
        damaged[start : start + 200] = b"\x55" * 200
    (tmp_path / "bad.db").write_bytes(damaged)
    ran = await cli.run("restore", "bad.db")
    assert (ran.code, "bad.db" in ran.error) == (1, True)
    assert rows_in(tmp_path)["payments"] != []


async def test_a_backup_of_a_newer_schema_is_not_restored(tmp_path: Path) -> None:
    cli = stopped(tmp_path)
    await (await open_store(tmp_path / "newer.db", now=system_now)).close()
    with closing(sqlite3.connect(tmp_path / "newer.db")) as connection:
        connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', 0, 9999)")
        connection.commit()
    ran = await cli.run("restore", "newer.db")
    assert (ran.code, "schema version 9999" in ran.error) == (1, True)
    assert not (tmp_path / "dargah.db").exists()


async def test_a_payment_paid_after_the_backup_is_paid_after_the_restore(tmp_path: Path) -> None:
    async with process_shop(tmp_path) as (shop, process):
        cli = stopped(tmp_path).given(DARGAH_ADMIN_URL=process.admin_url)

        paid_later, canceled, untouched = [await shop.created() for _ in range(3)]
        await shop.come_back(await shop.act(canceled, "cancel"))
        assert (await cli.run("backup", "backup.db")).code == 0
        await shop.come_back(await shop.act(paid_later, "pay"))
        await shop.act(canceled, "pay")
        assert (await shop.payment(paid_later["id"]))["status"] == "paid"
        unknown = await shop.created()
        _, events = await shop.call("GET", "/v1/events")
        refused = await cli.run("restore", "backup.db")
        assert (refused.code, "is open in another process" in refused.error) == (1, True)
        await process.stop()

        ran = await cli.run("restore", "backup.db", "--json")
        assert ran.code == 0, ran.error
        told = json.loads(ran.out)
        assert (tmp_path / "dargah.db").stat().st_mode & 0o777 == 0o600
        kept = Path(told["kept"])
        assert {row[0] for row in numbers(kept, "SELECT id FROM payments")} >= {unknown["id"], paid_later["id"]}
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"backup.db", "dargah.db", "dargah.db.lock", "dargah.log", kept.name}

        # Nobody asks for anything: it starts, and that is all.
        await process.start()
        for payment in (paid_later, canceled):
            await shop.becomes(payment, "paid")
        assert (await shop.payment(untouched["id"]))["status"] == "pending"
        assert (await shop.call("GET", f"/v1/payments/{unknown['id']}"))[0] == 404
        page = await shop.session.get(unknown["pay_url"])
        assert page.status == 404
        _, after = await shop.call("GET", "/v1/events")
        assert after["data"][-1]["sequence"] > events["data"][-1]["sequence"]
        await eventually(partial(nothing_left, tmp_path))


async def test_a_restore_through_a_symbolic_link_leaves_a_database_in_use_alone(tmp_path: Path) -> None:
    folder, other = tmp_path / "data", tmp_path / "other"
    for each in (folder, other):
        each.mkdir()
    (other / "dargah.db").symlink_to(folder / "dargah.db")
    store = await open_store(folder / "dargah.db", now=system_now)
    await (await open_store(other / "backup.db", now=system_now)).close()
    before = (folder / "dargah.db").stat().st_ino
    refused = await stopped(other).run("restore", "backup.db")
    assert (refused.code, "is open in another process" in refused.error) == (1, True)
    await store.close()
    assert (await stopped(other).run("restore", "backup.db")).code == 0
    assert (other / "dargah.db").is_symlink()
    assert (folder / "dargah.db").stat().st_ino != before


async def nothing_left(folder: Path) -> bool | None:
    return True if rows_in(folder)["rechecks"] == [] else None


async def test_a_database_that_was_restored_by_other_means_is_noted(folder: Path) -> None:
    async with playground(folder) as (shop, dargah):
        payment = await shop.created()
        await shop.act(payment, "pay")
        await dargah.services.store.heartbeat.ping()
        database = database_in(folder)
        cli = stopped(folder).given(DARGAH_DATABASE=str(database))
        if isinstance(database, str):
            assert (await cli.run("restore", "--in-place")).code == 0
            await shop.becomes(payment, "paid")
            return
        assert "is open in another process" in (await cli.run("restore", "--in-place")).error
    ran = await cli.run("restore", "--in-place", "--moment", "2026-11-20T10:00:00Z")
    assert (ran.code, "restored to 2026-11-20T10:00:00.000Z" in ran.out) == (0, True)
    [row] = rows_in(folder)["rechecks"]
    assert row[1] == parse_rfc3339("2026-11-20T10:00:00Z")


async def test_a_restore_with_contradictory_options_is_refused(tmp_path: Path) -> None:
    cli = stopped(tmp_path)
    (tmp_path / "backup.db").touch()
    for arguments in ((), ("backup.db", "--in-place"), ("--in-place", "--moment", "yesterday")):
        assert (await cli.run("restore", *arguments)).code == 2
    ran = await cli.run("restore", "--in-place")
    assert (ran.code, "is not there" in ran.error) == (1, True)


class Walk:
    """A recovery that finds what it is told to."""

    def __init__(self, *found: RecoveryStep) -> None:
        self.found = list(found)
        self.asked: list[tuple[int, str | None]] = []

    async def step(self, since: int, after: str | None, limit: int) -> RecoveryStep:
        assert limit > 0
        self.asked.append((since, after))
        return self.found.pop(0)


def batch(unclear: int, reached: str | None) -> RecoveryStep:
    return RecoveryStep((), (), still_open=0, not_paid=0, unclear=unclear, reached=reached, last=None)


async def test_a_walk_begins_again_until_every_gateway_has_answered(store: AnyStore, clock: ManualClock) -> None:
    moment = clock.now
    await store.recovery.note_restore(moment, clock.now)
    walk = Walk(batch(1, "pay_1"), batch(0, None), batch(0, None))
    rechecker = Rechecker(store.recovery, walk.step, clock)
    clock.now += 5
    await rechecker.step()
    due_at = await rechecker.step()
    assert due_at is not None
    assert due_at >= clock.now + 9 * MINUTE
    assert await rechecker.step() == due_at
    clock.now = due_at
    assert await rechecker.step() is None
    since = moment - STILL_OPEN
    assert walk.asked == [(since, None), (since, "pay_1"), (since, None)]


async def test_a_gateway_that_never_answers_is_given_up_after_days(store: AnyStore, clock: ManualClock) -> None:
    await store.recovery.note_restore(clock.now, clock.now)
    clock.now += LAST_WALK
    assert await Rechecker(store.recovery, Walk(batch(1, None)).step, clock).step() is None


async def test_a_restore_goes_back_no_further_than_a_recovery(store: AnyStore, clock: ManualClock) -> None:
    await store.recovery.note_restore(0, clock.now)
    walk = Walk(batch(0, None))
    await Rechecker(store.recovery, walk.step, clock).step()
    [(since, _)] = walk.asked
    assert clock.now - 30 * DAY - SECOND < since < clock.now - 30 * DAY + SECOND
