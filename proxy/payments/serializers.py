"""Serializers of payments for merchants: the same in the API's responses and in webhooks."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.gateways.invoice_script.codes import Code
from proxy.gateways.port import INVOICE_SCRIPT, Canceled, Captured, InvoiceIssued, NotPaid, RequestRefused, Reversed
from proxy.gateways.registry import FAMILIES
from proxy.gateways.shop_side import InvoiceState, ShopInvoice, ShopSide
from proxy.kernel.clock import rfc3339
from proxy.kernel.ids import ENDPOINT, PAYMENT, TERMINAL, Ids
from proxy.kernel.money import RIALS_PER_TOMAN, Currency, to_toman
from proxy.merchants.merchant import Mode
from proxy.payments.payment import (
    UNPAID,
    Decision,
    Fact,
    Failure,
    GivenBack,
    OperatorDecision,
    Payment,
    Receipt,
    Resolution,
    Review,
    Status,
)
from proxy.payments.transitions import apply
from proxy.webhooks.endpoint import Endpoint, EndpointState, endpoint_data
from proxy.webhooks.event import EventType
from proxy.webhooks.retry_policy import DisabledReason

# A payment that was only created, or failed, has no link that a shop was given.
_DROP_IN_STATES: Final = {
    Status.PENDING: InvoiceState.OPEN,
    Status.PAID: InvoiceState.PAID,
    Status.CANCELED: InvoiceState.CANCELED,
    Status.EXPIRED: InvoiceState.EXPIRED,
    Status.GIVEN_BACK: InvoiceState.GIVEN_BACK,
    Status.NEEDS_REVIEW: InvoiceState.UNDER_REVIEW,
}


def payment_data(payment: Payment) -> dict[str, Any]:
    """The payment as JSON; amounts in rials with their toman beside, times in RFC 3339, `null` for absent values.

    The pay link and the return_url are left out: they are the storefront's own and no business of a webhook's receiver.
    """
    receipt = payment.receipt or _NO_RECEIPT
    return {
        "id": payment.id,
        "status": payment.status.value,
        "mode": payment.mode.value,
        "test": payment.mode is Mode.TEST,
        "storefront": payment.storefront,
        "terminal_id": payment.terminal_id,
        "gateway": payment.gateway,
        "order_id": payment.order_id,
        "amount_rials": payment.amount_rials,
        "amount_toman": to_toman(payment.amount_rials),
        "currency": payment.currency.value,
        "description": payment.description,
        "metadata": dict(payment.metadata),
        "invoice_key": payment.invoice_key,
        "bank_code": payment.bank_code,
        "card_mask": receipt.card_mask,
        "trace_number": receipt.trace_number,
        "fee_rials": receipt.fee_rials,
        "late": payment.late,
        "failure": _failure(payment.failure),
        "review": _review(payment.review),
        "given_back": _given_back(payment.given_back),
        "withdrawn_at": _time(payment.withdrawn_at),
        "version": payment.version,
        "created_at": rfc3339(payment.created_at),
        "updated_at": rfc3339(payment.updated_at),
        "expires_at": rfc3339(payment.expires_at),
        "paid_at": _time(payment.paid_at),
    }


_NO_RECEIPT: Final = Receipt()


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def shop_invoice(payment: Payment) -> ShopInvoice:
    """The payment as a drop-in shop knows it, named as the shop's protocol names it."""
    state = _DROP_IN_STATES.get(payment.status, InvoiceState.UNKNOWN)
    if payment.is_asked_back:
        state = InvoiceState.GIVEN_BACK if payment.is_reversed else InvoiceState.OPEN
    return ShopInvoice(
        shop_side(payment).key(payment.link, payment.number),
        state,
        payment.amount_rials // RIALS_PER_TOMAN if payment.currency is Currency.IRT else payment.amount_rials,
        payment.bank_code if payment.status is Status.PAID else None,
        payment.order_id,
        payment.receipt.trace_number if payment.receipt else None,
    )


def shop_side(payment: Payment) -> ShopSide:
    """The side of the family whose protocol the payment's shop speaks."""
    side = FAMILIES[payment.protocol or INVOICE_SCRIPT].shop_side
    assert side is not None
    return side


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"reason": failure.reason.value, "gateway_error_code": failure.gateway_error_code}


def _review(review: Review | None) -> dict[str, Any] | None:
    if review is None:
        return None
    return {
        "reason": review.reason.value,
        "expected_rials": review.expected_rials,
        "captured_rials": review.captured_rials,
        "bank_code": review.bank_code,
        "invoice_key": review.invoice_key,
        "other_payment_id": review.other_payment_id,
        "resolution": _resolution(review.resolution),
    }


def _given_back(given: GivenBack | None) -> dict[str, Any] | None:
    """None also while the call that gives it back is still to come."""
    if given is None or (given.by or given.at) is None:
        return None
    return {
        "reason": given.reason.value,
        "amount_rials": given.amount_rials,
        "by": _time(given.by),
        "at": _time(given.at),
        "invoice_key": given.invoice_key,
        "other_payment_id": given.other_payment_id,
    }


def _resolution(resolution: Resolution | None) -> dict[str, Any] | None:
    if resolution is None:
        return None
    return {
        "decision": resolution.decision.value,
        "note": resolution.note,
        "by": resolution.by,
        "at": rfc3339(resolution.at),
    }


AMOUNT_RIALS: Final = 150_000
LIFE: Final = 30 * 60_000
INVOICE_KEY: Final = "test-invoice"
BANK_CODE: Final = "000000000000"

_ISSUED: Final = InvoiceIssued(INVOICE_KEY)
_CAPTURED: Final = Captured(INVOICE_KEY, AMOUNT_RIALS, BANK_CODE)
_LESS: Final = Captured(INVOICE_KEY, AMOUNT_RIALS - 50_000, BANK_CODE)

# The facts of the sample payment, up to its event; the last one comes after its expiry if that matters.
_STORIES: Final[Mapping[EventType, tuple[Fact, ...]]] = {
    EventType.PAID: (_ISSUED, _CAPTURED),
    EventType.FAILED: (RequestRefused(Code.WRONG_AMOUNT),),
    EventType.CANCELED: (_ISSUED, Canceled(INVOICE_KEY)),
    EventType.EXPIRED: (_ISSUED, NotPaid(INVOICE_KEY)),
    EventType.GIVEN_BACK: (_ISSUED, Reversed(INVOICE_KEY)),
    EventType.NEEDS_REVIEW: (_ISSUED, _LESS),
    EventType.REVIEW_RESOLVED: (_ISSUED, _LESS, OperatorDecision(Decision.REFUNDED, "refunded by card", "operator")),
}


def sample_data(event_type: str, merchant_id: str, storefront: str, mode: Mode, now: int, ids: Ids) -> dict[str, Any]:
    """The payload of an event of this type, marked `"test": true`."""
    make: Callable[[], dict[str, Any]]
    if event_type == EventType.PING:
        make = lambda: ping_data(mode, storefront)  # noqa: E731  one of three makers
    elif event_type == EventType.ENDPOINT_DISABLED:
        make = lambda: endpoint_data(_endpoint(merchant_id, storefront, mode, now, ids))  # noqa: E731  one of three makers
    else:
        make = lambda: payment_data(_payment(EventType(event_type), merchant_id, storefront, mode, now, ids))  # noqa: E731
    order = {"order_paid_by": None} if event_type in UNPAID else {}
    return make() | order | {"test": True}


def ping_data(mode: Mode, storefront: str | None) -> dict[str, Any]:
    """The payload of a `ping`. It has no payment, so it is a test in either mode."""
    return {"mode": mode.value, "storefront": storefront, "test": True}


def _payment(event_type: EventType, merchant_id: str, storefront: str, mode: Mode, now: int, ids: Ids) -> Payment:
    created_at = now - LIFE if event_type is EventType.EXPIRED else now - 60_000
    payment = Payment(
        id=ids.record(PAYMENT, merchant_id, created_at),
        merchant_id=merchant_id,
        storefront=storefront,
        terminal_id=ids.record(TERMINAL, merchant_id, created_at),
        mode=mode,
        order_id=f"test-{ids.random(8)}",
        amount_rials=AMOUNT_RIALS,
        currency=Currency.IRT,
        description="a test event: no money moved",
        link=ids.link(merchant_id, created_at),
        expires_at=created_at + LIFE,
        created_at=created_at,
        updated_at=created_at,
    )
    for fact in _STORIES[event_type]:
        payment, _ = apply(payment, fact, now)
    return payment


def _endpoint(merchant_id: str, storefront: str, mode: Mode, now: int, ids: Ids) -> Endpoint:
    return Endpoint(
        id=ids.record(ENDPOINT, merchant_id, now),
        merchant_id=merchant_id,
        mode=mode,
        url="https://shop.example.ir/old-hook",
        storefront=storefront,
        event_types=frozenset(),
        description="a test event: no endpoint was disabled",
        header_names=(),
        state=EndpointState.DISABLED,
        state_reason=DisabledReason.GONE.value,
        state_since=now,
        created_at=now,
        updated_at=now,
    )
