"""Traces: the W3C context of a payment, and the spans of work on it.

The context needs nothing but this module: the traceparent of a storefront's create is kept with the payment and sent on
with its webhooks. Spans are made only where a Tracer is given, by `observability/traced.py` and `api/middleware.py`.
"""

import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

_TRACEPARENT: Final = re.compile(r"00-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})")

CURRENT: Final[ContextVar[str | None]] = ContextVar("traceparent", default=None)
"""The traceparent of what is being done; None where nobody traces it."""


class Context(NamedTuple):
    """A traceparent's parts, in lower-case hex."""

    trace_id: str
    span_id: str
    flags: str

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def parse(traceparent: str | None) -> Context | None:
    """The parts of a `traceparent` header of version 00; None when it is none (W3C Trace Context 3.2)."""
    match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    return None if match is None else Context(*match.groups())


class Kind(StrEnum):
    """The kind of a span: SERVER for a received request, CLIENT for a sent one."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """The span of a piece of work. It never holds a secret: no key, token, link, invoice_key, URL, body or error."""

    @property
    def traceparent(self) -> str: ...

    def set(self, name: str, value: str | int) -> None: ...

    def fail(self, reason: str) -> None:
        """The work failed; `reason` is one of our own names."""


class Tracer(Protocol):
    """Makes spans and exports them."""

    def span(self, name: str, kind: Kind, parent: str | None) -> AbstractContextManager[Span]:
        """A span from now until the context's end, below the traceparent given, or of a new trace."""

    async def close(self) -> None:
        """Exports the remaining spans, within a few seconds."""
