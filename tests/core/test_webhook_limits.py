"""A webhook's body stays under 20 kB whatever a merchant fills in, and a lease outlives the longest attempt."""

from dataclasses import replace

import orjson

from core.webhook_examples import MERCHANT_ID, NOW
from proxy.adapters.sender import TOTAL_SECONDS
from proxy.clock import SECOND
from proxy.delivery import LEASE
from proxy.facts import Captured, Decision, InvoiceIssued, Resolved
from proxy.ids import ENDPOINT, EVENT, PAYMENT, TERMINAL, Ids
from proxy.merchant import V1, V1A, Endpoint, EndpointState, Mode
from proxy.money import MAX_RIALS, Currency
from proxy.payment import Payment, apply
from proxy.setup import EVENT_TYPES
from proxy.setup.fields import MAX_DESCRIPTION_CHARS, MAX_HEADER_CHARS, MAX_HEADERS, MAX_URL_CHARS
from proxy.views import endpoint_data, payment_data
from proxy.web.schemas import MAX_METADATA_BYTES, CreatePayment
from proxy.webhook import MAX_BODY_BYTES, Event

IDS = Ids(lambda size: b"\xff" * size)
WIDEST = "\U0001d11e"  # four bytes in UTF-8
NOTE_CHARS = 1000


def size_of(data: dict[str, object]) -> int:
    event = Event(IDS.record(EVENT, MERCHANT_ID, NOW), MERCHANT_ID, None, "payment.review_resolved", None, NOW, data)
    return len(event.body(2**53))


def test_a_payment_with_all_that_fits_is_under_the_limit() -> None:
    metadata = {"k": "x" * (MAX_METADATA_BYTES - len(orjson.dumps({"k": ""})))}
    order = CreatePayment.model_validate(
        {
            "amount": MAX_RIALS,
            "currency": "IRR",
            "order_id": WIDEST * 100 if WIDEST.isprintable() else "x" * 100,
            "description": WIDEST * 500,
            "metadata": metadata,
        }
    )
    payment = Payment(
        id=IDS.record(PAYMENT, MERCHANT_ID, NOW),
        merchant_id=MERCHANT_ID,
        storefront="x" * 40,
        terminal_id=IDS.record(TERMINAL, MERCHANT_ID, NOW),
        mode=Mode.LIVE,
        order_id=order.order_id,
        amount_rials=MAX_RIALS,
        currency=Currency.IRR,
        description=order.description,
        metadata=order.metadata,
        return_url=None,
        link="x" * 30,
        expires_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    key = "k" * 200
    for fact in (
        InvoiceIssued(key),
        Captured(key, MAX_RIALS - 1, key),
        Resolved(Decision.REFUNDED, WIDEST * NOTE_CHARS, "x" * 100),
    ):
        payment, _ = apply(payment, fact, NOW)
    assert 4000 < size_of(payment_data(payment)) < MAX_BODY_BYTES


def test_an_endpoint_with_all_that_fits_is_under_the_limit() -> None:
    endpoint = Endpoint(
        id=IDS.record(ENDPOINT, MERCHANT_ID, NOW),
        merchant_id=MERCHANT_ID,
        url="https://shop.example.ir/" + "x" * (MAX_URL_CHARS - 24),
        storefront="x" * 40,
        event_types=EVENT_TYPES,
        description=WIDEST * MAX_DESCRIPTION_CHARS,
        headers={f"x-{number}-" + "n" * 96: '"' * MAX_HEADER_CHARS for number in range(MAX_HEADERS)},
        state=EndpointState.DISABLED,
        state_reason="no_success_for_5_days",
        state_since=NOW,
        created_at=NOW,
        updated_at=NOW,
        signatures=(V1, V1A),
    )
    assert size_of(endpoint_data(replace(endpoint, previous_until=NOW))) > MAX_HEADERS * MAX_HEADER_CHARS
    assert size_of(endpoint_data(endpoint)) < MAX_BODY_BYTES


def test_a_lease_outlives_the_longest_attempt_by_five_seconds() -> None:
    assert LEASE >= (TOTAL_SECONDS + 5) * SECOND
