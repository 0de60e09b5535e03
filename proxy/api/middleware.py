"""The one middleware: ids in and out, errors into answers, one log line per request.

aiohttp pays for each layer on every request, so these stay together.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from proxy.api.rate_limiting import Call, RateLimiting
from proxy.http.headers import RATE_LIMIT, SECURITY_HEADERS
from proxy.http.parsing import MAX_BODY_BYTES
from proxy.http.problems import BodyTooLarge, InternalError, MethodNotAllowed, RouteNotFound
from proxy.kernel import log_context
from proxy.kernel.errors import DargahError, GatewayError, Overloaded, Unavailable
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import RandomBytes, merchant_of_id, merchant_of_link
from proxy.kernel.tracing import CURRENT, Kind, Span, Tracer, parse
from proxy.observability.traced import current
from proxy.payments.storage.repository import PaymentRepository

# Probes and scrapes come every few seconds and are nobody's story.
UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_SERVER_ERROR: Final = 500


class RequestSpans:
    """`serve` runs a request within its span."""

    def __init__(self, tracer: Tracer, traces: PaymentRepository) -> None:
        self._tracer = tracer
        self._traces = traces

    async def serve(
        self,
        request: web.Request,
        method: str,
        route: str,
        sent: str | None,
        answer: Callable[[], Awaitable[web.StreamResponse]],
        at_end: Callable[[Span], None],
    ) -> tuple[web.StreamResponse, str | None]:
        """The answer, and the traceparent to give back. `sent` is the caller's own; `at_end` gets the span."""
        if route in UNTRACED:
            return await answer(), None
        parent = await self._parent(request.match_info, sent)
        with self._tracer.span(f"{method} {route}", Kind.SERVER, parent) as span, current(span):
            response = await answer()
            span.set("http.request.method", method)
            span.set("http.route", route)
            span.set("http.response.status_code", response.status)
            at_end(span)
            if response.status >= _SERVER_ERROR:
                span.fail("status")
            return response, span.traceparent

    async def _parent(self, path: Mapping[str, str], sent: str | None) -> str | None:
        """The parent of the span. A browser's traceparent is ignored; an API caller's is used."""
        link = path.get("link") or path.get("invoice_key")
        try:
            if link is not None and (merchant_id := merchant_of_link(link)) is not None:
                return await self._traces.trace_of_link(merchant_id, link) or sent
            payment_id = path.get("payment_id")
            if sent is None and payment_id is not None and (merchant_id := merchant_of_id(payment_id)) is not None:
                return await self._traces.trace_of_payment(merchant_id, payment_id)
        except DargahError:
            pass  # the request itself will be told; a trace is worth no failure
        return sent


log = structlog.get_logger()

MERCHANT_ID: Final = web.RequestKey("merchant_id", str)
PAYMENT_ID: Final = web.RequestKey("payment_id", str)
PROBLEM: Final = web.RequestKey("problem", str)
"""The code of the problem that the answer tells."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RenderError = Callable[[web.Request, DargahError], web.StreamResponse]
Answered = Callable[[int, float], None]
Routes = Sequence[tuple[str, str, Handler]]
"""Method, path and handler. A GET also answers HEAD."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Pages:
    """A set of pages on one of the listeners: which paths are its own, and how it shows an error."""

    has: Callable[[str], bool]
    add_routes: Callable[[web.Application], None]
    render_error: RenderError


class Trace(NamedTuple):
    """The ids of one request. `traceparent` is the W3C header of our own span, where the caller sent one."""

    request_id: str
    trace_id: str | None
    traceparent: str | None


def observe(
    render_error: RenderError,
    random_bytes: RandomBytes,
    callers: RateLimiting,
    hsts: str | None = None,
    *,
    answered: Answered,
    spans: RequestSpans | None = None,
) -> Middleware:
    """The middleware of an application that renders errors by `render_error`. Create it after the logging is
    configured.

    `answered` is called with each status and its duration in seconds; `spans` is present while traces are exported.
    """
    logged = log.is_enabled_for(logging.INFO)

    @web.middleware
    async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        trace = _trace(request, random_bytes)
        # aiohttp runs each request in a task of its own, and so in a context, which the log lines of its work show.
        log_context.bind(request_id=trace.request_id)
        call = callers.call(request)
        if spans is None:
            response = await _answer(request, handler, render_error, trace, callers, call)
        else:
            answer = partial(_answer, request, handler, render_error, trace, callers, call)
            response, trace = await _in_span(spans, request, trace, answer)
        if call.of_page and PAYMENT_ID in request:
            callers.visited(request, call)
        headers = response.headers
        if hdrs.SERVER not in headers:  # a redirect, or another answer that nobody gave its own
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        headers["X-Request-Id"] = trace.request_id
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
    request: web.Request, handler: Handler, render_error: RenderError, trace: Trace, callers: RateLimiting, call: Call
) -> web.StreamResponse:
    try:
        callers.enter(request, call)
        return await handler(request)
    except DargahError as error:
        return _render(request, callers.failed(call, error), render_error)
    except web.HTTPException as error:
        return _render(request, _of_aiohttp(error), render_error)
    except MemoryError:
        with suppress(MemoryError):
            log.error("memory_exhausted", request_id=trace.request_id, route=_route(request))  # noqa: TRY400  a trace takes more of it
        return _render(request, Overloaded(), render_error)
    except Exception:
        log.exception("request_failed", request_id=trace.request_id, route=_route(request))
        return _render(request, InternalError(), render_error)


def _render(request: web.Request, error: DargahError, render_error: RenderError) -> web.StreamResponse:
    """The answer to an error. Its code and its payment are kept for the log."""
    request[PROBLEM] = error.code
    if isinstance(error, GatewayError | Unavailable) and error.payment_id is not None:
        request[PAYMENT_ID] = error.payment_id
    return render_error(request, error)


async def _in_span(
    spans: RequestSpans, request: web.Request, trace: Trace, answer: Callable[[], Awaitable[web.StreamResponse]]
) -> tuple[web.StreamResponse, Trace]:
    """The answer, and the trace with the request's span in place of the caller's traceparent."""

    def name_subjects(span: Span) -> None:
        span.set("dargah.request_id", trace.request_id)
        if MERCHANT_ID in request:
            span.set("dargah.merchant_id", request[MERCHANT_ID])
        if PAYMENT_ID in request:
            span.set("dargah.payment_id", request[PAYMENT_ID])

    sent = request.headers.get("traceparent")
    response, own = await spans.serve(request, _method(request), _route(request), sent, answer, name_subjects)
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


def _log(request: web.Request, status: int, trace: Trace, seconds: float, client: str) -> None:
    fields = {
        "request_id": trace.request_id,
        "method": _method(request),
        "route": _route(request),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "client": client,
    }
    if trace.trace_id is not None:
        fields["trace_id"] = trace.trace_id
    if MERCHANT_ID in request:
        fields["merchant_id"] = request[MERCHANT_ID]
    if PAYMENT_ID in request:
        fields["payment_id"] = request[PAYMENT_ID]
    if PROBLEM in request:
        fields["code"] = request[PROBLEM]
    log.info("request", **fields)
