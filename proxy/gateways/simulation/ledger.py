"""The ledger of the simulated gateways: their terminals and invoices, and the bank's statement of the captures."""

import asyncio
import csv
import io
import sqlite3
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, fields
from enum import StrEnum

import orjson

from proxy.database.versions import StoreForeign
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.kernel.errors import StartRefused
from proxy.kernel.frozen import dataclass
from proxy.locale.persian import jalali_time

# A larger amount does not fit the ledger's 64-bit column.
MAX_AMOUNT_RIALS = 10**18
KEY_CHARS = 32
STATEMENT_HEADINGS = ("شماره مرجع", "مبلغ (ریال)", "تاریخ", "ساعت")


class State(StrEnum):
    OPEN = "open"
    PAID = "paid"
    """The customer paid; nobody confirmed it yet."""
    CONFIRMED = "confirmed"
    """Confirmed, in a family that pays out only what is settled."""
    CAPTURED = "captured"
    """The merchant keeps the money."""
    CANCELED = "canceled"
    FAILED = "failed"
    REVERSED = "reversed"
    """The money was given back."""


PAID_STATES = frozenset({State.PAID, State.CONFIRMED, State.CAPTURED, State.REVERSED})
"""Where the customer can do nothing any more."""


class HostReturnMethod(StrEnum):
    GET = "get"
    POST = "post"


@dataclass(frozen=True, slots=True)
class SimulatedTerminal:
    """An account at a gateway. A registered domain also covers its subdomains.

    `api_key` is the terminal's main id, whatever its family calls it, and `credentials` has the rest. With a
    `referrer_origin`, such as `https://pay.example.ir`, customers are let in only from pages of that origin.
    `return_extras` are what this host adds to a return, `key_chars` is how long its invoices' keys are, and `forms` has
    its way of each of its family's forms where it is not the usual one.
    """

    api_key: str
    enabled: bool = True
    registered_domain: str | None = None
    registered_ip: str | None = None
    return_method: HostReturnMethod = HostReturnMethod.GET
    return_extras: tuple[str, ...] = ()
    referrer_origin: str | None = None
    key_chars: int = KEY_CHARS
    family: str = INVOICE_SCRIPT
    credentials: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice. Times are milliseconds since the epoch; `capture_due_at` is a payment that the bank lands later.

    `our_number` is the shop's number for it; `receipt` the bank's reference, made at the payment; `bank_code` the same
    in the bank's statement, since the capture. `paid_rials` is there when the customer paid another amount than asked,
    and `return_method` when the shop chose one for this invoice.
    """

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
    our_number: str = ""
    description: str = ""
    return_method: HostReturnMethod | None = None
    receipt: str | None = None
    trace_number: str | None = None
    card_mask: str | None = None
    paid_rials: int | None = None
    paid_at: int | None = None
    confirmed_at: int | None = None
    settled_at: int | None = None
    reversed_at: int | None = None
    confirms: int = 0

    @property
    def money_rials(self) -> int:
        """What the customer paid, or is to pay."""
        return self.amount_rials if self.paid_rials is None else self.paid_rials


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
            writer.writerow([invoice.bank_code, invoice.money_rials, day, clock])
    return text.getvalue()


_OTHER_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('terminals', 'invoices')"
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
# The columns that came later, in their order: an older ledger gets them when it is opened.
_ADDED = {
    "terminals": (
        ("referrer_origin", "TEXT"),
        ("key_chars", "INTEGER NOT NULL DEFAULT 32"),
        ("family", f"TEXT NOT NULL DEFAULT '{INVOICE_SCRIPT}'"),
        ("credentials", "TEXT NOT NULL DEFAULT '{}'"),
        ("forms", "TEXT NOT NULL DEFAULT '{}'"),
    ),
    "invoices": (
        ("our_number", "TEXT NOT NULL DEFAULT ''"),
        ("description", "TEXT NOT NULL DEFAULT ''"),
        *((name, "TEXT") for name in ("return_method", "receipt", "trace_number", "card_mask")),
        *((name, "INTEGER") for name in ("paid_rials", "paid_at", "confirmed_at", "settled_at", "reversed_at")),
        ("confirms", "INTEGER NOT NULL DEFAULT 0"),
    ),
}
_UNIQUE_RECEIPTS = "CREATE UNIQUE INDEX IF NOT EXISTS invoices_receipt ON invoices (receipt)"
_INVOICE_FIELDS = tuple(field.name for field in fields(Invoice))
_TERMINAL_FIELDS = tuple(field.name for field in fields(SimulatedTerminal))
_FIXED = frozenset({"invoice_key", "api_key", "amount_rials", "return_url", "created_at", "our_number", "description"})
_CHANGED = ", ".join(f"{name} = excluded.{name}" for name in _INVOICE_FIELDS if name not in _FIXED)
_PUT_TERMINAL = f"INSERT OR REPLACE INTO terminals VALUES ({', '.join('?' * len(_TERMINAL_FIELDS))})"  # noqa: S608  # constants
_PUT_INVOICE = f"""
INSERT INTO invoices VALUES ({", ".join("?" * len(_INVOICE_FIELDS))})
ON CONFLICT (invoice_key) DO UPDATE SET {_CHANGED}
"""  # noqa: S608  # constants


class LedgerInUseError(StartRefused):
    """Another process has the ledger's file open."""


class Journal:
    """Stores changed rows. `note` is cheap and never waits; `settled` returns when all noted so far is on disk."""

    def __init__(self, path: str) -> None:
        """Open or create the file; `:memory:` keeps nothing. Raises LedgerInUseError, StoreForeign, sqlite3.Error."""
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
            others = self._connection.execute(_OTHER_TABLES).fetchall()
            if others:
                raise StoreForeign([name for (name,) in others])
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._add_columns()
        except sqlite3.OperationalError as error:
            self._connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise LedgerInUseError(
                    f"the ledger {path} is open in another process: stop that one, or name another (--ledger)"
                ) from error
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
        for table, added in _ADDED.items():
            there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
            for name, kind in added:
                if name not in there:
                    self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        self._connection.execute(_UNIQUE_RECEIPTS)

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
    stored: dict[str, str | int] = {
        "enabled": int(terminal.enabled),
        "return_extras": " ".join(terminal.return_extras),
        "credentials": orjson.dumps(terminal.credentials).decode(),
        "forms": orjson.dumps(terminal.forms).decode(),
    }
    return tuple(stored[name] if name in stored else getattr(terminal, name) for name in _TERMINAL_FIELDS)


def _terminal(row: sqlite3.Row) -> SimulatedTerminal:
    values = dict(zip(_TERMINAL_FIELDS, row, strict=True))
    return SimulatedTerminal(
        **values
        | {
            "enabled": bool(values["enabled"]),
            "return_method": HostReturnMethod(values["return_method"]),
            "return_extras": tuple(values["return_extras"].split()),
            "credentials": orjson.loads(values["credentials"]),
            "forms": orjson.loads(values["forms"]),
        }
    )


def _invoice_row(invoice: Invoice) -> tuple[str | int | None, ...]:
    return tuple(getattr(invoice, name) for name in _INVOICE_FIELDS)


def _invoice(row: sqlite3.Row) -> Invoice:
    values = dict(zip(_INVOICE_FIELDS, row, strict=True))
    method = values["return_method"]
    return Invoice(
        **values
        | {"state": State(values["state"]), "return_method": None if method is None else HostReturnMethod(method)}
    )
