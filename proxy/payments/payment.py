"""A payment's life: `apply(payment, fact, now)` decides every transition; nothing else does.

    created ──InvoiceIssued──▶ pending ──Captured──▶ paid
       │                          ├──Canceled──▶ canceled ─┐
       └─RequestRefused,          ├──NotPaid, time up──▶ expired ─┼─Captured──▶ paid, late
         TimeUp──▶ failed         └──Captured, but not as asked──▶ needs_review

A fact is the gateway's answer to `request` or `check`, the end of the payment's time, or the operator's decision. A
customer's return is not a fact. An unclear answer changes nothing; a capture changes something in every state;
nothing overturns a stored success. Money without a bank_code is unclear until the expiry,
because the number may still come, and reviewed from then on.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, fields, replace
from enum import StrEnum
from typing import Any, Final

from proxy.gateways.port import (
    INVOICE_SCRIPT,
    Canceled,
    Captured,
    CheckOutcome,
    CheckUnknown,
    InvoiceIssued,
    NotPaid,
    RequestOutcome,
    RequestRefused,
    RequestUnknown,
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


Fact = RequestOutcome | CheckOutcome | TimeUp | OperatorDecision
"""The gateway's outcome, the end of the payment's time, or the operator's decision."""


class Status(StrEnum):
    CREATED = "created"
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    NEEDS_REVIEW = "needs_review"


UNPAID: Final = frozenset({EventType.FAILED, EventType.CANCELED, EventType.EXPIRED})
"""Events of an attempt that ended unpaid, whose order another may have paid."""


class FailureReason(StrEnum):
    GATEWAY_REFUSED = "gateway_refused"
    NO_INVOICE = "no_invoice"


class ReviewReason(StrEnum):
    AMOUNT_DIFFERS = "amount_differs"
    BANK_CODE_MISSING = "bank_code_missing"
    BANK_CODE_REUSED = "bank_code_reused"
    ORDER_PAID_TWICE = "order_paid_twice"
    PAID_TWICE = "paid_twice"


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
    captured_rials: int
    bank_code: str | None
    invoice_key: str
    other_payment_id: str | None = None
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order as the storefront gave it, which its payment keeps as it is.

    `drop_in` is set where it came by the drop-in: how its customer goes back, with the link as the shop's invoice_key.
    """

    order_id: str
    amount_rials: int
    currency: Currency
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    return_url: str | None = None
    drop_in: ReturnMethod | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment(Order):
    """One attempt to pay one order. Times are milliseconds since the epoch, `link` is the pay and return token."""

    id: str
    merchant_id: str
    storefront: str
    terminal_id: str
    mode: Mode
    link: str
    expires_at: int
    created_at: int
    updated_at: int
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

    def invoice_keys(self) -> tuple[str, ...]:
        """Every invoice ever had for this payment: the one in the customer's hands first, then the spare ones."""
        return self.spare_invoice_keys if self.invoice_key is None else (self.invoice_key, *self.spare_invoice_keys)

    def open_invoice_keys(self) -> tuple[str, ...]:
        """The invoices without a known capture, which are worth a `check`."""
        return tuple(key for key in self.invoice_keys() if key not in self.captured_invoice_keys)


Applied = tuple[Payment, tuple[EventType, ...]]


class IllegalFact(Exception):
    """The fact cannot be true of a payment in this state: a programming error, or a resolve of nothing."""


def apply(payment: Payment, fact: Fact, now: int) -> Applied:
    """The payment after `fact`, and the events that this makes.

    The very same payment object and no event when nothing changes; otherwise the version is one higher.
    Raises IllegalFact for a `check` fact about an invoice that is not this payment's, and for a OperatorDecision
    where no review is open.
    """
    return _APPLY[type(fact)](payment, fact, now)


def fields_of(order: Order) -> dict[str, Any]:
    """The fields of an order, or of a payment, by their names."""
    # Not dataclasses.asdict, which copies the values too.
    return {name: getattr(order, name) for name in _FIELDS[type(order)]}


_FIELDS: Final = {kind: tuple(each.name for each in fields(kind)) for kind in (Order, Payment)}


def _changed(payment: Payment, now: int, **changes: Any) -> Payment:
    # dataclasses.replace does the same, but takes twice as long for so many fields: 2 % of a create.
    return Payment(**(fields_of(payment) | changes | {"version": payment.version + 1, "updated_at": now}))


def _invoice_issued(payment: Payment, fact: InvoiceIssued, now: int) -> Applied:
    if payment.status is Status.CREATED:
        pending = _changed(payment, now, status=Status.PENDING, invoice_key=fact.invoice_key, linked_at=now)
        return pending, ()
    if fact.invoice_key in payment.invoice_keys():
        return payment, ()
    # Two requests for one payment were both answered: the first is in the customer's hands, this one never will be.
    spares = (*payment.spare_invoice_keys, fact.invoice_key)
    return _changed(payment, now, spare_invoice_keys=spares, linked_at=payment.linked_at or now), ()


def _request_refused(payment: Payment, fact: RequestRefused, now: int) -> Applied:
    if payment.status is not Status.CREATED:
        return payment, ()
    return _failed(payment, Failure(FailureReason.GATEWAY_REFUSED, fact.error_code), now)


def _time_up(payment: Payment, _fact: TimeUp, now: int) -> Applied:
    if payment.status is not Status.CREATED or now < payment.expires_at:
        return payment, ()
    return _failed(payment, Failure(FailureReason.NO_INVOICE), now)


def _failed(payment: Payment, failure: Failure, now: int) -> Applied:
    return _changed(payment, now, status=Status.FAILED, failure=failure), (EventType.FAILED,)


def _captured(payment: Payment, fact: Captured, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.invoice_key not in payment.open_invoice_keys():
        return payment, ()
    reason = _review_reason(payment, fact)
    capture = _capture_changes(payment, fact)
    if reason is None:
        late = payment.status is not Status.PENDING
        paid = _changed(payment, now, status=Status.PAID, paid_at=now, late=late, failure=None, **capture)
        return paid, (EventType.PAID,)
    review = Review(
        reason,
        expected_rials=payment.amount_rials,
        captured_rials=fact.amount_rials,
        bank_code=fact.bank_code,
        invoice_key=fact.invoice_key,
        other_payment_id=fact.bank_code_of or fact.order_paid_by,
    )
    # Paid is final: a second capture of the same payment is reported and reviewed beside it.
    status = payment.status if payment.status is Status.PAID else Status.NEEDS_REVIEW
    return _changed(payment, now, status=status, review=review, **capture), (EventType.NEEDS_REVIEW,)


def _review_reason(payment: Payment, fact: Captured) -> ReviewReason | None:
    if payment.captured_rials is not None:
        return ReviewReason.PAID_TWICE
    if fact.amount_rials != payment.amount_rials:
        return ReviewReason.AMOUNT_DIFFERS
    if fact.bank_code is None:
        return ReviewReason.BANK_CODE_MISSING
    if fact.bank_code_of is not None:
        return ReviewReason.BANK_CODE_REUSED
    if fact.order_paid_by is not None:
        return ReviewReason.ORDER_PAID_TWICE
    return None


def _capture_changes(payment: Payment, fact: Captured) -> dict[str, Any]:
    changes: dict[str, Any] = {"captured_invoice_keys": (*payment.captured_invoice_keys, fact.invoice_key)}
    if payment.captured_rials is None:
        changes |= {"captured_rials": fact.amount_rials, "bank_code": fact.bank_code}
    return changes


def _not_paid(payment: Payment, fact: NotPaid, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    handed = fact.invoice_key == payment.invoice_key
    if payment.status is not Status.PENDING or not handed or now < payment.expires_at:
        return payment, ()
    return _changed(payment, now, status=Status.EXPIRED), (EventType.EXPIRED,)


def _canceled(payment: Payment, fact: Canceled, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if payment.status is not Status.PENDING or fact.invoice_key != payment.invoice_key:
        return payment, ()
    return _changed(payment, now, status=Status.CANCELED), (EventType.CANCELED,)


def _check_unknown(payment: Payment, fact: CheckUnknown, now: int) -> Applied:
    _own(payment, fact.invoice_key)
    if fact.captured_rials is None or now < payment.expires_at:
        return payment, ()
    return _captured(payment, Captured(fact.invoice_key, fact.captured_rials, None), now)


def _request_unknown(payment: Payment, _fact: RequestUnknown, _now: int) -> Applied:
    return payment, ()


def _resolved(payment: Payment, fact: OperatorDecision, now: int) -> Applied:
    review = payment.review
    if review is None or review.resolution is not None:
        raise IllegalFact(f"payment {payment.id} has no open review")
    resolution = Resolution(fact.decision, fact.note, fact.by, now)
    resolved = _changed(payment, now, review=replace(review, resolution=resolution))
    return resolved, (EventType.REVIEW_RESOLVED,)


def _own(payment: Payment, invoice_key: str) -> None:
    if invoice_key not in payment.invoice_keys():
        raise IllegalFact(f"payment {payment.id} never had the invoice that was checked")


_APPLY: Final[dict[type, Callable[[Payment, Any, int], Applied]]] = {
    InvoiceIssued: _invoice_issued,
    RequestRefused: _request_refused,
    RequestUnknown: _request_unknown,
    Captured: _captured,
    NotPaid: _not_paid,
    Canceled: _canceled,
    CheckUnknown: _check_unknown,
    TimeUp: _time_up,
    OperatorDecision: _resolved,
}
