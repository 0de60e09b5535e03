"""How a payment and an endpoint are shown to their merchant: the same in the API's answers and in the webhooks."""

from typing import Any

from proxy.clock import rfc3339
from proxy.merchant import Endpoint
from proxy.money import to_toman
from proxy.payment import Failure, Payment, Resolution, Review


def payment_data(payment: Payment) -> dict[str, Any]:
    """The payment as JSON; amounts in rials with their toman beside, times in RFC 3339, `null` for what is not there.

    The pay link and the return_url are left out: they are the storefront's own and no business of a webhook's receiver.
    """
    return {
        "id": payment.id,
        "status": payment.status.value,
        "mode": payment.mode.value,
        "storefront": payment.storefront,
        "terminal_id": payment.terminal_id,
        "order_id": payment.order_id,
        "amount_rials": payment.amount_rials,
        "amount_toman": to_toman(payment.amount_rials),
        "currency": payment.currency.value,
        "description": payment.description,
        "metadata": dict(payment.metadata),
        "invoice_key": payment.invoice_key,
        "bank_code": payment.bank_code,
        "late": payment.late,
        "failure": _failure(payment.failure),
        "review": _review(payment.review),
        "version": payment.version,
        "created_at": rfc3339(payment.created_at),
        "updated_at": rfc3339(payment.updated_at),
        "expires_at": rfc3339(payment.expires_at),
        "paid_at": None if payment.paid_at is None else rfc3339(payment.paid_at),
    }


def endpoint_data(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as its merchant sees it, in answers and in `endpoint.disabled`, without its keys."""
    until = endpoint.previous_until
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "storefront": endpoint.storefront,
        "event_types": sorted(endpoint.event_types),
        "description": endpoint.description,
        "headers": dict(endpoint.headers),
        "state": endpoint.state.value,
        "state_reason": endpoint.state_reason,
        "state_since": rfc3339(endpoint.state_since),
        "signatures": list(endpoint.signatures),
        "previous_secret_until": None if until is None else rfc3339(until),
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
    }


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


def _resolution(resolution: Resolution | None) -> dict[str, Any] | None:
    if resolution is None:
        return None
    return {
        "decision": resolution.decision.value,
        "note": resolution.note,
        "by": resolution.by,
        "at": rfc3339(resolution.at),
    }
