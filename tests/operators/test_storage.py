"""The database of DARGAH_DATABASE: what a start says of one that cannot be used, and the move to PostgreSQL.

A store moves whole or not at all, goes on where it was broken off, and serves there.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from databases.places import database_in, rows_in, served
from support.command import Cli
from support.dargah import settings
from support.eventually import until
from support.shop import Shop, open_shop, outsiders

from proxy.app import running
from proxy.config.settings import SettingsError
from proxy.database.sqlite import StoreLocked
from proxy.database.transfer import MoveRefused, Target, move, tables_of
from proxy.database.versions import MOVING
from proxy.kernel.clock import SECOND, system_now
from proxy.stores.sqlite import open_store
from proxy.stores.storage import open_storage


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
    assert (ran.code, "is open in another process" in ran.error) == (1, True)
    assert rows_in(tmp_path / "moved")["payments"] == []


async def test_a_database_that_is_in_use_or_not_empty_takes_no_store(shop: Shop, tmp_path: Path, target: str) -> None:
    async with running(settings(tmp_path / "moved")) as dargah:
        ran = await bare_cli(tmp_path).run(*arguments(target))
        assert (ran.code, "a Dargah is running on the database" in ran.error) == (1, True)
        await dargah.services.setup.create_merchant("another", [], actor="test")
    ran = await bare_cli(tmp_path).run(*arguments(target))
    assert (ran.code, "the database is not empty: there are rows in audit" in ran.error) == (1, True)


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
    assert (ran.code, "none.db is not there" in ran.error) == (1, True)
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
