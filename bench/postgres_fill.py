"""Databases with as many payments and deliveries as wanted, made by the server itself. Benchmarks only.

Ids are as long as real ones, and each merchant's rows lie together, as in an index that begins with the merchant.
"""

# ruff: noqa: S608  what is put in are numbers and names of ours

import asyncio
from typing import Final

import asyncpg

from proxy.ids import PART_PERIOD, base62, part_at

MERCHANTS: Final = 50
AT: Final = 1_780_000_000_000
LATER: Final = AT + 10 * 365 * 86_400_000
OPEN_SHARE: Final = 5  # one in so many is still open, and watched
BODY: Final = "repeat('x', 100)::bytea"  # shorter than real ones, for the disk's sake: no index has it
ENDPOINTS_OF_MERCHANT: Final = 2
PERIODS: Final = 4
FIRST_PERIOD: Final = part_at(AT)
TIMES: Final = ", ".join(f"'{base62((FIRST_PERIOD + n) * PART_PERIOD, 8)}'" for n in range(PERIODS))

# $1 rows in all, $2 rows of a merchant; k is the merchant's key, u what makes its row's ids unique, and in it is
# the time of one of the periods: each merchant has as many rows of each.
SERIES: Final = f"""
    SELECT n, lpad((n / $2)::text, 8, '0') AS k, {FIRST_PERIOD} + n % $2 * {PERIODS} / $2 AS part,
        (ARRAY[{TIMES}])[1 + n % $2 * {PERIODS} / $2] || lpad(n::text, 10, '0') AS u
    FROM generate_series(0, $1 - 1) AS n
"""
OF_PAYMENTS: Final = {
    "payments": f"""
INSERT INTO payments (
    merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, metadata, return_url, link,
    expires_at, created_at, updated_at, status, version, invoice_key, linked_at, bank_code, captured_rials, paid_at,
    late, idempotency_key, request_digest, lease_until, reply_status, reply_body
)
SELECT 'mer_' || k, 'pay_' || k || u, 'main', 'trm_' || k || '000000000000000001', 'live', 'order-' || n, 150000, 'IRT',
    '{{}}', 'https://shop.example/back?order=' || n, k || lpad(n::text, 29, '0'), {AT} + n, {AT} + n, {AT} + n,
    CASE WHEN n % {OPEN_SHARE} = 0 THEN 'pending' ELSE 'paid' END, 2, 'inv' || lpad(n::text, 12, '0'), {AT} + n,
    CASE WHEN n % {OPEN_SHARE} > 0 THEN 'bank-' || n END, CASE WHEN n % {OPEN_SHARE} > 0 THEN 150000 END,
    CASE WHEN n % {OPEN_SHARE} > 0 THEN {AT} + n END, 0, 'key-' || u, decode(md5(u) || md5(u), 'hex'), 0, 201,
    repeat('r', 100)::bytea
FROM ({SERIES}) AS series""",
    "invoice_keys": f"""
INSERT INTO invoice_keys
SELECT 'mer_' || k, 'trm_' || k || '000000000000000001', 'inv' || lpad(n::text, 12, '0'), 'pay_' || k || u
FROM ({SERIES}) AS series""",
    "bank_codes": f"""
INSERT INTO bank_codes SELECT 'mer_' || k, 'bank-' || lpad(n::text, 9, '0'), 'pay_' || k || u
FROM ({SERIES}) AS series WHERE n % {OPEN_SHARE} > 0""",
    "paid_orders": f"""
INSERT INTO paid_orders SELECT 'mer_' || k, 'main', 'live', 'order-' || lpad(n::text, 9, '0'), 'pay_' || k || u
FROM ({SERIES}) AS series WHERE n % {OPEN_SHARE} > 0""",
    "timeline": f"""
INSERT INTO timeline SELECT 'mer_' || k, 'pay_' || k || u, 1, {AT} + n, 'gateway.request', 40, '{{"outcome":"issued"}}'
FROM ({SERIES}) AS series""",
    "watches": f"""
INSERT INTO watches SELECT 'mer_' || k, 'pay_' || k || u, 'trm_' || k || '000000000000000001', {LATER} + n, NULL, 1
FROM ({SERIES}) AS series WHERE n % {OPEN_SHARE} = 0""",
    "events": f"""
INSERT INTO events (
    merchant_id, id, sequence, storefront, mode, type, payment_id, payment_version, occurred_at, body, part
)
SELECT 'mer_' || k, 'evt_' || k || u, n % $2 + 1, 'main', 'live', 'payment.paid', 'pay_' || k || u, 2, {AT} + n, {BODY},
    part
FROM ({SERIES}) AS series WHERE n % {OPEN_SHARE} > 0""",
}

OF_ENDPOINTS: Final = f"""
INSERT INTO endpoints (
    merchant_id, id, url, event_types, description, headers, state, state_since, signatures, key_number, created_at,
    updated_at
)
SELECT 'mer_' || k, 'ep_' || k || lpad(e::text, 18, '0'), 'http://127.0.0.1:9/hook', '[]', '', '{{}}', 'enabled', {AT},
    'v1', 1, {AT}, {AT}
FROM (SELECT lpad(m::text, 8, '0') AS k FROM generate_series(0, {MERCHANTS - 1}) AS m) AS merchants,
    generate_series(1, {ENDPOINTS_OF_MERCHANT}) AS e;
INSERT INTO turns (merchant_id, endpoint_id, due_at, served_at) SELECT merchant_id, id, {AT}, 0 FROM endpoints;
"""
# $1 deliveries wait at each endpoint.
OF_DELIVERIES: Final = """
INSERT INTO deliveries (
    merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from, due_at, created_at, part
)
SELECT e.merchant_id, 'dlv_' || substr(v.id, 5, 16) || right(e.id, 1) || right(v.id, 9), e.id, v.id, v.payment_id,
    'pending', 0, 0, v.occurred_at, v.occurred_at, v.part
FROM endpoints AS e CROSS JOIN LATERAL (
    SELECT * FROM events WHERE merchant_id = e.merchant_id ORDER BY sequence LIMIT $1
) AS v
"""
OF_SEQUENCES: Final = "INSERT INTO event_sequences SELECT merchant_id, max(sequence) FROM events GROUP BY merchant_id"


async def fill(url: str, payments: int, waiting: int) -> None:
    """Fills a migrated database, whose statistics and visibility are then those of one that has been in use."""
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT make_parts($1, $2)", FIRST_PERIOD, FIRST_PERIOD + PERIODS - 1)
    await connection.close()
    largest, *others = OF_PAYMENTS
    await asyncio.gather(
        _insert(url, [largest], payments),
        _insert(url, others, payments),
    )
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(OF_ENDPOINTS)
        await connection.execute(OF_SEQUENCES)
        await connection.execute(OF_DELIVERIES, waiting // (MERCHANTS * ENDPOINTS_OF_MERCHANT))
        for table in (*OF_PAYMENTS, "deliveries", "turns", "endpoints", "event_sequences"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()


async def _insert(url: str, tables: list[str], payments: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in tables:
            async with connection.transaction():
                # A table that is new in its transaction needs no log, where the server keeps a minimal one.
                await connection.execute(f"TRUNCATE {table}")
                await connection.execute(OF_PAYMENTS[table], payments, payments // MERCHANTS)
    finally:
        await connection.close()
