"""The public listener: the merchant's API, the customer's pages, and health, in one table."""

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from proxy.api import drop_in, health
from proxy.api.customer import handlers as customer
from proxy.api.customer import page_assets
from proxy.api.customer.pages import Frame, error_page
from proxy.api.customer.visit import Reader
from proxy.api.middleware import Pages, RenderError, Routes, observe
from proxy.api.rate_limiting import PASTED, RouteKind
from proxy.api.services import SERVICES, Services
from proxy.api.v1 import payments, portal_links, webhooks
from proxy.http import static_assets as assets
from proxy.http.parsing import MAX_BODY_BYTES
from proxy.http.problems import RouteNotFound, problem_response
from proxy.kernel.errors import DargahError

ROUTES: Final[Routes] = (
    ("POST", "/v1/payments", payments.create_payment),
    ("GET", "/v1/payments", payments.list_payments),
    ("GET", "/v1/payments/{payment_id}", payments.get_payment),
    ("POST", "/v1/payments/{payment_id}/check", payments.check_payment),
    ("POST", "/v1/payments/{payment_id}/cancel", payments.cancel_payment),
    ("GET", "/v1/payments/{payment_id}/timeline", payments.get_timeline),
    ("GET", "/v1/payments/{payment_id}/qr.svg", payments.get_qr),
    ("POST", "/v1/webhook-endpoints", webhooks.create_endpoint),
    ("GET", "/v1/webhook-endpoints", webhooks.list_endpoints),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}", webhooks.get_endpoint),
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}", webhooks.change_endpoint),
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}", webhooks.delete_endpoint),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret", webhooks.rotate_secret),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries", webhooks.list_deliveries),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/recover", webhooks.recover),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay", webhooks.replay),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/test", webhooks.test_endpoint),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/stats", webhooks.get_stats),
    ("GET", "/v1/deliveries/{delivery_id}", webhooks.get_delivery),
    ("POST", "/v1/deliveries/{delivery_id}/retry", webhooks.retry_delivery),
    ("POST", "/v1/portal-links", portal_links.create_portal_link),
    ("POST", "/v1/events/test", webhooks.trigger),
    ("GET", "/v1/events", webhooks.list_events),
    ("GET", "/v1/events/{event_id}", webhooks.get_event),
    ("GET", "/pay/{link}", customer.pay),
    ("POST", "/pay/{link}", customer.pay),
    ("GET", "/return/{link}", customer.come_back),
    ("POST", "/return/{link}", customer.come_back),
    ("GET", assets.ASSET, assets.get_asset),
    ("GET", page_assets.LOGO, page_assets.get_logo),
    ("GET", "/healthz", health.healthz),
    ("GET", "/readyz", health.readyz),
)
_UNLIMITED: Final = (assets.ASSET, "/healthz", "/readyz")
CUSTOMER_PATHS: Final = ("/pay/", "/return/")


def create_public_app(services: Services, documents: Routes = (), portal: Pages | None = None) -> web.Application:
    """The public listener, with the API's `documents`, which anybody may read, and the portal's pages."""
    observed = observe(
        _error_renderer(services, portal),
        services.random_bytes,
        services.callers,
        services.hsts,
        answered=services.metrics.answers("public"),
        spans=services.spans,
    )
    app = web.Application(middlewares=[observed], client_max_size=MAX_BODY_BYTES)
    app[SERVICES] = services
    for method, path, handler in (*ROUTES, *documents):
        kind = _kind(method, path)
        for verb in ("GET", "HEAD") if method == "GET" else (method,):
            route = app.router.add_route(verb, path.replace("{link}", f"{{link:{PASTED}}}"), handler)
            if kind is not None:
                services.callers.cover(route, kind)
    drop_in.add_routes(app)
    if portal is not None:
        portal.add_routes(app)
    return app


def _kind(method: str, path: str) -> RouteKind | None:
    """The rate-limit kind of a route; None for health checks."""
    if path.startswith(CUSTOMER_PATHS):
        return RouteKind.PAGE
    if path.startswith("/v1/"):
        return RouteKind.CREATE if (method, path) == ("POST", "/v1/payments") else RouteKind.CALL
    return None if path in _UNLIMITED else RouteKind.OPEN


def operations(documents: Routes = ()) -> Iterator[tuple[str, str]]:
    """The (method, path) pairs of the listener, as openapi.yaml must have them."""
    yield from ((method, path) for method, path, _ in (*ROUTES, *documents))
    yield from drop_in.OPERATIONS


def _error_renderer(services: Services, portal: Pages | None) -> RenderError:
    def render(request: web.Request, error: DargahError) -> web.StreamResponse:
        path = request.path
        if (protocol := drop_in.answered_by(path)) is not None:
            return drop_in.error_response(protocol, error, path)
        if portal is not None and portal.has(path):
            return portal.render_error(request, error)
        if path.startswith(CUSTOMER_PATHS) or drop_in.pays(path) or _strays(request, error):
            frame = Frame.of(Reader.of(request), services.public_url())
            # The route tells, not the path: a drop-in may stand under any prefix, and so under /return.
            return error_page(error, frame, returning=request.match_info.handler is customer.come_back)
        return problem_response(error)

    return render


def _strays(request: web.Request, error: DargahError) -> bool:
    """Whether a person is at an address with nothing to see, such as the root, or a pay link's that lost its end."""
    api = request.path.startswith("/v1/")
    return isinstance(error, RouteNotFound) and not api and "text/html" in request.headers.get("Accept", "")
