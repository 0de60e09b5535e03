"""A payment as it is stored, and the facts that change it: `proxy.payments.transitions` says how."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

from proxy.gateways.port import (
    INVOICE_SCRIPT,
    CheckOutcome,
    Evidence,
    RequestOutcome,
)
from proxy.kernel.frozen import dataclass
from proxy.kernel.money import Currency
from proxy.merchants.merchant import Mode, ReturnMethod
from proxy.webhooks.event import EventType


class Decision(StrEnum):
    """The operator's decision about money that did not move as asked."""

    ACCEPTED = "accepted"
    REFUNDED = "refunded"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The clock passed `expires_at`. Only a payment without an invoice may end by the clock alone."""


@dataclass(frozen=True, slots=True)
class OperatorDecision:
    """The operator's decision about a payment that needs review."""

    decision: Decision
    note: str
    by: str


@dataclass(frozen=True, slots=True)
class ReturnEvidence:
    """What a customer's return brought that the family's calls need. It is kept, and not believed."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The shop withdrew the order: nobody may pay it any more, and money that comes all the same is not kept."""


@dataclass(frozen=True, slots=True)
class AskedBack:
    """The shop wants the money of a paid payment back at its customer, which the family can do before `until`."""

    until: int


Fact = RequestOutcome | CheckOutcome | ReturnEvidence | TimeUp | Withdrawn | AskedBack | OperatorDecision
"""The gateway's outcome, what a return brought, the end of the payment's time, or a decision of shop or operator."""


class Status(StrEnum):
    CREATED = "created"
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    GIVEN_BACK = "given_back"
    NEEDS_REVIEW = "needs_review"


OPEN: Final = (Status.CREATED, Status.PENDING)
UNPAID: Final = frozenset({EventType.FAILED, EventType.CANCELED, EventType.EXPIRED, EventType.GIVEN_BACK})
"""Events of an attempt that ended unpaid, whose order another may have paid."""


class FailureReason(StrEnum):
    GATEWAY_REFUSED = "gateway_refused"
    NO_INVOICE = "no_invoice"


class ReviewReason(StrEnum):
    AMOUNT_DIFFERS = "amount_differs"
    BANK_CODE_MISSING = "bank_code_missing"
    BANK_CODE_REUSED = "bank_code_reused"
    ORDER_PAID_TWICE = "order_paid_twice"
    ORDER_WITHDRAWN = "order_withdrawn"
    PAID_TWICE = "paid_twice"


class GivenBackReason(StrEnum):
    AMOUNT_DIFFERS = "amount_differs"
    MERCHANT_REVERSED = "merchant_reversed"
    """The shop asked for it, of a payment that stays paid."""
    ORDER_PAID_TWICE = "order_paid_twice"
    ORDER_WITHDRAWN = "order_withdrawn"
    PAID_TWICE = "paid_twice"
    REVERSED = "reversed"
    """By the gateway, unasked."""
    TOO_LATE = "too_late"
    """It was not confirmed in time."""


class GatewayStep(StrEnum):
    """A call that moves money."""

    CONFIRM = "confirm"
    SETTLE = "settle"
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no invoice; the gateway's errorCode where it gave one."""

    reason: FailureReason
    gateway_error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The operator's decision about a review."""

    decision: Decision
    note: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Review:
    """Both sides of money that moved, but not as asked."""

    reason: ReviewReason
    expected_rials: int
    captured_rials: int | None
    bank_code: str | None
    invoice_key: str
    other_payment_id: str | None = None
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True)
class CallIntent:
    """A call that is about to be made, or was, without an answer so far; `at` is when it was decided."""

    step: GatewayStep
    invoice_key: str
    at: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the gateway told of a capture beside its number: the masked card, the bank's trace number, its own fee."""

    card_mask: str | None = None
    trace_number: str | None = None
    fee_rials: int | None = None


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Money of an invoice that is not kept. `by` is until when the gateway gives it back by itself, `at` when it said
    that it has; `amount_rials` is None where nobody told it.
    """

    reason: GivenBackReason
    invoice_key: str
    amount_rials: int | None = None
    by: int | None = None
    at: int | None = None
    other_payment_id: str | None = None


@dataclass(frozen=True, slots=False, kw_only=True)
class Order:
    """The order as the storefront gave it, which its payment keeps as it is.

    `drop_in` is set where it came by the drop-in: how its customer goes back. `protocol` is then the family whose
    protocol the shop speaks; None is the invoice script's, to whose shops the link is the invoice_key.
    """

    order_id: str
    amount_rials: int
    currency: Currency
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    return_url: str | None = None
    drop_in: ReturnMethod | None = None
    protocol: str | None = None


@dataclass(frozen=True, slots=False, kw_only=True)
class Payment(Order):
    """One attempt to pay one order. Times are milliseconds since the epoch, `link` is the pay and return token, and
    `number` names it to a shop whose protocol has numbers.
    """

    id: str
    merchant_id: str
    storefront: str
    terminal_id: str
    mode: Mode
    link: str
    expires_at: int
    created_at: int
    updated_at: int
    number: int | None = None
    gateway: str = INVOICE_SCRIPT
    status: Status = Status.CREATED
    version: int = 1
    invoice_key: str | None = None
    linked_at: int | None = None
    spare_invoice_keys: tuple[str, ...] = ()
    captured_invoice_keys: tuple[str, ...] = ()
    bank_code: str | None = None
    captured_rials: int | None = None
    paid_at: int | None = None
    late: bool = False
    failure: Failure | None = None
    review: Review | None = None
    evidence: Evidence | None = None
    intent: CallIntent | None = None
    withdrawn_at: int | None = None
    receipt: Receipt | None = None
    given_back: GivenBack | None = None

    def invoice_keys(self) -> tuple[str, ...]:
        """Every invoice ever had for this payment: the one in the customer's hands first, then the spare ones."""
        return self.spare_invoice_keys if self.invoice_key is None else (self.invoice_key, *self.spare_invoice_keys)

    def open_invoice_keys(self) -> tuple[str, ...]:
        """The invoices that may still be captured as far as is known, which are worth a `check`."""
        returned = self.given_back.invoice_key if self.given_back and self.given_back.at is not None else None
        return tuple(key for key in self.invoice_keys() if key not in self.captured_invoice_keys and key != returned)

    def due_invoice_keys(self) -> tuple[str, ...]:
        """Those, and the captured one that a decided call is about."""
        keys, intent = self.open_invoice_keys(), self.intent
        return keys if intent is None or intent.invoice_key in keys else (*keys, intent.invoice_key)

    def intends(self, step: GatewayStep, invoice_key: str) -> bool:
        """Whether this call about this invoice is decided and without an answer."""
        intent = self.intent
        return intent is not None and intent.step is step and intent.invoice_key == invoice_key

    @property
    def is_asked_back(self) -> bool:
        """Whether the shop had this paid payment reversed, or that is under way."""
        return self.given_back is not None and self.given_back.reason is GivenBackReason.MERCHANT_REVERSED

    @property
    def is_reversed(self) -> bool:
        """Whether it is paid and its money went back because the shop asked for it."""
        return self.is_asked_back and self.given_back is not None and self.given_back.at is not None
