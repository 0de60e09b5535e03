"""What somebody learnt about a payment: the gateway's answers, the clock, the operator's word.

What a customer's return says is not among them: it only says "check now".
"""

from enum import StrEnum

from proxy.frozen import dataclass


class Decision(StrEnum):
    """What the operator did about money that moved otherwise than asked."""

    ACCEPTED = "accepted"
    REFUNDED = "refunded"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class InvoiceIssued:
    """`request` gave an invoice."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """`request` was refused for good: 100 to 103, 203, 204, 302."""

    error_code: int


@dataclass(frozen=True, slots=True)
class RequestUnknown:
    """`request` had no clear answer; nobody has a link, so it may be asked again. `timed_out` tells 504 from 502."""

    reason: str
    error_code: int | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Captured:
    """`check` said paid. The two last fields are the store's word that this money or order is already another's."""

    invoice_key: str
    amount_rials: int
    bank_code: str
    bank_code_of: str | None = None
    order_paid_by: str | None = None


@dataclass(frozen=True, slots=True)
class NotPaid:
    """`check` said 201: not paid *yet*."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """`check` said 202: canceled, or failed on the bank's pages."""

    invoice_key: str


@dataclass(frozen=True, slots=True)
class CheckUnknown:
    """`check` had no clear answer, or one that tells of the terminal rather than the payment (`alert`)."""

    invoice_key: str
    reason: str
    error_code: int | None = None
    alert: bool = False


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The clock passed `expires_at`. Only a payment without an invoice may end by the clock alone."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The operator's word on a payment that needs review."""

    decision: Decision
    note: str
    by: str


RequestFact = InvoiceIssued | RequestRefused | RequestUnknown
CheckFact = Captured | NotPaid | Canceled | CheckUnknown
Fact = RequestFact | CheckFact | TimeUp | Resolved


def answered(fact: RequestFact | CheckFact) -> bool:
    """Whether the gateway was there to answer, be it with an alert: what its circuit breaker counts."""
    return not isinstance(fact, RequestUnknown | CheckUnknown) or (isinstance(fact, CheckUnknown) and fact.alert)
