"""The file: its lock, its schema versions, its durability at a kill, and the plans of its queries."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.database.sqlite import StoreLocked, StoreMisplaced, StoreTooNew
from proxy.database.transaction import BadQueryFile, load_migrations, load_queries, parse
from proxy.kernel import log_context
from proxy.kernel.errors import StoreUnavailable
from proxy.stores.sqlite import SqliteStore, open_store
from proxy.webhooks.delivery import Lease
from store.records import MERCHANT_ID, NOW, add_endpoint, add_merchant, create, new_audit, new_merchant, paid

KEEP_WRITING = """
import asyncio, os, sys
from proxy.stores.sqlite import open_store
from proxy.kernel.ids import Ids
from store import records
from store.records import NOW, create, new_payment

records.IDS = Ids(os.urandom)  # not those of the processes before and beside this one

async def main():
    store = await open_store(sys.argv[1], now=lambda: NOW)
    async def write(number):
        while True:
            payment = await create(store, new_payment(f"order-{number}"))
            print(payment.id, flush=True)
    await asyncio.gather(*map(write, range(8)))

asyncio.run(main())
"""


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes to the store until it is killed."""
    tests = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", KEEP_WRITING, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def acknowledged(process: subprocess.Popen[str], count: int) -> set[str]:
    assert process.stdout is not None
    return {process.stdout.readline().strip() for _ in range(count)}


async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    stored: set[str] = set()
    for _ in range(3):
        with writing(path) as process:
            stored |= acknowledged(process, 200)
    store = await open_store(path, now=lambda: NOW)
    for payment_id in stored:
        assert (await store.payments.payment(MERCHANT_ID, payment_id)).id == payment_id
        assert await store.payments.check_schedule(MERCHANT_ID, payment_id) is not None
    await store.close()


async def test_a_second_process_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    with writing(path) as process:
        acknowledged(process, 1)
        with pytest.raises(StoreLocked, match=rf"pid {process.pid}\b"):
            await open_store(path, now=lambda: NOW)
    store = await open_store(path, now=lambda: NOW)
    await store.heartbeat.ping()
    with pytest.raises(StoreLocked, match=rf"pid {os.getpid()}\b"):
        await open_store(path, now=lambda: NOW)
    await store.close()


@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_a_second_process_is_refused_under_another_name(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    path, other = tmp_path / "dargah.db", tmp_path / "other" / "its.db"
    other.parent.mkdir()
    with writing(path) as process:
        acknowledged(process, 1)
        link(path, other)
        with pytest.raises((StoreLocked, StoreMisplaced), match=rf"pid {process.pid}\b|other names"):
            await open_store(other, now=lambda: NOW)


@pytest.mark.parametrize("named", ["dargah.db.lock", "dargah.db"])
async def test_the_files_own_lock_names_its_holder_where_the_lock_beside_it_is_gone(tmp_path: Path, named: str) -> None:
    path = tmp_path / "dargah.db"
    with writing(path) as process:
        acknowledged(process, 1)
        if named == "dargah.db":
            path.with_name("dargah.db.lock").unlink()
        with pytest.raises(StoreLocked, match=rf"pid {process.pid}\b"):
            await (await open_store(path, now=lambda: NOW)).close()


async def test_a_killed_stores_newest_commits_are_there_through_a_symbolic_link(tmp_path: Path) -> None:
    path, other = tmp_path / "dargah.db", tmp_path / "other.db"
    other.symlink_to(path)
    with writing(path) as process:
        stored = acknowledged(process, 50)
    store = await open_store(other, now=lambda: NOW)
    for payment_id in stored:
        assert (await store.payments.payment(MERCHANT_ID, payment_id)).id == payment_id
    await store.close()


async def test_a_file_with_a_second_name_is_refused_since_its_wal_has_one(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    await (await open_store(path, now=lambda: NOW)).close()
    os.link(path, tmp_path / "other.db")
    for name in (path, tmp_path / "other.db"):
        with pytest.raises(StoreMisplaced, match="hard links"):
            await open_store(name, now=lambda: NOW)


@pytest.mark.parametrize("how", ["deleted", "replaced", "renamed", "folder renamed"])
async def test_nothing_is_acknowledged_once_the_file_is_gone(tmp_path: Path, how: str) -> None:
    path = tmp_path / "data" / "dargah.db"
    path.parent.mkdir()
    store = await open_store(path, now=lambda: NOW)
    await create(store)
    if how == "deleted":
        path.unlink()
    elif how == "replaced":
        shutil.copy(path, tmp_path / "copy.db")
        (tmp_path / "copy.db").replace(path)
    elif how == "renamed":
        path.rename(tmp_path / "elsewhere.db")
    else:
        path.parent.rename(tmp_path / "old")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await create(store)
        with pytest.raises(StoreUnavailable):
            await store.heartbeat.ping()
    before = sorted(each.name for each in tmp_path.rglob("*.db*"))
    await store.close()
    assert sorted(each.name for each in tmp_path.rglob("*.db*")) == before, "closing touched what took the file's place"


async def test_a_wal_that_is_deleted_costs_no_commit(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    store = await open_store(path, now=lambda: NOW)
    first = await create(store)
    path.with_name("dargah.db-wal").unlink()
    with pytest.raises(StoreUnavailable):
        await store.heartbeat.ping()
    second = await create(store)
    await store.close()
    shutil.copy(path, tmp_path / "copy.db")
    again = await open_store(tmp_path / "copy.db", now=lambda: NOW)
    for payment in (first, second):
        assert (await again.payments.payment(MERCHANT_ID, payment.id)).id == payment.id
    await again.close()


async def test_a_store_opens_again_where_it_was(tmp_path: Path) -> None:
    for number in range(3):
        store = await open_store(tmp_path / "dargah.db", now=lambda: NOW)
        payment = await create(store)
        assert await store.payments.payment(MERCHANT_ID, payment.id) == payment
        await store.close()
        assert not (tmp_path / "dargah.db-wal").exists(), f"open {number} left its WAL"


async def test_a_newer_database_is_refused_and_the_lock_given_back(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    await (await open_store(path, now=lambda: NOW)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema_versions VALUES (9999, 'later', 0, 9999)")
    connection.close()
    for _ in range(2):
        with pytest.raises(StoreTooNew, match="9999"):
            await open_store(path, now=lambda: NOW)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    path.write_bytes(b"precious" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        await open_store(path, now=lambda: NOW)
    assert path.read_bytes() == b"precious" * 1000


async def test_the_migrations_are_recorded_once(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    for _ in range(2):
        await (await open_store(path, now=lambda: NOW)).close()
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT version, name, applied_at FROM schema_versions").fetchall()
    connection.close()
    assert rows == [(number, name, NOW) for number, name, _ in load_migrations("sqlite")]


@pytest.mark.parametrize("statement", ["CREATE TABLE IF NOT EXISTS schema_versions", "BEGIN IMMEDIATE"])
async def test_a_migration_that_fails_leaves_nothing_and_is_done_at_the_next_start(
    tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "dargah.db"

    def fault(sql: str) -> None:
        if sql.strip().startswith(statement):
            raise sqlite3.OperationalError("disk fault")

    with pytest.raises(sqlite3.OperationalError):
        await open_store(path, now=lambda: NOW, fault=fault)
    store = await open_store(path, now=lambda: NOW)
    await store.heartbeat.ping()
    await store.close()


async def test_a_commit_is_synced_and_written_ahead(sqlite_store: SqliteStore) -> None:
    def pragmas(connection: sqlite3.Connection) -> list[object]:
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    full = 2
    assert await sqlite_store._file._database.run(pragmas) == ["wal", full]


async def test_the_audit_log_takes_no_change(sqlite_store: SqliteStore) -> None:
    await sqlite_store.merchants.add_merchant(new_merchant(), [], new_audit())
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await sqlite_store._file._database.run(lambda connection, sql=statement: connection.execute(sql))


FLAT = {
    "due_turns": ["SEARCH turns USING COVERING INDEX turns_due"],
    "oldest_deliveries": ["SEARCH d USING INDEX deliveries_due", "SEARCH e USING INDEX"],
    "oldest_due_times": ["SEARCH deliveries USING COVERING INDEX deliveries_due"],
    "due_watches": ["SEARCH watches USING COVERING INDEX watches_due"],
    "watched_payments": ["SEARCH w USING PRIMARY KEY", "SEARCH p USING INDEX"],
    "next_delivery_at": ["SEARCH turns USING COVERING INDEX turns_due"],
    "next_check_at": ["SEARCH watches USING COVERING INDEX watches_due"],
    "turn_of_endpoint": ["SEARCH t USING PRIMARY KEY", "SEARCH e USING PRIMARY KEY"],
    "settle_turn": ["SEARCH turns USING PRIMARY KEY"],
}


@pytest.mark.parametrize("name", FLAT)
async def test_claims_look_only_at_what_is_due(sqlite_store: SqliteStore, name: str) -> None:
    plan = await plan_of(sqlite_store, load_queries("sqlite")[name])
    for expected in FLAT[name]:
        assert any(line.startswith(expected) for line in plan), plan
    # What a claim names is a list of JSON, of at most as many as may start.
    scans = [line for line in plan if line.startswith("SCAN") and "VIRTUAL TABLE" not in line]
    assert scans == [], plan
    assert not any("TEMP B-TREE" in line for line in plan), plan


# Asked once, at the start or by an operator. Where they walk, it is an index of what is asked for, or a small table.
AT_THE_START = {
    *("kek_ids", "end_request_leases", "endpoints_in_flight", "list_operators", "living_operators", "plain_headers"),
}
# For an operator who verifies the audit log or searches: they sort no more than a few pages of ids, taken by indexes.
SORTS_A_PAGE = {"audit_merchants"}
# What is few: the deliveries of one event, the events of one payment, what a merchant's customers ask about in vain.
SORTS_A_PAGE |= {"day_sums", "list_deliveries", "list_events_of_payment", "lost_payments"}
# The kinds of a bounded number of events.
SORTS_A_PAGE |= {"count_deliveries_of_endpoints"}


async def test_no_query_scans_a_table_or_sorts(sqlite_store: SqliteStore) -> None:
    names = await sqlite_store._file._database.run(
        lambda connection: connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    )
    tables = {name for (name,) in names} | {"d", "e", "p", "w"}
    for name, sql in load_queries("sqlite").items():
        plan = await plan_of(sqlite_store, sql)
        scans = [line for line in plan if line.startswith("SCAN ") and line.split()[1] in tables]
        sorts = [line for line in plan if "TEMP B-TREE" in line]
        if name in AT_THE_START:
            scans = [
                line
                for line in scans
                if "INDEX" not in line and line not in {"SCAN turns", "SCAN operators", "SCAN endpoints"}
            ]
        if name in SORTS_A_PAGE:
            sorts = []
        assert (scans, sorts) == ([], []), name


async def test_a_list_reads_no_more_than_its_page(sqlite_store: SqliteStore) -> None:
    expected = {
        **{
            f"{order}_lines{path}": f"{index} (merchant_id=?{columns} AND id>? AND id<?)"
            for order in ("newest", "oldest")
            for path, index, columns in (
                ("", "sqlite_autoindex_payments_1", ""),
                ("_of_order", "payments_of_order", " AND order_id=?"),
                ("_with_status", "payments_with_status", " AND status=?"),
                (
                    "_of_storefront",
                    "payments_of_storefront_by_status",
                    " AND storefront=? AND mode=? AND status=?",
                ),
            )
        },
        "list_events_of_payment": "sqlite_autoindex_events_3 (merchant_id=? AND payment_id=?)",
        "list_deliveries": "sqlite_autoindex_deliveries_2 (merchant_id=? AND event_id=?)",
        "delivered_of_events": "sqlite_autoindex_deliveries_2 (merchant_id=? AND event_id=?)",
        "forgettable_events": "sqlite_autoindex_deliveries_2 (merchant_id=? AND event_id=?)",
        "forget_attempts_of_event": "sqlite_autoindex_deliveries_2 (merchant_id=? AND event_id=?)",
        "reviews_of_bank_code": "payments_in_review (bank_code=? AND merchant_id>? AND merchant_id<?)",
        "own_ids_of_order_id": "payments_of_order (merchant_id=? AND order_id>? AND order_id<?)",
        "own_ids_of_bank_code": "bank_codes USING PRIMARY KEY (merchant_id=? AND bank_code>? AND bank_code<?)",
        "own_ids_of_invoice_key": (
            "n USING PRIMARY KEY (merchant_id=? AND terminal_id=? AND invoice_key>? AND invoice_key<?)"
        ),
        "own_ids_of_trace_number": "payments_by_trace (merchant_id=? AND <expr>>? AND <expr><?)",
        "own_ids_of_card": "payments_by_card (merchant_id=? AND <expr>>? AND <expr><?)",
        "ids_of_order_id": "payments_by_order (<expr>>? AND <expr><?)",
        "ids_of_bank_code": "bank_codes_by_code (<expr>>? AND <expr><?)",
        "ids_of_invoice_key": "invoice_keys_by_key (<expr>>? AND <expr><?)",
        "ids_of_trace_number": "payments_by_trace_of_all (<expr>>? AND <expr><?)",
        "ids_of_card": "payments_by_card_of_all (<expr>>? AND <expr><?)",
        "ids_of_id": "n USING COVERING INDEX sqlite_autoindex_payments_1 (merchant_id=? AND id>? AND id<?)",
        "open_of_merchant": "reviews_open (merchant_id=? AND status=?)",
        "list_events_of_type": (
            "events_of_storefront_by_type (merchant_id=? AND storefront=? AND mode=? AND type=? AND sequence>?)"
        ),
        "list_events_of_storefront": "events_of_storefront (merchant_id=? AND storefront=? AND mode=? AND sequence>?)",
        "list_deliveries_with_status": (
            "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=? AND id<?)"
        ),
        "list_deliveries_of_endpoint": (
            "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=? AND id<?)"
        ),
        "newest_deliveries": "deliveries USING PRIMARY KEY (merchant_id=? AND id>? AND id<?)",
        "newest_deliveries_of_endpoint": (
            "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=? AND id>? AND id<?)"
        ),
        "newest_attempts": ("attempts_of_endpoint (merchant_id=? AND endpoint_id=? AND started_at>? AND started_at<?)"),
        "count_deliveries_of_endpoints": (
            "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=? AND id>? AND id<?)"
        ),
        "deliveries_in_status": (
            "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=? AND id>? AND id<?)"
        ),
        "undelivered_after": "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=? AND id>?)",
        "oldest_undelivered_at": "deliveries_of_endpoint (merchant_id=? AND endpoint_id=? AND status=?)",
        "recent_attempts": "attempts_of_endpoint (merchant_id=? AND endpoint_id=? AND started_at>?)",
    }
    for name, index in expected.items():
        plan = await plan_of(sqlite_store, load_queries("sqlite")[name])
        assert any(line.endswith(index) for line in plan), (name, plan)


async def test_the_planner_knows_what_each_index_is_worth(sqlite_store: SqliteStore) -> None:
    """Without it, it takes a merchant's rows for ten, and reads all of them: a migration that adds an index says it."""

    def indexes(connection: sqlite3.Connection) -> tuple[set[str], set[str]]:
        known = {row[0] for row in connection.execute("SELECT coalesce(idx, tbl) FROM sqlite_stat1")}
        made = "SELECT t.name, t.sql, i.name, i.origin FROM sqlite_schema AS t, pragma_index_list(t.name) AS i"
        rows = connection.execute(f"{made} WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'").fetchall()
        # The key of a table without rowids is the table itself.
        return known, {
            table if origin == "pk" and sql.endswith("WITHOUT ROWID") else index for table, sql, index, origin in rows
        }

    known, made = await sqlite_store._file._database.run(indexes)
    assert {table for table in made if table not in known} <= FEW


# Tables that have few rows, and are read by their key.
FEW = {
    "alert_deliveries",  # of the last messages
    "alert_deliveries_waiting",
    "alert_failures",
    "saved_filters",  # of operators
    "saved_filters_by_id",
    "saved_filters_shared",
    "alert_standings",  # one row for each trouble that is now
    "alert_turn",
    "audit_heads",
    "code_guesses",  # of operators, as recovery codes and second factors are
    "confirming_orders",
    "endpoints_stopped",  # only those
    "event_sequences",
    "lost_payments",
    "operators",
    "payments_given_back",  # only those
    "payments_by_card",  # only what gateways tell of; no other query can use it
    "payments_by_card_of_all",
    "payments_by_order",  # as nothing but the search over all merchants can use these
    "bank_codes_by_code",
    "invoice_keys_by_key",
    "payments_by_number",  # one row for each key
    "payments_by_trace",
    "payments_by_trace_of_all",
    "payments_unverified",  # only those of shops that verify, until they do
    "recovery_codes",
    "second_factors",
    "resend_endpoints",  # of the last resends of each operator
    "resend_endpoints_due",
    "resend_endpoints_of_resend",
    "resends",
    "resends_of_actor",
    "sqlite_autoindex_logos_1",
    "sqlite_autoindex_operators_2",
    "sqlite_autoindex_resends_2",
    "sqlite_autoindex_schema_versions_1",
    "sqlite_autoindex_second_factors_2",
    "tokens_that_end",  # only those
    "turns_failing",  # only those
}


async def plan_of(store: SqliteStore, sql: str) -> list[str]:
    count = max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=0)
    explain = f"EXPLAIN QUERY PLAN {sql}"
    return await store._file._database.run(
        lambda connection: [row[3] for row in connection.execute(explain, (0,) * count).fetchall()]
    )


async def test_claims_do_not_touch_what_is_held_for_dead_endpoints(sqlite_store: SqliteStore) -> None:
    await add_merchant(sqlite_store)
    dead = await add_endpoint(sqlite_store, event_types=frozenset({"payment.failed"}))
    await add_endpoint(sqlite_store, event_types=frozenset({"payment.paid"}))

    def hold(connection: sqlite3.Connection, first: int, count: int) -> None:
        rows = ((MERCHANT_ID, f"dlv_{n}", dead.id, f"evt_{n}", n) for n in range(first, first + count))
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO deliveries"
            " (merchant_id, id, endpoint_id, event_id, status, attempts, scheduled_from, due_at, created_at)"
            " VALUES (?, ?, ?, ?, 'pending', 1, 0, ?, 0)",
            rows,
        )
        connection.execute("DELETE FROM turns WHERE endpoint_id = ?", (dead.id,))
        connection.execute("COMMIT")

    async def claim_steps(order_id: str) -> int:
        """SQLite's own count of the work: virtual machine instructions, in hundreds."""
        await paid(sqlite_store, order_id)
        ticks = 0

        def tick() -> int:
            nonlocal ticks
            ticks += 1
            return 0

        await sqlite_store._file._database.run(lambda connection: connection.set_progress_handler(tick, 10))
        assert len(await sqlite_store.webhooks.claim_deliveries(NOW, Lease(NOW + 1, "t"), 50)) >= 1
        await sqlite_store._file._database.run(lambda connection: connection.set_progress_handler(None, 10))
        return ticks

    await sqlite_store._file._database.run(lambda connection: hold(connection, 0, 100))
    few = await claim_steps("order-1")
    await sqlite_store._file._database.run(lambda connection: hold(connection, 100, 20_000))
    many = await claim_steps("order-2")
    assert many <= few * 1.3


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "-- name: a\nSELECT 1;",
        "-- name: a\n-- Gives one.\nSELECT 1;\n\n-- name: b\nSELECT 2;",
        "stray\n-- name: a\n-- Gives one.\nSELECT 1;",
    ],
)
def test_a_query_without_name_and_description_is_refused(text: str) -> None:
    with pytest.raises(BadQueryFile):
        list(parse(text, "some.sql"))


def test_queries_are_told_apart_by_their_names() -> None:
    text = "-- name: one\n-- Gives one.\nSELECT 1\nFROM a;\n\n-- name: two\n-- Gives two.\n-- And why.\nSELECT 2;\n"
    assert dict(parse(text, "some.sql")) == {"one": "SELECT 1\nFROM a", "two": "-- And why.\nSELECT 2"}


async def test_a_file_that_is_torn_while_it_is_open_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "dargah.db"
    await (await open_store(path, now=lambda: NOW)).close()
    store = await open_store(path, now=lambda: NOW)
    with path.open("r+b") as file:
        for offset in range(4096, path.stat().st_size, 4096):
            os.pwrite(file.fileno(), b"\xff" * 4096, offset)
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store.payments.payment_by_number(1)
    [line] = lines
    assert (line["event"], line["log_level"]) == ("database_failing", "critical")
    assert re.search(r"dargah.db .*damaged \(database disk image is malformed\): .*`dargah restore`", line["why"])
    await store.close()


async def test_a_batch_is_not_the_work_of_the_caller_who_began_it(tmp_path: Path) -> None:
    about = list[object]()
    path = tmp_path / "dargah.db"
    store = await open_store(path, now=lambda: NOW, on_batch=lambda _batch: about.append(log_context.current()))
    with log_context.about(payment_id="pay_1"):
        await store.heartbeat.ping()
    await store.close()
    assert about == [{}]
