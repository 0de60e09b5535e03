"""The ledger of the simulated gateway: its terminals and invoices, and the bank's statement of the captures."""

import asyncio
import csv
import io
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from proxy.locale.persian import jalali_time

MIN_AMOUNT_RIALS = 1000
# A larger amount does not fit the ledger's 64-bit column.
MAX_AMOUNT_RIALS = 10**18
KEY_CHARS = 32
STATEMENT_HEADINGS = ("شماره مرجع", "مبلغ (ریال)", "تاریخ", "ساعت")

Answer = dict[str, Any]
"""One JSON answer of the script, before it meets the wire."""


class State(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    CANCELED = "canceled"
    FAILED = "failed"


class HostReturnMethod(StrEnum):
    GET = "get"
    POST = "post"


class ReturnExtra(StrEnum):
    """The parameters that some hosts add to the return beside invoice_key."""

    STATUS = "status"
    BANK_CODE = "bank_code"
    CARD_NUMBER = "card_number"


@dataclass(frozen=True, slots=True)
class SimulatedTerminal:
    """An account at the gateway. A registered domain also covers its subdomains.

    With a `referrer_origin`, such as `https://pay.example.ir`, customers are let in only from pages of that origin.
    `key_chars` is how long its invoices' keys are.
    """

    api_key: str
    enabled: bool = True
    registered_domain: str | None = None
    registered_ip: str | None = None
    return_method: HostReturnMethod = HostReturnMethod.GET
    return_extras: tuple[ReturnExtra, ...] = ()
    referrer_origin: str | None = None
    key_chars: int = KEY_CHARS


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice. Times are milliseconds since the epoch; `capture_due_at` is a payment that the bank lands later."""

    invoice_key: str
    api_key: str
    amount_rials: int
    return_url: str
    created_at: int
    state: State = State.OPEN
    bank_code: str | None = None
    captured_at: int | None = None
    capture_due_at: int | None = None
    checks: int = 0


def statement(invoices: Iterable[Invoice]) -> str:
    """CSV as a bank writes it, in Persian with Jalali dates: one row for each captured invoice, in their order.

    It begins with the mark by which spreadsheets know UTF-8.
    """
    text = io.StringIO("\ufeff")
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(STATEMENT_HEADINGS)
    for invoice in invoices:
        if invoice.state is State.CAPTURED and invoice.captured_at is not None:
            day, clock = jalali_time(invoice.captured_at).split(" ")
            writer.writerow([invoice.bank_code, invoice.amount_rials, day, clock])
    return text.getvalue()


_SCHEMA = """
CREATE TABLE IF NOT EXISTS terminals (
    api_key TEXT PRIMARY KEY, enabled INTEGER NOT NULL, registered_domain TEXT, registered_ip TEXT,
    return_method TEXT NOT NULL, return_extras TEXT NOT NULL,
    referrer_origin TEXT, key_chars INTEGER NOT NULL DEFAULT 32
) STRICT;
CREATE TABLE IF NOT EXISTS invoices (
    invoice_key TEXT PRIMARY KEY, api_key TEXT NOT NULL, amount_rials INTEGER NOT NULL, return_url TEXT NOT NULL,
    created_at INTEGER NOT NULL, state TEXT NOT NULL, bank_code TEXT UNIQUE, captured_at INTEGER,
    capture_due_at INTEGER, checks INTEGER NOT NULL
) STRICT;
"""
# Of a ledger that an older simulator made.
_ADDED = (("referrer_origin", "TEXT"), ("key_chars", "INTEGER NOT NULL DEFAULT 32"))
_PUT_TERMINAL = "INSERT OR REPLACE INTO terminals VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_INVOICE = """
INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (invoice_key) DO UPDATE SET state = excluded.state, bank_code = excluded.bank_code,
    captured_at = excluded.captured_at, capture_due_at = excluded.capture_due_at, checks = excluded.checks
"""
_INVOICE_FIELDS = tuple(field.name for field in fields(Invoice))


class LedgerInUseError(Exception):
    """Another process has the ledger's file open."""


class Journal:
    """Stores changed rows. `note` is cheap and never waits; `settled` returns when all noted so far is on disk."""

    def __init__(self, path: str) -> None:
        """Open or create the file; `:memory:` keeps nothing. Raises LedgerInUseError, sqlite3.Error."""
        # Memory is lost with the process whatever is written there.
        self._lasting = path != ":memory:"
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._changed: dict[tuple[str, str], SimulatedTerminal | Invoice] = {}
        self._noted = 0
        self._written = 0
        self._write_lock = asyncio.Lock()
        try:
            # EXCLUSIVE first: then WAL keeps its index in memory and the lock is held until the end.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._add_columns()
        except sqlite3.OperationalError as error:
            self._connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise LedgerInUseError(f"the ledger {path} is open in another process") from error
            raise

    def load(self) -> tuple[list[SimulatedTerminal], list[Invoice]]:
        """Everything stored, invoices oldest first."""
        terminals = self._connection.execute("SELECT * FROM terminals ORDER BY rowid").fetchall()
        invoices = self._connection.execute("SELECT * FROM invoices ORDER BY rowid").fetchall()
        return [_terminal(row) for row in terminals], [_invoice(row) for row in invoices]

    def note(self, changed: SimulatedTerminal | Invoice) -> None:
        """Keep a row for the next commit; a row that changes twice is written once."""
        if not self._lasting:
            return
        key = changed.api_key if isinstance(changed, SimulatedTerminal) else changed.invoice_key
        self._changed[type(changed).__name__, key] = changed
        self._noted += 1

    async def settled(self) -> None:
        """Wait until everything noted before this call is durable. Raises sqlite3.Error, and keeps the rows."""
        mine = self._noted
        if self._written >= mine:
            return
        async with self._write_lock:
            if self._written >= mine:
                return
            batch, self._changed = self._changed, {}
            upto = self._noted
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, list(batch.values()))
            except BaseException:
                # Cancelled or failed: the rows are written again, which changes nothing if they were written.
                self._changed = batch | self._changed
                raise
            self._written = upto

    async def close(self) -> None:
        """Writes the remaining changes and closes the file."""
        try:
            await self.settled()
        finally:
            self._thread.shutdown()
            self._connection.close()

    def _add_columns(self) -> None:
        there = {row[1] for row in self._connection.execute("PRAGMA table_info(terminals)")}
        for name, kind in _ADDED:
            if name not in there:
                self._connection.execute(f"ALTER TABLE terminals ADD COLUMN {name} {kind}")

    def _write(self, batch: list[SimulatedTerminal | Invoice]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            terminals = [_terminal_row(row) for row in batch if isinstance(row, SimulatedTerminal)]
            invoices = [_invoice_row(row) for row in batch if isinstance(row, Invoice)]
            self._connection.executemany(_PUT_TERMINAL, terminals)
            self._connection.executemany(_PUT_INVOICE, invoices)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _terminal_row(terminal: SimulatedTerminal) -> tuple[str | int | None, ...]:
    return (
        terminal.api_key,
        int(terminal.enabled),
        terminal.registered_domain,
        terminal.registered_ip,
        terminal.return_method.value,
        " ".join(terminal.return_extras),
        terminal.referrer_origin,
        terminal.key_chars,
    )


def _terminal(row: tuple[str, int, str | None, str | None, str, str, str | None, int]) -> SimulatedTerminal:
    api_key, enabled, domain, address, method, extras, referrer, key_chars = row
    return SimulatedTerminal(
        api_key,
        bool(enabled),
        domain,
        address,
        HostReturnMethod(method),
        tuple(map(ReturnExtra, extras.split())),
        referrer,
        key_chars,
    )


def _invoice_row(invoice: Invoice) -> tuple[str | int | None, ...]:
    return tuple(getattr(invoice, name) for name in _INVOICE_FIELDS)


def _invoice(row: tuple[str, str, int, str, int, str, str | None, int | None, int | None, int]) -> Invoice:
    key, api_key, amount, url, created_at, state, *rest = row
    return Invoice(key, api_key, amount, url, created_at, State(state), *rest)  # type: ignore[arg-type]  # a star loses each column's type
