"""The public listener: the merchant's API, the customer's way, and health, in one table."""

from collections.abc import Iterator
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.console import routes as console
from proxy.errors import DargahError
from proxy.reference import page as reference
from proxy.web import assets, customer, deliveries, endpoints, events, facade, health, logos, payments, portal_links, qr
from proxy.web.callers import Kind
from proxy.web.middleware import observe
from proxy.web.pages import Frame, error_page
from proxy.web.parsing import MAX_BODY_BYTES
from proxy.web.problems import problem_response
from proxy.web.services import SERVICES, Services

# A GET also answers HEAD.
ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("POST", "/v1/payments", payments.create_payment),
    ("GET", "/v1/payments", payments.list_payments),
    ("GET", "/v1/payments/{payment_id}", payments.get_payment),
    ("POST", "/v1/payments/{payment_id}/check", payments.check_payment),
    ("GET", "/v1/payments/{payment_id}/timeline", payments.get_timeline),
    ("GET", "/v1/payments/{payment_id}/qr.svg", qr.get_qr),
    ("POST", "/v1/webhook-endpoints", endpoints.create_endpoint),
    ("GET", "/v1/webhook-endpoints", endpoints.list_endpoints),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}", endpoints.get_endpoint),
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}", endpoints.change_endpoint),
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}", endpoints.delete_endpoint),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret", endpoints.rotate_secret),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries", deliveries.list_deliveries),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/recover", deliveries.recover),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay", deliveries.replay),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/test", deliveries.test_endpoint),
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/stats", deliveries.get_stats),
    ("GET", "/v1/deliveries/{delivery_id}", deliveries.get_delivery),
    ("POST", "/v1/deliveries/{delivery_id}/retry", deliveries.retry_delivery),
    ("POST", "/v1/portal-links", portal_links.create_portal_link),
    ("POST", "/v1/events/test", events.trigger),
    ("GET", "/v1/events", events.list_events),
    ("GET", "/v1/events/{event_id}", events.get_event),
    ("GET", "/pay/{link}", customer.pay),
    ("GET", "/return/{link}", customer.come_back),
    ("POST", "/return/{link}", customer.come_back),
    ("GET", assets.ASSET, assets.get_asset),
    ("GET", logos.LOGO, logos.get_logo),
    ("GET", reference.PAGE, reference.get_reference),
    ("GET", reference.DOCUMENT, reference.get_document),
    ("GET", "/healthz", health.healthz),
    ("GET", "/readyz", health.readyz),
)
RETURN_PATH: Final = "/return/"
CUSTOMER_PATHS: Final = ("/pay/", RETURN_PATH)


def create_public_app(services: Services) -> web.Application:
    """The application of the public listener over `services`."""
    seen = observe(
        _render_error,
        services.random_bytes,
        services.callers,
        services.hsts,
        answered=services.metrics.answers("public"),
        spans=services.spans,
    )
    app = web.Application(middlewares=[seen], client_max_size=MAX_BODY_BYTES)
    app[SERVICES] = services
    for method, path, handler in ROUTES:
        kind = _kind(method, path)
        for verb in ("GET", "HEAD") if method == "GET" else (method,):
            route = app.router.add_route(verb, path, handler)
            if kind is not None:
                services.callers.cover(route, kind)
    facade.add_routes(app)
    return app


def _kind(method: str, path: str) -> Kind | None:
    """What a route is limited as; health checks are not."""
    if path.startswith(CUSTOMER_PATHS):
        return Kind.PAGE
    if not path.startswith(("/v1/", "/logos/", reference.PAGE)):
        return None
    return Kind.CREATE if (method, path) == ("POST", "/v1/payments") else Kind.CALL


def operations() -> Iterator[tuple[str, str]]:
    """The (method, path) pairs of the listener, as openapi.yaml must have them."""
    yield from ((method, path) for method, path, _ in ROUTES)
    yield from facade.OPERATIONS


def _render_error(request: web.Request, error: DargahError) -> web.StreamResponse:
    if facade.answers(request.path):
        return facade.error_response(error)
    if console.hangs(request.path):
        return console.render_error(request, error)
    if request.path.startswith(CUSTOMER_PATHS) or facade.pays(request.path):
        return error_page(error, Frame.of(request), returning=request.path.startswith(RETURN_PATH))
    return problem_response(error)
