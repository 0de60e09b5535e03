"""The kinds of callers, and what each gets: of every operation of both listeners, and of each page and form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from web.lab import Answer

from proxy.console.viewer import Side
from proxy.merchants.merchant import Scope
from proxy.operators.records import Role

EMPTY: Final = "200 with an empty list"
PAID: Final = "200 with status 1"


class Code(int):
    """The errorCode of a drop-in's answer, which is always a 200."""


Outcome = int | str


class Principal(StrEnum):
    """Who calls. The victim is the storefront `main` of a merchant, in live mode, at its first terminal."""

    OWN = "the storefront's own token"
    BOUND = "a token of the storefront that is bound to the payment's terminal"
    TERMINAL = "a token of the storefront that is bound to another terminal"
    TEST = "a test token of the storefront"
    SHOP = "a token of another storefront"
    STRANGER = "a token of another merchant"
    SCOPELESS = "a token of the storefront without the scope"
    NOBODY = "nobody"
    REVOKED = "a revoked token of the storefront"
    EXPIRED = "an expired token of the storefront"
    PORTAL = "a portal session of the storefront"
    READ = "an operator who reads"
    OPERATE = "an operator who operates"
    OWNER = "an operator who owns"


TOKENS: Final = (
    Principal.OWN,
    Principal.BOUND,
    Principal.TERMINAL,
    Principal.TEST,
    Principal.SHOP,
    Principal.STRANGER,
)
ROLES: Final[Mapping[Principal, Role]] = {
    Principal.READ: Role.READ,
    Principal.OPERATE: Role.OPERATE,
    Principal.OWNER: Role.OWNER,
}
OVER: Final = (Principal.REVOKED, Principal.EXPIRED)
OUTSIDERS: Final = (Principal.NOBODY, *OVER)


@dataclass(frozen=True)
class Records:
    """`ids` are all that a stranger may have come to know. The others are canaries: what no answer may show to who sees
    nothing of the storefront, to who sees its payments but no webhooks, and to nobody but an operator.
    """

    ids: Mapping[str, str]
    hidden: frozenset[str]
    webhooks: frozenset[str]
    owners: frozenset[str]

    def canaries(self, principal: Principal) -> frozenset[str]:
        match principal:
            case Principal.OWN:
                return self.owners
            case Principal.BOUND:
                return self.owners | self.webhooks
            case _:
                return self.owners | self.webhooks | self.hidden


@dataclass(frozen=True)
class Call:
    """One call of an operation, and what each token gets; `{…}` in its texts is filled from the ids.

    `operation` is as in openapi.yaml, `at` a path with ids in the places of its variables. `scope` None takes no token.
    """

    operation: str
    scope: Scope | None
    gets: Mapping[Principal, Outcome]
    at: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.operation.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.at or self.operation.partition(" ")[2]

    def outcome(self, principal: Principal) -> Outcome:
        """What this principal gets. Without a scope there is nothing to look at, and everybody gets the same."""
        if principal in self.gets:
            return self.gets[principal]
        if self.scope is None:
            return self.gets[Principal.OWN]
        if self.scope is Scope.FACADE:
            return Code(101)
        return 403 if principal is Principal.SCOPELESS else 401


def call(
    scope: Scope | None,
    operation: str,
    *gets: Outcome,
    at: str = "",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Call:
    """A row of the table: what the principals of TOKENS get, in their order; one outcome alone is everybody's."""
    outcomes = gets * len(TOKENS) if len(gets) == 1 else gets
    return Call(operation, scope, dict(zip(TOKENS, outcomes, strict=True)), at, body, headers or {})


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """`value` with every `{name}` in its texts filled in; a name that nobody knows is a KeyError."""
    match value:
        case str():
            return value.format_map(ids)
        case dict():
            return {name: filled(each, ids) for name, each in value.items()}
        case _:
            return value


def is_outcome(outcome: Outcome, answer: Answer) -> bool:
    match outcome:
        case Code():
            return answer.status == 200 and answer.json["errorCode"] == outcome
        case int():
            return answer.status == outcome
        case _:
            return answer.status == 200 and (
                answer.json["status"] == 1 if outcome == PAID else answer.json["data"] == []
            )


_SEE, _ASK, _HOOKS, _FACADE = Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE, Scope.WEBHOOKS, Scope.FACADE
_READ, _OPERATE, _OWNER = Role.READ, Role.OPERATE, Role.OWNER
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
    call(_SEE, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY),
    call(_SEE, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/payments?order_id={order_id}"),
    call(_SEE, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/payments?status=paid"),
    call(_SEE, "GET /v1/payments", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/payments?storefront=main"),
    # A cursor is a place and opens nothing; of another storefront's list it is no place at all.
    call(_SEE, "GET /v1/payments", 200, 200, EMPTY, EMPTY, 422, 422, at="/v1/payments?cursor={payments_cursor}"),
    call(_SEE, f"GET {_PAYMENT}", 200, 200, 404, 404, 404, 404),
    call(_SEE, f"GET {_PAYMENT}/timeline", 200, 200, 404, 404, 404, 404),
    call(_SEE, f"GET {_PAYMENT}/qr.svg", 200, 200, 404, 404, 404, 404),
    call(_SEE, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY),
    call(_SEE, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?payment_id={payment_id}"),
    call(_SEE, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?storefront=main"),
    call(_SEE, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?type=payment.paid"),
    call(_SEE, "GET /v1/events", 200, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?type=endpoint.disabled"),
    call(_SEE, "GET /v1/events", 200, 200, EMPTY, EMPTY, EMPTY, EMPTY, at="/v1/events?delivered=false"),
    call(_SEE, "GET /v1/events", 200, 200, EMPTY, EMPTY, 422, 422, at="/v1/events?cursor={events_cursor}"),
    call(_SEE, "GET /v1/events/{event_id}", 200, 200, 404, 404, 404, 404),
    call(_SEE, "GET /v1/events/{event_id}", 200, 404, 404, 404, 404, 404, at="/v1/events/{disabled_event_id}"),
    call(_SEE, "GET /v1/events/{event_id}", 404, at="/v1/events/{owners_event_id}"),
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
    call(_ASK, f"POST {_PAYMENT}/check", 200, 200, 404, 404, 404, 404, body={}),
    # It is paid.
    call(_ASK, f"POST {_PAYMENT}/cancel", 409, 409, 404, 404, 404, 404, body={}),
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
    call(_ASK, "POST /v1/payments", 201, body=_ORDER, headers=_FRESH),
    # A terminal is the merchant's: any of its storefronts may name it, in its mode.
    call(_ASK, "POST /v1/payments", 201, 201, 422, 422, 201, 422,
         body=_ORDER | {"terminal_id": "{terminal_id}"}, headers=_FRESH),
    # An order that is paid is paid for its storefront and mode; who does not see the payment is not told which.
    call(_ASK, "POST /v1/payments", 409, 409, 409, 201, 201, 201,
         body=_ORDER | {"order_id": "{order_id}"}, headers=_FRESH),
    # A key is the storefront's in its mode.
    call(_ASK, "POST /v1/payments", 422, 422, 422, 201, 201, 201, body=_ORDER, headers=_THEIR_KEY),
    call(_HOOKS, "POST /v1/webhook-endpoints", 201, 403, 403, 201, 201, 201, body=_URL),
    call(_HOOKS, "POST /v1/webhook-endpoints", 201, 403, 403, 201, 422, 422, body=_URL | {"storefront": "main"}),
    call(_HOOKS, "POST /v1/webhook-endpoints", 201, 403, 403, 422, 201, 201, body=_URL | {"mode": "live"}),
    call(_HOOKS, "POST /v1/events/test", 201, 403, 403, 201, 201, 201, body={"type": "payment.paid"}),
    # What a link opens is in PAGES.
    call(_SEE, "POST /v1/portal-links", 201),
    call(_SEE, "POST /v1/portal-links", 201, 201, 201, 201, 201, 422, body={"embed_origin": "{origin}"}),
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
    call(None, "GET /docs/{page}", 200, at="/docs/payments"),
    call(None, "GET /docs/dargah.http", 200),
    call(None, "GET /openapi.json", 200),
    call(None, "GET /llms.txt", 200),
    call(None, "GET /healthz", 200),
    call(None, "GET /readyz", 200),
)

# Any token will do, whatever its scopes, and none will not.
_EVENT_TYPES: Final = Call(
    "GET /v1/event-types", Scope.PAYMENTS_READ, dict.fromkeys((*TOKENS, Principal.SCOPELESS), 200)
)

CALLS: Final[tuple[Call, ...]] = (*_LOOK, *_OPEN, _EVENT_TYPES, *_ACT, *_MAKE)


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
    Act(_READ, "GET /admin/v1/me", 200),
    Act(_READ, "GET /admin/v1/gateways", 200),
    Act(_READ, "GET /admin/v1/operators", 200),
    Act(_READ, f"GET {_OPERATOR}", 200),
    Act(_READ, "GET /admin/v1/merchants", 200),
    Act(_READ, f"GET {_ONE}", 200),
    Act(_READ, f"GET {_ONE}/terminals", 200),
    Act(_READ, f"GET {_TERMINAL}", 200),
    Act(_READ, f"GET {_ONE}/tokens", 200),
    Act(_READ, f"GET {_TOKEN}", 200),
    Act(_READ, f"GET {_ONE}/lost-payments", 200),
    Act(_READ, f"GET {_ONE}/endpoints", 200),
    Act(_READ, f"GET {_ENDPOINT}", 200),
    Act(_READ, f"GET {_ONE}/paid", 200, query="?since=2027-01-15T00:00:00Z&until=2027-01-16T00:00:00Z"),
    Act(_READ, "GET /admin/v1/payments", 200, query="?merchant_id={merchant_id}"),
    Act(_READ, "GET /admin/v1/payments.csv", 200, query="?merchant_id={merchant_id}"),
    Act(_READ, "GET /admin/v1/payments/find", 200, query="?text=order"),
    Act(_READ, "GET /admin/v1/payments/totals", 200),
    Act(_READ, "GET /admin/v1/settlement", 200, query="?first_day=2027-01-15&last_day=1405/10/26"),
    Act(_READ, f"GET {_OPERATORS_PAYMENT}", 200),
    Act(_READ, f"GET {_OPERATORS_PAYMENT}/timeline", 200),
    Act(_READ, "GET /admin/v1/resends", 200),
    Act(_READ, "GET /admin/v1/resends/{resend_id}", 200),
    Act(_READ, "GET /admin/v1/audit", 200),
    Act(_READ, "GET /admin/v1/audit/verify", 200),
    Act(_OPERATE, f"POST {_OPERATORS_PAYMENT}/resolve", 409, {"decision": "refunded", "note": "x"}),
    Act(_OPERATE, f"POST {_ONE}/reconcile", 200, {"rows": [{"bank_code": "1", "amount_rials": 1000}]}),
    Act(_OPERATE, "POST /admin/v1/recover", 200, {"since": "2027-01-15T00:00:00Z"}),
    Act(_OPERATE, "POST /admin/v1/resends", 200, {"since": "2026-11-24T00:00:00Z", "dry_run": True}),
    Act(_OPERATE, "POST /admin/v1/resends/{resend_id}/stop", 200),
    Act(_OPERATE, "POST /admin/v1/doctor", 200, {"merchant_id": "{merchant_id}"}),
    Act(_OPERATE, "POST /admin/v1/keys/rotate", 200, {}),
    Act(_OWNER, "POST /admin/v1/merchants", 201, {"name": "new", "return_origins": []}),
    Act(_OWNER, f"PATCH {_ONE}", 200, {"name": "changed"}),
    Act(_OWNER, f"POST {_ONE}/rotate-return-secret", 200),
    Act(_OWNER, f"POST {_ONE}/archive", 200),
    Act(_OWNER, f"POST {_ONE}/unarchive", 200),
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
    Act(_OWNER, f"DELETE {_OPERATOR}/second-factor", 200),
    Act(_OWNER, f"DELETE {_OPERATOR}", 200),
    # Of a file: PostgreSQL has its own.
    Act(_OWNER, BACKUP, 200),
    # No channel is set up.
    Act(_OWNER, "POST /admin/v1/alerts/test", 422, {}),
)


_HOURS: Final = {"hours": "720"}


@dataclass(frozen=True)
class Page:
    """A page or form: the least role that may have it in the console with what it then answers, and what a session of
    each token gets of it in the portal, where it needs `scope`. What the portal does not have is 404 there.
    """

    operation: str
    role: Role
    status: int
    scope: Scope | None = None
    gets: Mapping[Principal, int] = field(default_factory=dict)
    at: str = ""
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.operation.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.at or self.operation.partition(" ")[2]

    def in_console(self, principal: Principal) -> int:
        """Who is not logged in is led to the login."""
        role = ROLES.get(principal)
        if role is None:
            return 303
        return self.status if role.covers(self.role) else 403

    def in_portal(self, principal: Principal) -> int:
        if self.scope is None:
            return 404
        if principal in self.gets:
            return self.gets[principal]
        return 403 if principal is Principal.SCOPELESS else 401


def page(
    operation: str,
    role: Role,
    status: int,
    scope: Scope | None = None,
    *gets: int,
    at: str = "",
    form: Mapping[str, str] | None = None,
) -> Page:
    """A row of the table: `gets` are what the principals of TOKENS get in the portal; one alone is everybody's."""
    outcomes = gets * len(TOKENS) if len(gets) == 1 else gets
    given = dict(zip(TOKENS, outcomes, strict=True)) if gets else {}
    return Page(operation, role, status, scope, given, at, form or {})


# The columns of each row in the portal:                        own, bound, terminal, test, shop, stranger
_PAGES: Final = (
    page("GET /", _READ, 200, _SEE, 303),
    page("GET /payments", _READ, 200, _SEE, 200),
    page("GET /payments", _READ, 200, _SEE, 200, at="/payments?merchant={merchant_id}&status=paid"),
    page("GET /payments", _READ, 200, _SEE, 200, at="/payments?before={place}"),
    page("GET /payments.csv", _READ, 200, _SEE, 200),
    page("GET /payments.csv", _READ, 200, _SEE, 200, at="/payments.csv?merchant={merchant_id}"),
    page("GET /search", _READ, 303, _SEE, 303, 303, 200, 200, 200, 200, at="/search?q={payment_id}"),
    page("GET /search", _READ, 303, _SEE, 303, 303, 200, 200, 200, 200, at="/search?q={link}"),
    page("GET /search", _READ, 303, _SEE, 303, 303, 200, 200, 200, 200, at="/search?q={order_id}"),
    page("GET /search", _READ, 303, _SEE, 303, 303, 200, 200, 200, 200, at="/search?q={invoice_key}"),
    page("GET /search", _READ, 303, _SEE, 303, 303, 200, 200, 200, 200, at="/search?q={bank_code}"),
    page("GET /search", _READ, 303, _SEE, 303, 303, 200, 200, 200, 200, at="/search?q={amount}"),
    page("GET /reviews", _READ, 200, _SEE, 200),
    page("GET /guide", _READ, 200, _SEE, 200),
    page("GET /payments/totals", _READ, 200, _SEE, 200),
    page("GET /settlement", _READ, 200),
    page("GET /settlement.csv", _READ, 303),
    page("GET /settlement.csv", _READ, 200, at="/settlement.csv?from=1405/10/26&merchant={merchant_id}"),
    page("GET /payments/{payment_id}", _READ, 200, _SEE, 200, 200, 404, 404, 404, 404),
    page("POST /payments/{payment_id}/check", _OPERATE, 303, _ASK, 303, 303, 404, 404, 404, 404),
    page("GET /payments/{payment_id}/resolve", _OPERATE, 422),
    page(
        "POST /payments/{payment_id}/resolve", _OPERATE, 409, form={"decision": "refunded", "note": "x"},
    ),
    page("GET /endpoints", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200),
    page("GET /endpoints", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200, at="/endpoints?after={merchant_id}"),
    page("GET /endpoints/{endpoint_id}", _READ, 200, _HOOKS, 200, 403, 403, 404, 404, 404),
    page("GET /endpoints/{endpoint_id}", _READ, 200, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/endpoints/{owners_endpoint_id}"),
    page("GET /deliveries", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200),
    page("GET /deliveries", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200,
         at="/deliveries?merchant={merchant_id}&status=delivered"),
    page("GET /deliveries", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200, at="/deliveries?endpoint={endpoint_id}"),
    page("GET /deliveries", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200,
         at="/deliveries?endpoint={owners_endpoint_id}"),
    page("GET /deliveries", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200, at="/deliveries?number={order_id}"),
    page("GET /resend", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200),
    page("GET /resend", _READ, 404, _HOOKS, 200, 403, 403, 200, 200, 200, at="/resend?endpoint=ep_1"),
    page("GET /resend", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200, at="/resend?endpoint={owners_endpoint_id}"),
    page("POST /resend", _OPERATE, 409, _HOOKS, 409, 403, 403, 409, 409, 409, form={"hours": "1", "mode": "test"}),
    # An operator's.
    page("GET /resends/{resend_id}", _READ, 200, _HOOKS, 404, 403, 403, 404, 404, 404),
    page("POST /resends/{resend_id}/stop", _OPERATE, 303, _HOOKS, 404, 403, 403, 404, 404, 404),
    page("GET /attempts", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200),
    page("GET /attempts", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200, at="/attempts?endpoint={endpoint_id}"),
    page("GET /attempts", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200,
         at="/attempts?endpoint={owners_endpoint_id}"),
    page("GET /deliveries/{delivery_id}", _READ, 200, _HOOKS, 200, 403, 403, 404, 404, 404),
    page("GET /deliveries/{delivery_id}", _READ, 200, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/deliveries/{owners_delivery_id}"),
    page("POST /deliveries/{delivery_id}/retry", _OPERATE, 303, _HOOKS, 303, 403, 403, 404, 404, 404),
    page("POST /deliveries/{delivery_id}/retry", _OPERATE, 303, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/deliveries/{owners_delivery_id}/retry"),
    page("POST /endpoints/{endpoint_id}/test", _OPERATE, 200, _HOOKS, 200, 403, 403, 404, 404, 404),
    page("POST /endpoints/{endpoint_id}/test", _OPERATE, 200, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/endpoints/{owners_endpoint_id}/test"),
    page("POST /endpoints/{endpoint_id}/recover", _OPERATE, 303, _HOOKS, 303, 403, 403, 404, 404, 404, form=_HOURS),
    page("POST /endpoints/{endpoint_id}/recover", _OPERATE, 303, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/endpoints/{owners_endpoint_id}/recover", form=_HOURS),
    page("POST /endpoints/{endpoint_id}/replay", _OPERATE, 303, _HOOKS, 303, 403, 403, 404, 404, 404, form=_HOURS),
    page("POST /endpoints/{endpoint_id}/replay", _OPERATE, 303, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/endpoints/{owners_endpoint_id}/replay", form=_HOURS),
    page("GET /jobs/{job_id}", _READ, 404, _SEE, 404),
    page("GET /merchants", _READ, 200),
    page("GET /merchants/new", _OWNER, 200),
    page("POST /merchants/new", _OWNER, 422),
    page("GET /merchants/{merchant_id}", _READ, 200),
    page("POST /merchants/{merchant_id}", _OWNER, 303, form={"name": "changed"}),
    page("POST /merchants/{merchant_id}/looks", _OWNER, 303),
    page("GET /merchants/{merchant_id}/logo", _READ, 404),
    page("GET /merchants/{merchant_id}/rotate-return-secret", _OWNER, 200),
    page("POST /merchants/{merchant_id}/rotate-return-secret", _OWNER, 200),
    page("GET /merchants/{merchant_id}/archive", _OWNER, 200),
    page("POST /merchants/{merchant_id}/archive", _OWNER, 303),
    page("POST /merchants/{merchant_id}/unarchive", _OWNER, 303),
    page("POST /merchants/{merchant_id}/check-up", _OPERATE, 200),
    page("GET /merchants/{merchant_id}/reconcile", _READ, 200),
    page("POST /merchants/{merchant_id}/reconcile", _OPERATE, 422),
    page("POST /merchants/{merchant_id}/terminals", _OWNER, 422, form={"mode": "live"}),
    page("POST /merchants/{merchant_id}/tokens", _OWNER, 422, form={"mode": "live"}),
    page("POST /merchants/{merchant_id}/endpoints", _OWNER, 422),
    page("POST /terminals/{terminal_id}", _OWNER, 303),
    page("POST /terminals/{terminal_id}/test", _OPERATE, 200),
    page("POST /tokens/{token_id}/test-payment", _OWNER, 303),
    page("GET /terminals/{terminal_id}/switch-off", _OWNER, 200),
    page("POST /terminals/{terminal_id}/switch-off", _OWNER, 303),
    page("POST /terminals/{terminal_id}/switch-on", _OWNER, 303),
    page("GET /tokens/{token_id}/rotate", _OWNER, 200),
    page("POST /tokens/{token_id}/rotate", _OWNER, 200),
    page("GET /tokens/{token_id}/revoke", _OPERATE, 200),
    page("POST /tokens/{token_id}/revoke", _OPERATE, 200),
    page("POST /tokens/{token_id}/restore", _OPERATE, 409),
    page("POST /endpoints/{endpoint_id}/limit", _OWNER, 303, form={"max_in_flight": "9"}),
    page("GET /endpoints/{endpoint_id}/pause", _OWNER, 200),
    page("POST /endpoints/{endpoint_id}/pause", _OWNER, 303),
    page("POST /endpoints/{endpoint_id}/resume", _OWNER, 303),
    page("GET /endpoints/{endpoint_id}/rotate-secret", _OWNER, 200),
    page("POST /endpoints/{endpoint_id}/rotate-secret", _OWNER, 200),
    page("GET /endpoints/{endpoint_id}/delete", _OWNER, 200),
    page("POST /endpoints/{endpoint_id}/delete", _OWNER, 303),
    page("GET /operators", _READ, 200),
    page("POST /operators", _OWNER, 422),
    page("GET /operators/{operator_id}/rotate", _OWNER, 200),
    page("POST /operators/{operator_id}/rotate", _OWNER, 200),
    page("GET /operators/{operator_id}/revoke", _OWNER, 200),
    page("POST /operators/{operator_id}/revoke", _OWNER, 303),
    page("GET /operators/{operator_id}/remove-second-factor", _OWNER, 409),
    page("POST /operators/{operator_id}/remove-second-factor", _OWNER, 409),
    page("GET /second-factor", _READ, 200),
    page("POST /second-factor", _READ, 422),
    page("GET /second-factor/end", _READ, 409),
    page("POST /second-factor/end", _READ, 409),
    page("GET /second-factor/recovery-codes", _READ, 409),
    page("POST /second-factor/recovery-codes", _READ, 409),
    page("GET /filters", _READ, 200),
    page("POST /filters", _READ, 422),
    page("GET /filters/{filter_id}/delete", _READ, 404, at="/filters/flt_none/delete"),
    page("POST /filters/{filter_id}/delete", _READ, 404, at="/filters/flt_none/delete"),
    page("GET /sessions", _READ, 200),
    page("POST /sessions/end-others", _READ, 303),
    page("POST /sessions/{session_id}/end", _READ, 404, at="/sessions/" + "0" * 64 + "/end"),
    page("GET /audit", _READ, 200),
    page("POST /audit/verify", _READ, 200),
    page("GET /settings", _READ, 200),
    page("GET /alerts", _READ, 200),
    page("POST /alerts/test", _OWNER, 422),
    page("POST /logout", _READ, 303, _SEE, 200),
)  # fmt: skip
# What an operator sees of a shop in the console is what the shop's own token sees in the portal.
_VIEWED: Final = tuple(
    page(
        f"GET /as/{{merchant_id}}/{{storefront}}/{{mode}}{one.operation.partition(' ')[2]}",
        _READ,
        one.gets[Principal.OWN],
        at=f"/as/{{merchant_id}}/main/live{one.path}",
    )
    for one in _PAGES
    if one.method == "GET" and one.scope is not None
)
PAGES: Final = (*_VIEWED, *_PAGES)
# What needs no session: the way in, the first page's other address, and files for everybody.
OPEN: Final = {
    Side.CONSOLE: {"GET /console": 303, "GET /console/assets/{name}": 404, "GET /console/login": 200,
                "POST /console/login": 401, "GET /console/login/code": 303, "POST /console/login/code": 303,
                "GET /console/login/oidc": 404, "GET /console/login/oidc/answer": 404},
    Side.PORTAL: {"GET /portal": 303, "GET /portal/assets/{name}": 404, "GET /portal/enter/{link}": 401},
}  # fmt: skip
