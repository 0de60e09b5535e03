"""The port of the gateways: the calls of a gateway family, and their results."""

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final, Protocol

from proxy.kernel.frozen import dataclass


@dataclass(frozen=True, slots=True)
class InvoiceIssued:
    """`request` gave an invoice."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """`request` was refused for good: no invoice was made."""

    error_code: int


@dataclass(frozen=True, slots=True)
class RequestUnknown:
    """`request` had no clear answer; nobody has a link, so it may be asked again. `timed_out` gives 504, else 502."""

    reason: str
    error_code: int | None = None
    timed_out: bool = False
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """The gateway captured the money. `bank_code_of` and `order_paid_by` are the store's finding that another payment
    has this money or order.

    `bank_code` is None for money that must be reviewed because the gateway never named a usable one. The card mask, the
    bank's trace number and the gateway's fee are there where the family tells them. With a `reversible_until`, in
    milliseconds since the epoch, money that did not move as asked can be given back until then.
    """

    invoice_key: str
    amount_rials: int
    bank_code: str | None
    bank_code_of: str | None = None
    order_paid_by: str | None = None
    card_mask: str | None = None
    trace_number: str | None = None
    fee_rials: int | None = None
    reversible_until: int | None = None


@dataclass(frozen=True, slots=True)
class PaidUnconfirmed:
    """The customer paid, and nothing is captured before `confirm`.

    `amount_rials` is there where the gateway tells it, and `confirmed_before` when the gateway says that somebody
    confirmed this invoice already: asking again captures nothing more, and gives its numbers. `goes_back_at` is when
    the gateway gives unconfirmed money back by itself, None where it keeps it; `order_paid_by` and `order_busy` are the
    store's finding that another payment of the order is paid, or is being confirmed. `presumed` is of a family that can
    only be asked by `confirm`: nobody says that the customer paid.
    """

    invoice_key: str
    amount_rials: int | None = None
    confirmed_before: bool = False
    goes_back_at: int | None = None
    presumed: bool = False
    order_paid_by: str | None = None
    order_busy: bool = False


@dataclass(frozen=True, slots=True)
class Confirmed:
    """`confirm` succeeded in a family that pays out only what was settled: `settle` is still to come."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class TooLate:
    """The time to confirm is over: the gateway gives the money back."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class Reversed:
    """The gateway has given the money back."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class AmountDiffers:
    """`confirm` was refused because the customer paid another amount; nothing was captured."""

    invoice_key: str
    amount_rials: int | None = None
    goes_back_at: int | None = None


@dataclass(frozen=True, slots=True)
class NotPaid:
    """Not paid *yet*."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """Canceled, or failed on the bank's pages."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class CheckUnknown:
    """A call about an invoice had no clear answer, or one about the terminal rather than the payment (`alert`).

    `captured_rials` is set for paid without a usable bank_code: the number may still come. `not_reversed` is of a
    `reverse` that was refused, of an invoice whose money the gateway says that it still has.
    """

    invoice_key: str
    reason: str
    error_code: int | None = None
    alert: bool = False
    http_status: int | None = None
    captured_rials: int | None = None
    not_reversed: bool = False


RequestOutcome = InvoiceIssued | RequestRefused | RequestUnknown
CheckOutcome = (
    Captured | PaidUnconfirmed | Confirmed | NotPaid | Canceled | TooLate | Reversed | AmountDiffers | CheckUnknown
)


def reason_of(outcome: RequestUnknown | CheckUnknown) -> str:
    """The reason of an unclear outcome, for people: an HTTP status by its number."""
    return outcome.reason if outcome.http_status is None else f"HTTP {outcome.http_status}"


def is_answer(outcome: RequestOutcome | CheckOutcome) -> bool:
    """Whether the gateway answered, even with an alert: its circuit breaker counts that as reachable."""
    if isinstance(outcome, CheckUnknown):
        return outcome.alert or outcome.captured_rials is not None
    return not isinstance(outcome, RequestUnknown)


INVOICE_SCRIPT: Final = "invoice_script"
"""The family of terminals from before there were others."""

Evidence = Mapping[str, str]
"""The parameters of a customer's return that its family allows: needed by some calls, and never believed."""
NO_EVIDENCE: Final[Evidence] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Account:
    """A terminal as its family's client needs it. Its credentials, by their names, are kept out of every repr."""

    terminal_id: str
    gateway_url: str
    credentials: Mapping[str, str] = field(repr=False)
    gateway: str = INVOICE_SCRIPT
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Purchase:
    """What some families want beside amount and return_url.

    `number` is ours: positive, below 2**53, another one for each `request` of a terminal. `description` is one line for
    the customer; `mobile` an Iranian mobile number such as 09121234567.
    """

    number: int
    description: str = ""
    mobile: str | None = None


NO_PURCHASE: Final = Purchase(0)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """An invoice as a call about it needs it: the reference that `request` gave, the amount that was requested, and
    what the customer's return brought.
    """

    invoice_key: str
    amount_rials: int
    evidence: Evidence = field(default_factory=lambda: NO_EVIDENCE)


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The outcome of a `request`, and how long it took.

    `excerpt` is the first words of an unclear answer, redacted; `retry_after_seconds` comes with a 429 or 503. `fields`
    are what the answer shows of the family's forms, as `proxy.gateways.forms.kept_fields` keeps them. `http_status` is
    the answer's, None where there was none.
    """

    outcome: RequestOutcome
    duration_ms: int
    excerpt: str = ""
    retry_after_seconds: int | None = None
    fields: Mapping[str, str] | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of a call about an invoice; the rest as in RequestResult."""

    outcome: CheckOutcome
    duration_ms: int
    excerpt: str = ""
    retry_after_seconds: int | None = None
    fields: Mapping[str, str] | None = None
    http_status: int | None = None


class Gateway(Protocol):
    """A family of gateways. Every behaviour of a gateway is an outcome: no method raises for it.

    Each call ends within the family's own deadline. An ambiguous answer is unknown, never a refusal and never a
    capture. Which of the calls a family has, its traits say (`proxy.gateways.family`).
    """

    async def request(
        self, account: Account, amount_rials: int, return_url: str, purchase: Purchase = NO_PURCHASE, /
    ) -> RequestResult:
        """Asks for an invoice. It is never resent: a call that died may have made one.

        InvoiceIssued names the invoice and leaves the customer's way there to the family; RequestRefused is final;
        after RequestUnknown nobody has a link, so that the payment may be requested again.
        """
        ...

    async def check(self, account: Account, invoice_key: str, evidence: Evidence = NO_EVIDENCE, /) -> CheckResult:
        """Asks for an invoice's outcome. It may be repeated, and captures nothing.

        Captured, from a family without `confirm`, names the amount in rials and the bank_code as the gateway has them;
        PaidUnconfirmed is a confirming family's. Comparing amounts is not the family's work. NotPaid and Canceled hold
        until the next check.
        """
        ...

    async def confirm(self, account: Account, inquiry: Inquiry, /) -> CheckResult:
        """Captures the money of a paid invoice: Captured, or Confirmed where `settle` follows.

        It may be repeated after an answer that was lost. "Confirmed before" is a success, since the invoice is our
        own. The other outcomes are NotPaid, Canceled, TooLate, Reversed, AmountDiffers and CheckUnknown.
        """
        ...

    async def settle(self, account: Account, inquiry: Inquiry, /) -> CheckResult:
        """The second step where a family has one: Captured, Reversed or CheckUnknown. It may be repeated."""
        ...

    async def reverse(self, account: Account, inquiry: Inquiry, /) -> CheckResult:
        """Gives the money of a confirmed invoice back: Reversed, TooLate (it can no longer be done) or CheckUnknown.

        It may be repeated. After an answer that was lost, TooLate is said only of money that did not go back.
        """
        ...


class GatewayClient(Gateway, Protocol):
    """A family's client, with connections of its own."""

    async def close(self) -> None:
        """Closes them: call it when nothing is under way any more."""
        ...


class NothingOffered:
    """The calls about an invoice that a family does not have: nobody makes them, and nothing is sent."""

    async def check(self, _account: Account, invoice_key: str, _evidence: Evidence = NO_EVIDENCE, /) -> CheckResult:
        return _not_offered(invoice_key)

    async def confirm(self, _account: Account, inquiry: Inquiry, /) -> CheckResult:
        return _not_offered(inquiry.invoice_key)

    async def settle(self, _account: Account, inquiry: Inquiry, /) -> CheckResult:
        return _not_offered(inquiry.invoice_key)

    async def reverse(self, _account: Account, inquiry: Inquiry, /) -> CheckResult:
        return _not_offered(inquiry.invoice_key)


def _not_offered(invoice_key: str) -> CheckResult:
    return CheckResult(CheckUnknown(invoice_key, "not_offered"), 0)
