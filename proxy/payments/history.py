"""The whole history of one payment in one list: gateway calls, returns, events, and webhook results."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from proxy.gateways.family import ReturnClaim
from proxy.gateways.forms import kept_fields
from proxy.gateways.port import (
    INVOICE_SCRIPT,
    AmountDiffers,
    Canceled,
    Captured,
    CheckResult,
    CheckUnknown,
    Confirmed,
    InvoiceIssued,
    NotPaid,
    PaidUnconfirmed,
    RequestRefused,
    RequestResult,
    RequestUnknown,
    Reversed,
    TooLate,
)
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import rfc3339
from proxy.kernel.frozen import dataclass
from proxy.payments.change import Entry
from proxy.payments.payment import Payment
from proxy.payments.storage.repository import PaymentRepository
from proxy.webhooks.delivery import Attempt, Delivery
from proxy.webhooks.event import EventFilter, StoredEvent
from proxy.webhooks.storage.repository import WebhookRepository

MAX_ENTRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class DeliveryAttempts:
    """A delivery with its attempts."""

    delivery: Delivery
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class EventDeliveries:
    """An event with its deliveries."""

    event: StoredEvent
    sent: Sequence[DeliveryAttempts]


@dataclass(frozen=True, slots=True)
class History:
    """Oldest first. `truncated` when there was more than MAX_ENTRIES: then the oldest are left out."""

    entries: Sequence[Entry]
    truncated: bool


async def read_history(
    payments: PaymentRepository,
    webhooks: WebhookRepository,
    payment: Payment,
    endpoint_ids: frozenset[str] | None = None,
) -> History:
    """The payment's history as it is stored now. With `endpoint_ids` only deliveries to these endpoints are in it."""
    calls = await payments.timeline(payment.merchant_id, payment.id, MAX_ENTRIES + 1)
    wanted = EventFilter(payment_id=payment.id, limit=MAX_ENTRIES + 1)
    deliveries: list[EventDeliveries] = []
    count = len(calls)
    # The newest first: what would be cut off in any case is not read.
    for event in reversed(await webhooks.list_events(payment.merchant_id, wanted)):
        deliveries.append(
            EventDeliveries(event, await _read_attempts(webhooks, event, endpoint_ids) if count <= MAX_ENTRIES else ())
        )
        count += 1 + sum(1 + len(each.attempts) for each in deliveries[-1].sent)
    return merged(calls, deliveries[::-1])


def merged(calls: Sequence[Entry], deliveries: Sequence[EventDeliveries]) -> History:
    """One list by time. Within one millisecond, a call comes before its results."""
    entries = [*calls, *_entries(deliveries)]
    entries.sort(key=lambda entry: (entry.at, _RANK.get(entry.kind, 0)))
    return History(entries[-MAX_ENTRIES:], len(entries) > MAX_ENTRIES)


_RANK: Final = {"event": 1, "delivery": 2, "attempt": 3}


async def _read_attempts(
    webhooks: WebhookRepository, event: StoredEvent, endpoint_ids: frozenset[str] | None
) -> list[DeliveryAttempts]:
    found = await webhooks.list_deliveries(event.merchant_id, event.id)
    deliveries = [each for each in found if endpoint_ids is None or each.endpoint_id in endpoint_ids]
    attempts = await asyncio.gather(*(webhooks.list_attempts(each.merchant_id, each.id) for each in deliveries))
    return [DeliveryAttempts(delivery, made) for delivery, made in zip(deliveries, attempts, strict=True)]


def _entries(deliveries: Sequence[EventDeliveries]) -> Iterator[Entry]:
    for each in deliveries:
        event = each.event
        yield Entry(event.occurred_at, "event", None, {"id": event.id, "type": event.type, "sequence": event.sequence})
        for sent in each.sent:
            yield _delivery(sent.delivery)
            yield from (_attempt(sent.delivery, attempt) for attempt in sent.attempts)


def _delivery(delivery: Delivery) -> Entry:
    """A delivery in its present state, at the time of its creation."""
    data = {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "endpoint_id": delivery.endpoint_id,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "due_at": None if delivery.due_at is None else rfc3339(delivery.due_at),
        "delivered_at": None if delivery.delivered_at is None else rfc3339(delivery.delivered_at),
    }
    return Entry(delivery.created_at, "delivery", None, data)


def _attempt(delivery: Delivery, attempt: Attempt) -> Entry:
    """An attempt of a webhook, without the receiver's response, which may be any text."""
    data = {
        "delivery_id": delivery.id,
        "event_id": delivery.event_id,
        "endpoint_id": delivery.endpoint_id,
        "number": attempt.number,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "error": attempt.error,
    }
    return Entry(attempt.started_at, "attempt", attempt.duration_ms, data)


# The parameters of a return that are kept, and their lengths: anybody may write them.
RETURN_PARAMETERS: Final = ("status", "bank_code")
MAX_PARAMETER_CHARS: Final = 100

OUTCOMES: Final = {
    InvoiceIssued: "issued",
    RequestRefused: "refused",
    RequestUnknown: "unknown",
    Captured: "captured",
    PaidUnconfirmed: "paid_unconfirmed",
    Confirmed: "confirmed",
    TooLate: "too_late",
    Reversed: "reversed",
    AmountDiffers: "amount_differs",
    NotPaid: "not_paid",
    Canceled: "canceled",
    CheckUnknown: "unknown",
}


def call(kind: str, started: int, made: RequestResult | CheckResult) -> Entry:
    """The entry of a gateway call: its outcome, the fact's fields, the excerpt of an unclear answer, and those `fields`
    of the answer by which hosts differ. No api_key.
    """
    data: dict[str, Any] = {"outcome": OUTCOMES[type(made.outcome)]}
    for name in made.outcome.__slots__:
        value = getattr(made.outcome, name)
        if value is not None and value is not False:
            data[name] = value
    if made.excerpt:
        data["excerpt"] = made.excerpt
    if made.retry_after_seconds is not None:
        data["retry_after_seconds"] = made.retry_after_seconds
    if made.fields is not None:
        data["fields"] = made.fields
    return Entry(started, kind, made.duration_ms, data)


def customer_return(payment: Payment, now: int, params: Mapping[str, str], method: str = "GET") -> Entry:
    """The entry of a return: whether it named this payment's invoice, its claims (none of them believed), and of one
    that did the `fields` by which hosts differ.
    """
    family = FAMILIES.get(payment.gateway)
    if payment.gateway == INVOICE_SCRIPT:
        claimed = {name: params[name][:MAX_PARAMETER_CHARS] for name in RETURN_PARAMETERS if name in params}
        ours = params.get("invoice_key") in payment.invoice_keys()
    else:
        claims = {family.claim(key, params) for key in payment.invoice_keys()} if family else set[ReturnClaim]()
        known = claims & {ReturnClaim.PAID, ReturnClaim.UNPAID}
        ours, claimed = bool(known), {"status": min(known).value} if known else {}
    data: dict[str, Any] = {"own_invoice_key": ours, "claimed": claimed}
    if payment.drop_in is not None:
        data["drop_in"] = payment.drop_in.value
    forms = [form for form in family.forms if form.of_returns] if family is not None and ours else ()
    if fields := kept_fields(forms, method, params):
        data["fields"] = fields
    return Entry(now, "return", None, data)


def shop_reversal(now: int) -> Entry:
    """The entry of a shop's wish to have the money of a paid payment given back."""
    return Entry(now, "shop.reversal", None, {})


def drop_in_check(now: int) -> Entry:
    """The entry of a drop-in shop's own `check` that was answered with paid."""
    return Entry(now, "drop_in.check", None, {})
