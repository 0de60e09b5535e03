"""Spans by OpenTelemetry's SDK, exported by OTLP over HTTP from a thread. Imported only where they are wanted."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from proxy import __version__
from proxy.kernel import tracing
from proxy.kernel.tracing import Kind, parse

# A collector that is gone costs this much at the end of the process, and nothing before it: a full queue drops spans.
EXPORT_SECONDS: Final = 2
_KINDS: Final = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT, Kind.INTERNAL: SpanKind.INTERNAL}


class OtelSpan:
    """Implements tracing.Span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return str(tracing.Context(f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{context.trace_flags:02x}"))

    def set(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))


class OtelTracer:
    """Implements tracing.Tracer over a provider, which it shuts down at its end."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("dargah", __version__)

    @classmethod
    def to(cls, url: str, ratio: float) -> "OtelTracer":
        """One that exports to an OTLP/HTTP collector; `ratio` is the share of the traces that begin here."""
        provider = provider_of(ratio)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)))
        return cls(provider)

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str | None) -> Iterator[OtelSpan]:
        span = self._tracer.start_span(name, context=_context(parent), kind=_KINDS[kind])
        try:
            yield OtelSpan(span)
        except Exception as error:
            # Only the name: an error's text may quote what is nobody's business.
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    async def close(self) -> None:
        await asyncio.to_thread(self._provider.shutdown)


def provider_of(ratio: float) -> TracerProvider:
    """Samples that share of the traces that begin here; the others as their origin decided."""
    resource = Resource.create({"service.name": "dargah", "service.version": __version__})
    return TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource, shutdown_on_exit=False)


def _context(parent: str | None) -> Context:
    """An empty context, or one with the caller's span: OpenTelemetry's own context variables are not used."""
    parsed = parse(parent)
    if parsed is None:
        return Context()
    context = SpanContext(
        int(parsed.trace_id, 16), int(parsed.span_id, 16), is_remote=True, trace_flags=TraceFlags(int(parsed.flags, 16))
    )
    return trace.set_span_in_context(NonRecordingSpan(context), Context())
