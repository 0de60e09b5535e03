"""How soon the console's pages are there with a million payments in the store, over HTTP, as the server tells it.

`python -m bench.console [payments]` fills a SQLite file of 40 merchants, one of which has half of them, starts a whole
Dargah on it, asks for each page several times, and fails when a list took longer than its limit.
"""

import asyncio
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import aiohttp

from proxy.adapters.queries import load_queries
from proxy.adapters.sqlite import open_store
from proxy.adapters.store.payment_rows import new_payment_row
from proxy.adapters.vault import generate_line
from proxy.app import running
from proxy.clock import DAY, system_now
from proxy.config.settings import Settings
from proxy.ids import PAYMENT, TERMINAL, Ids
from proxy.lookups import place_at
from proxy.merchant import AuditEntry, Merchant, Mode, Terminal
from proxy.money import Currency
from proxy.payment import Payment, Status
from proxy.records import Intent, Sealed
from proxy.telemetry import logs

PAYMENTS = 1_000_000
MERCHANTS = 40
DAYS = 90
ROUNDS = 15
LIMIT_MS = 300
TOKEN = "operator-token-of-the-bench"  # noqa: S105  of a server that lives for a minute
RESULT = Path(__file__).parent / "results" / "console.json"
RANDOM = random.Random(20261124)
IDS = Ids(RANDOM.randbytes)
STATUSES = (*[Status.PAID] * 88, *[Status.CANCELED] * 7, *[Status.EXPIRED] * 4, Status.NEEDS_REVIEW)
BATCH = 20_000


async def measure(count: int) -> dict[str, float]:
    """The slowest and the median of each page, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "dargah.db"
        now = system_now()
        merchants = await _merchants(database, now)
        started = time.perf_counter()
        known = _fill(database, merchants, count, now)
        print(f"{count:,} payments in {time.perf_counter() - started:.0f} s, {database.stat().st_size / 2**20:,.0f} MB")
        async with _browser(database) as (session, url):
            return {name: await _page(session, url + path) for name, path in _pages(known, merchants, now).items()}


def _pages(known: Payment, merchants: list[Terminal], now: int) -> dict[str, str]:
    deep = place_at(now - 60 * DAY) + "0" * 10
    return {
        "payments": "/payments",
        "payments, far back": f"/payments?before={deep}",
        "payments, paid": "/payments?status=paid",
        "payments, expired, far back": f"/payments?status=expired&before={deep}",
        "payments of the largest merchant": f"/payments?merchant={merchants[0].merchant_id}",
        "search by bank_code": f"/search?q={known.bank_code}",
        "search by invoice_key": f"/search?q={known.invoice_key}",
        "search by order": f"/search?q={known.order_id}",
        "search by what is not there": "/search?q=nothing-at-all",
        "search by amount": "/search?q=150007",
        "one payment": f"/payments/{known.id}",
        "reviews": "/reviews",
        "webhooks": "/endpoints",
        "merchants": "/merchants",
        "audit log": "/audit",
        "today": "/",
    }


async def _page(session: aiohttp.ClientSession, url: str) -> float:
    """The worst of the rounds after the first, which fills the page cache."""
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        async with session.get(url, allow_redirects=False) as answer:
            assert answer.status in {200, 303}, (url, answer.status)
            await answer.read()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.quantiles(times[1:], n=20)[-1], 1)


async def _merchants(database: Path, now: int) -> list[Terminal]:
    store = await open_store(database, now=system_now)
    terminals = []
    for number in range(MERCHANTS):
        merchant = Merchant(IDS.merchant(), f"shop {number}", (), now, now)
        audit = AuditEntry(IDS.record("aud", merchant.id, now), merchant.id, now, "bench", "test", merchant.id, {})
        await store.add_merchant(merchant, [], audit)
        terminal_id = IDS.record(TERMINAL, merchant.id, now)
        terminal = Terminal(terminal_id, merchant.id, "main", Mode.LIVE, "http://127.0.0.1:1", None, True, now, now)
        sealed = Sealed(merchant.id, terminal.id, "api_key", "bench", b"")
        await store.add_terminal(terminal, sealed, replace(audit, id=IDS.record("aud", merchant.id, now)))
        terminals.append(terminal)
    await store.close()
    return terminals


def _fill(database: Path, terminals: list[Terminal], count: int, now: int) -> Payment:
    """Writes them below the store, which would take its time for durable ones. Gives one from the middle."""
    queries = load_queries("sqlite")
    known: Payment | None = None
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("DELETE FROM secrets")
        for batch in _batches(terminals, count, now):
            rows = [new_payment_row(each, Intent(each.id, b"", 0)) for each in batch]
            connection.executemany(queries["insert_payment"], rows)
            claims = [(each.merchant_id, each.bank_code, each.id) for each in batch if each.status is Status.PAID]
            connection.executemany(queries["claim_bank_code"], claims)
            invoices = [(each.merchant_id, each.terminal_id, each.invoice_key, each.id) for each in batch]
            connection.executemany(queries["claim_invoice_key"], invoices)
            connection.commit()
            known = next((each for each in batch if each.status is Status.PAID), known) if known is None else known
    assert known is not None
    return known


def _batches(terminals: list[Terminal], count: int, now: int) -> Iterator[list[Payment]]:
    begin, step = now - DAYS * DAY, DAYS * DAY / count
    batch = []
    for number in range(count):
        # Half of them are one merchant's.
        terminal = terminals[0] if number % 2 else terminals[number // 2 % MERCHANTS]
        batch.append(_payment(terminal, number, round(begin + number * step)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _payment(terminal: Terminal, number: int, at: int) -> Payment:
    status = RANDOM.choice(STATUSES)
    moved = status in {Status.PAID, Status.NEEDS_REVIEW}
    return Payment(
        id=IDS.record(PAYMENT, terminal.merchant_id, at),
        merchant_id=terminal.merchant_id,
        storefront="main",
        terminal_id=terminal.id,
        mode=Mode.LIVE,
        order_id=f"order-{number}",
        amount_rials=150_000,
        currency=Currency.IRR,
        description=None,
        metadata={},
        return_url=None,
        link=IDS.link(terminal.merchant_id, at),
        expires_at=at + 1_800_000,
        created_at=at,
        updated_at=at,
        status=status,
        version=3,
        invoice_key=f"invoice-{number}",
        bank_code=f"{10**11 + number}" if moved else None,
        captured_rials=150_000 if moved else None,
        paid_at=at if status is Status.PAID else None,
    )


@asynccontextmanager
async def _browser(database: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    settings = Settings(
        environment="development",
        database=database,
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        admin_token=TOKEN,
        keys=generate_line("bench"),
        log_level="error",
    )
    jar = aiohttp.CookieJar(unsafe=True)  # the host is an address
    async with running(settings) as dargah, aiohttp.ClientSession(cookie_jar=jar) as session:
        headers = {"Origin": dargah.admin_url}
        login = session.post(f"{dargah.admin_url}/console/login", data={"token": TOKEN}, headers=headers)
        async with login as answer:
            assert answer.status == 200, await answer.text()
        yield session, f"{dargah.admin_url}/console"


def main() -> None:
    logs.configure("error", "console")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PAYMENTS
    figures = asyncio.run(measure(count))
    for name, milliseconds in figures.items():
        print(f"{milliseconds:8.1f} ms  {name}")
    if count == PAYMENTS:
        RESULT.write_text(json.dumps({"payments": count, "merchants": MERCHANTS, "p95_ms": figures}, indent=1) + "\n")
    slow = {name: milliseconds for name, milliseconds in figures.items() if milliseconds > LIMIT_MS}
    if slow:
        sys.exit(f"slower than {LIMIT_MS} ms: {slow}")


if __name__ == "__main__":
    main()
