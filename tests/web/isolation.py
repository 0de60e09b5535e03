"""What a stranger tries on each route of the public listener, with somebody else's ids wherever one can stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.merchant import Scope

Route = tuple[str, str]


@dataclass(frozen=True)
class Try:
    """One call beside the path: `{…}` in its texts is filled from the victim's ids. `status` is what it must answer;
    200 must be a list, which must be empty, or the drop-in's refusal; 201 must be the caller's own.
    """

    status: int
    query: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """How a route is tried. `scope` is what a token needs there, None where no token is asked for.

    `own` is what of its own merchant a token may see there: all of it, or only its storefront's, mode's and terminal's.
    """

    scope: Scope | None
    tries: tuple[Try, ...]
    own: str = "payment"


MERCHANT = "merchant"
ORDER = {"amount": 15_000, "currency": "IRT", "order_id": "mine"}
FOREVER = "2020-01-01T00:00:00Z"
URL = "https://stranger.example.ir/hook"
NOT_THERE = (Try(404),)
EMPTY = Try(200)
WRITE, READ, HOOKS = Scope.PAYMENTS_WRITE, Scope.PAYMENTS_READ, Scope.WEBHOOKS
HOOK = "/v1/webhook-endpoints/{endpoint_id}"
KEY = {"Idempotency-Key": "{idempotency_key}"}

CASES: dict[Route, Case] = {
    ("POST", "/v1/payments"): Case(WRITE, (Try(422, body=ORDER | {"terminal_id": "{terminal_id}"}, headers=KEY),)),
    ("GET", "/v1/payments"): Case(
        READ, (EMPTY, Try(200, "order_id={order_id}"), Try(200, "storefront={storefront}"), Try(200, "status=paid"))
    ),
    ("GET", "/v1/payments/{payment_id}"): Case(READ, NOT_THERE),
    ("POST", "/v1/payments/{payment_id}/check"): Case(WRITE, (Try(404, body={}),)),
    ("GET", "/v1/payments/{payment_id}/timeline"): Case(READ, NOT_THERE),
    ("GET", "/v1/payments/{payment_id}/qr.svg"): Case(READ, NOT_THERE),
    ("POST", "/v1/webhook-endpoints"): Case(
        HOOKS, (Try(201, body={"url": URL, "storefront": "{storefront}"}),), MERCHANT
    ),
    ("GET", "/v1/webhook-endpoints"): Case(HOOKS, (EMPTY,), MERCHANT),
    ("GET", HOOK): Case(HOOKS, NOT_THERE, MERCHANT),
    ("PATCH", HOOK): Case(HOOKS, (Try(404, body={"paused": False}),), MERCHANT),
    ("DELETE", HOOK): Case(HOOKS, NOT_THERE, MERCHANT),
    ("POST", f"{HOOK}/rotate-secret"): Case(HOOKS, (Try(404, body={}),), MERCHANT),
    ("GET", f"{HOOK}/deliveries"): Case(HOOKS, NOT_THERE, MERCHANT),
    ("POST", f"{HOOK}/recover"): Case(HOOKS, (Try(404, body={"since": FOREVER}),), MERCHANT),
    ("POST", f"{HOOK}/replay"): Case(HOOKS, (Try(404, body={"since": FOREVER}),), MERCHANT),
    ("POST", f"{HOOK}/test"): Case(HOOKS, (Try(404, body={}),), MERCHANT),
    ("GET", f"{HOOK}/stats"): Case(HOOKS, NOT_THERE, MERCHANT),
    ("GET", "/v1/deliveries/{delivery_id}"): Case(HOOKS, NOT_THERE, MERCHANT),
    ("POST", "/v1/deliveries/{delivery_id}/retry"): Case(HOOKS, (Try(404, body={}),), MERCHANT),
    # What a link opens is walked in test_console_isolation.
    ("POST", "/v1/portal-links"): Case(
        READ, (Try(201), Try(422, body={"embed_origin": "https://canary-return-b6.example.ir"}))
    ),
    ("POST", "/v1/events/test"): Case(HOOKS, (Try(201, body={"type": "payment.paid"}),), MERCHANT),
    ("GET", "/v1/events"): Case(
        READ,
        (
            EMPTY,
            Try(200, "payment_id={payment_id}"),
            Try(200, "storefront={storefront}"),
            Try(200, "type=payment.paid"),
            Try(200, "delivered=false"),
        ),
    ),
    ("GET", "/v1/events/{event_id}"): Case(READ, NOT_THERE),
    # A link is a secret of its own, for whoever holds it; what is not a link, such as an id, opens nothing.
    ("GET", "/pay/{link}"): Case(None, NOT_THERE),
    ("GET", "/return/{link}"): Case(None, (Try(404), Try(404, "invoice_key={invoice_key}&status=1"))),
    ("POST", "/return/{link}"): Case(None, (Try(404),)),
    ("GET", "/invoice/pay/{invoice_key}"): Case(None, NOT_THERE),
    ("POST", "/invoice/pay/{invoice_key}"): Case(None, NOT_THERE),
    # Open to all: files of Dargah's own, and logos for whoever has their digest.
    ("GET", "/assets/{name}"): Case(None, NOT_THERE),
    ("GET", "/logos/{merchant_id}/{digest}.png"): Case(None, NOT_THERE),
    # The drop-in's token stands in the body, and every answer of it is a 200.
    ("*", "/invoice/request"): Case(Scope.FACADE, (Try(200, body={"api_key": "{token}", "amount": 15_000}),)),
    ("*", "/invoice/check/{invoice_key}"): Case(Scope.FACADE, (Try(200, body={"api_key": "{token}"}),)),
    ("GET", "/docs"): Case(None, (Try(200),)),
    ("GET", "/docs/openapi.json"): Case(None, (Try(200),)),
    ("GET", "/healthz"): Case(None, (Try(200),)),
    ("GET", "/readyz"): Case(None, (Try(200),)),
}


def template(path: str) -> str:
    """The path of a route without the drop-in's prefix and last slash, which change nothing of what it does."""
    return path.removeprefix("/{prefix}").rstrip("/")


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with every `{name}` in its texts filled in; a name that nobody knows is a KeyError."""
    match value:
        case str():
            return value.format_map(ids)
        case dict():
            return {name: filled(each, ids) for name, each in value.items()}
        case list():
            return [filled(each, ids) for each in value]
        case _:
            return value
