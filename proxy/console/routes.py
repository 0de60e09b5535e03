"""Every page and form of the console and the portal in one table, and how a listener gets them."""

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from proxy.api.middleware import Pages
from proxy.api.rate_limiting import RateLimiting, RouteKind
from proxy.console import deliveries, entry, home, merchants, operators, payments, reconcile
from proxy.console import merchants as looks
from proxy.console import onboarding as guide
from proxy.console.guard import Route, SessionOver, error_page, guarded, side_of, stranger, words_of
from proxy.console.page_context import FILES, Side, bare_page
from proxy.console.services import ConsoleServices
from proxy.http.static_assets import LASTING_HEADERS
from proxy.kernel.errors import DargahError, RateLimited, Unauthenticated
from proxy.merchants.merchant import Scope
from proxy.operators.records import Role

GET, POST = hdrs.METH_GET, hdrs.METH_POST
_READ, _OPERATE, _OWNER = Role.READ, Role.OPERATE, Role.OWNER
_SEE, _ASK, _HOOKS = Scope.PAYMENTS_READ, Scope.PAYMENTS_WRITE, Scope.WEBHOOKS

# What an operator needs for each, and what a merchant's token does; None is no merchant's. As in the operator's API,
# what shows a secret, or sends somebody's money or news elsewhere, is the owner's.
ROUTES: Final[tuple[Route, ...]] = (
    Route(GET, "/", _READ, _SEE, home.show_home),
    Route(GET, "/payments", _READ, _SEE, payments.list_payments),
    Route(GET, "/payments.csv", _READ, _SEE, payments.export),
    Route(GET, "/search", _READ, _SEE, payments.search),
    Route(GET, "/reviews", _READ, _SEE, payments.list_reviews),
    Route(GET, "/payments/{payment_id}", _READ, _SEE, payments.show_payment),
    Route(POST, "/payments/{payment_id}/check", _OPERATE, _ASK, payments.check_payment),
    Route(POST, "/payments/{payment_id}/resolve", _OPERATE, None, payments.resolve_payment),
    Route(GET, "/endpoints", _READ, _HOOKS, deliveries.list_endpoints),
    Route(GET, "/endpoints/{endpoint_id}", _READ, _HOOKS, deliveries.show_endpoint),
    Route(POST, "/endpoints/{endpoint_id}/test", _OPERATE, _HOOKS, deliveries.ping),
    Route(POST, "/endpoints/{endpoint_id}/recover", _OPERATE, _HOOKS, deliveries.recover),
    Route(POST, "/endpoints/{endpoint_id}/replay", _OPERATE, _HOOKS, deliveries.replay),
    Route(POST, "/endpoints/{endpoint_id}/state", _OWNER, None, merchants.change_endpoint),
    Route(POST, "/endpoints/{endpoint_id}/rotate-secret", _OWNER, None, merchants.rotate_secret),
    Route(POST, "/endpoints/{endpoint_id}/delete", _OWNER, None, merchants.delete_endpoint),
    Route(GET, "/deliveries/{delivery_id}", _READ, _HOOKS, deliveries.show_delivery),
    Route(POST, "/deliveries/{delivery_id}/retry", _OPERATE, _HOOKS, deliveries.retry_delivery),
    Route(GET, "/jobs/{job_id}", _READ, _SEE, home.show_job),
    Route(GET, "/merchants", _READ, None, merchants.list_merchants),
    Route(GET, "/merchants/new", _OWNER, None, guide.show_guide),
    Route(POST, "/merchants/new", _OWNER, None, guide.add_all),
    Route(GET, "/merchants/{merchant_id}", _READ, None, merchants.show_merchant),
    Route(POST, "/merchants/{merchant_id}", _OWNER, None, merchants.change_merchant),
    Route(POST, "/merchants/{merchant_id}/looks", _OWNER, None, looks.change_looks, files=True),
    Route(GET, "/merchants/{merchant_id}/logo", _READ, None, looks.show_logo),
    Route(POST, "/merchants/{merchant_id}/rotate-return-secret", _OWNER, None, merchants.rotate_return_secret),
    Route(POST, "/merchants/{merchant_id}/check-up", _OPERATE, None, merchants.check_up),
    Route(GET, "/merchants/{merchant_id}/reconcile", _READ, None, reconcile.show_form),
    Route(POST, "/merchants/{merchant_id}/reconcile", _OPERATE, None, reconcile.compare),
    Route(POST, "/merchants/{merchant_id}/terminals", _OWNER, None, merchants.add_terminal),
    Route(POST, "/merchants/{merchant_id}/tokens", _OWNER, None, merchants.add_token),
    Route(POST, "/merchants/{merchant_id}/endpoints", _OWNER, None, merchants.add_endpoint),
    Route(POST, "/terminals/{terminal_id}", _OWNER, None, merchants.change_terminal),
    Route(POST, "/terminals/{terminal_id}/test", _OPERATE, None, merchants.test_terminal),
    Route(POST, "/tokens/{token_id}/rotate", _OWNER, None, merchants.rotate_token),
    Route(POST, "/tokens/{token_id}/revoke", _OPERATE, None, merchants.revoke_token),
    Route(POST, "/tokens/{token_id}/test-payment", _OWNER, None, guide.make_test_payment),
    Route(GET, "/operators", _READ, None, operators.list_operators),
    Route(POST, "/operators", _OWNER, None, operators.add_operator),
    Route(POST, "/operators/{operator_id}/rotate", _OWNER, None, operators.rotate_operator),
    Route(POST, "/operators/{operator_id}/revoke", _OWNER, None, operators.revoke_operator),
    Route(GET, "/audit", _READ, None, operators.list_audit),
    Route(POST, "/audit/verify", _READ, None, operators.verify_audit),
    Route(GET, "/settings", _READ, None, home.show_settings),
    Route(POST, "/logout", _READ, _SEE, entry.logout),
)
FILE: Final = "/assets/{name}"
LOGIN: Final = f"{Side.CONSOLE}/login"
ENTER: Final = f"{Side.PORTAL}/enter/"
# Who is not logged in reaches these.
OPEN: Final = frozenset({(GET, LOGIN), (POST, LOGIN), (GET, f"{ENTER}{{link}}")})


def pages_of(services: ConsoleServices, side: Side, callers: RateLimiting) -> Pages:
    return Pages(is_page, lambda app: add_routes(app, services, side, callers), render_error)


def add_routes(app: web.Application, services: ConsoleServices, side: Side, callers: RateLimiting) -> None:
    """Adds a side's pages to a listener. Wrong tokens and links count against their address."""
    kind = RouteKind.OPERATE if side is Side.CONSOLE else RouteKind.OPEN

    def add(method: str, path: str, handler: Handler) -> None:
        for verb in (GET, hdrs.METH_HEAD) if method == GET else (method,):
            callers.cover(app.router.add_route(verb, path, handler), kind)

    for route in ROUTES:
        if side is Side.CONSOLE or route.scope is not None:
            add(route.method, f"{side}{route.path}", guarded(services, side, route))
    add(GET, side.value, _to_first_page(side))
    add(GET, f"{side}{FILE}", _file)
    if side is Side.CONSOLE:
        add(GET, LOGIN, entry.login_page(services))
        add(POST, LOGIN, entry.login(services))
    else:
        add(GET, f"{ENTER}{{link}}", entry.enter_portal(services))


def is_page(path: str) -> bool:
    """Whether a path is of these pages, of either side."""
    return any(path == side or path.startswith(f"{side}/") for side in Side)


def render_error(request: web.Request, error: DargahError) -> web.Response:
    """The error as a page."""
    if request.path == LOGIN and isinstance(error, Unauthenticated | RateLimited):
        return entry.refused_page(request, error)
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
    """The style, the font and the icon."""
    asset = FILES.get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    return web.Response(body=asset.body, headers={**LASTING_HEADERS, "Content-Type": asset.content_type})
