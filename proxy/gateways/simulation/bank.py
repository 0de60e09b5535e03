"""The bank, for every family: what a customer's act, a confirm, a settle and a reverse do. No I/O."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from proxy.gateways.simulation.ledger import PAID_STATES, HostReturnMethod, Invoice, SimulatedTerminal, State
from proxy.gateways.simulation.terms import (
    PLAIN,
    AlreadyCapturedError,
    BankFullError,
    LinkExpiredError,
    NothingPaidError,
    Step,
    StepResult,
    Terms,
    UnknownInvoiceError,
)
from proxy.kernel.urls import head_of, origin_or_same

# The ledger is held in memory, at about 1 kB an invoice.
MAX_INVOICES = 1_000_000
TEST_CARD = "603799******1234"
_TRACE_DIGITS = 6


def _nothing(_: SimulatedTerminal | Invoice) -> None:
    return


class Bank:
    """Terminals and invoices, and the only code that changes them.

    `clock` gives milliseconds since the epoch. `on_change` is called with each changed row, to store it. `terms` are
    those of each family by its name.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        randomness: Random,
        on_change: Callable[[SimulatedTerminal | Invoice], None] = _nothing,
    ) -> None:
        self.terminals: dict[str, SimulatedTerminal] = {}
        self.terms: dict[str, Terms] = {}
        self._invoices: dict[str, Invoice] = {}
        self._by_number: dict[tuple[str, str], str] = {}
        self._by_receipt: dict[str, str] = {}
        self._due: dict[str, int] = {}
        self._clock = clock
        self._random = randomness
        self._on_change = on_change

    def now(self) -> int:
        return self._clock()

    def restore(self, terminals: Iterable[SimulatedTerminal], invoices: Iterable[Invoice]) -> None:
        """Restores the state that an earlier run stored. The families' terms come first."""
        self.terminals.update((terminal.api_key, terminal) for terminal in terminals)
        for invoice in invoices:
            self._keep(invoice)

    def put_terminal(self, terminal: SimulatedTerminal) -> None:
        self.terminals[terminal.api_key] = terminal
        self._on_change(terminal)

    def terminal_of(self, invoice: Invoice) -> SimulatedTerminal:
        return self.terminals.get(invoice.api_key) or SimulatedTerminal(invoice.api_key)

    def invoice(self, invoice_key: str) -> Invoice:
        """The invoice as the bank has it now. Raises UnknownInvoiceError."""
        self._land_due()
        try:
            return self._invoices[invoice_key]
        except KeyError:
            raise UnknownInvoiceError(invoice_key) from None

    def invoice_of(self, terminal: SimulatedTerminal, invoice_key: str) -> Invoice | None:
        """The terminal's own invoice; None for one of another terminal, or none."""
        self._land_due()
        invoice = self._invoices.get(invoice_key)
        return invoice if invoice is not None and invoice.api_key == terminal.api_key else None

    def numbered(self, terminal: SimulatedTerminal, our_number: str) -> Invoice | None:
        """The terminal's newest invoice with that number of the shop's."""
        return self.invoice_of(terminal, self._by_number.get((terminal.api_key, our_number), ""))

    def receipted(self, terminal: SimulatedTerminal, receipt: str) -> Invoice | None:
        """The terminal's invoice that was paid with that receipt."""
        self._land_due()
        return self.invoice_of(terminal, self._by_receipt.get(receipt, ""))

    def invoices(self) -> Iterable[Invoice]:
        """Every invoice, oldest first."""
        self._land_due()
        return self._invoices.values()

    def open(
        self,
        terminal: SimulatedTerminal,
        amount_rials: int,
        return_url: str,
        *,
        our_number: str = "",
        description: str = "",
        reference: Callable[[Random], str] | None = None,
    ) -> Invoice:
        """A new invoice, whose key `reference` makes from randomness, until it is a new one. Raises BankFullError."""
        if len(self._invoices) >= MAX_INVOICES:
            raise BankFullError
        chars = terminal.key_chars
        while True:
            key = reference(self._random) if reference else f"{self._random.getrandbits(4 * chars):0{chars}x}"
            if key not in self._invoices:
                break
        invoice = Invoice(key, terminal.api_key, amount_rials, return_url, self._clock())
        return self._store(replace(invoice, our_number=our_number, description=description))

    def looked(self, invoice: Invoice) -> Invoice:
        """The invoice after a look, which is counted."""
        return self._store(replace(invoice, checks=invoice.checks + 1))

    def choose_return(self, invoice: Invoice, method: HostReturnMethod) -> Invoice:
        """The shop says how the customer of this invoice comes back."""
        return self._store(replace(invoice, return_method=method))

    def lets_in(self, invoice: Invoice, referrer: str) -> bool:
        """Whether a customer who comes from `referrer` may pay: any, unless the terminal insists on an origin."""
        origin = self.terminal_of(invoice).referrer_origin
        return origin is None or origin_or_same(head_of(referrer)) == origin_or_same(origin)

    def can_pay(self, invoice: Invoice) -> bool:
        """Whether the customer can pay: nothing was paid, and the link is not too old."""
        lasts = self.terms_of(invoice).link_lasts
        in_time = lasts is None or self._clock() <= invoice.created_at + lasts
        return invoice.state not in PAID_STATES and in_time

    def pay(self, invoice_key: str, *, land_after_ms: int = 0, paid_rials: int | None = None) -> Invoice:
        """The customer pays, once: a second pay changes nothing. A canceled or failed invoice can still be paid.

        Raises LinkExpiredError.
        """
        invoice = self.invoice(invoice_key)
        if invoice.state in PAID_STATES or invoice.capture_due_at is not None:
            return invoice
        if not self.can_pay(invoice):
            raise LinkExpiredError(invoice_key)
        invoice = replace(invoice, paid_rials=paid_rials)
        if land_after_ms > 0:
            return self._store(replace(invoice, capture_due_at=self._clock() + land_after_ms))
        return self._pay(invoice, self._clock())

    def cancel(self, invoice_key: str) -> Invoice:
        """The customer cancels. Raises AlreadyCapturedError."""
        return self._give_up(invoice_key, State.CANCELED)

    def fail(self, invoice_key: str) -> Invoice:
        """The bank refuses the card. Raises AlreadyCapturedError."""
        return self._give_up(invoice_key, State.FAILED)

    def confirm(self, invoice_key: str) -> Step:
        """The merchant keeps the money; where the family settles, `settle` is still to come. It may be repeated."""
        invoice = self.invoice(invoice_key)
        invoice = self._store(replace(invoice, confirms=invoice.confirms + 1))
        match invoice.state:
            case State.PAID:
                return Step(self._confirm(invoice, self._clock()), StepResult.DONE)
            case State.CONFIRMED | State.CAPTURED:
                return Step(invoice, StepResult.BEFORE)
            case State.REVERSED if invoice.confirmed_at is None:
                return Step(invoice, StepResult.TOO_LATE)
        return Step(invoice, _NO_MONEY[invoice.state])

    def settle(self, invoice_key: str) -> Step:
        """The second step, after which confirmed money is paid out. It may be repeated."""
        invoice = self.invoice(invoice_key)
        match invoice.state:
            case State.CONFIRMED:
                now = self._clock()
                return Step(self._capture(replace(invoice, settled_at=now), now), StepResult.DONE)
            case State.CAPTURED:
                return Step(invoice, StepResult.BEFORE)
        return Step(invoice, _NO_MONEY[invoice.state])

    def reverse(self, invoice_key: str) -> Step:
        """Gives confirmed money back to the customer, in time and before it is settled. It may be repeated."""
        invoice = self.invoice(invoice_key)
        terms = self.terms_of(invoice)
        if invoice.state not in {State.CONFIRMED, State.CAPTURED}:
            return Step(invoice, _NO_MONEY[invoice.state])
        since = (invoice.confirmed_at if terms.settles else invoice.paid_at) or 0
        late = terms.reverse_within is not None and self._clock() > since + terms.reverse_within
        if late or (terms.settles and invoice.state is State.CAPTURED):
            return Step(invoice, StepResult.TOO_LATE)
        return Step(self._reverse(invoice, self._clock()), StepResult.DONE)

    def give_back(self, invoice_key: str) -> Invoice:
        """The bank itself gives the money back, whatever the terms say. Raises NothingPaidError."""
        invoice = self.invoice(invoice_key)
        if invoice.state not in PAID_STATES:
            raise NothingPaidError(invoice_key)
        return invoice if invoice.state is State.REVERSED else self._reverse(invoice, self._clock())

    def other_invoice(self, invoice_key: str, *, captured: bool) -> Invoice | None:
        """The newest invoice of the family that is not this one, for faults that mix two up."""
        family = self.terminal_of(self._invoices[invoice_key]).family
        return next(
            (
                other
                for other in reversed(self._invoices.values())
                if other.invoice_key != invoice_key
                and (not captured or other.state is State.CAPTURED)
                and self.terminal_of(other).family == family
            ),
            None,
        )

    def terms_of(self, invoice: Invoice) -> Terms:
        return self.terms.get(self.terminal_of(invoice).family, PLAIN)

    def made_up_bank_code(self, terms: Terms = PLAIN) -> str:
        """Twelve digits of a receipt that no invoice has."""
        while terms.receipt(code := str(self._random.randrange(10**11, 10**12))) in self._by_receipt:
            pass
        return code

    def _give_up(self, invoice_key: str, state: State) -> Invoice:
        invoice = self.invoice(invoice_key)
        if invoice.state in PAID_STATES:
            raise AlreadyCapturedError(invoice_key)
        return self._store(replace(invoice, state=state))

    def _pay(self, invoice: Invoice, at: int) -> Invoice:
        terms = self.terms_of(invoice)
        number = self.made_up_bank_code(terms)
        paid = replace(
            invoice,
            state=State.PAID,
            receipt=terms.receipt(number),
            trace_number=number[-_TRACE_DIGITS:],
            card_mask=TEST_CARD,
            paid_at=at,
            capture_due_at=None,
        )
        return self._store(paid) if terms.confirms else self._capture(paid, at)

    def _confirm(self, invoice: Invoice, at: int) -> Invoice:
        confirmed = replace(invoice, state=State.CONFIRMED, confirmed_at=at)
        return self._store(confirmed) if self.terms_of(invoice).settles else self._capture(confirmed, at)

    def _capture(self, invoice: Invoice, at: int) -> Invoice:
        return self._store(replace(invoice, state=State.CAPTURED, bank_code=invoice.receipt, captured_at=at))

    def _reverse(self, invoice: Invoice, at: int) -> Invoice:
        return self._store(replace(invoice, state=State.REVERSED, reversed_at=at, capture_due_at=None))

    def _land_due(self) -> None:
        """Does what time alone does: money that lands late, and money that goes back."""
        now = self._clock()
        # What has landed may be due to go back since.
        while due := [(key, due_at) for key, due_at in self._due.items() if due_at <= now]:
            for key, due_at in due:
                invoice = self._invoices[key]
                (self._reverse if invoice.capture_due_at is None else self._pay)(invoice, due_at)

    def _store(self, invoice: Invoice) -> Invoice:
        self._keep(invoice)
        self._on_change(invoice)
        return invoice

    def _keep(self, invoice: Invoice) -> None:
        if invoice.our_number and invoice.invoice_key not in self._invoices:
            self._by_number[invoice.api_key, invoice.our_number] = invoice.invoice_key
        self._invoices[invoice.invoice_key] = invoice
        # An older ledger has bank codes alone.
        if receipt := invoice.receipt or invoice.bank_code:
            self._by_receipt[receipt] = invoice.invoice_key
        due_at = self._due_at(invoice)
        if due_at is None:
            self._due.pop(invoice.invoice_key, None)
        else:
            self._due[invoice.invoice_key] = due_at

    def _due_at(self, invoice: Invoice) -> int | None:
        """When something happens to the invoice by itself."""
        if invoice.capture_due_at is not None or invoice.state not in {State.PAID, State.CONFIRMED}:
            return invoice.capture_due_at
        after = self.terms_of(invoice).gives_back_after
        return None if after is None or invoice.paid_at is None else invoice.paid_at + after


_NO_MONEY = {
    State.OPEN: StepResult.NOT_PAID,
    State.CANCELED: StepResult.CANCELED,
    State.FAILED: StepResult.CANCELED,
    State.PAID: StepResult.NOT_CONFIRMED,
    State.REVERSED: StepResult.REVERSED,
}
