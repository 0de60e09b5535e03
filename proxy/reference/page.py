"""The handlers of the reference: `/docs` with its pages, `/openapi.json`, `/llms.txt` and `GET /v1/event-types`."""

import asyncio
from typing import Final

from aiohttp import web

from proxy.api.auth import authenticate, bearer
from proxy.api.middleware import Routes
from proxy.api.services import SERVICES
from proxy.http.problems import RouteNotFound
from proxy.reference import pages
from proxy.reference.served import answer


async def get_index(request: web.Request) -> web.Response:
    """The index; with `?q=`, where those words stand."""
    query = request.query.get("q", "").strip()
    if not query or not request.app[SERVICES].api_docs:
        return await get_document(request)
    found = await asyncio.to_thread(pages.search_page, query, request.app[SERVICES].public_url())
    return answer(request, found)


async def get_document(request: web.Request) -> web.Response:
    """The document of this path."""
    services = request.app[SERVICES]
    if not services.api_docs:
        raise RouteNotFound
    # Made in a thread the first time: it takes longer than others should wait.
    document = await asyncio.to_thread(pages.document_at, request.path.removeprefix("/"), services.public_url())
    if document is None:
        raise RouteNotFound
    return answer(request, document)


async def list_event_types(request: web.Request) -> web.Response:
    """The event types, for any token. A shop's program needs them where the reference is turned off, too."""
    await authenticate(request, bearer(request))
    return answer(request, await asyncio.to_thread(pages.event_types), private=True)


ROUTES: Final[Routes] = (
    ("GET", "/v1/event-types", list_event_types),
    ("GET", "/docs", get_index),
    ("GET", "/docs/dargah.http", get_document),
    ("GET", "/docs/{page}", get_document),
    ("GET", "/openapi.json", get_document),
    ("GET", "/llms.txt", get_document),
)
