"""Two versions of Dargah at one database: a migration that only adds is applied while the older code runs.

The newer version is a copy of this one with one more migration planted, and with a query that writes what it added.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from databases.places import database_in, rows_in, store_in
from security.older import make_older, sql
from support.dargah import gateway, settings
from support.eventually import until
from support.process import Process
from support.receiver import receiver
from support.shop import Shop, open_shop

import proxy
from proxy.app import running
from proxy.config.settings import SettingsError
from proxy.database.transaction import Dialect, load_migrations, load_queries
from proxy.database.versions import oldest_code
from proxy.kernel.errors import StoreRefused
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Status
from proxy.payments.search import PaymentFilter
from store.records import MERCHANT_ID, NOW, add_merchant, paid

PACKAGE = Path(proxy.__file__).parent
EXPAND = """-- What a later Dargah might add.
-- oldest code: 1
ALTER TABLE payments ADD COLUMN channel TEXT;
CREATE TABLE payment_notes (merchant_id TEXT NOT NULL, payment_id TEXT NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (merchant_id, payment_id));
CREATE INDEX payments_of_channel ON payments (merchant_id, channel, id);
"""
KNOWN = len(load_migrations("sqlite"))
CONTRACT = "ALTER TABLE payments RENAME COLUMN order_id TO order_number;\n"
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql")


def newer(folder: Path, migration: str) -> dict[str, str]:
    """The variables under which `python -m proxy` is a version of Dargah that has one more migration."""
    copy = folder / "newer" / "proxy"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for dialect in DIALECTS:
        (copy / f"database/{dialect}/migrations/{KNOWN + 1:04}_planted.sql").write_text(migration)
    queries = copy / "payments/storage/sql/common/payments.sql"
    if migration is EXPAND:
        before, said, after = queries.read_text().partition("UPDATE payments SET\n    ({payment_progress})")
        assert said, "the query that a transition writes with"
        queries.write_text(f"{before}UPDATE payments SET\n    channel = 'web', ({{payment_progress}}){after}")
    return {"PYTHONPATH": str(copy.parent), "PYTHONSAFEPATH": "1"}


@pytest.fixture
async def planted(folder: Path) -> AsyncIterator[Path]:
    """The folder, whose database is as it was when the test is over: others are lent it too."""
    yield folder
    url = database_in(folder)
    if isinstance(url, str):
        connection = await asyncpg.connect(url)
        await connection.execute(
            f"""
            DROP TABLE IF EXISTS payment_notes;
            ALTER TABLE payments DROP COLUMN IF EXISTS channel;
            DO $$ BEGIN ALTER TABLE payments RENAME COLUMN order_number TO order_id;
            EXCEPTION WHEN undefined_column THEN NULL; END $$;
            DELETE FROM schema_versions WHERE version > {KNOWN}
            """  # noqa: S608  a number
        )
        await connection.close()


@pytest.fixture
async def shop(planted: Path) -> AsyncIterator[Shop]:
    """A shop that the present code has set up; nothing runs yet."""
    async with AsyncExitStack() as stack:
        gateway_url = await stack.enter_async_context(gateway())
        made = await stack.enter_async_context(receiver())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with running(settings(planted)) as dargah:
            shop = await open_shop(dargah, gateway_url, made, session)
        yield shop


async def pays(shop: Shop, created_at: Process, returning_to: Process) -> str:
    """A payment that is created at one process, and whose customer comes back to the other one; its id."""
    payment = await replace(shop, url=created_at.url).created()
    visit = await shop.act(payment, "pay")
    path = visit["return_url"].removeprefix(created_at.url)
    assert path.startswith("/return/")
    await shop.come_back(visit | {"return_url": returning_to.url + path})
    payment_id: str = payment["id"]
    assert (await replace(shop, url=created_at.url).payment(payment_id))["status"] == "paid"

    await until(lambda: any(event["data"]["id"] == payment_id for event in shop.receiver.events))
    return payment_id


def channels(folder: Path) -> dict[str, str | None]:
    """What the newer code wrote in its own column, by payment: the column was added last."""
    return {row[1]: row[-1] for row in rows_in(folder)["payments"]}


async def test_both_serve_one_database_while_the_newer_one_has_migrated_it(shop: Shop, planted: Path) -> None:
    if isinstance(database_in(planted), Path):
        await one_after_the_other(shop, planted)
    else:
        await side_by_side(shop, planted)


async def side_by_side(shop: Shop, folder: Path) -> None:
    older, later = Process(folder), Process(folder, **newer(folder, EXPAND))
    try:
        await older.start()
        first = await pays(shop, older, older)
        await later.start()
        await pays(shop, older, later)
        await pays(shop, later, older)
        second = await pays(shop, later, later)
        assert channels(folder)[first] is None
        assert channels(folder)[second] == "web"
        assert await older.stop() == 0
        # One that is started again beside the newer one, or put back in its place, takes the schema as it is.
        await older.start()
        await pays(shop, later, older)
    finally:
        await older.kill()
        await later.kill()


async def one_after_the_other(shop: Shop, folder: Path) -> None:
    older, later = Process(folder), Process(folder, **newer(folder, EXPAND))
    try:
        await later.start()
        second = await pays(shop, later, later)
        assert channels(folder)[second] == "web"
        assert await later.stop() == 0
        await older.start()
        await pays(shop, older, older)
        assert await older.stop() == 0
        await later.start()
        await pays(shop, later, later)
    finally:
        await older.kill()
        await later.kill()


async def test_older_code_refuses_a_schema_that_it_does_not_work_with(shop: Shop, planted: Path) -> None:
    later = Process(planted, **newer(planted, CONTRACT))
    await later.start()
    await later.kill()
    with pytest.raises((StoreRefused, SettingsError), match=f"schema version {KNOWN + 1} .*_planted"):
        async with running(settings(planted)):
            pass


def test_a_migration_says_which_code_it_leaves_working() -> None:
    assert oldest_code(7, EXPAND) == 1
    assert oldest_code(7, CONTRACT) == 7
    assert oldest_code(7, "-- It was said that -- oldest code: 1\n") == 7


# What code that knows nothing of it does not notice. A column has a default or may be empty.
ADDS = re.compile(
    r"CREATE TABLE \w+ .+|CREATE INDEX (?:IF NOT EXISTS )?\w+ ON \w+ .+"
    r"|ALTER TABLE \w+ ADD COLUMN (?!.*NOT NULL(?!.*DEFAULT)).+"
    # Older code runs as the owner of functions.
    r"|ALTER FUNCTION \w+\([\w, ]+\) SECURITY DEFINER .+|REVOKE EXECUTE ON FUNCTION .+ FROM PUBLIC|SELECT set_config.+",
    re.DOTALL,
)


def takes_away(script: str) -> list[str]:
    """The statements that older code may notice."""
    bare = re.sub(r"--.*", "", script)
    # What is unique in a column of this migration's own, older code leaves empty.
    for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+) \w+;", bare):
        own = rf"CREATE UNIQUE INDEX \w+ ON {table} \({column}\) WHERE {column} IS NOT NULL;"
        bare = re.sub(own, "", bare)
    return [text.strip() for text in bare.split(";") if text.strip() and not ADDS.fullmatch(text.strip())]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_migration_that_leaves_older_code_working_only_adds(dialect: Dialect) -> None:
    for number, name, script in load_migrations(dialect):
        if oldest_code(number, script) < number:
            assert takes_away(script) == [], name
    assert takes_away(EXPAND) == []
    assert takes_away(CONTRACT) == [CONTRACT.strip().removesuffix(";")]
    for statement in (
        "ALTER TABLE payments ADD COLUMN channel TEXT NOT NULL",
        "CREATE UNIQUE INDEX one_note ON payment_notes (note)",
        "UPDATE payments SET status = 'gone'",
        "DROP TABLE watches",
    ):
        assert takes_away(f"{EXPAND}{statement};") == [statement]
    assert takes_away("ALTER TABLE payments ADD COLUMN channel TEXT NOT NULL DEFAULT 'web'") == []
    unique = "CREATE UNIQUE INDEX by_note ON payments (note) WHERE note IS NOT NULL;"
    assert takes_away(f"ALTER TABLE payments ADD COLUMN note TEXT;\n{unique}") == []
    assert takes_away(f"ALTER TABLE payments ADD COLUMN other TEXT;\n{unique}") == [unique.removesuffix(";")]


def test_both_databases_have_the_same_migrations() -> None:
    said = [
        [(number, name, oldest_code(number, script)) for number, name, script in load_migrations(each)]
        for each in DIALECTS
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_query_counts_a_tables_columns(dialect: Dialect) -> None:
    """A column that a newer version adds must change neither what is read nor what is written."""
    for name, text in load_queries(dialect).items():
        assert not re.search(r"SELECT (\w+\.)?\*|INSERT INTO \w+ (VALUES|SELECT)", text), name


MIGRATION = 8
# As migration 1 made them.
OLD = (
    "CREATE INDEX payments_of_storefront ON payments (merchant_id, storefront, mode, id)",
    "CREATE INDEX events_of_type ON events (merchant_id, type, sequence)",
)
NEW = ("payments_of_storefront_by_status", "events_of_storefront_by_type", "payments_in_review", "reviews_open")


def undo(folder: Path, kept: tuple[str, ...]) -> None:
    for index in NEW:
        if index not in kept:
            sql(folder, f"DROP INDEX {index}")
    for statement in (*OLD, *undone_later()):
        sql(folder, statement)
    sql(folder, f"DELETE FROM schema_versions WHERE version >= {MIGRATION}")  # noqa: S608  a number


def undone_later() -> list[str]:
    """What takes back the tables and columns of later migrations, which are done once more."""
    later = [script for number, _, script in load_migrations("sqlite") if number > MIGRATION]
    tables = [name for script in later for name in re.findall(r"^CREATE TABLE (\w+)", script, re.MULTILINE)]
    added = re.compile(r"^ALTER TABLE (\w+) ADD COLUMN (\w+)", re.MULTILINE)
    columns = [each for script in later for each in added.findall(script)]
    made = [
        name
        for script in later
        for name in re.findall(r"^CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(\w+)", script, re.MULTILINE)
    ]
    indexes = [f"DROP INDEX IF EXISTS {name}" for name in made if name not in NEW]
    return (
        [f"DROP TABLE {name}" for name in tables]
        + indexes
        + [f"ALTER TABLE {table} DROP COLUMN {name}" for table, name in columns]
    )


def indexes(folder: Path) -> set[str]:
    on_sqlite = isinstance(database_in(folder), Path)
    where = "sqlite_schema WHERE type = 'index'" if on_sqlite else "pg_class WHERE relkind IN ('i', 'I')"
    return {name for (name,) in sql(folder, f"SELECT {'name' if on_sqlite else 'relname'} FROM {where}")}  # noqa: S608  ours


@pytest.mark.parametrize("kept", [(), NEW[:1]], ids=["none", "one made ahead"])
async def test_a_database_of_before_lists_by_the_new_indexes(folder: Path, kept: tuple[str, ...]) -> None:
    store = await store_in(folder, lambda: NOW)
    await add_merchant(store)
    payment = await paid(store)
    await store.close()
    undo(folder, kept)

    store = await store_in(folder, lambda: NOW)
    page = await store.payments.list_payments(
        MERCHANT_ID, PaymentFilter("main", statuses=(Status.PAID,), mode=Mode.LIVE)
    )
    await store.close()

    assert ([each.id for each in page.payments], page.reached) == ([payment.id], None)
    there = indexes(folder)
    assert set(NEW) <= there
    assert not {"payments_of_storefront", "events_of_type"} & there


async def test_merchants_of_before_have_no_contact_and_may_get_one(folder: Path) -> None:
    async with running(settings(folder)) as dargah:
        merchant, _ = await dargah.services.setup.create_merchant("Shop", [], colour="#0f766e", actor="test")
    make_older(folder)
    async with running(settings(folder)) as dargah:
        assert await dargah.services.store.merchants.merchant(merchant.id) == merchant
        changed = await dargah.services.setup.change_merchant(merchant.id, contact="02188881234", actor="test")
        assert await dargah.services.store.merchants.merchant(merchant.id) == changed


async def test_code_of_before_reads_its_own_columns_and_leaves_the_contact(folder: Path) -> None:
    async with running(settings(folder)) as dargah:
        merchant, _ = await dargah.services.setup.create_merchant("Shop", [], contact="02188881234", actor="test")
        [(looks,)] = sql(folder, "SELECT looks FROM merchants WHERE id = $1", merchant.id)
        assert "contact" not in looks
        sql(folder, "UPDATE merchants SET name = $1, looks = $2 WHERE id = $3", "Other", looks, merchant.id)
        assert (await dargah.services.store.merchants.merchant(merchant.id)).branding.contact == "02188881234"
