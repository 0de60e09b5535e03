"""SQLite files with as many payments as wanted, a fifth of them open and watched, written by SQLite itself.

Rows are as the store would have written them, ids as long as real ones. Each merchant's lie together and in order, as
in an index that begins with the merchant, so that a file is filled at its indexes' ends; what gateways and shops choose
(keys, bank codes) is spread evenly, so that a new one falls anywhere among them.
"""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from proxy.kernel.clock import DAY, MINUTE
from proxy.stores.sqlite import open_store

MERCHANTS: Final = 50
AT: Final = 1_780_000_000_000
OPEN_SHARE: Final = 5  # one in so many is still open, and watched
SPREAD: Final = 1 << 44  # of what is evenly spread: 11 hexadecimal digits

# Nothing of it is to outlive the run, and nobody else reads it meanwhile.
_QUICK: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA temp_store = MEMORY",
    # Enough for the ends of all indexes, where the rows go. With more, as much time goes into keeping its pages.
    "PRAGMA cache_size = -64000",
)
# The payments of any merchant, counted once for all of them: u makes an id unique.
_SERIES: Final = """
CREATE TEMP TABLE series AS
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count)
SELECT n, printf('%018d', n) AS u, printf('%011x', n * :step) AS spread, n % :share > 0 AS paid FROM numbers
"""
# Of one merchant: :m is its number and :k its key.
_MERCHANT: Final = (
    """INSERT INTO merchants (id, name, return_origins, looks, created_at, updated_at)
VALUES ('mer_' || :k, 'shop ' || :m, '[]', '{}', :at, :at)""",
    """INSERT INTO terminals (merchant_id, id, name, mode, gateway_url, return_base_url, enabled, created_at,
    updated_at)
VALUES ('mer_' || :k, 'trm_' || :k || '000000000000000001', 'main', 'live', '', NULL, 1, :at, :at)""",
    """INSERT INTO endpoints (merchant_id, id, url, event_types, description, headers, state, state_since, signatures,
    key_number, created_at, updated_at)
VALUES ('mer_' || :k, 'ep_' || :k || '000000000000000001', 'http://127.0.0.1:9/hook', '[]', '', '[]', 'enabled', :at,
    'v1', 1, :at, :at)""",
    """INSERT INTO turns (merchant_id, endpoint_id, served_at)
VALUES ('mer_' || :k, 'ep_' || :k || '000000000000000001', 0)""",
    "INSERT INTO event_sequences VALUES ('mer_' || :k, :count)",
)
_PAYMENTS: Final = (
    """INSERT INTO payments (merchant_id, id, storefront, terminal_id, mode, order_id, amount_rials, currency, metadata,
    return_url, link, expires_at, created_at, updated_at, status, version, invoice_key, linked_at, bank_code,
    captured_rials, paid_at, late, idempotency_key, request_digest, lease_until, reply_status, reply_body)
SELECT 'mer_' || :k, 'pay_' || :k || u, 'main', 'trm_' || :k || '000000000000000001', 'live', 'order-' || u, 150000,
    'IRT', '{}', 'https://shop.example/back?order=' || n, :k || '00000000000' || u, :until, :at, :at,
    iif(paid, 'paid', 'pending'), 2, 'inv-' || spread, :at, iif(paid, 'bank-' || spread, NULL), iif(paid, 150000, NULL),
    iif(paid, :at, NULL), 0, 'key-' || spread, zeroblob(32), 0, 201, zeroblob(100)
FROM series""",
    """INSERT INTO invoice_keys
SELECT 'mer_' || :k, 'trm_' || :k || '000000000000000001', 'inv-' || spread, 'pay_' || :k || u FROM series""",
    "INSERT INTO bank_codes SELECT 'mer_' || :k, 'bank-' || spread, 'pay_' || :k || u FROM series WHERE paid",
    """INSERT INTO paid_orders
SELECT 'mer_' || :k, 'main', 'live', 'order-' || u, 'pay_' || :k || u FROM series WHERE paid""",
    """INSERT INTO timeline
SELECT 'mer_' || :k, 'pay_' || :k || u, 1, :at, 'gateway.request', 40, '{"outcome":"issued"}' FROM series""",
    # They wait for the last point of the schedule, which is days away: nearer ones would be pulled in at a start.
    """INSERT INTO watches (merchant_id, payment_id, terminal_id, due_at, soon, version, point)
SELECT 'mer_' || :k, 'pay_' || :k || u, 'trm_' || :k || '000000000000000001',
    :due + n * :apart, NULL, 2, 11 FROM series WHERE NOT paid""",
    """INSERT INTO events (merchant_id, id, sequence, storefront, mode, type, payment_id, payment_version, occurred_at,
    body)
SELECT 'mer_' || :k, 'evt_' || :k || u, n + 1, 'main', 'live', 'payment.paid', 'pay_' || :k || u, 2, :at, zeroblob(100)
FROM series WHERE paid""",
    """INSERT INTO deliveries (merchant_id, id, endpoint_id, event_id, payment_id, status, attempts, scheduled_from,
    created_at, delivered_at)
SELECT 'mer_' || :k, 'dlv_' || :k || u, 'ep_' || :k || '000000000000000001', 'evt_' || :k || u, 'pay_' || :k || u,
    'delivered', 1, 0, :at, :at FROM series WHERE paid""",
)


async def fill(path: Path, payments: int) -> None:
    """A migrated file at `path` with so many payments of 50 merchants. The open ones' watches are due evenly over a
    day, none of it within the bench's clock.
    """
    await (await open_store(path, now=lambda: AT)).close()
    await asyncio.to_thread(_fill, path, payments // MERCHANTS)


def _fill(path: Path, count: int) -> None:
    apart, due = DAY // count, AT + 10 * MINUTE
    same = {"at": AT - DAY, "until": AT + 30 * DAY, "count": count, "step": SPREAD // count, "share": OPEN_SHARE}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in _QUICK:
            connection.execute(pragma)
        connection.execute(_SERIES, same)
        connection.execute("BEGIN")
        for number in range(MERCHANTS):
            given = same | {"m": number, "k": f"{number:08}", "apart": apart, "due": due + number * apart // MERCHANTS}
            for statement in (*_MERCHANT, *_PAYMENTS):
                connection.execute(statement, given)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    # Commits that are measured afterwards are not to wait for these pages.
    with path.open("rb") as file:
        os.fsync(file.fileno())
