"""The plans of PostgreSQL's queries, on tables that have rows: by indexes, and no page is sorted out of everything."""

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from databases.places import Databases

from proxy.database.postgresql.primary import SETTINGS
from proxy.database.sqlite.store import migrate
from proxy.database.transaction import load_queries

ROWS = 12_000
GROWING = {
    "payments",
    "invoice_keys",
    "bank_codes",
    "paid_orders",
    "timeline",
    "watches",
    "events",
    "deliveries",
    "attempts",
}
# Asked by an operator, or once at the start. Where they read a whole table, it has a few rows for each merchant
# or operator.
SELDOM = {
    "kek_ids",
    "audit_merchants",
    "sealed_otherwise",
    "plain_headers",
    "living_operators",
    "list_operators",
    "guessed_second_factors",
    "count_watches",
    "count_deliveries",
    "skip_sequence_numbers",
    "oldest_part_of_events",
    "oldest_part_of_attempts",
    "undelivered_of_part",
}
# Rows of each of these lie in so many partitions, and in the rest.
PARTED = ("events", "deliveries", "attempts")
PARTS = 4
VALUES = {
    "merchant_id": "'mer_' || n % 5",
    "status": "(ARRAY['created', 'pending', 'paid', 'failed', 'canceled', 'expired', 'needs_review', 'delivered',"
    " 'dropped', 'given_back'])[1 + n / 5 % 10]",
    "mode": "(ARRAY['live', 'test'])[1 + n / 5 % 2]",
    "in_flight": "'{}'",
    "storefront": "'shop_' || n % 3",
    "type": "(ARRAY['payment.paid', 'payment.failed', 'payment.expired'])[1 + n / 5 % 3]",
    "endpoint_id": "'ep_' || n % 20",
    "terminal_id": "'trm_' || n % 10",
    "kek_id": "'k' || n % 2",
    "held": "0",
    "part": f"n / 400 % {PARTS + 1}",
}
ONE_OF_A_MERCHANT = {"audit_heads", "event_sequences", "logos"}
OWN_KINDS = {"held": "bigint", "part": "bigint"}
BY_TYPE = {
    "text": "'{column}_' || lpad(n::text, 9, '0')",
    "bigint": "n",
    "bytea": "decode(lpad(to_hex(n), 16, '0'), 'hex')",
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(databases: Databases) -> AsyncIterator[Any]:
    """A connection to a database whose every table has rows that the planner knows of.

    It is one for the module, which only reads it: to fill it takes five seconds.
    """
    async with databases.lent() as url:
        connection = await asyncpg.connect(url, server_settings=dict(SETTINGS))
        await _fill_all(connection)
        yield connection
        await connection.close()


# The columns of whole tables, not those of partitions once more.
OURS = (
    "c.table_schema = 'public' AND NOT (SELECT relispartition FROM pg_class"
    " WHERE oid = format('%I.%I', c.table_schema, c.table_name)::regclass)"
)


async def _fill_all(connection: Any) -> None:
    # The partitions of the present have no rows here, and the planner reads what it takes to be empty as a whole.
    for (leaf,) in await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition AND relname ~ '_[0-9]+$'"
    ):
        await connection.execute(f"DROP TABLE {leaf}")
    await connection.execute(f"SELECT make_parts(1, {PARTS})")
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in await connection.fetch(
        f"SELECT table_name, column_name, data_type FROM information_schema.columns AS c WHERE {OURS}"  # noqa: S608  a text of ours
    ):
        columns.setdefault(table, {})[column] = kind
    for table, kinds in columns.items():
        if table not in {"schema_versions", "heartbeat"}:
            await connection.execute(_fill(table, kinds))
    await connection.execute("ANALYZE")


def _fill(table: str, kinds: dict[str, str]) -> str:
    own = VALUES if table != "turns" else VALUES | {"endpoint_id": "'ep_' || n"}
    if table in ONE_OF_A_MERCHANT:
        own = {}
    elif table not in GROWING:
        own = own | {"merchant_id": "'mer_' || n % 200"}
    values = [
        own[column]
        if column in own and kind in {"text", OWN_KINDS.get(column)}
        else BY_TYPE[kind].format(column=column)
        for column, kind in kinds.items()
    ]
    names, taken = ", ".join(kinds), ", ".join(values)
    return f"INSERT INTO {table} ({names}) SELECT {taken} FROM generate_series(1, {ROWS}) AS n ON CONFLICT DO NOTHING"  # noqa: S608  names of the schema


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def plan_of(connection: Any, sql: str, values: str = "") -> list[dict[str, Any]]:
    """The generic plan, which is the one that the store's connections use for each call."""
    count = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
    parameters = f"({values or ', '.join(['NULL'] * count)})" if count else ""
    await connection.execute(f"PREPARE asked AS {sql}")
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked{parameters}")
    await connection.execute("DEALLOCATE asked")
    return list(nodes(json.loads(plan)[0]["Plan"]))


async def test_no_query_reads_a_whole_table(filled: Any) -> None:
    bad = {}
    for name, sql in load_queries("postgresql").items():
        read = [node["Relation Name"] for node in await plan_of(filled, sql) if node["Node Type"] == "Seq Scan"]
        if [table for table in read if table != "heartbeat"] and name not in SELDOM:
            bad[name] = read
    assert bad == {}


# Of what grows with the payments nothing is sorted, which would be to read all of a merchant's for a page, but what is
# few: the rows of one event, delivery or payment, of a bounded stretch, of one number of a bank; and the events of no
# payment, which PostgreSQL does not find in order (IS NULL is no equality to its planner).
ONE_OF_A_FEW = {
    "list_deliveries",
    "list_attempts",
    "list_events_of_payment",
    "list_events_of_type",
    "list_events_of_storefront",
}


async def test_no_list_sorts_more_than_its_page(filled: Any) -> None:
    bad = {}
    for name, sql in load_queries("postgresql").items():
        for node in await plan_of(filled, sql):
            below = [each for child in node.get("Plans", ()) for each in nodes(child)]
            if node["Node Type"] == "Sort" and not any(each["Node Type"] == "Limit" for each in below):
                tables = {each.get("Relation Name") for each in below}
                if tables & GROWING and name not in ONE_OF_A_FEW:
                    bad[name] = tables
    assert bad == {}


# What a query reads of these and leaves out is few: of one delivery, payment or event, or of the eight on their way.
LEAVES_OUT_A_FEW = {
    "list_attempts",
    "list_events_of_payment",
    "audit_paid",
    "forgettable_events",
    "oldest_deliveries",
    "watched_payments",
    "watches_behind",  # those of the place's own millisecond
    # Nothing: what is between the ids, or of the times, is of the partitions that are named.
    "newest_deliveries",
    "newest_deliveries_of_endpoint",
    "newest_attempts",
    "delivery_line",
    "count_deliveries_of_endpoints",
    "deliveries_in_status",
    # Two indexes lead to them. With as few storefronts as here, the planner takes either, by its sample.
    "newest_lines_of_storefront",
    "oldest_lines_of_storefront",
    "newest_of_merchants_of_storefront",
    "oldest_of_merchants_of_storefront",
}


async def test_no_query_reads_rows_that_it_leaves_out(filled: Any) -> None:
    """Nor does it look for all that there is before it takes the first ones, as a bitmap would."""
    bad = {}
    for name, sql in load_queries("postgresql").items():
        if not sql.lstrip().startswith(("SELECT", "WITH")) or name in SELDOM:
            continue
        for node in await plan_of(filled, sql):
            table = re.sub(r"_(\d+|rest)$", "", node.get("Relation Name", ""))
            by_index = node["Node Type"] in {"Index Scan", "Index Only Scan"}
            if node["Node Type"] == "ModifyTable":
                continue  # it reads nothing itself
            if table in GROWING and not (by_index and ("Filter" not in node or name in LEAVES_OUT_A_FEW)):
                bad[name] = (node["Node Type"], node.get("Filter"))
    assert bad == {}


async def wholes_of(connection: Any, indexes: set[str | None]) -> set[str]:
    """The indexes of whole tables that these are, or are parts of."""
    rows = await connection.fetch(
        "SELECT coalesce(w.relname, c.relname) FROM pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid"
        " LEFT JOIN pg_class AS w ON w.oid = i.inhparent WHERE c.relname = ANY($1)",
        [each for each in indexes if each],
    )
    return {name for (name,) in rows}


# At most the period that the id names, and the rest: the place in each query's parameters where the period is.
BY_ID = {
    "count_attempt": 3,
    "record_delivery": 7,
    "release_delivery": 3,
    "list_deliveries": 3,
    "event": 3,
    "delivery": 3,
    "requeue_delivery": 5,
    "forget_attempts_of_event": 3,
    "forget_deliveries_of_event": 3,
    "forget_event": 3,
    "keep_event": 3,
    "keep_deliveries_of_event": 3,
    "keep_attempts": 3,
    "undelivered_of_part": 1,
}


@pytest.mark.parametrize("name", BY_ID)
async def test_a_query_by_id_looks_at_its_own_period_and_the_rest(filled: Any, name: str) -> None:
    sql = load_queries("postgresql")[name]
    parameters = ["NULL"] * max(int(number) for number in re.findall(r"\$(\d+)", sql))
    parameters[BY_ID[name] - 1] = "2"
    looked = {
        node["Relation Name"]
        for node in await plan_of(filled, sql, ", ".join(parameters))
        if node["Node Type"] in {"Index Scan", "Index Only Scan", "Seq Scan"}
    }
    if name == "forget_attempts_of_event":  # attempts are of the time when they were made
        looked = {each for each in looked if not each.startswith("attempts")}
    parted = {each for each in looked if each.startswith(PARTED)}
    assert parted
    assert parted <= {f"{table}_{part}" for table in PARTED for part in ("2", "rest")}


BY_SPAN = {
    "newest_deliveries": (4, 5),
    "newest_deliveries_of_endpoint": (4, 5),
    "count_deliveries_of_endpoints": (3, 4),
    "deliveries_in_status": (6, 7),
}


@pytest.mark.parametrize("name", BY_SPAN)
async def test_a_list_of_a_span_looks_at_the_spans_periods_and_the_rest(filled: Any, name: str) -> None:
    sql = load_queries("postgresql")[name]
    parameters = ["NULL"] * max(int(number) for number in re.findall(r"\$(\d+)", sql))
    for place in BY_SPAN[name]:
        parameters[place - 1] = "3"
    looked = {
        node["Relation Name"] for node in await plan_of(filled, sql, ", ".join(parameters)) if "Relation Name" in node
    }
    parted = {each for each in looked if each.startswith("deliveries")}
    assert parted == {"deliveries_3", "deliveries_rest"}


# Each kind of number has an index of all merchants, and one in which a merchant's own stand together.
NUMBERS = {
    "ids_of_order_id": "payments_by_order",
    "ids_of_bank_code": "bank_codes_by_code",
    "ids_of_invoice_key": "invoice_keys_by_key",
    "ids_of_trace_number": "payments_by_trace_of_all",
    "ids_of_card": "payments_by_card_of_all",
    "ids_of_id": "payments_pkey",
    "own_ids_of_order_id": "payments_of_order",
    "own_ids_of_bank_code": "bank_codes_pkey",
    "own_ids_of_invoice_key": "invoice_keys_pkey",
    "own_ids_of_trace_number": "payments_by_trace",
    "own_ids_of_card": "payments_by_card",
}


@pytest.mark.parametrize("name", NUMBERS)
async def test_a_number_is_found_by_one_stretch_of_an_index(filled: Any, name: str) -> None:
    plan = await plan_of(filled, load_queries("postgresql")[name])
    assert NUMBERS[name] in {node.get("Index Name") for node in plan}, plan
    assert "Sort" not in {node["Node Type"] for node in plan}, plan


CLAIMS = {
    "due_turns": "turns_due",
    "due_watches": "watches_due",
    "next_delivery_at": "turns_due",
    "next_check_at": "watches_due",
    "oldest_deliveries": "deliveries_due",
    "oldest_due_times": "deliveries_due",
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_a_claim_begins_at_what_is_due(filled: Any, name: str) -> None:
    plan = await plan_of(filled, load_queries("postgresql")[name])
    assert CLAIMS[name] in await wholes_of(filled, {node.get("Index Name") for node in plan}), plan
    assert "Sort" not in {node["Node Type"] for node in plan}, plan


async def test_both_databases_have_the_same_tables_columns_and_keys(filled: Any) -> None:
    """A migration of one dialect without the other's would else show in production."""
    with closing(sqlite3.connect(":memory:")) as connection:
        migrate(connection, 0)
        found = connection.execute(
            """
            SELECT t.name, c.name, c."notnull" OR c.pk > 0 FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table' AND t.name <> 'schema_versions' AND t.name NOT LIKE 'sqlite_%'
            """
        )
        expected = {(table, column, needed == 1) for table, column, needed in found}
    rows = await filled.fetch(
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns AS c"  # noqa: S608  a text of ours
        f" WHERE {OURS} AND table_name <> 'schema_versions'"
    )
    assert {(table, column, nullable == "NO") for table, column, nullable in rows} == expected


async def test_a_merchants_rows_can_be_kept_apart_by_every_key(filled: Any) -> None:
    """merchant_id comes first in every primary key and unique constraint, but for what is the installation's own."""
    rows = await filled.fetch(
        "SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c"
        " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype IN ('p', 'u')"
        " AND c.connamespace = 'public'::regnamespace"
    )
    others = {(table, column) for table, column in rows if column != "merchant_id"}
    installation = {("operators", "id"), ("operators", "digest"), ("heartbeat", "id"), ("schema_versions", "version")}
    installation |= {("second_factors", "operator"), ("second_factors", "id")}
    installation |= {("recovery_codes", "factor_id"), ("code_guesses", "factor_id")}
    installation |= {("rechecks", "noted_at"), ("restores", "noted_at"), ("alert_turn", "name")}
    installation |= {("alert_standings", "kind"), ("alert_messages", "number")}
    installation |= {("alert_deliveries", "number"), ("alert_failures", "target"), ("saved_filters", "owner")}
    installation |= {("resends", "id"), ("resends", "actor")}
    assert others == installation | {("merchants", "id")}
