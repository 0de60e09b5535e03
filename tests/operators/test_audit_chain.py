"""The audit log tells when it was tampered with: in the real file, behind the store's back."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from support.command import Cli

from operators.conftest import Admin
from proxy.audit.log import (
    GENESIS,
    INSTALLATION,
    START,
    AuditLog,
    ChainBreak,
    ChainFault,
    ChainVerification,
    Head,
    Link,
    end,
    follow,
)
from proxy.merchants.setup import MerchantSetup
from proxy.stores.sqlite import SqliteStore

Tampering = Callable[[sqlite3.Connection, str, list[Link]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The file, and no database server: what tampers with it here speaks SQLite's SQL."""
    return tmp_path


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody with a shell on the machine opens it; the triggers do not hold them up."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS audit_is_not_changed")
        connection.execute("DROP TRIGGER IF EXISTS audit_is_not_deleted")
        yield connection
        connection.commit()


async def five_acts(setup: MerchantSetup, admin: Admin) -> str:
    """A merchant of whose chain there are five entries, with another's and the installation's beside it."""
    merchant, _ = await setup.create_merchant("فروشگاه", [], actor="sara")
    other, _ = await setup.create_merchant("دیگری", [], actor="omid")
    await admin.made("/operators", {"name": "new", "role": "read"})
    for name in "abcd":
        await setup.change_merchant(merchant.id, name=name, actor="sara")
        await setup.change_merchant(other.id, name=name, actor="omid")
    return merchant.id


async def links_of(store: SqliteStore, merchant_id: str) -> list[Link]:
    links, _ = await store.audit.audit_links(merchant_id, 0, 100)
    return list(links)


def alter(column: str, value: object) -> Tampering:
    def tamper(connection: sqlite3.Connection, merchant_id: str, _links: list[Link]) -> object:
        row = (value, merchant_id)
        return connection.execute(f"UPDATE audit SET {column} = ? WHERE merchant_id = ? AND number = 3", row)  # noqa: S608

    return tamper


def delete(numbers: str) -> Tampering:
    return lambda connection, merchant_id, _: connection.execute(
        f"DELETE FROM audit WHERE merchant_id = ? AND number IN ({numbers})",  # noqa: S608
        (merchant_id,),
    )


def delete_all_and_the_head(connection: sqlite3.Connection, merchant_id: str, _links: list[Link]) -> None:
    for table in ("audit", "audit_heads"):
        connection.execute(f"DELETE FROM {table} WHERE merchant_id = ?", (merchant_id,))  # noqa: S608


def insert(connection: sqlite3.Connection, number: int, after: Link) -> None:
    """An entry whose hash is right, after the one given."""
    content = ("aud_forged", 1, "sara", "merchant.update", after.merchant_id, "{}")
    forged = Link(after.merchant_id, number, *content, b"").hash_after(after.hash)
    connection.execute(
        "INSERT INTO audit (merchant_id, number, id, at, actor, action, target, data, hash) VALUES (?,?,?,?,?,?,?,?,?)",
        (after.merchant_id, number, *content, forged),
    )


def insert_behind_the_end(connection: sqlite3.Connection, _merchant_id: str, links: list[Link]) -> None:
    insert(connection, 6, links[-1])


def insert_in_between(connection: sqlite3.Connection, merchant_id: str, links: list[Link]) -> None:
    for number in (5, 4, 3):
        connection.execute(
            "UPDATE audit SET number = ? WHERE merchant_id = ? AND number = ?", (number + 1, merchant_id, number)
        )
    connection.execute("UPDATE audit_heads SET number = 6 WHERE merchant_id = ?", (merchant_id,))
    insert(connection, 3, links[1])


def swap(connection: sqlite3.Connection, merchant_id: str, _links: list[Link]) -> None:
    for before, after in ((2, -1), (3, 2), (-1, 3)):
        connection.execute(
            "UPDATE audit SET number = ? WHERE merchant_id = ? AND number = ?", (after, merchant_id, before)
        )


def give_to_another(connection: sqlite3.Connection, merchant_id: str, _links: list[Link]) -> None:
    connection.execute(
        "UPDATE audit SET merchant_id = 'mer_zzzzzzzz' WHERE merchant_id = ? AND number = 3", (merchant_id,)
    )


def head(assignment: str) -> Tampering:
    return lambda connection, merchant_id, _: connection.execute(
        f"UPDATE audit_heads SET {assignment} WHERE merchant_id = ?",  # noqa: S608
        (merchant_id,),
    )


TAMPERINGS: dict[str, tuple[Tampering, int, ChainFault, bool]] = {
    "who did it": (alter("actor", "omid"), 3, ChainFault.ALTERED, True),
    "what was done": (alter("action", "merchant.create"), 3, ChainFault.ALTERED, True),
    "to what": (alter("target", "mer_zzzzzzzz"), 3, ChainFault.ALTERED, True),
    "what was set": (alter("data", '{"name":"x"}'), 3, ChainFault.ALTERED, True),
    "when": (alter("at", 1), 3, ChainFault.ALTERED, True),
    "its id": (alter("id", "aud_other"), 3, ChainFault.ALTERED, True),
    "its hash": (alter("hash", GENESIS), 3, ChainFault.ALTERED, True),
    "the first is gone": (delete("1"), 1, ChainFault.MISSING, False),
    "one in the middle is gone": (delete("3"), 3, ChainFault.MISSING, False),
    "the last is gone": (delete("5"), 5, ChainFault.CUT_OFF, False),
    "the last two are gone": (delete("4, 5"), 4, ChainFault.CUT_OFF, False),
    "all are gone": (delete("1, 2, 3, 4, 5"), 1, ChainFault.CUT_OFF, False),
    "all are gone with the head": (delete_all_and_the_head, 1, ChainFault.CUT_OFF, False),
    "one more behind the end": (insert_behind_the_end, 6, ChainFault.UNKNOWN, True),
    "one more in between": (insert_in_between, 4, ChainFault.ALTERED, True),
    "another order": (swap, 2, ChainFault.ALTERED, True),
    "given to another": (give_to_another, 3, ChainFault.MISSING, False),
    "the head is behind": (head("number = 4"), 5, ChainFault.UNKNOWN, True),
    "the head is ahead": (head("number = 9"), 6, ChainFault.CUT_OFF, False),
    "the head's hash": (head("hash = zeroblob(32)"), 5, ChainFault.ALTERED, True),
}


async def test_an_audit_log_that_nobody_touched_is_whole(
    setup: MerchantSetup, store: SqliteStore, admin: Admin
) -> None:
    merchant_id = await five_acts(setup, admin)
    log = AuditLog(store.audit)
    chains = await log.chains("", 10)
    assert chains[0] == INSTALLATION
    assert merchant_id in chains
    assert len(chains) == 3
    verified = [await log.verify(chain) for chain in chains]
    assert [(each.broken, each.reached.number) for each in verified] == [(None, 1), (None, 5), (None, 5)]
    assert await log.chains(INSTALLATION, 10) == chains[1:]
    assert await log.chains(chains[1], 10) == chains[2:]


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_the_first_audit_entry_that_is_wrong_is_named(
    setup: MerchantSetup, store: SqliteStore, admin: Admin, database: Path, name: str
) -> None:
    tamper, number, fault, told = TAMPERINGS[name]
    merchant_id = await five_acts(setup, admin)
    links = await links_of(store, merchant_id)
    with opened(database) as connection:
        tamper(connection, merchant_id, links)
    verified = await AuditLog(store.audit).verify(merchant_id)
    assert verified.broken is not None
    assert (verified.broken.number, verified.broken.fault) == (number, fault)
    assert (verified.broken.entry_id is not None) == told
    status, answer = await admin.call("GET", "/audit/verify")
    assert status == 200
    broken = {each["chain"]: each["broken"] for each in answer["data"]}
    assert broken[merchant_id]["fault"] == fault
    # The others' chains do not depend on it, but for the one to which a row was given.
    assert {chain for chain, each in broken.items() if each} - {"mer_zzzzzzzz"} == {merchant_id}


async def test_a_long_chain_is_verified_in_batches(
    setup: MerchantSetup, store: SqliteStore, admin: Admin, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.audit.log.BATCH", 2)
    merchant_id = await five_acts(setup, admin)
    links = await links_of(store, merchant_id)
    verified = await AuditLog(store.audit).verify(merchant_id, noted_at=3)
    assert verified == ChainVerification(merchant_id, Head(5, links[-1].hash), None, links[2].hash)
    with opened(database) as connection:
        alter("actor", "omid")(connection, merchant_id, links)
    broken = ChainBreak(3, ChainFault.ALTERED, links[2].id)
    assert await AuditLog(store.audit).verify(merchant_id) == ChainVerification(
        merchant_id, Head(2, links[1].hash), broken
    )


async def test_an_entry_that_is_written_while_one_looks_is_no_break(setup: MerchantSetup, store: SqliteStore) -> None:
    merchant, _ = await setup.create_merchant("فروشگاه", [], actor="sara")

    class Racing:
        """As two statements of a database that others write: the head is read after more was written."""

        rounds = 3

        async def audit_links(self, merchant_id: str, after: int, limit: int) -> tuple[list[Link], Head | None]:
            links, _ = await store.audit.audit_links(merchant_id, after, limit)
            if self.rounds:
                self.rounds -= 1
                await setup.change_merchant(merchant_id, name=f"نام {self.rounds}", actor="sara")
            _, stored = await store.audit.audit_links(merchant_id, after, limit)
            return list(links), stored

        def __getattr__(self, name: str) -> object:
            return getattr(store.audit, name)

    verified = await AuditLog(Racing()).verify(merchant.id)  # type: ignore[arg-type]  # the rest is the store's
    assert (verified.broken, verified.reached.number) == (None, 4)


async def test_an_act_that_fails_leaves_the_chain_as_it_was(
    setup: MerchantSetup, store: SqliteStore, admin: Admin
) -> None:
    await admin.made("/operators", {"name": "new", "role": "read"})
    before = await links_of(store, INSTALLATION)
    assert (await admin.call("POST", "/operators", {"name": "new", "role": "read"}))[0] == 409
    assert await links_of(store, INSTALLATION) == before
    assert (await AuditLog(store.audit).verify(INSTALLATION)).broken is None


async def test_a_chain_of_nobody_is_not_found_and_a_page_goes_on_by_cursor(setup: MerchantSetup, admin: Admin) -> None:
    merchant_id = await five_acts(setup, admin)
    assert (await admin.call("GET", "/audit/verify", params={"merchant_id": "mer_00000000"}))[0] == 404
    assert (await admin.call("GET", "/audit/verify", params={"merchant_id": "nobody"}))[0] == 422
    status, one = await admin.call("GET", "/audit/verify", params={"merchant_id": merchant_id, "number": "2"})
    assert (status, len(one["data"]), one["data"][0]["noted_hash"] is not None) == (200, 1, True)
    seen, query = [], {"limit": "1"}
    while True:
        status, page = await admin.call("GET", "/audit/verify", params=query)
        assert status == 200
        seen += [each["chain"] for each in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 3
    assert seen[0] == INSTALLATION


async def test_the_command_says_what_is_broken_and_knows_a_log_that_was_written_anew(
    setup: MerchantSetup, store: SqliteStore, admin: Admin, cli: Cli, database: Path, tmp_path: Path
) -> None:
    merchant_id = await five_acts(setup, admin)
    saved = tmp_path / "ends.json"
    whole = await cli.json("audit", "verify", "--save", str(saved))
    assert [each["broken"] for each in whole] == [None, None, None]
    assert json.loads(saved.read_text())[merchant_id]["number"] == 5
    await setup.change_merchant(merchant_id, name="e", actor="sara")
    assert (await cli.run("audit", "verify", "--against", str(saved))).code == 0

    # Whoever can write the whole database can compute every hash anew: the chain alone is then whole again.
    links = await links_of(store, merchant_id)
    with opened(database) as connection:
        previous = GENESIS
        for link in links:
            previous = replace(link, actor="omid").hash_after(previous)
            key = ("omid", previous, merchant_id, link.number)
            connection.execute("UPDATE audit SET actor = ?, hash = ? WHERE merchant_id = ? AND number = ?", key)
        connection.execute("UPDATE audit_heads SET hash = ? WHERE merchant_id = ?", (previous, merchant_id))
    assert (await cli.run("audit", "verify")).code == 0
    ran = await cli.run("audit", "verify", "--against", str(saved))
    assert ran.code == 1
    assert f"{merchant_id}: entry 5 is not the one whose hash was saved" in ran.error

    with opened(database) as connection:
        connection.execute("DELETE FROM audit WHERE merchant_id = ? AND number = 2", (merchant_id,))
    ran = await cli.run("audit", "verify", "--save", str(tmp_path / "never.json"))
    assert ran.code == 1
    assert f"{merchant_id}: entry 2 is missing" in ran.error
    assert not (tmp_path / "never.json").exists()


def test_a_hash_covers_every_field_and_the_one_before() -> None:
    link = Link("mer_a", 1, "aud_1", 5, "sara", "a.b", "t", "{}", b"")
    others: dict[str, Any] = {
        "merchant_id": "mer_b",
        "number": 2,
        "id": "aud_2",
        "at": 6,
        "actor": "omid",
        "action": "a.c",
        "target": "u",
        "data": "[]",
    }
    assert {*others, "hash"} == {field.name for field in fields(Link)}
    changed = {replace(link, **{name: value}).hash_after(GENESIS) for name, value in others.items()}
    assert len({*changed, link.hash_after(GENESIS), link.hash_after(b"\1" * 32)}) == len(others) + 2
    # Moving a character from one field to the next is another entry.
    assert replace(link, actor="sar", action="aa.b").hash_after(GENESIS) != link.hash_after(GENESIS)


def test_an_empty_chain_is_whole_where_no_entry_must_be() -> None:
    assert follow(START, []) == START
    assert end(START, None, None) is None
