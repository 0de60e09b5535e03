"""A payment's timeline: what was asked and heard, kept without anything secret."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.facts import Canceled, Captured, CheckUnknown, InvoiceIssued, NotPaid, RequestRefused, RequestUnknown
from proxy.payment import Payment
from proxy.records import Checked, Entry, Requested

# What a return's parameters may leave behind, and how much of it: they are anybody's text.
RETURN_PARAMETERS: Final = ("status", "bank_code")
MAX_PARAMETER_CHARS: Final = 100

OUTCOMES: Final = {
    InvoiceIssued: "issued",
    RequestRefused: "refused",
    RequestUnknown: "unknown",
    Captured: "captured",
    NotPaid: "not_paid",
    Canceled: "canceled",
    CheckUnknown: "unknown",
}


def call(kind: str, started: int, made: Requested | Checked) -> Entry:
    """The entry of a gateway call: its outcome and the fact's fields. The api_key is in none of them."""
    data: dict[str, Any] = {"outcome": OUTCOMES[type(made.fact)]}
    for name in made.fact.__slots__:
        value = getattr(made.fact, name)
        if value is not None and value is not False:
            data[name] = value
    return Entry(started, kind, made.duration_ms, data)


def customer_return(payment: Payment, now: int, params: Mapping[str, str]) -> Entry:
    """The entry of a return: whether it named this payment's invoice, and what it claimed (believed in nothing)."""
    claimed = {name: params[name][:MAX_PARAMETER_CHARS] for name in RETURN_PARAMETERS if name in params}
    ours = params.get("invoice_key") in payment.invoice_keys()
    return Entry(now, "return", None, {"own_invoice_key": ours, "claimed": claimed})
