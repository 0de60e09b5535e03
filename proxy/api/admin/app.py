"""`/admin/v1`: the operator's API, on its own listener. Every path takes an operator's token, and lets in the role that
the table of routes names for it.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.api.admin.operations import AdminAlerts, AdminBackup, AdminReconcile
from proxy.api.admin.operators import AdminOperators
from proxy.api.admin.payments import AdminPayments
from proxy.api.admin.resends import AdminResends
from proxy.api.admin.schemas import CheckUp, Rotate
from proxy.api.admin.setup import AdminSetup, findings_object, rotated_object
from proxy.api.auth import bearer
from proxy.api.health import METRICS, show_metrics
from proxy.api.middleware import Pages, RenderError, observe
from proxy.api.rate_limiting import RouteKind, before_look_up
from proxy.api.responses import json_answer
from proxy.api.services import AdminServices
from proxy.http.parsing import MAX_BODY_BYTES, read_object, validated
from proxy.http.problems import problem_response
from proxy.kernel.errors import DargahError, Forbidden, Unauthenticated
from proxy.operators.operators import Caller
from proxy.operators.records import Role

BASE: Final = "/admin/v1"


class OperatorUnknown(Unauthenticated):
    def __init__(self) -> None:
        super().__init__()
        self.detail = "Send an operator's token (DARGAH_ADMIN_TOKEN): `Authorization: Bearer …`."
        self.detail_fa = "توکن گرداننده (DARGAH_ADMIN_TOKEN) را بفرستید: `Authorization: Bearer …`."


class RoleLacking(Forbidden):
    def __init__(self, needed: Role, role: Role) -> None:
        super().__init__(needed)
        self.detail = f"This needs the role `{needed}`, and yours is `{role}`."
        self.detail_fa = f"این کار نقش `{needed}` می‌خواهد و نقش شما `{role}` است."


def create_admin_app(services: AdminServices, console: Pages | None = None) -> web.Application:
    """The operator's listener: every path of `operations()` behind an operator's token, and the console's pages."""
    app = web.Application(
        middlewares=[
            observe(
                _error_renderer(console),
                services.random_bytes,
                services.callers,
                answered=services.metrics.answers("admin"),
                spans=services.spans,
            )
        ],
        client_max_size=MAX_BODY_BYTES,
    )
    admin = Admin(services)
    for method, path, role, handler in ROUTES:
        guarded = admin.guarded(role, handler)
        for verb in ("GET", "HEAD") if method == "GET" else (method,):
            services.callers.cover(app.router.add_route(verb, BASE + path, guarded), RouteKind.OPERATE)
    # Without a token, as scrapers come: the listener is private, and nothing in it names anybody.
    app.router.add_get(METRICS, show_metrics(services.metrics))
    if console is not None:
        console.add_routes(app)
    return app


def _error_renderer(console: Pages | None) -> RenderError:
    def render(request: web.Request, error: DargahError) -> web.StreamResponse:
        if console is not None and console.has(request.path):
            return console.render_error(request, error)
        return problem_response(error)

    return render


def operations() -> Iterator[tuple[str, str]]:
    """The (method, path) pairs of the listener, as openapi.yaml must have them."""
    return iter([*((method, BASE + path) for method, path, _, _ in ROUTES), ("GET", METRICS)])


_PARTS: Final = (AdminSetup, AdminPayments, AdminResends, AdminReconcile, AdminOperators, AdminBackup, AdminAlerts)


class Admin(AdminSetup, AdminPayments, AdminResends, AdminReconcile, AdminOperators, AdminBackup, AdminAlerts):
    """The handlers of the operator's API. Each gets the authenticated operator as its caller."""

    def __init__(self, services: AdminServices) -> None:
        for part in _PARTS:
            part.__init__(self, services)
        self._doctor = services.doctor

    def guarded(self, role: Role, handler: "AdminHandler") -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = await self._caller(request)
            if not caller.role.covers(role):
                raise RoleLacking(role, caller.role)
            return await handler(self, request, caller)

        return handle

    async def _caller(self, request: web.Request) -> Caller:
        try:
            return await self._operators.authenticate(bearer(request), before_look_up(request))
        except Unauthenticated:
            raise OperatorUnknown from None

    async def check_up(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(CheckUp, await read_object(request))
        doctor = self._doctor
        look = doctor.process() if body.merchant_id is None else doctor.merchant(body.merchant_id)
        findings = await self._tasks.run(look)
        await self._operators.noted(caller.name, "doctor.check_up", {"merchant_id": body.merchant_id})
        return json_answer(findings_object(findings))

    async def rotate_keys(self, request: web.Request, caller: Caller) -> web.Response:
        body = validated(Rotate, await read_object(request))
        rotated = await self._setup.rotate(body.limit, actor=caller.name)
        data = {"kek_id": rotated.kek_id, "secrets": rotated.rewrapped, "failed": len(rotated.failed)}
        await self._operators.noted(caller.name, "keys.reseal", data)
        return json_answer(rotated_object(rotated))


AdminHandler = Callable[[Admin, web.Request, Caller], Awaitable[web.StreamResponse]]

READ, OPERATE, OWNER = Role.READ, Role.OPERATE, Role.OWNER
_ONE: Final = "/merchants/{merchant_id}"
# A GET also answers HEAD. What shows a secret, or sends somebody's money or news elsewhere, is the owner's; what only
# looks, tries again or shuts a door is not.
ROUTES: Final[tuple[tuple[str, str, Role, AdminHandler], ...]] = (
    ("GET", "/me", READ, Admin.who_am_i),
    ("GET", "/gateways", READ, Admin.list_gateways),
    ("POST", "/operators", OWNER, Admin.add_operator),
    ("GET", "/operators", READ, Admin.list_operators),
    ("GET", "/operators/{operator_id}", READ, Admin.get_operator),
    ("POST", "/operators/{operator_id}/rotate", OWNER, Admin.rotate_operator),
    ("DELETE", "/operators/{operator_id}", OWNER, Admin.revoke_operator),
    ("DELETE", "/operators/{operator_id}/second-factor", OWNER, Admin.remove_second_factor),
    ("POST", "/merchants", OWNER, Admin.create_merchant),
    ("GET", "/merchants", READ, Admin.list_merchants),
    ("GET", _ONE, READ, Admin.get_merchant),
    ("PATCH", _ONE, OWNER, Admin.change_merchant),
    ("POST", f"{_ONE}/archive", OWNER, Admin.archive_merchant),
    ("POST", f"{_ONE}/unarchive", OWNER, Admin.unarchive_merchant),
    ("POST", f"{_ONE}/rotate-return-secret", OWNER, Admin.rotate_return_secret),
    ("POST", f"{_ONE}/terminals", OWNER, Admin.create_terminal),
    ("GET", f"{_ONE}/terminals", READ, Admin.list_terminals),
    ("GET", f"{_ONE}/terminals/{{terminal_id}}", READ, Admin.get_terminal),
    ("PATCH", f"{_ONE}/terminals/{{terminal_id}}", OWNER, Admin.change_terminal),
    ("POST", f"{_ONE}/tokens", OWNER, Admin.create_token),
    ("GET", f"{_ONE}/tokens", READ, Admin.list_tokens),
    ("GET", f"{_ONE}/tokens/{{token_id}}", READ, Admin.get_token),
    ("POST", f"{_ONE}/tokens/{{token_id}}/rotate", OWNER, Admin.rotate_token),
    ("DELETE", f"{_ONE}/tokens/{{token_id}}", OPERATE, Admin.revoke_token),
    ("POST", f"{_ONE}/endpoints", OWNER, Admin.create_endpoint),
    ("GET", f"{_ONE}/endpoints", READ, Admin.list_endpoints),
    ("GET", f"{_ONE}/endpoints/{{endpoint_id}}", READ, Admin.get_endpoint),
    ("PATCH", f"{_ONE}/endpoints/{{endpoint_id}}", OWNER, Admin.change_endpoint),
    ("DELETE", f"{_ONE}/endpoints/{{endpoint_id}}", OWNER, Admin.delete_endpoint),
    ("POST", f"{_ONE}/endpoints/{{endpoint_id}}/rotate-secret", OWNER, Admin.rotate_endpoint_secret),
    ("POST", f"{_ONE}/reconcile", OPERATE, Admin.compare_rows),
    ("GET", f"{_ONE}/paid", READ, Admin.list_paid),
    ("GET", "/payments", READ, Admin.list_payments),
    ("GET", "/payments.csv", READ, Admin.export_payments),
    ("GET", "/payments/find", READ, Admin.find_payments),
    ("GET", "/payments/totals", READ, Admin.total_payments),
    ("GET", "/settlement", READ, Admin.report_settlement),
    ("GET", "/merchants/{merchant_id}/lost-payments", READ, Admin.list_lost),
    ("GET", "/payments/{payment_id}", READ, Admin.get_payment),
    ("GET", "/payments/{payment_id}/timeline", READ, Admin.get_payment_timeline),
    ("POST", "/payments/{payment_id}/resolve", OPERATE, Admin.resolve_payment),
    ("POST", "/recover", OPERATE, Admin.recover),
    ("POST", "/resends", OPERATE, Admin.create_resend),
    ("GET", "/resends", READ, Admin.list_resends),
    ("GET", "/resends/{resend_id}", READ, Admin.get_resend),
    ("POST", "/resends/{resend_id}/stop", OPERATE, Admin.stop_resend),
    ("GET", "/audit", READ, Admin.list_audit),
    ("GET", "/audit/verify", READ, Admin.verify_audit),
    ("POST", "/keys/rotate", OPERATE, Admin.rotate_keys),
    ("POST", "/doctor", OPERATE, Admin.check_up),
    ("POST", "/backup", OWNER, Admin.take_backup),
    ("POST", "/alerts/test", OWNER, Admin.test_alerts),
)
