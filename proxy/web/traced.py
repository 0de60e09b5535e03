"""The spans of requests: each in its caller's trace, a customer's in the one in which the payment was created."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from proxy.errors import DargahError
from proxy.ids import merchant_of_id, merchant_of_link
from proxy.telemetry.traced import current
from proxy.telemetry.tracing import Kind, Span, Tracer, Traces

# Probes and scrapes come every few seconds and are nobody's story.
UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_SERVER_ERROR: Final = 500


class RequestSpans:
    """`serve` runs a request within its span."""

    def __init__(self, tracer: Tracer, traces: Traces) -> None:
        self._tracer = tracer
        self._traces = traces

    async def serve(
        self,
        request: web.Request,
        method: str,
        route: str,
        sent: str | None,
        answer: Callable[[], Awaitable[web.StreamResponse]],
        tell: Callable[[Span], None],
    ) -> tuple[web.StreamResponse, str | None]:
        """The answer, and the traceparent to give back. `sent` is the caller's own, `tell` is called at the end."""
        if route in UNTRACED:
            return await answer(), None
        parent = await self._parent(request.match_info, sent)
        with self._tracer.span(f"{method} {route}", Kind.SERVER, parent) as span, current(span):
            response = await answer()
            span.set("http.request.method", method)
            span.set("http.route", route)
            span.set("http.response.status_code", response.status)
            tell(span)
            if response.status >= _SERVER_ERROR:
                span.fail("status")
            return response, span.traceparent

    async def _parent(self, path: Mapping[str, str], sent: str | None) -> str | None:
        """Browsers send no traceparent that means anything to us; whoever calls the API may."""
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
