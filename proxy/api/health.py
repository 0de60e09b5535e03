"""Probes and metrics, without a token: liveness, readiness, and the metrics of the process."""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.api.middleware import observe
from proxy.api.rate_limiting import RateLimiting
from proxy.api.responses import json_answer
from proxy.api.services import SERVICES, Services
from proxy.http.headers import SECURITY_HEADERS
from proxy.http.problems import problem_response
from proxy.observability.metrics import CONTENT_TYPE, Metrics

METRICS: Final = "/metrics"


def create_worker_app(services: Services, callers: RateLimiting) -> web.Application:
    """The admin listener of a process without the role `api`."""
    observed = observe(
        lambda _request, error: problem_response(error),
        services.random_bytes,
        callers,
        answered=services.metrics.answers("admin"),
        spans=services.spans,
    )
    app = web.Application(middlewares=[observed])
    app[SERVICES] = services
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get(METRICS, show_metrics(services.metrics))
    return app


async def healthz(_request: web.Request) -> web.Response:
    """The process answers."""
    return json_answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 when every check passes, else 503; each is named."""
    checks = dict(await request.app[SERVICES].ready())
    ready = all(checks.values())
    return json_answer({"status": "ready" if ready else "unready", "checks": checks}, 200 if ready else 503)


def show_metrics(metrics: Metrics) -> Handler:
    async def show(_request: web.Request) -> web.StreamResponse:
        headers = {**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE}
        return web.Response(body=await metrics.text(), headers=headers)

    return show
