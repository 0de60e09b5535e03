"""The ledger's file: SQLite, WAL, every answer durable before it is given.

Rows that changed since the last commit are written in one transaction on one thread, so callers share the cost of
the disk. The file is locked against a second process: one writer is also what SQLite's WAL is safest with.
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

from proxy.simulator.ledger import Invoice, ReturnExtra, ReturnMethod, State, Terminal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS terminals (
    api_key TEXT PRIMARY KEY, enabled INTEGER NOT NULL, registered_domain TEXT, registered_ip TEXT,
    return_method TEXT NOT NULL, return_extras TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS invoices (
    invoice_key TEXT PRIMARY KEY, api_key TEXT NOT NULL, amount_rials INTEGER NOT NULL, return_url TEXT NOT NULL,
    created_at INTEGER NOT NULL, state TEXT NOT NULL, bank_code TEXT UNIQUE, captured_at INTEGER,
    capture_due_at INTEGER, checks INTEGER NOT NULL
) STRICT;
"""
_PUT_TERMINAL = "INSERT OR REPLACE INTO terminals VALUES (?, ?, ?, ?, ?, ?)"
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
        self._changed: dict[tuple[str, str], Terminal | Invoice] = {}
        self._noted = 0
        self._written = 0
        self._turn = asyncio.Lock()
        try:
            # EXCLUSIVE first: then WAL keeps its index in memory and the lock is held until the end.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except sqlite3.OperationalError as error:
            self._connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise LedgerInUseError(f"the ledger {path} is open in another process") from error
            raise

    def load(self) -> tuple[list[Terminal], list[Invoice]]:
        """Everything stored, invoices oldest first."""
        terminals = self._connection.execute("SELECT * FROM terminals ORDER BY rowid").fetchall()
        invoices = self._connection.execute("SELECT * FROM invoices ORDER BY rowid").fetchall()
        return [_terminal(row) for row in terminals], [_invoice(row) for row in invoices]

    def note(self, changed: Terminal | Invoice) -> None:
        """Keep a row for the next commit; a row that changes twice is written once."""
        if not self._lasting:
            return
        key = changed.api_key if isinstance(changed, Terminal) else changed.invoice_key
        self._changed[type(changed).__name__, key] = changed
        self._noted += 1

    async def settled(self) -> None:
        """Wait until everything noted before this call is durable. Raises sqlite3.Error, and keeps the rows."""
        mine = self._noted
        if self._written >= mine:
            return
        async with self._turn:
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
        """Write what is left and close the file."""
        try:
            await self.settled()
        finally:
            self._thread.shutdown()
            self._connection.close()

    def _write(self, batch: list[Terminal | Invoice]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            terminals = [_terminal_row(row) for row in batch if isinstance(row, Terminal)]
            invoices = [_invoice_row(row) for row in batch if isinstance(row, Invoice)]
            self._connection.executemany(_PUT_TERMINAL, terminals)
            self._connection.executemany(_PUT_INVOICE, invoices)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _terminal_row(terminal: Terminal) -> tuple[str | int | None, ...]:
    return (
        terminal.api_key,
        int(terminal.enabled),
        terminal.registered_domain,
        terminal.registered_ip,
        terminal.return_method.value,
        " ".join(terminal.return_extras),
    )


def _terminal(row: tuple[str, int, str | None, str | None, str, str]) -> Terminal:
    api_key, enabled, domain, address, method, extras = row
    return Terminal(
        api_key, bool(enabled), domain, address, ReturnMethod(method), tuple(map(ReturnExtra, extras.split()))
    )


def _invoice_row(invoice: Invoice) -> tuple[str | int | None, ...]:
    return tuple(getattr(invoice, name) for name in _INVOICE_FIELDS)


def _invoice(row: tuple[str, str, int, str, int, str, str | None, int | None, int | None, int]) -> Invoice:
    key, api_key, amount, url, created_at, state, *rest = row
    return Invoice(key, api_key, amount, url, created_at, State(state), *rest)  # type: ignore[arg-type]  # a star loses each column's type
