"""What each session gets of each page and form of the console and of the portal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.console.page_context import Side
from proxy.merchants.merchant import Scope
from proxy.operators.records import Role
from security.principals import ROLES, TOKENS, Principal

_READ, _OPERATE, _OWNER = Role.READ, Role.OPERATE, Role.OWNER
_SEE, _ASK, _HOOKS = Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE, Scope.WEBHOOKS
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
PAGES: Final = (
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
    page("GET /payments/{payment_id}", _READ, 200, _SEE, 200, 200, 404, 404, 404, 404),
    page("POST /payments/{payment_id}/check", _OPERATE, 303, _ASK, 303, 303, 404, 404, 404, 404),
    page(
        "POST /payments/{payment_id}/resolve", _OPERATE, 409, form={"decision": "refunded", "note": "x"},
    ),
    page("GET /endpoints", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200),
    page("GET /endpoints", _READ, 200, _HOOKS, 200, 403, 403, 200, 200, 200, at="/endpoints?after={merchant_id}"),
    page("GET /endpoints/{endpoint_id}", _READ, 200, _HOOKS, 200, 403, 403, 404, 404, 404),
    page("GET /endpoints/{endpoint_id}", _READ, 200, _HOOKS, 404, 403, 403, 404, 404, 404,
         at="/endpoints/{owners_endpoint_id}"),
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
    page("POST /merchants/{merchant_id}/rotate-return-secret", _OWNER, 200),
    page("POST /merchants/{merchant_id}/check-up", _OPERATE, 200),
    page("GET /merchants/{merchant_id}/reconcile", _READ, 200),
    page("POST /merchants/{merchant_id}/reconcile", _OPERATE, 422),
    page("POST /merchants/{merchant_id}/terminals", _OWNER, 422, form={"mode": "live"}),
    page("POST /merchants/{merchant_id}/tokens", _OWNER, 422, form={"mode": "live"}),
    page("POST /merchants/{merchant_id}/endpoints", _OWNER, 422),
    page("POST /terminals/{terminal_id}", _OWNER, 303),
    page("POST /terminals/{terminal_id}/test", _OPERATE, 200),
    page("POST /tokens/{token_id}/test-payment", _OWNER, 303),
    page("POST /tokens/{token_id}/rotate", _OWNER, 200),
    page("POST /tokens/{token_id}/revoke", _OPERATE, 303),
    page("POST /endpoints/{endpoint_id}/state", _OWNER, 303),
    page("POST /endpoints/{endpoint_id}/rotate-secret", _OWNER, 200),
    page("POST /endpoints/{endpoint_id}/delete", _OWNER, 303),
    page("GET /operators", _READ, 200),
    page("POST /operators", _OWNER, 422),
    page("POST /operators/{operator_id}/rotate", _OWNER, 200),
    page("POST /operators/{operator_id}/revoke", _OWNER, 303),
    page("GET /audit", _READ, 200),
    page("POST /audit/verify", _READ, 200),
    page("GET /settings", _READ, 200),
    page("POST /logout", _READ, 303, _SEE, 200),
)  # fmt: skip
# What needs no session: the way in, the first page's other address, and files for everybody.
OPEN: Final = {
    Side.CONSOLE: {"GET /console": 303, "GET /console/assets/{name}": 404, "GET /console/login": 200,
                "POST /console/login": 401},
    Side.PORTAL: {"GET /portal": 303, "GET /portal/assets/{name}": 404, "GET /portal/enter/{link}": 401},
}  # fmt: skip
