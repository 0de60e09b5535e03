"""One client's connection: time for a request's head and for reading an answer, and quiet refusals.

Each connection has one timer for its whole life. Bodies have their time in `parsing.read_body`, the only place that
waits for one; aiohttp waits for an unread body (`lingering_time`), after the answer.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, cast

import structlog
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.http.connection_limits import ConnectionLimits
from proxy.http.headers import SECURITY_HEADERS
from proxy.http.problems import (
    PROBLEM_TYPE,
    HeadTooLarge,
    HeadTooSlow,
    InternalError,
    MalformedHttp,
    problem_of,
    problem_response,
)
from proxy.kernel.errors import DargahError, Overloaded
from proxy.kernel.urls import UNIX, parsed

log = structlog.get_logger()

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_FRAMING_BYTES: Final = 32 * 1024  # of a body: the sizes and extensions of its chunks, and its trailers
WRITE_SECONDS: Final = 30
WRITE_BYTES: Final = 256 * 1024
"""What a client must read of an answer within WRITE_SECONDS: a file may take longer than them over any network."""
_LOOKS_PER_HEAD: Final = 4
_SERVER_ERROR: Final = 500


class _Messages(deque[Any]):
    """aiohttp's queue of what a connection said. An error of its parser comes without its traceback, whose frames hold
    the segment and the error in a circle: a collector comes seldom, and a stranger sends many.
    """

    def append(self, message: Any) -> None:
        error = getattr(message[0], "exc", None)
        if error is not None:
            error.__traceback__ = None
        super().append(message)


class ClientConnection(RequestHandler):
    """One client's. It knows from the calls of aiohttp's protocol whether a head is awaited, or a request served."""

    __slots__ = (
        "_body_bytes",
        "_body_since",
        "_clock",
        "_connection_limits",
        "_content",
        "_head_bytes",
        "_head_seconds",
        "_head_since",
        "_idle_since",
        "_requests",
        "_stuck",
        "_timer",
        "_wire",
        "_writer",
        "address",
        "probing",
    )

    def __init__(
        self,
        server: web.Server,
        connection_limits: ConnectionLimits,
        head_seconds: float,
        loop: asyncio.AbstractEventLoop,
        **options: Any,
    ) -> None:
        super().__init__(server, loop=loop, **options)
        self._messages = _Messages()
        self.address = ""
        # It has a place that is kept for probes, and is answered nothing else.
        self.probing = False
        self._clock = loop
        self._connection_limits = connection_limits
        self._head_seconds = head_seconds
        self._requests = 0
        # The body of the last one, of which a client may send the rest after its answer.
        self._content: StreamReader | None = None
        # Since when it waits for a head; None while a request is served.
        self._idle_since: float | None = loop.time()
        # When the first byte of a head came that is not whole yet, or the connection; None when none is awaited.
        self._head_since: float | None = None
        self._head_bytes = 0
        # Of the body, as it is framed, since its head's segment.
        self._body_bytes = 0
        # Since when a body is waited for.
        self._body_since: float | None = None
        # Since when the client has not read more of which answer, and how many bytes it had read.
        self._stuck: tuple[int, int, float] | None = None
        self._wire: asyncio.Transport | None = None
        self._writer: AbstractStreamWriter | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.address = str(parsed(peer[0]) or peer[0]) if isinstance(peer, tuple) and peer else UNIX
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._head_since = self._clock.time()
        if not self._connection_limits.enter(self):
            self.probing = self._connection_limits.enter_as_probe(self)
            if not self.probing:
                self._refuse(Overloaded())
        self._look_later()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._connection_limits.leave(self)
        self._writer = None  # which knows the connection: neither would go before a collector comes
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        body = self._content
        super().data_received(data)
        if data and self._waits_for_head():
            self._head_grew(len(data))
        elif body is not None and body is self._content and not body.is_eof():
            self._body_grew(body, len(data))

    def began(self, content: StreamReader, writer: AbstractStreamWriter) -> None:
        """A head came whole; its answer goes by `writer`."""
        self._requests += 1
        self._writer = writer
        self._content = content
        self._idle_since = self._head_since = None
        self._head_bytes = self._body_bytes = 0

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        self._idle_since = self._clock.time()
        return finished

    def waiting(self) -> tuple[bool, float] | None:
        """As in `connection_limits.LimitedConnection`: for a head, the rest of a body, or for its answer to be read.

        The rest of a body is also awaited behind an answer that did without it.
        """
        if self._idle_since is not None:
            return (self._requests > (0 if self._waits_for_head() else 1), self._idle_since)
        since = self._body_since if self._stuck is None else self._stuck[2]
        return None if since is None else (self._requests > 1, since)

    @contextlib.contextmanager
    def body_awaited(self) -> Iterator[None]:
        """Counts as waiting for as long as the context lasts."""
        self._body_since = self._clock.time()
        try:
            yield
        finally:
            self._body_since = None

    def show_out(self) -> None:
        """Ends the connection at once."""
        if self.probing:
            self._refuse(Overloaded())
            return
        self.force_close()
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  aiohttp's name; it quotes what came
    ) -> web.StreamResponse:
        """The response to malformed HTTP and to errors outside the application. It never echoes the input."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of an answer was sent already")
        if exc is not None and status >= _SERVER_ERROR:
            log.error("request_failed", exc_info=exc)
        error = InternalError() if status >= _SERVER_ERROR else _head_error(exc)
        response = problem_response(error)
        response.force_close()
        return response

    def _waits_for_head(self) -> bool:
        """For a whole one, or the rest of one."""
        return self._idle_since is not None and (self._content is None or self._content.is_eof())

    def _head_grew(self, count: int) -> None:
        if self._head_since is None:
            self._head_since = self._clock.time()
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            # aiohttp begins a request in a call of its own: these may be a whole head and much of its body.
            self._clock.call_soon(self._look_at_head)

    def _body_grew(self, body: StreamReader, count: int) -> None:
        self._body_bytes += count
        if self._body_bytes - body.total_bytes <= MAX_FRAMING_BYTES:
            return
        self._body_bytes = 0
        if self._idle_since is None:
            self._refuse(MalformedHttp())
        else:  # it is answered already
            self.show_out()

    def _look_at_head(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES:
            self._head_bytes = 0
            self._refuse(HeadTooLarge())

    def _look_later(self) -> None:
        self._timer = self._clock.call_later(self._head_seconds / _LOOKS_PER_HEAD, self._look)

    def _look(self) -> None:
        now = self._clock.time()
        if self._head_since is not None and now - self._head_since >= self._head_seconds:
            self._head_since = None
            self._refuse(HeadTooSlow() if self._head_bytes else None)
        assert self._wire is not None, "it is connected while it has a timer"
        unread = self._wire.get_write_buffer_size()
        read = self._written() - unread
        if unread == 0:
            self._stuck = None
        elif self._stuck is None or self._stuck[0] != self._requests or read - self._stuck[1] >= WRITE_BYTES:
            self._stuck = (self._requests, read, now)
        elif now - self._stuck[2] >= WRITE_SECONDS:
            self.show_out()
        self._look_later()

    def _written(self) -> int:
        """Bytes of the answer to the present request."""
        return 0 if self._writer is None else self._writer.output_size

    def _refuse(self, error: DargahError | None) -> None:
        """Says why, where there is something to say, and ends the connection."""
        if error is not None and self.transport is not None:
            self.transport.write(_error_response(error))
        self.force_close()


def waiting_for_body(request: web.BaseRequest) -> contextlib.AbstractContextManager[None]:
    """While the rest of a request's body is awaited, its connection may be shown out as one that asks for nothing."""
    connection = request.protocol
    return connection.body_awaited() if isinstance(connection, ClientConnection) else contextlib.nullcontext()


def _head_error(error: BaseException | None) -> DargahError:
    # aiohttp's parser says with the same class that a line is too long, and with a plainer one that they are too many.
    too_large = isinstance(error, LineTooLong) or "Too many" in str(error)
    return HeadTooLarge() if too_large else MalformedHttp()


def _error_response(error: DargahError) -> bytes:
    """The answer as bytes, for a connection without a parsed request."""
    problem = problem_of(error)
    headers = {
        **SECURITY_HEADERS,
        **problem.headers,
        "Content-Type": PROBLEM_TYPE,
        "Content-Length": str(len(problem.body)),
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    title = str(problem.document["title"])
    return f"HTTP/1.1 {problem.status} {title}\r\n{head}\r\n".encode() + problem.body
