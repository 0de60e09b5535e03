"""Every page and form of the console and the portal in one table, and how a listener gets them."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.middleware import Pages
from proxy.api.rate_limiting import RateLimiting, RouteKind
from proxy.config.sign_in import CALLBACK
from proxy.console import (
    alerts,
    archiving,
    branding,
    bulk_resend,
    code_login,
    deliveries,
    delivery_lists,
    endpoint_changes,
    endpoint_questions,
    entry,
    home,
    merchants,
    operators,
    payments,
    portal_guide,
    provider_login,
    questions,
    reconcile,
    saved_filter_pages,
    search,
    second_factor,
    sessions,
    token_changes,
    totals,
)
from proxy.console import onboarding as guide
from proxy.console.confirmation import asking
from proxy.console.entry import CODE, PROVIDER
from proxy.console.guard import Route, SessionOver, error_page, guarded, side_of, stranger, words_of
from proxy.console.merchant_view import BASE, is_viewed, seen_as_merchant
from proxy.console.page_context import FILES, bare_page
from proxy.console.services import ConsoleServices
from proxy.console.viewer import Side
from proxy.http.static_assets import LASTING_HEADERS
from proxy.kernel.errors import DargahError, Unauthenticated
from proxy.merchants.merchant import Scope
from proxy.operators.records import Role

GET, POST = hdrs.METH_GET, hdrs.METH_POST
_READ, _OPERATE, _OWNER = Role.READ, Role.OPERATE, Role.OWNER
_SEE, _ASK, _HOOKS = Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE, Scope.WEBHOOKS

# What an operator needs for each, and what a merchant's token does; None is no merchant's. As in the operator's API,
# what shows a secret, or sends somebody's money or news elsewhere, is the owner's. An act that cannot be taken back, or
# that stops a shop, is of `asking`.
ROUTES: Final[tuple[Route, ...]] = (
    Route(GET, "/", _READ, _SEE, home.show_home),
    Route(GET, "/payments", _READ, _SEE, payments.list_payments),
    Route(GET, "/payments.csv", _READ, _SEE, totals.export),
    Route(GET, "/payments/totals", _READ, _SEE, totals.show_totals),
    Route(GET, "/filters", _READ, None, saved_filter_pages.list_filters),
    Route(POST, "/filters", _READ, None, saved_filter_pages.save),
    *asking("/filters/{filter_id}/delete", _READ, None, saved_filter_pages.delete, saved_filter_pages.ask_delete),
    Route(GET, "/settlement", _READ, None, totals.show_settlement),
    Route(GET, "/settlement.csv", _READ, None, totals.export_settlement),
    Route(GET, "/search", _READ, _SEE, search.search),
    Route(GET, "/guide", _READ, _SEE, portal_guide.show_guide),
    Route(GET, "/reviews", _READ, _SEE, payments.list_reviews),
    Route(GET, "/payments/{payment_id}", _READ, _SEE, payments.show_payment),
    Route(POST, "/payments/{payment_id}/check", _OPERATE, _ASK, payments.check_payment),
    *asking("/payments/{payment_id}/resolve", _OPERATE, None, payments.resolve_payment, questions.resolve_payment),
    Route(GET, "/endpoints", _READ, _HOOKS, deliveries.list_endpoints),
    Route(GET, "/endpoints/{endpoint_id}", _READ, _HOOKS, deliveries.show_endpoint),
    Route(POST, "/endpoints/{endpoint_id}/limit", _OWNER, None, endpoint_changes.set_limit),
    Route(POST, "/endpoints/{endpoint_id}/test", _OPERATE, _HOOKS, deliveries.ping),
    Route(POST, "/endpoints/{endpoint_id}/recover", _OPERATE, _HOOKS, deliveries.recover),
    Route(POST, "/endpoints/{endpoint_id}/replay", _OPERATE, _HOOKS, deliveries.replay),
    *asking("/endpoints/{endpoint_id}/pause", _OWNER, None, endpoint_changes.pause_endpoint,
            endpoint_questions.pause_endpoint),
    Route(POST, "/endpoints/{endpoint_id}/resume", _OWNER, None, endpoint_changes.resume_endpoint),
    *asking("/endpoints/{endpoint_id}/rotate-secret", _OWNER, None, endpoint_changes.rotate_secret,
            endpoint_questions.rotate_secret),
    *asking("/endpoints/{endpoint_id}/delete", _OWNER, None, endpoint_changes.delete_endpoint,
            endpoint_questions.delete_endpoint),
    Route(GET, "/deliveries", _READ, _HOOKS, delivery_lists.list_deliveries),
    Route(GET, "/resend", _READ, _HOOKS, bulk_resend.show_resend),
    asking("/resend", _OPERATE, _HOOKS, bulk_resend.resend, bulk_resend.ask_resend)[1],
    Route(GET, "/resends/{resend_id}", _READ, _HOOKS, bulk_resend.show_progress),
    Route(POST, "/resends/{resend_id}/stop", _OPERATE, _HOOKS, bulk_resend.stop),
    Route(GET, "/attempts", _READ, _HOOKS, delivery_lists.list_attempts),
    Route(GET, "/deliveries/{delivery_id}", _READ, _HOOKS, deliveries.show_delivery),
    Route(POST, "/deliveries/{delivery_id}/retry", _OPERATE, _HOOKS, deliveries.retry_delivery),
    Route(GET, "/jobs/{job_id}", _READ, _SEE, home.show_job),
    Route(GET, "/merchants", _READ, None, merchants.list_merchants),
    Route(GET, "/merchants/new", _OWNER, None, guide.show_guide),
    Route(POST, "/merchants/new", _OWNER, None, guide.add_all),
    Route(GET, "/merchants/{merchant_id}", _READ, None, merchants.show_merchant),
    Route(POST, "/merchants/{merchant_id}", _OWNER, None, merchants.change_merchant),
    Route(POST, "/merchants/{merchant_id}/looks", _OWNER, None, branding.change_looks, files=True),
    Route(GET, "/merchants/{merchant_id}/logo", _READ, None, branding.show_logo),
    *asking("/merchants/{merchant_id}/archive", _OWNER, None, archiving.archive, archiving.ask_archive),
    Route(POST, "/merchants/{merchant_id}/unarchive", _OWNER, None, archiving.unarchive),
    *asking("/merchants/{merchant_id}/rotate-return-secret", _OWNER, None, merchants.rotate_return_secret,
            questions.rotate_return_secret),
    Route(POST, "/merchants/{merchant_id}/check-up", _OPERATE, None, merchants.check_up),
    Route(GET, "/merchants/{merchant_id}/reconcile", _READ, None, reconcile.show_form),
    Route(POST, "/merchants/{merchant_id}/reconcile", _OPERATE, None, reconcile.compare),
    Route(POST, "/merchants/{merchant_id}/terminals", _OWNER, None, merchants.add_terminal),
    Route(POST, "/merchants/{merchant_id}/tokens", _OWNER, None, token_changes.add_token),
    Route(POST, "/merchants/{merchant_id}/endpoints", _OWNER, None, endpoint_changes.add_endpoint),
    Route(POST, "/terminals/{terminal_id}", _OWNER, None, merchants.change_terminal),
    Route(POST, "/terminals/{terminal_id}/test", _OPERATE, None, merchants.test_terminal),
    *asking("/terminals/{terminal_id}/switch-off", _OWNER, None, merchants.switch_terminal_off,
            questions.switch_terminal_off),
    Route(POST, "/terminals/{terminal_id}/switch-on", _OWNER, None, merchants.switch_terminal_on),
    *asking("/tokens/{token_id}/rotate", _OWNER, None, token_changes.rotate_token, questions.rotate_token),
    *asking("/tokens/{token_id}/revoke", _OPERATE, None, token_changes.revoke_token, questions.revoke_token),
    Route(POST, "/tokens/{token_id}/restore", _OPERATE, None, token_changes.restore_token),
    Route(POST, "/tokens/{token_id}/test-payment", _OWNER, None, guide.make_test_payment),
    Route(GET, "/operators", _READ, None, operators.list_operators),
    Route(POST, "/operators", _OWNER, None, operators.add_operator),
    *asking("/operators/{operator_id}/rotate", _OWNER, None, operators.rotate_operator, questions.rotate_operator),
    *asking("/operators/{operator_id}/revoke", _OWNER, None, operators.revoke_operator, questions.revoke_operator),
    *asking("/operators/{operator_id}/remove-second-factor", _OWNER, None, second_factor.remove,
            second_factor.ask_remove),
    Route(GET, "/second-factor", _READ, None, second_factor.show),
    Route(POST, "/second-factor", _READ, None, second_factor.enrol),
    *asking("/second-factor/end", _READ, None, second_factor.end, second_factor.ask_end),
    *asking("/second-factor/recovery-codes", _READ, None, second_factor.renew_recovery_codes,
            second_factor.ask_renew_recovery_codes),
    Route(GET, "/sessions", _READ, None, sessions.list_sessions),
    Route(POST, "/sessions/end-others", _READ, None, sessions.end_others),
    Route(POST, "/sessions/{session_id}/end", _READ, None, sessions.end_session),
    Route(GET, "/audit", _READ, None, operators.list_audit),
    Route(POST, "/audit/verify", _READ, None, operators.verify_audit),
    Route(GET, "/settings", _READ, None, home.show_settings),
    Route(GET, "/alerts", _READ, None, alerts.show_alerts),
    Route(POST, "/alerts/test", _OWNER, None, alerts.send_test),
    Route(POST, "/logout", _READ, _SEE, entry.logout),
)  # fmt: skip
FILE: Final = "/assets/{name}"
LOGIN: Final = f"{Side.CONSOLE}/login"
ENTER: Final = f"{Side.PORTAL}/enter/"
_LOGINS: Final = frozenset({LOGIN, PROVIDER, CALLBACK})
# Who is not logged in reaches these.
OPEN: Final = frozenset({
    (GET, LOGIN), (POST, LOGIN), (GET, CODE), (POST, CODE), (GET, PROVIDER), (GET, CALLBACK), (GET, f"{ENTER}{{link}}")
})  # fmt: skip


def pages_of(services: ConsoleServices, side: Side, callers: RateLimiting) -> Pages:
    def refuse(request: web.Request, error: DargahError) -> web.Response:
        return render_error(services, request, error)

    return Pages(is_page, lambda app: add_routes(app, services, side, callers), refuse)


def add_routes(app: web.Application, services: ConsoleServices, side: Side, callers: RateLimiting) -> None:
    """Adds a side's pages to a listener. Wrong tokens and links count against their address."""
    kind = RouteKind.OPERATE if side is Side.CONSOLE else RouteKind.OPEN

    def add(method: str, path: str, handler: Handler) -> None:
        for verb in (GET, hdrs.METH_HEAD) if method == GET else (method,):
            callers.cover(app.router.add_route(verb, path, handler), kind)

    for route in ROUTES:
        if side is Side.CONSOLE or route.scope is not None:
            add(route.method, f"{side}{route.path}", guarded(services, side, route))
    if side is Side.CONSOLE:
        seen_as = seen_as_merchant(services)
        for route in filter(is_viewed, ROUTES):
            add(GET, f"{side}{BASE}{route.path}", guarded(services, side, route, seen_as))
    add(GET, side.value, _to_first_page(side))
    add(GET, f"{side}{FILE}", _file)
    if side is Side.CONSOLE:
        add(GET, LOGIN, entry.login_page(services))
        add(POST, LOGIN, entry.login(services))
        add(GET, CODE, code_login.code_page(services))
        add(POST, CODE, code_login.give_code(services))
        add(GET, PROVIDER, provider_login.begin(services))
        add(GET, CALLBACK, provider_login.answer(services))
    else:
        add(GET, f"{ENTER}{{link}}", entry.enter_portal(services))


def is_page(path: str) -> bool:
    """Whether a path is of these pages, of either side."""
    return any(path == side or path.startswith(f"{side}/") for side in Side)


def render_error(services: ConsoleServices, request: web.Request, error: DargahError) -> web.Response:
    """The error as a page."""
    if request.path in _LOGINS and isinstance(error, entry.LOGIN_ERRORS):
        return entry.refused_page(services, request, error)
    if request.path == CODE and isinstance(error, code_login.CODE_LOGIN_ERRORS):
        return code_login.refused_code_page(request, error)
    if isinstance(error, SessionOver):
        return stranger(side_of(request), request)
    if isinstance(error, Unauthenticated):
        return bare_page("closed.html", words_of(request), Side.PORTAL, status=401)
    return error_page(request, error)


def _to_first_page(side: Side) -> Handler:
    async def lead(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=303, headers={hdrs.LOCATION: f"{side}/"})

    return lead


async def _file(request: web.Request) -> web.StreamResponse:
    """The style, the script, the font and the icon."""
    asset = FILES.get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    return web.Response(body=asset.body, headers={**LASTING_HEADERS, "Content-Type": asset.content_type})
