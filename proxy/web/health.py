"""`/healthz`: the process answers. `/readyz`: it may be sent work."""

from aiohttp import web

from proxy.web.answers import json_answer
from proxy.web.services import SERVICES


async def healthz(_request: web.Request) -> web.Response:
    return json_answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 when every check passes, else 503; each is named."""
    checks = dict(await request.app[SERVICES].ready())
    ready = all(checks.values())
    return json_answer({"status": "ready" if ready else "unready", "checks": checks}, 200 if ready else 503)
