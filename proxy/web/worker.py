"""The admin listener of a process without the role `api`: whether it lives, and its figures."""

from typing import Final

from aiohttp import web

from proxy.metrics import CONTENT_TYPE
from proxy.web import health
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.middleware import observe
from proxy.web.problems import problem_response
from proxy.web.services import SERVICES, Services

METRICS: Final = "/metrics"


def create_worker_app(services: Services) -> web.Application:
    """`/healthz`, `/readyz` and `/metrics`, for probes and scrapers, which bring no token."""
    seen = observe(
        lambda _request, error: problem_response(error),
        services.random_bytes,
        services.callers,
        answered=services.metrics.answers("admin"),
        spans=services.spans,
    )
    app = web.Application(middlewares=[seen])
    app[SERVICES] = services
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get(METRICS, _metrics)
    return app


async def _metrics(request: web.Request) -> web.Response:
    headers = {**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE}
    return web.Response(body=await request.app[SERVICES].metrics.text(), headers=headers)
