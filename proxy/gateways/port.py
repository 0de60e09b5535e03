"""The port of the gateways: the calls of a gateway family, and their results."""

from dataclasses import field
from typing import Protocol

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
    """`check` reported paid. The last two fields are the store's finding that another payment has this money or order.

    `bank_code` is None for money that must be reviewed because the gateway never named a usable one.
    """

    invoice_key: str
    amount_rials: int
    bank_code: str | None
    bank_code_of: str | None = None
    order_paid_by: str | None = None


@dataclass(frozen=True, slots=True)
class NotPaid:
    """`check` answered 201: not paid *yet*."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """`check` answered 202: canceled, or failed on the bank's pages."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class CheckUnknown:
    """`check` had no clear answer, or one about the terminal rather than the payment (`alert`).

    `captured_rials` is set for paid without a usable bank_code: the number may still come.
    """

    invoice_key: str
    reason: str
    error_code: int | None = None
    alert: bool = False
    http_status: int | None = None
    captured_rials: int | None = None


RequestOutcome = InvoiceIssued | RequestRefused | RequestUnknown
CheckOutcome = Captured | NotPaid | Canceled | CheckUnknown


def reason_of(outcome: RequestUnknown | CheckUnknown) -> str:
    """The reason of an unclear outcome, for people: an HTTP status by its number."""
    return outcome.reason if outcome.http_status is None else f"HTTP {outcome.http_status}"


def is_answer(outcome: RequestOutcome | CheckOutcome) -> bool:
    """Whether the gateway answered, even with an alert: its circuit breaker counts that as reachable."""
    if isinstance(outcome, CheckUnknown):
        return outcome.alert or outcome.captured_rials is not None
    return not isinstance(outcome, RequestUnknown)


@dataclass(frozen=True, slots=True)
class Account:
    """A terminal as its gateway's client needs it. `api_key` is kept out of every repr."""

    terminal_id: str
    gateway_url: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The outcome of a `request`, and how long it took.

    `excerpt` is the first words of an unclear answer, redacted; `retry_after_seconds` comes with a 429 or 503.
    """

    outcome: RequestOutcome
    duration_ms: int
    excerpt: str = ""
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of a `check`; the rest as in RequestResult."""

    outcome: CheckOutcome
    duration_ms: int
    excerpt: str = ""
    retry_after_seconds: int | None = None


class Gateway(Protocol):
    """A family of gateways. Every behaviour of a gateway is an outcome: neither method raises for it.

    Each call ends within the family's own deadline. An ambiguous answer is unknown, never a refusal and never a
    capture. Each family has one table of its codes.
    """

    async def request(self, account: Account, amount_rials: int, return_url: str) -> RequestResult:
        """Asks for an invoice. It is never resent: a call that died may have made one.

        InvoiceIssued names the invoice and leaves the customer's way there to the family; RequestRefused is final;
        after RequestUnknown nobody has a link, so that the payment may be requested again.
        """
        ...

    async def check(self, account: Account, invoice_key: str) -> CheckResult:
        """Asks for an invoice's outcome. It may be repeated, and captures nothing.

        Captured names the amount in rials and the bank_code as the gateway has them; comparing them is not the
        family's work. NotPaid and Canceled hold until the next check.
        """
        ...
