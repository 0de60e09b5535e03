"""The database of DARGAH_DATABASE: what a start says of one that cannot be used, its backup, restore and move.

A backup is of a database that is being written, and is looked at before it counts; a restore asks again. A store moves
to PostgreSQL whole or not at all, goes on where it was broken off, and serves there.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from databases.places import AnyStore, database_in, rows_in, served
from support.clock import ManualClock
from support.command import Cli
from support.dargah import KEY_RING, OPERATOR_TOKEN, settings
from support.eventually import eventually, until
from support.process import process_shop
from support.shop import Shop, open_shop, outsiders, playground

from operators.conftest import Desk, desk
from proxy.app import running
from proxy.config.settings import SettingsError
from proxy.database.sqlite import StoreLocked
from proxy.database.sqlite import backups as copying
from proxy.database.transfer import MoveRefused, Target, move, tables_of
from proxy.database.versions import MOVING
from proxy.kernel.clock import DAY, MINUTE, SECOND, parse_rfc3339, system_now
from proxy.operations.backups import BackupRunning, Backups
from proxy.operations.recovery import LAST_WALK, STILL_OPEN, Rechecker, RecoveryStep
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.stores.storage import open_storage


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
    assert (ran.code, "overwrites nothing" in ran.error) == (2, True)
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
    assert (ran.code, "pg_basebackup" in ran.error) == (2, True)


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\1" * 5000])
async def test_a_file_that_is_no_backup_is_not_restored(tmp_path: Path, content: bytes) -> None:
    cli = stopped(tmp_path)
    (tmp_path / "dargah.db").write_text("what was there")
    (tmp_path / "bad.db").write_bytes(content)
    ran = await cli.run("restore", "bad.db")
    assert (ran.code, "nothing was changed" in ran.error) == (2, True)
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
    assert (ran.code, "bad.db" in ran.error) == (2, True)
    assert rows_in(tmp_path)["payments"] != []


async def test_a_backup_of_a_newer_schema_is_not_restored(tmp_path: Path) -> None:
    cli = stopped(tmp_path)
    await (await open_store(tmp_path / "newer.db", now=system_now)).close()
    with closing(sqlite3.connect(tmp_path / "newer.db")) as connection:
        connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', 0, 9999)")
        connection.commit()
    ran = await cli.run("restore", "newer.db")
    assert (ran.code, "schema version 9999" in ran.error) == (2, True)
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
        assert (refused.code, "is open in another process" in refused.error) == (2, True)
        other = cli.given(DARGAH_DATABASE=f"sqlite:{tmp_path / 'other.db'}")
        refused = await other.run("restore", "dargah.db")
        assert refused.code == 2
        assert f"dargah.db is open in another process (pid {process.pid})" in refused.error
        assert "is DARGAH_DATABASE itself" in (await cli.run("restore", "dargah.db")).error
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
    assert (refused.code, "is open in another process" in refused.error) == (2, True)
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
    assert (ran.code, "is not there" in ran.error) == (2, True)


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


def named(url: str) -> Any:
    return settings(Path(), database=url)


async def test_a_server_that_is_not_there_is_a_setting_that_is_wrong() -> None:
    with pytest.raises(
        SettingsError, match=r"DARGAH_DATABASE \(postgresql://127.0.0.1:1/dargah\): .*reached"
    ) as caught:
        await open_storage(named("postgresql://dargah:hunter2@127.0.0.1:1/dargah"), system_now)
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_a_newer_dargah_migrated_is_told(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', 0, 9999)")
    await connection.close()
    with pytest.raises(SettingsError, match="start the newer Dargah"):
        await open_storage(named(postgresql_url), system_now)


async def test_the_clock_of_the_store_takes_the_systems_place_and_not_a_tests_own(folder: Path) -> None:
    for now in (system_now, lambda: 5):
        storage = await open_storage(settings(folder), now)
        shared = isinstance(database_in(folder), str)
        assert (storage.now is now) == (now is not system_now)
        assert abs(storage.now() - now()) < 2 * SECOND
        assert (storage.replicas is not None) == shared
        await storage.store.close()


OWN = {"schema_versions", "heartbeat"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop with payments in every state and webhooks that wait; Dargah has stopped, the others have not."""
    async with outsiders() as (gateway_url, made, session):
        async with running(settings(tmp_path)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
            made.status = 500
            for act in ("pay", "cancel"):
                await shop.come_back(await shop.act(await shop.created(), act))
            await shop.created(description="در انتظار")
            await made.told(2)
        yield shop


@pytest.fixture
def target(tmp_path: Path, postgresql_url: str) -> Iterator[str]:
    (tmp_path / "moved").mkdir()
    with served(tmp_path / "moved", postgresql_url):
        yield postgresql_url


def nobody(_table: str, _done: int, _total: int) -> None:
    """Hears how far it is, and needs not."""


def bare_cli(folder: Path) -> Cli:
    """Without a key, a token or any other setting."""
    return Cli({}, folder)


def arguments(target: str) -> tuple[str, ...]:
    return "migrate-store", "--from", "sqlite:dargah.db", "--to", target


async def test_a_store_is_moved_whole_without_a_key_and_serves_there(shop: Shop, tmp_path: Path, target: str) -> None:
    before = rows_in(tmp_path)
    ran = await bare_cli(tmp_path).run(*arguments(target), "--json")
    assert ran.code == 0, ran.error
    assert rows_in(tmp_path) == before
    after = rows_in(tmp_path / "moved")
    assert {name: rows for name, rows in after.items() if name not in OWN} == {
        name: rows for name, rows in before.items() if name not in OWN
    }
    told = {each["table"]: each for each in json.loads(ran.out)}
    assert told.keys() == before.keys() - OWN
    assert {name: each["rows"] for name, each in told.items()} == {name: len(before[name]) for name in told}
    assert len({each["sha256"] for each in told.values() if each["rows"]}) == sum(bool(before[name]) for name in told)
    assert "payments: 3 of 3 rows compared" in ran.error

    shop.receiver.status = 204
    async with running(settings(tmp_path / "moved")) as dargah:
        there = replace(shop, url=dargah.url)
        _, listed = await there.call("GET", "/v1/payments")
        assert sorted(each["status"] for each in listed["data"]) == ["canceled", "paid", "pending"]
        [pending] = [each for each in listed["data"] if each["status"] == "pending"]
        visit = await there.act(pending, "pay")
        path = "/return/" + visit["return_url"].rpartition("/return/")[2]
        await there.come_back(visit | {"return_url": there.url + path})
        assert (await there.payment(pending["id"]))["status"] == "paid"
        new = await there.created()
        assert new["status"] == "pending"

        await until(lambda: any(event["data"]["id"] == pending["id"] for event in shop.receiver.events))


async def test_a_move_that_was_broken_off_goes_on_and_nothing_starts_on_a_part(
    shop: Shop, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("proxy.database.transfer"), "ROWS_AT_ONCE", 1)
    moved: list[tuple[str, int, int]] = []

    class BrokenOff(Exception):
        pass

    def break_off(table: str, done: int, total: int) -> None:
        moved.append((table, done, total))
        if table == "payments" and done == 2:
            raise BrokenOff

    with pytest.raises(BrokenOff):
        await move(tmp_path / "dargah.db", target, 1, break_off, nobody)
    assert len(rows_in(tmp_path / "moved")["payments"]) == 2
    with pytest.raises(SettingsError, match="let `dargah migrate-store` come to its end"):
        async with running(settings(tmp_path / "moved")):
            pass

    again: list[tuple[str, int, int]] = []
    await move(tmp_path / "dargah.db", target, 2, lambda *told: again.append(told), nobody)
    assert ("payments", 3, 3) in again
    assert ("payments", 2, 3) not in again
    assert not {table for table, *_ in again} & {table for table, *_ in moved if table < "payments"}
    assert len(rows_in(tmp_path / "moved")["payments"]) == 3
    assert MOVING not in {row[0] for row in rows_in(tmp_path / "moved")["schema_versions"]}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payments SET amount_rials = amount_rials + 1 WHERE status = 'pending'",
        "DELETE FROM watches WHERE payment_id = (SELECT min(payment_id) FROM watches)",
        "UPDATE secrets SET blob = blob || '\\x00'::bytea",
        "INSERT INTO bank_codes VALUES ('mer_zzzzzzzz', 'one too many', 'pay_x')",
    ],
)
async def test_a_row_that_differs_is_found_and_the_database_stays_closed(
    shop: Shop, tmp_path: Path, target: str, change: str
) -> None:
    await move(tmp_path / "dargah.db", target, 1, nobody, nobody)
    connection = await asyncpg.connect(target)
    await connection.execute(change)
    # As if it had been broken off before the comparison.
    await connection.execute("INSERT INTO schema_versions VALUES ($1, 'a_store_is_moved_here', 1, $1)", MOVING)
    with pytest.raises(MoveRefused, match=r"^(payments|watches|secrets|bank_codes) is not the same on both sides"):
        await move(tmp_path / "dargah.db", target, 2, nobody, nobody)
    assert await connection.fetchval("SELECT count(*) FROM schema_versions WHERE version = $1", MOVING) == 1
    await connection.close()


async def test_a_file_that_is_in_use_is_not_moved(shop: Shop, tmp_path: Path, target: str) -> None:
    async with running(settings(tmp_path, database=tmp_path / "dargah.db")):
        with pytest.raises(StoreLocked):
            await move(tmp_path / "dargah.db", target, 1, nobody, nobody)
        ran = await bare_cli(tmp_path).run(*arguments(target))
    assert (ran.code, "is open in another process" in ran.error) == (2, True)
    assert rows_in(tmp_path / "moved")["payments"] == []


async def test_a_database_that_is_in_use_or_not_empty_takes_no_store(shop: Shop, tmp_path: Path, target: str) -> None:
    async with running(settings(tmp_path / "moved")) as dargah:
        ran = await bare_cli(tmp_path).run(*arguments(target))
        assert (ran.code, "a Dargah is running on the database" in ran.error) == (2, True)
        await dargah.services.setup.create_merchant("another", [], actor="test")
    ran = await bare_cli(tmp_path).run(*arguments(target))
    assert (ran.code, "the database is not empty: there are rows in audit" in ran.error) == (2, True)


async def test_a_second_move_at_once_is_refused(shop: Shop, tmp_path: Path, target: str) -> None:
    other = await Target.open(target)
    with pytest.raises(MoveRefused, match="another `dargah migrate-store`"):
        await move(tmp_path / "dargah.db", target, 1, nobody, nobody)
    await other.close()


async def test_only_a_file_is_moved_and_only_to_a_server(tmp_path: Path) -> None:
    for source, to in (
        ("postgresql://u@h/d", "postgresql://u@h/e"),
        ("sqlite:a.db", "sqlite:b.db"),
        ("x", "mysql://h/d"),
    ):
        assert (await bare_cli(tmp_path).run("migrate-store", "--from", source, "--to", to)).code == 2
    ran = await bare_cli(tmp_path).run(
        "migrate-store", "--from", "sqlite:none.db", "--to", "postgresql://u@127.0.0.1:1/d"
    )
    assert (ran.code, "none.db is not there" in ran.error) == (2, True)
    assert list(tmp_path.iterdir()) == []


async def test_the_tables_are_the_schemas_own(tmp_path: Path) -> None:
    """A table that a migration adds is moved without anybody's thinking of it."""
    await (await open_store(tmp_path / "dargah.db", now=system_now)).close()
    with closing(sqlite3.connect(tmp_path / "dargah.db")) as connection:
        connection.execute(
            "CREATE TABLE added (merchant_id TEXT, n INTEGER, x BLOB, PRIMARY KEY (n, merchant_id)) STRICT"
        )
        tables = {table.name: table for table in tables_of(connection)}
        names = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        }
    assert tables.keys() == names - OWN
    assert (tables["added"].columns, tables["added"].key) == (("merchant_id", "n", "x"), ("n", "merchant_id"))
    assert all(table.key for table in tables.values())
