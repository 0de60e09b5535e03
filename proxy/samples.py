"""Events to try things with: made by the same decisions as real ones, of a payment that never was."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.facts import Canceled, Captured, Decision, Fact, InvoiceIssued, NotPaid, RequestRefused, Resolved
from proxy.ids import ENDPOINT, PAYMENT, TERMINAL, Ids
from proxy.merchant import Endpoint, EndpointState, Mode
from proxy.money import Currency
from proxy.payment import EventType, Payment, apply
from proxy.verdict import DisabledReason
from proxy.views import endpoint_data, payment_data

AMOUNT_RIALS: Final = 150_000
LIFE: Final = 30 * 60_000
INVOICE_KEY: Final = "test-invoice"
BANK_CODE: Final = "000000000000"

_ISSUED: Final = InvoiceIssued(INVOICE_KEY)
_CAPTURED: Final = Captured(INVOICE_KEY, AMOUNT_RIALS, BANK_CODE)
_LESS: Final = Captured(INVOICE_KEY, AMOUNT_RIALS - 50_000, BANK_CODE)

# What happened to the sample payment, up to its event; the last one is after its expiry where that matters.
_STORIES: Final[Mapping[EventType, tuple[Fact, ...]]] = {
    EventType.PAID: (_ISSUED, _CAPTURED),
    EventType.FAILED: (RequestRefused(102),),
    EventType.CANCELED: (_ISSUED, Canceled(INVOICE_KEY)),
    EventType.EXPIRED: (_ISSUED, NotPaid(INVOICE_KEY)),
    EventType.NEEDS_REVIEW: (_ISSUED, _LESS),
    EventType.REVIEW_RESOLVED: (_ISSUED, _LESS, Resolved(Decision.REFUNDED, "refunded by card", "operator")),
}


def sample_data(event_type: str, merchant_id: str, storefront: str, mode: Mode, now: int, ids: Ids) -> dict[str, Any]:
    """The payload of an event of this type, marked `"test": true`."""
    make: Callable[[], dict[str, Any]]
    if event_type == "ping":
        make = dict
    elif event_type == "endpoint.disabled":
        make = lambda: endpoint_data(_endpoint(merchant_id, now, ids))  # noqa: E731  one of three makers
    else:
        make = lambda: payment_data(_payment(EventType(event_type), merchant_id, storefront, mode, now, ids))  # noqa: E731
    return make() | {"test": True}


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
        metadata={},
        return_url=None,
        link=ids.link(merchant_id, created_at),
        expires_at=created_at + LIFE,
        created_at=created_at,
        updated_at=created_at,
    )
    for fact in _STORIES[event_type]:
        payment, _ = apply(payment, fact, now)
    return payment


def _endpoint(merchant_id: str, now: int, ids: Ids) -> Endpoint:
    return Endpoint(
        id=ids.record(ENDPOINT, merchant_id, now),
        merchant_id=merchant_id,
        url="https://shop.example.ir/old-hook",
        storefront=None,
        event_types=frozenset(),
        description="a test event: no endpoint was disabled",
        headers={},
        state=EndpointState.DISABLED,
        state_reason=DisabledReason.GONE.value,
        state_since=now,
        created_at=now,
        updated_at=now,
    )
