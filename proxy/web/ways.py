"""The way of a request to its handler, found by one look-up where the path has no variable in it.

What aiohttp does for each request (match, wrap the handler in the middleware, note the application) comes out the same
each time for such a route, so it is done once. Paths with a variable, and what matches nothing, go aiohttp's way.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ANY: Final = hdrs.METH_ANY


def prepared(app: web.Application) -> Handler:
    """The handler of all requests to `app`, whose routes and middleware are frozen."""
    ways = {
        (route.method, resource.canonical): (_match(app, route), _wrapped(app, route.handler))
        for resource in app.router.resources()
        if isinstance(resource, web.PlainResource)
        for route in resource
        if route.method != ANY
    }

    async def handle(request: web.Request) -> web.StreamResponse:
        way = ways.get((request.method, request.rel_url.raw_path))
        if way is None or hdrs.EXPECT in request.headers:
            return await app._handle(request)  # noqa: SLF001  what aiohttp's own runner calls
        request._match_info, handler = way  # noqa: SLF001  as `_handle` does
        return await handler(request)

    return handle


def _match(app: web.Application, route: web.AbstractRoute) -> UrlMappingMatchInfo:
    found = UrlMappingMatchInfo({}, route)
    found.add_app(app)
    found.current_app = app
    found.freeze()
    return found


def _wrapped(app: web.Application, handler: Handler) -> Handler:
    for middleware in reversed(app.middlewares):
        handler = partial(middleware, handler=handler)
    return handler
