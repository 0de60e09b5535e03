"""The ledger's rules: the effect and the answer of a request, a customer's act and a check. No I/O."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.invoice_script.wire import ReturnUrlsDiffer, head_of, host_of, refusal, return_url_of
from proxy.kernel.urls import ascii_host, origin_or_same
from proxy.simulator.ledger import (
    MAX_AMOUNT_RIALS,
    MIN_AMOUNT_RIALS,
    Answer,
    Invoice,
    SimulatedTerminal,
    State,
)

# The ledger is held in memory, at about 1 kB an invoice.
MAX_INVOICES = 1_000_000


class UnknownInvoiceError(Exception):
    """No invoice has that key."""


class AlreadyCapturedError(Exception):
    """The money was taken; the customer can no longer cancel or fail."""


def _nothing(_: SimulatedTerminal | Invoice) -> None:
    return


class Bank:
    """Terminals and invoices, and the only code that changes them.

    `clock` gives milliseconds since the epoch. `on_change` is called with each changed row, to store it.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        randomness: Random,
        on_change: Callable[[SimulatedTerminal | Invoice], None] = _nothing,
    ) -> None:
        self.terminals: dict[str, SimulatedTerminal] = {}
        self._invoices: dict[str, Invoice] = {}
        self._bank_codes: set[str] = set()
        self._due: dict[str, int] = {}
        self._clock = clock
        self._random = randomness
        self._on_change = on_change

    def restore(self, terminals: Iterable[SimulatedTerminal], invoices: Iterable[Invoice]) -> None:
        """Restores the state that an earlier run stored."""
        self.terminals.update((terminal.api_key, terminal) for terminal in terminals)
        for invoice in invoices:
            self._keep(invoice)

    def put_terminal(self, terminal: SimulatedTerminal) -> None:
        self.terminals[terminal.api_key] = terminal
        self._on_change(terminal)

    def invoice(self, invoice_key: str) -> Invoice:
        """The invoice as the bank has it now. Raises UnknownInvoiceError."""
        self._land_due()
        try:
            return self._invoices[invoice_key]
        except KeyError:
            raise UnknownInvoiceError(invoice_key) from None

    def invoices(self) -> Iterable[Invoice]:
        """Every invoice, oldest first."""
        self._land_due()
        return self._invoices.values()

    def request(self, fields: Mapping[str, Any], caller_ip: str) -> Answer:
        """`invoice/request`: an invoice_key, or the first refusal that applies."""
        terminal = self.terminals.get(str(fields.get("api_key", "")))
        amount_rials = parse_amount(fields.get("amount"))
        try:
            return_url = _sendable(return_url_of(fields))
        except ReturnUrlsDiffer:
            return_url = None
        code = self._caller_refused(terminal, caller_ip)
        if code is None and amount_rials is None:
            code = Code.WRONG_AMOUNT
        if code is None and return_url is None:
            code = Code.NO_RETURN_URL
        if code is not None or terminal is None or amount_rials is None or return_url is None:
            return refusal(code or Code.WRONG_KEY)
        if not _of_domain(return_url, terminal.registered_domain):
            return refusal(Code.WRONG_DOMAIN)
        if len(self._invoices) >= MAX_INVOICES:
            return refusal(Code.BANK_UNREACHABLE)
        invoice = Invoice(self._new_key(terminal.key_chars), terminal.api_key, amount_rials, return_url, self._clock())
        self._store(invoice)
        return {"status": 1, "invoice_key": invoice.invoice_key}

    def check(self, invoice_key: str, fields: Mapping[str, Any], caller_ip: str) -> Answer:
        """`invoice/check`: the amount and bank_code of a captured invoice, or why not. It may be repeated."""
        terminal = self.terminals.get(str(fields.get("api_key", "")))
        code = self._caller_refused(terminal, caller_ip)
        if code is not None or terminal is None:
            return refusal(code or Code.WRONG_KEY)
        self._land_due()
        invoice = self._invoices.get(invoice_key)
        if invoice is None or invoice.api_key != terminal.api_key:
            return refusal(Code.UNKNOWN_INVOICE)
        invoice = replace(invoice, checks=invoice.checks + 1)
        self._store(invoice)
        if not _of_domain(invoice.return_url, terminal.registered_domain):
            return refusal(Code.WRONG_DOMAIN)
        if invoice.state is State.CAPTURED:
            return {"status": 1, "amount": invoice.amount_rials, "bank_code": invoice.bank_code or ""}
        return refusal(Code.NOT_PAID if invoice.state is State.OPEN else Code.CANCELED)

    def lets_in(self, invoice: Invoice, referrer: str) -> bool:
        """Whether a customer who comes from `referrer` may pay: any, unless the terminal insists on an origin."""
        terminal = self.terminals.get(invoice.api_key)
        origin = None if terminal is None else terminal.referrer_origin
        return origin is None or origin_or_same(head_of(referrer)) == origin_or_same(origin)

    def pay(self, invoice_key: str, *, land_after_ms: int = 0) -> Invoice:
        """The customer pays, once: a second pay changes nothing. A canceled or failed invoice can still be paid."""
        invoice = self.invoice(invoice_key)
        if invoice.state is State.CAPTURED or invoice.capture_due_at is not None:
            return invoice
        if land_after_ms > 0:
            return self._store(replace(invoice, capture_due_at=self._clock() + land_after_ms))
        return self._capture(invoice, self._clock())

    def cancel(self, invoice_key: str) -> Invoice:
        """The customer cancels. Raises AlreadyCapturedError."""
        return self._give_up(invoice_key, State.CANCELED)

    def fail(self, invoice_key: str) -> Invoice:
        """The bank refuses the card. Raises AlreadyCapturedError."""
        return self._give_up(invoice_key, State.FAILED)

    def other_invoice(self, invoice_key: str, *, captured: bool) -> Invoice | None:
        """The newest invoice that is not this one, for faults that mix two up."""
        return next(
            (
                other
                for other in reversed(self._invoices.values())
                if other.invoice_key != invoice_key and (not captured or other.state is State.CAPTURED)
            ),
            None,
        )

    def made_up_bank_code(self) -> str:
        """A tracking number that no invoice has."""
        while (code := str(self._random.randrange(10**11, 10**12))) in self._bank_codes:
            pass
        return code

    def _caller_refused(self, terminal: SimulatedTerminal | None, caller_ip: str) -> Code | None:
        if terminal is None:
            return Code.WRONG_KEY
        if not terminal.enabled:
            return Code.TERMINAL_DISABLED
        if terminal.registered_ip not in (None, caller_ip):
            return Code.WRONG_IP
        return None

    def _give_up(self, invoice_key: str, state: State) -> Invoice:
        invoice = self.invoice(invoice_key)
        if invoice.state is State.CAPTURED:
            raise AlreadyCapturedError(invoice_key)
        return self._store(replace(invoice, state=state))

    def _capture(self, invoice: Invoice, at: int) -> Invoice:
        return self._store(
            replace(
                invoice,
                state=State.CAPTURED,
                bank_code=self.made_up_bank_code(),
                captured_at=at,
                capture_due_at=None,
            )
        )

    def _land_due(self) -> None:
        if not self._due:
            return
        now = self._clock()
        for key, due_at in [(key, due_at) for key, due_at in self._due.items() if due_at <= now]:
            self._capture(self._invoices[key], due_at)

    def _store(self, invoice: Invoice) -> Invoice:
        self._keep(invoice)
        self._on_change(invoice)
        return invoice

    def _keep(self, invoice: Invoice) -> None:
        self._invoices[invoice.invoice_key] = invoice
        if invoice.bank_code is not None:
            self._bank_codes.add(invoice.bank_code)
        if invoice.capture_due_at is None:
            self._due.pop(invoice.invoice_key, None)
        else:
            self._due[invoice.invoice_key] = invoice.capture_due_at

    def _new_key(self, chars: int) -> str:
        while (key := f"{self._random.getrandbits(4 * chars):0{chars}x}") in self._invoices:
            pass
        return key


def parse_amount(value: Any) -> int | None:
    """Whole rials from a number or a string of ASCII digits; None for anything else, or out of range."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_AMOUNT_RIALS)):
        value = int(value)
    if type(value) is not int or not MIN_AMOUNT_RIALS <= value <= MAX_AMOUNT_RIALS:
        return None
    return value


def _sendable(url: str | None) -> str | None:
    """The URL if it can be sent in a Location header as it is."""
    return url if url and " " not in url else None


def _of_domain(url: str, domain: str | None) -> bool:
    if domain is None:
        return True
    host, registered = _one_form(host_of(url)), _one_form(domain)
    return host == registered or host.endswith(f".{registered}")


def _one_form(host: str) -> str:
    """The host in ASCII; in lower case where it has no such form."""
    try:
        return ascii_host(host)
    except ValueError:
        return host.lower()
