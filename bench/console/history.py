"""A month of an installation in a SQLite file, and the same in PostgreSQL.

Payments of every status, with what belongs to them, are of merchants of which a few have most.

Rows are as the store would have written them, and ids hold their time as real ones do. SQLite writes them itself, each
merchant's in the order of its indexes; PostgreSQL gets the file's tables, row by row, as a move of a store brings them.
"""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from proxy.database.transfer import Table, Target, tables_of
from proxy.kernel.clock import DAY, MINUTE
from proxy.kernel.ids import PARTITION_PERIOD, base62, partition_at
from proxy.payments.payment import GivenBack, GivenBackReason, Review, ReviewReason
from proxy.stores.sqlite import open_store

SPAN: Final = 30 * DAY
# Nothing of it is to outlive the run, and nobody else reads it meanwhile.
_QUICK: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -64000",
)
# One merchant's payments, the oldest first: u is an id without its kind and merchant, spread what gateways choose.
_PAYMENTS: Final = """
CREATE TEMP TABLE series (
    n INTEGER PRIMARY KEY, serial INTEGER, u TEXT, spread TEXT, created INTEGER, part INTEGER, status TEXT,
    told INTEGER, failed INTEGER, waits INTEGER, amount INTEGER
)
"""
_SERIES: Final = (
    "DELETE FROM series",
    """WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count),
    timed AS (SELECT n, n + :first AS serial, :begin + n * :step + :m AS created FROM numbers)
INSERT INTO series
SELECT n, serial, place(created, serial), printf('%09x', (serial * 2654435761) % 68719476736), created,
    created / :period, CASE
        WHEN serial % 1000 = 0 THEN 'needs_review' WHEN serial % 1000 < 3 THEN 'given_back'
        WHEN serial % 1000 < 12 THEN 'failed' WHEN serial % 1000 < 60 THEN 'canceled'
        WHEN serial % 1000 < 190 THEN 'expired' WHEN serial % 1000 < 197 THEN 'pending' ELSE 'paid' END,
    0, serial % 50 = 20, serial % 400 = 220, 150000 + serial * 7919 % 5000 * 1000
FROM timed""",
    "UPDATE series SET told = 1 WHERE status NOT IN ('pending', 'given_back')",
)
# Of one merchant: :m is its number and :k its key.
_MERCHANT: Final = (
    """INSERT INTO merchants (id, name, return_origins, looks, created_at, updated_at)
VALUES ('mer_' || :k, 'Shop ' || :m, '["https://shop' || :m || '.example"]',
    '{"name_fa":"فروشگاه ' || :m || '","colour":null,"language":null,"logo":null}', :begin, :begin)""",
    """INSERT INTO terminals (merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at,
    updated_at)
VALUES ('mer_' || :k, 'trm_' || :k || :old || '0000000001', 'main', 'live', 'https://pay.example/', NULL, 1, :begin,
    :begin)""",
    """INSERT INTO tokens (merchant_id, id, storefront, mode, prefix, digest, scopes, terminal_id, created_at,
    expires_at,
    revoked_at, amount_unit, return_method, any_https_return)
SELECT 'mer_' || :k, 'tok_' || :k || :old || '000000000' || value, 'main', 'live', 'dg_live_' || substr(:k, 1, 4),
    randomblob(32), 'payments:read payments:write webhooks', NULL, :begin, NULL, NULL, 'rial', 'get', 0
FROM json_each('[1, 2]')""",
    """INSERT INTO endpoints (merchant_id, id, url, event_types, description, headers, state, state_since, signatures,
    key_number, created_at, updated_at)
VALUES ('mer_' || :k, 'ep_' || :k || :old || '0000000001', 'https://shop' || :m || '.example/hook', '[]', '', '[]',
    'enabled', :begin, 'v1', 1, :begin, :begin)""",
    """INSERT INTO turns (merchant_id, endpoint_id, served_at, due_at, failures, failing_since)
SELECT 'mer_' || :k, 'ep_' || :k || :old || '0000000001', 0, CASE WHEN sum(waits AND told) THEN :later END,
    iif(:m % 100 = 7, 5, 0), iif(:m % 100 = 7, :at - 3600000, NULL) FROM series""",
    "INSERT INTO event_sequences VALUES ('mer_' || :k, :count)",
    """INSERT INTO audit (merchant_id, id, at, actor, action, target, data, number, hash)
SELECT 'mer_' || :k, 'aud_' || :k || :old || printf('%010d', value), :begin + value, 'sara', 'merchant.change',
    'mer_' || :k, '{}', value, randomblob(32) FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]')""",
    "INSERT INTO audit_heads (merchant_id, number, hash) VALUES ('mer_' || :k, 10, randomblob(32))",
)
_ROWS: Final = (
    """INSERT INTO payments (merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, bank_code,
    captured_rials, paid_at, late, idempotency_key, request_digest, lease_until, reply_status, reply_body, receipt,
    review, given_back, failure)
SELECT 'mer_' || :k, 'pay_' || :k || u, iif(serial % 7 = 3, 'second', 'main'), 'trm_' || :k || :old || '0000000001',
    iif(serial % 40 = 33, 'test', 'live'), 'A-' || (serial + 1000000), amount, 'IRT', '{}',
    'https://shop.example/back?order=' || n, :k || substr(u, 2) || '0123456789', created + 1800000, created,
    created + 60000, status, 2, iif(status = 'failed', NULL, 'inv-' || spread), created,
    iif(status = 'paid', 'bank-' || spread, NULL), iif(status IN ('paid', 'needs_review'), amount, NULL),
    iif(status = 'paid', created + 60000, NULL), 0, 'key-' || spread || serial, zeroblob(32), 0, 201, zeroblob(300),
    iif(status = 'paid' AND serial % 3 = 0, '{"card_mask":"603799******' || printf('%04d', serial * 37 % 10000)
        || '","trace_number":"' || (serial + 500000000) || '","fee_rials":1200}', NULL),
    iif(status = 'needs_review', :review, NULL), iif(status = 'given_back', :given_back, NULL),
    iif(status = 'failed', '{"reason":"gateway_refused","gateway_error_code":204}', NULL)
FROM series""",
    """INSERT INTO invoice_keys SELECT 'mer_' || :k, 'trm_' || :k || :old || '0000000001', 'inv-' || spread,
    'pay_' || :k || u FROM series WHERE status <> 'failed'""",
    """INSERT INTO bank_codes SELECT 'mer_' || :k, 'bank-' || spread, 'pay_' || :k || u
FROM series WHERE status = 'paid'""",
    """INSERT INTO paid_orders SELECT 'mer_' || :k, iif(serial % 7 = 3, 'second', 'main'),
    iif(serial % 40 = 33, 'test', 'live'), 'A-' || (serial + 1000000), 'pay_' || :k || u
FROM series WHERE status = 'paid'""",
    """INSERT INTO timeline SELECT 'mer_' || :k, 'pay_' || :k || u, number, created + 1000 * number, kind, 40, data
FROM series CROSS JOIN (
    SELECT 1 AS number, 'gateway.request' AS kind, '{"outcome":"issued"}' AS data UNION ALL
    SELECT 2, 'return', '{"own_invoice_key":true,"claimed":{"status":"1"}}' UNION ALL
    SELECT 3, 'gateway.check', '{"outcome":"captured"}')
WHERE number = 1 OR status IN ('paid', 'needs_review', 'given_back')""",
    """INSERT INTO watches (merchant_id, payment_id, terminal_id, due_at, soon, version, point)
SELECT 'mer_' || :k, 'pay_' || :k || u, 'trm_' || :k || :old || '0000000001', :later + n, NULL, 2, 11
FROM series WHERE status = 'pending'""",
    """INSERT INTO events (merchant_id, id, sequence, storefront, mode, type, payment_id, payment_version, occurred_at,
    body, part)
SELECT 'mer_' || :k, 'evt_' || :k || u, n + 1, iif(serial % 7 = 3, 'second', 'main'),
    iif(serial % 40 = 33, 'test', 'live'), 'payment.' || status, 'pay_' || :k || u, 2, created, :body, part
FROM series WHERE told""",
    """INSERT INTO deliveries (merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from,
    due_at,
    created_at, delivered_at, part)
SELECT 'mer_' || :k, 'dlv_' || :k || u, 'ep_' || :k || :old || '0000000001', 'evt_' || :k || u, 'pay_' || :k || u,
    CASE WHEN waits THEN 'pending' WHEN failed THEN 'failed' ELSE 'delivered' END, 1 + failed, 0,
    iif(waits, :later, NULL), created, iif(waits OR failed, NULL, created + 1000), part FROM series WHERE told""",
    """INSERT INTO attempts (merchant_id, delivery_id, number, endpoint_id, started_at, duration_ms, outcome, status,
    error,
    excerpt, part)
SELECT 'mer_' || :k, 'dlv_' || :k || u, number, 'ep_' || :k || :old || '0000000001', created + 1000 * number, 20,
    iif(waits OR failed, 'failed', 'delivered'), iif(waits OR failed, 500, 200), NULL, zeroblob(20), part
FROM series CROSS JOIN (SELECT 1 AS number UNION ALL SELECT 2) WHERE told AND number <= 1 + failed""",
)
_BODY: Final = orjson.dumps({"type": "payment.paid", "data": {"object": "payment", "description": "x" * 250}})
_REVIEW: Final = Review(ReviewReason.AMOUNT_DIFFERS, 150_000, 1000, None, "inv")
_GIVEN_BACK: Final = GivenBack(GivenBackReason.TOO_LATE, "inv", 150_000)


@dataclass(frozen=True, slots=True)
class Place:
    """One payment of the history, with what is found by it: what pages and searches are asked for."""

    merchant_id: str
    payment_id: str
    order_id: str
    bank_code: str
    invoice_key: str
    trace_number: str
    delivery_id: str
    endpoint_id: str
    terminal_id: str
    token_id: str
    review_id: str


async def fill(path: Path, payments: int, merchants: int, at: int) -> None:
    """A migrated file at `path` with about so many payments of the month before `at`."""
    await (await open_store(path, now=lambda: at)).close()
    await asyncio.to_thread(_fill, path, _shares(payments, merchants), at)


def _shares(payments: int, merchants: int) -> list[int]:
    """How many payments each merchant has: the second one half of the first one's, the third a third."""
    whole = sum(1 / rank for rank in range(1, merchants + 1))
    return [max(3, round(payments / rank / whole)) for rank in range(1, merchants + 1)]


def _fill(path: Path, shares: list[int], at: int) -> None:
    same = {
        "at": at,
        "begin": at - SPAN,
        "later": at + 2 * DAY,
        "old": base62(at - SPAN, 8),
        "period": PARTITION_PERIOD,
    }
    same |= {"body": _BODY}
    same |= {"review": orjson.dumps(asdict(_REVIEW)).decode(), "given_back": orjson.dumps(asdict(_GIVEN_BACK)).decode()}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_function("place", 2, _place, deterministic=True)
        for pragma in _QUICK:
            connection.execute(pragma)
        connection.execute(_PAYMENTS)
        connection.execute("BEGIN")
        first = 0
        for number, count in enumerate(shares):
            step = (SPAN - 10 * MINUTE) // count
            given = same | {"m": number, "k": key_of(number), "count": count, "first": first, "step": step}
            for statement in (*_SERIES, *_MERCHANT, *_ROWS):
                connection.execute(statement, given)
            first += count
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    # Commits that are measured afterwards are not to wait for these pages.
    with path.open("rb") as file:
        os.fsync(file.fileno())


def key_of(number: int) -> str:
    """A merchant's key; those with many payments lie among the others."""
    return base62((number + 1) * 40_503_551 * 2_654_435 % 62**8, 8)


def _place(at: int, serial: int) -> str:
    return f"{base62(at, 8)}{serial:010}"


def place_in(path: Path) -> Place:
    """A paid payment of the largest merchant, from the middle of the month."""
    merchant_id = f"mer_{key_of(0)}"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:

        def one(sql: str, *values: object) -> Any:
            return connection.execute(sql, values).fetchone()

        middle = one("SELECT id FROM payments WHERE merchant_id = ? LIMIT 1 OFFSET ?", merchant_id, 20)[0]
        found = one(
            "SELECT id, order_id, bank_code, invoice_key, json_extract(receipt, '$.trace_number'), terminal_id"
            " FROM payments WHERE merchant_id = ? AND id > ? AND status = 'paid' AND receipt IS NOT NULL LIMIT 1",
            *(merchant_id, middle),
        )
        [delivery_id, endpoint_id] = one(
            "SELECT id, endpoint_id FROM deliveries WHERE merchant_id = ? AND payment_id = ?", merchant_id, found[0]
        )
        [token_id] = one("SELECT id FROM tokens WHERE merchant_id = ?", merchant_id)
        [review_id] = one("SELECT id FROM payments WHERE status = 'needs_review' LIMIT 1")
    payment_id, order_id, bank_code, invoice_key, trace_number, terminal_id = found
    numbers = (order_id, bank_code, invoice_key, trace_number)
    return Place(merchant_id, payment_id, *numbers, delivery_id, endpoint_id, terminal_id, token_id, review_id)


ROWS_AT_ONCE: Final = 20_000
_VACUUM_SECONDS: Final = 600


async def copy(path: Path, url: str, now: int) -> None:
    """Brings the file's rows into the empty PostgreSQL database at `url`."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as source:
        tables = tables_of(source)
        to = await Target.open(url)
        try:
            await to.begin(tables, now)
            await to.make_partitions(list(range(partition_at(now - SPAN), partition_at(now) + 1)), now)
            for table in tables:
                for rows in _pages(source, table):
                    await to.add(table, rows)
            await to.finish(now, now, None)
            await _vacuumed(url)
        finally:
            await to.close()


async def _vacuumed(url: str) -> None:
    """As the server does by itself some minutes later: indexes alone are read where a table's pages are known."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE", timeout=_VACUUM_SECONDS)
    finally:
        await connection.close()


def _pages(source: sqlite3.Connection, table: Table) -> Iterator[list[tuple[object, ...]]]:
    key = ", ".join(table.key)
    cursor = source.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {key}")  # noqa: S608  names of the schema
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield rows
