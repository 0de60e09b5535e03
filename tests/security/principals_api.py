"""What each token and each operator's role gets of each operation. Lists stand before what makes something."""

from dataclasses import dataclass
from typing import Any, Final

from proxy.merchants.merchant import Scope
from proxy.operators.records import Role
from security.principals import EMPTY, PAID, ROLES, Call, Code, Principal, call

_WRITE, _READ, _HOOKS, _FACADE = Scope.PAYMENTS_WRITE, Scope.PAYMENTS_READ, Scope.WEBHOOKS, Scope.FACADE
_ORDER: Final = {"amount": 15_000, "currency": "IRT", "order_id": "mine", "terminal_id": "{my_terminal_id}"}
_FRESH: Final = {"Idempotency-Key": "{fresh_key}"}
_THEIR_KEY: Final = {"Idempotency-Key": "{idempotency_key}"}
_SINCE: Final = {"since": "2020-01-01T00:00:00Z"}
_URL: Final = {"url": "https://mine.example.ir/hook", "event_types": ["payment.failed"]}
_PAYMENT, _DELIVERY = "/v1/payments/{payment_id}", "/v1/deliveries/{delivery_id}"
_OWNERS_DELIVERY: Final = "/v1/deliveries/{owners_delivery_id}"
_HOOK, _OWNERS = "/v1/webhook-endpoints/{endpoint_id}", "/v1/webhook-endpoints/{owners_endpoint_id}"

# The columns of each row:          own, bound, terminal, test, shop, stranger
_LOOK: Final = (
    call(_READ, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY),
    call(_READ, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/payments?order_id={order_id}"),
    call(_READ, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/payments?status=paid"),
    call(_READ, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/payments?storefront=main"),
    # A cursor is a place and opens nothing; of another storefront's list it is no place at all.
    call(_READ, "GET /v1/payments", 200, 200, EMPTY, EMPTY, 422, 422, at="/v1/payments?cursor={payments_cursor}"),
    call(_READ, f"GET {_PAYMENT}", 200, 200, 404, 404, 404, 404),
    call(_READ, f"GET {_PAYMENT}/timeline", 200, 200, 404, 404, 404, 404),
    call(_READ, f"GET {_PAYMENT}/qr.svg", 200, 200, 404, 404, 404, 404),
    call(_READ, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY),
    call(_READ, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?payment_id={payment_id}"),
    call(_READ, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?storefront=main"),
    call(_READ, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?type=payment.paid"),
    call(_READ, "GET /v1/events", 200, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?type=endpoint.disabled"),
    call(_READ, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?delivered=false"),
    call(_READ, "GET /v1/events", 200, 200, EMPTY, EMPTY, 422, 422, at="/v1/events?cursor={events_cursor}"),
    call(_READ, "GET /v1/events/{event_id}", 200, 200, 404, 404, 404, 404),
    call(_READ, "GET /v1/events/{event_id}", 200, 404, 404, 404, 404, 404, at="/v1/events/{disabled_event_id}"),
    call(_READ, "GET /v1/events/{event_id}", 404, at="/v1/events/{owners_event_id}"),
    call(_HOOKS, "GET /v1/webhook-endpoints", 200, 403, 403, EMPTY, EMPTY, EMPTY),
    call(_HOOKS, f"GET {_HOOK}", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"GET {_HOOK}", 404, 403, 403, 404, 404, 404, at=_OWNERS),
    call(_HOOKS, f"GET {_HOOK}/deliveries", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"GET {_HOOK}/deliveries", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS}/deliveries"),
    call(
        _HOOKS, f"GET {_HOOK}/deliveries", 200, 403, 403, 404, 404, 404,
        at=f"{_HOOK}/deliveries?cursor={{deliveries_cursor}}",
    ),
    call(_HOOKS, f"GET {_HOOK}/stats", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"GET {_HOOK}/stats", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS}/stats"),
    call(_HOOKS, f"GET {_DELIVERY}", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"GET {_DELIVERY}", 404, 403, 403, 404, 404, 404, at=_OWNERS_DELIVERY),
    # The drop-in's invoice_key is the payment's link, whatever made it; of other payments there is no drop-in.
    call(_FACADE, "POST /invoice/check/{invoice_key}", PAID, PAID, *[Code(200)] * 4,
         at="/invoice/check/{drop_in_link}", body={"api_key": "{token}"}),
    call(_FACADE, "POST /invoice/check/{invoice_key}", Code(200), at="/invoice/check/{link}",
         body={"api_key": "{token}"}),
    call(_FACADE, "POST /invoice/check/{invoice_key}", Code(200), body={"api_key": "{token}"}),
)  # fmt: skip

_ACT: Final = (
    call(_WRITE, f"POST {_PAYMENT}/check", 200, 200, 404, 404, 404, 404, body={}),
    call(_HOOKS, f"POST {_DELIVERY}/retry", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS_DELIVERY}/retry"),
    call(_HOOKS, f"POST {_DELIVERY}/retry", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"POST {_HOOK}/recover", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS}/recover", body=_SINCE),
    call(_HOOKS, f"POST {_HOOK}/recover", 200, 403, 403, 404, 404, 404, body=_SINCE),
    call(_HOOKS, f"POST {_HOOK}/replay", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS}/replay", body=_SINCE),
    call(_HOOKS, f"POST {_HOOK}/replay", 200, 403, 403, 404, 404, 404, body=_SINCE),
    call(_HOOKS, f"POST {_HOOK}/test", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS}/test"),
    call(_HOOKS, f"POST {_HOOK}/test", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"POST {_HOOK}/rotate-secret", 404, 403, 403, 404, 404, 404, at=f"{_OWNERS}/rotate-secret"),
    call(_HOOKS, f"POST {_HOOK}/rotate-secret", 200, 403, 403, 404, 404, 404),
    call(_HOOKS, f"PATCH {_HOOK}", 404, 403, 403, 404, 404, 404, at=_OWNERS, body={"paused": False}),
    call(_HOOKS, f"PATCH {_HOOK}", 422, 403, 403, 404, 404, 404, body={"storefront": None}),
    call(_HOOKS, f"PATCH {_HOOK}", 422, 403, 403, 404, 404, 404, body={"storefront": "elsewhere"}),
    call(_HOOKS, f"PATCH {_HOOK}", 422, 403, 403, 404, 404, 404, body={"mode": "live"}),
    call(_HOOKS, f"PATCH {_HOOK}", 200, 403, 403, 404, 404, 404, body={"description": "canary-description-b2"}),
    call(_HOOKS, f"DELETE {_HOOK}", 404, 403, 403, 404, 404, 404, at=_OWNERS),
    call(_HOOKS, f"DELETE {_HOOK}", 204, 403, 403, 404, 404, 404),
)  # fmt: skip

_MAKE: Final = (
    call(_WRITE, "POST /v1/payments", 201, body=_ORDER, headers=_FRESH),
    # A terminal is the merchant's: any of its storefronts may name it, in its mode.
    call(_WRITE, "POST /v1/payments", 201, 201, 422, 422, 201, 422,
         body=_ORDER | {"terminal_id": "{terminal_id}"}, headers=_FRESH),
    # An order that is paid is paid for its storefront and mode; who does not see the payment is not told which.
    call(_WRITE, "POST /v1/payments", 409, 409, 409, 201, 201, 201,
         body=_ORDER | {"order_id": "{order_id}"}, headers=_FRESH),
    # A key is the storefront's in its mode.
    call(_WRITE, "POST /v1/payments", 422, 422, 422, 201, 201, 201, body=_ORDER, headers=_THEIR_KEY),
    call(_HOOKS, "POST /v1/webhook-endpoints", 201, 403, 403, 201, 201, 201, body=_URL),
    call(_HOOKS, "POST /v1/webhook-endpoints", 201, 403, 403, 201, 422, 422, body=_URL | {"storefront": "main"}),
    call(_HOOKS, "POST /v1/webhook-endpoints", 201, 403, 403, 422, 201, 201, body=_URL | {"mode": "live"}),
    call(_HOOKS, "POST /v1/events/test", 201, 403, 403, 201, 201, 201, body={"type": "payment.paid"}),
    # What a link opens is in principals_pages.
    call(_READ, "POST /v1/portal-links", 201),
    call(_READ, "POST /v1/portal-links", 201, 201, 201, 201, 201, 422, body={"embed_origin": "{origin}"}),
    call(_FACADE, "POST /invoice/request", Code(103), body={"api_key": "{token}", "amount": 15_000}),
)  # fmt: skip

# A pay link is a secret of its own, for whoever holds it; what is no link, such as an id, opens nothing.
_OPEN: Final = (
    call(None, "GET /invoice/request", Code(100)),
    call(None, "GET /invoice/check/{invoice_key}", Code(100)),
    call(None, "GET /invoice/pay/{invoice_key}", 404),
    call(None, "POST /invoice/pay/{invoice_key}", 404),
    call(None, "GET /pay/{link}", 404, at="/pay/{payment_id}"),
    call(None, "POST /pay/{link}", 404, at="/pay/{payment_id}"),
    call(None, "GET /return/{link}", 404, at="/return/{payment_id}"),
    call(None, "GET /return/{link}", 404, at="/return/{payment_id}?invoice_key={invoice_key}&status=1"),
    call(None, "POST /return/{link}", 404, at="/return/{payment_id}"),
    call(None, "GET /assets/{name}", 404, at="/assets/{payment_id}"),
    call(None, "GET /logos/{merchant_id}/{digest}.png", 404, at="/logos/{merchant_id}/" + "0" * 64 + ".png"),
    call(None, "GET /docs", 200),
    call(None, "GET /docs/openapi.json", 200),
    call(None, "GET /healthz", 200),
    call(None, "GET /readyz", 200),
)

CALLS: Final[tuple[Call, ...]] = (*_LOOK, *_OPEN, *_ACT, *_MAKE)


_OPERATORS_READ, _OPERATE, _OWNER = Role.READ, Role.OPERATE, Role.OWNER
_ONE: Final = "/admin/v1/merchants/{merchant_id}"
_TERMINAL, _TOKEN = f"{_ONE}/terminals/{{terminal_id}}", f"{_ONE}/tokens/{{token_id}}"
_ENDPOINT, _OPERATOR = f"{_ONE}/endpoints/{{endpoint_id}}", "/admin/v1/operators/{operator_id}"
_OPERATORS_PAYMENT: Final = "/admin/v1/payments/{payment_id}"
BACKUP: Final = "POST /admin/v1/backup"


@dataclass(frozen=True)
class Act:
    """One operation, the least role that may do it, and what it then answers; `role` None is anybody's."""

    role: Role | None
    operation: str
    status: int
    body: Any = None
    query: str = ""

    @property
    def method(self) -> str:
        return self.operation.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.operation.partition(" ")[2] + self.query

    def outcome(self, principal: Principal) -> int:
        """Whoever is no operator is unknown here, whatever they may elsewhere."""
        if self.role is None:
            return self.status
        role = ROLES.get(principal)
        if role is None:
            return 401
        return self.status if role.covers(self.role) else 403


# What ends or hides a record stands behind what needs it.
ACTS: Final = (
    Act(None, "GET /metrics", 200),
    Act(_OPERATORS_READ, "GET /admin/v1/me", 200),
    Act(_OPERATORS_READ, "GET /admin/v1/operators", 200),
    Act(_OPERATORS_READ, f"GET {_OPERATOR}", 200),
    Act(_OPERATORS_READ, "GET /admin/v1/merchants", 200),
    Act(_OPERATORS_READ, f"GET {_ONE}", 200),
    Act(_OPERATORS_READ, f"GET {_ONE}/terminals", 200),
    Act(_OPERATORS_READ, f"GET {_TERMINAL}", 200),
    Act(_OPERATORS_READ, f"GET {_ONE}/tokens", 200),
    Act(_OPERATORS_READ, f"GET {_TOKEN}", 200),
    Act(_OPERATORS_READ, f"GET {_ONE}/lost-payments", 200),
    Act(_OPERATORS_READ, f"GET {_ONE}/endpoints", 200),
    Act(_OPERATORS_READ, f"GET {_ENDPOINT}", 200),
    Act(_OPERATORS_READ, f"GET {_ONE}/paid", 200, query="?since=2027-01-15T00:00:00Z&until=2027-01-16T00:00:00Z"),
    Act(_OPERATORS_READ, "GET /admin/v1/payments", 200, query="?merchant_id={merchant_id}"),
    Act(_OPERATORS_READ, f"GET {_OPERATORS_PAYMENT}", 200),
    Act(_OPERATORS_READ, f"GET {_OPERATORS_PAYMENT}/timeline", 200),
    Act(_OPERATORS_READ, "GET /admin/v1/audit", 200),
    Act(_OPERATORS_READ, "GET /admin/v1/audit/verify", 200),
    Act(_OPERATE, f"POST {_OPERATORS_PAYMENT}/resolve", 409, {"decision": "refunded", "note": "x"}),
    Act(_OPERATE, f"POST {_ONE}/reconcile", 200, {"rows": [{"bank_code": "1", "amount_rials": 1000}]}),
    Act(_OPERATE, "POST /admin/v1/recover", 200, {"since": "2027-01-15T00:00:00Z"}),
    Act(_OPERATE, "POST /admin/v1/doctor", 200, {"merchant_id": "{merchant_id}"}),
    Act(_OPERATE, "POST /admin/v1/keys/rotate", 200, {}),
    Act(_OWNER, "POST /admin/v1/merchants", 201, {"name": "new", "return_origins": []}),
    Act(_OWNER, f"PATCH {_ONE}", 200, {"name": "changed"}),
    Act(_OWNER, f"POST {_ONE}/rotate-return-secret", 200),
    Act(
        _OWNER,
        f"POST {_ONE}/terminals",
        201,
        {"name": "new", "gateway_url": "https://pay.example.ir", "api_key": "canary-new-key"},
    ),
    Act(_OWNER, f"PATCH {_TERMINAL}", 200, {"name": "changed"}),
    Act(_OWNER, f"POST {_ONE}/tokens", 201, {}),
    Act(_OWNER, f"POST {_TOKEN}/rotate", 201, {}),
    Act(_OPERATE, f"DELETE {_TOKEN}", 200),
    Act(_OWNER, f"POST {_ONE}/endpoints", 201, {"url": "https://shop.example.ir/hook"}),
    Act(_OWNER, f"PATCH {_ENDPOINT}", 200, {"description": "changed"}),
    Act(_OWNER, f"POST {_ENDPOINT}/rotate-secret", 200, {}),
    Act(_OWNER, f"DELETE {_ENDPOINT}", 204),
    Act(_OWNER, "POST /admin/v1/operators", 201, {"name": "{fresh_name}", "role": "read"}),
    Act(_OWNER, f"POST {_OPERATOR}/rotate", 201, {}),
    Act(_OWNER, f"DELETE {_OPERATOR}", 200),
    # Of a file: PostgreSQL has its own.
    Act(_OWNER, BACKUP, 200),
)
