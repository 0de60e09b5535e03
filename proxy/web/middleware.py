"""The one middleware: ids in and out, errors into answers, one log line per request.

aiohttp pays for each layer on every request, so these stay together.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from structlog.contextvars import bind_contextvars

from proxy.errors import DargahError
from proxy.ids import RandomBytes
from proxy.telemetry.tracing import CURRENT, Span, parse
from proxy.web.callers import Call, Callers
from proxy.web.headers import RATE_LIMIT
from proxy.web.parsing import MAX_BODY_BYTES
from proxy.web.problems import BodyTooLarge, InternalError, MethodNotAllowed, RouteNotFound
from proxy.web.traced import RequestSpans

log = structlog.get_logger()

MERCHANT_ID: Final = web.RequestKey("merchant_id", str)
PAYMENT_ID: Final = web.RequestKey("payment_id", str)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RenderError = Callable[[web.Request, DargahError], web.StreamResponse]
Answered = Callable[[int, float], None]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})


class Trace(NamedTuple):
    """The ids of one request. `traceparent` is the W3C header of our own span, where the caller sent one."""

    request_id: str
    trace_id: str | None
    traceparent: str | None


def observe(
    render_error: RenderError,
    random_bytes: RandomBytes,
    callers: Callers,
    hsts: str | None = None,
    *,
    answered: Answered,
    spans: RequestSpans | None = None,
) -> Middleware:
    """The middleware of an application whose errors `render_error` shows. Make it once the logging is configured.

    `answered` hears of each status and how many seconds it took; `spans` is there while traces are exported.
    """
    logged = log.is_enabled_for(logging.INFO)

    @web.middleware
    async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        trace = _trace(request, random_bytes)
        # aiohttp runs each request in a task of its own, and so in a context, which the log lines of its work show.
        bind_contextvars(request_id=trace.request_id)
        call = callers.call(request)
        if spans is None:
            response = await _answer(request, handler, render_error, trace, callers, call)
        else:
            answer = partial(_answer, request, handler, render_error, trace, callers, call)
            response, trace = await _in_span(spans, request, trace, answer)
        response.headers["X-Request-Id"] = trace.request_id
        if trace.traceparent is not None:
            response.headers["traceparent"] = trace.traceparent
        if (nearing := call.headers()) is not None and RATE_LIMIT not in response.headers:
            response.headers.update(nearing)
        if hsts is not None:
            response.headers["Strict-Transport-Security"] = hsts
        seconds = time.perf_counter() - started
        answered(response.status, seconds)
        if logged:
            # The answer leaves first: aiohttp writes it in this turn of the loop.
            asyncio.get_running_loop().call_soon(_log, request, response.status, trace, seconds, call.client)
        return response

    return observed


async def _answer(
    request: web.Request, handler: Handler, render_error: RenderError, trace: Trace, callers: Callers, call: Call
) -> web.StreamResponse:
    try:
        callers.enter(request, call)
        return await handler(request)
    except DargahError as error:
        callers.failed(call, error)
        return render_error(request, error)
    except web.HTTPException as error:
        return render_error(request, _of_aiohttp(error))
    except Exception:
        log.exception("request_failed", request_id=trace.request_id, route=_route(request))
        return render_error(request, InternalError())


async def _in_span(
    spans: RequestSpans, request: web.Request, trace: Trace, answer: Callable[[], Awaitable[web.StreamResponse]]
) -> tuple[web.StreamResponse, Trace]:
    """The answer, and the trace with the request's span in the place of what was sent."""

    def tell(span: Span) -> None:
        span.set("dargah.request_id", trace.request_id)
        if MERCHANT_ID in request:
            span.set("dargah.merchant_id", request[MERCHANT_ID])
        if PAYMENT_ID in request:
            span.set("dargah.payment_id", request[PAYMENT_ID])

    sent = request.headers.get("traceparent")
    response, own = await spans.serve(request, _method(request), _route(request), sent, answer, tell)
    parsed = parse(own)
    return response, trace if parsed is None else trace._replace(trace_id=parsed.trace_id, traceparent=own)


def _of_aiohttp(error: web.HTTPException) -> DargahError:
    match error:
        case web.HTTPNotFound():
            return RouteNotFound()
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(tuple(sorted(error.allowed_methods)))
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLarge(MAX_BODY_BYTES)
        case _:
            raise error


def _trace(request: web.Request, random_bytes: RandomBytes) -> Trace:
    given, sent = request.headers.get("X-Request-Id"), request.headers.get("traceparent")
    request_id = given if given and _REQUEST_ID.fullmatch(given) else random_bytes(12).hex()
    parent = parse(sent) if sent else None
    if parent is None:
        return Trace(request_id, None, None)
    own = str(parent._replace(span_id=random_bytes(8).hex()))
    CURRENT.set(own)
    return Trace(request_id, parent.trace_id, own)


def _method(request: web.Request) -> str:
    """One of the known ones: a client's own word is no label."""
    return request.method if request.method in _METHODS else "other"


def _route(request: web.Request) -> str:
    """The pattern rather than the path: a path may hold a pay link, which is a secret."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical


def _log(request: web.Request, status: int, trace: Trace, seconds: float, client: str | None) -> None:
    fields = {
        "request_id": trace.request_id,
        "method": _method(request),
        "route": _route(request),
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    if trace.trace_id is not None:
        fields["trace_id"] = trace.trace_id
    if client is not None:
        fields["client"] = client
    if MERCHANT_ID in request:
        fields["merchant_id"] = request[MERCHANT_ID]
    if PAYMENT_ID in request:
        fields["payment_id"] = request[PAYMENT_ID]
    log.info("request", **fields)
