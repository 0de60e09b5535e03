"""aiohttp's server with what it lacks: time for a request's head and for reading an answer, caps, and quiet refusals.

Each connection has one timer for its whole life. Bodies have their time in `parsing.read_body`, which is the only place
that waits for one; what nobody read is waited for LINGER_SECONDS, after the answer.
"""

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.errors import DargahError, Overloaded
from proxy.web.door import Door
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.problems import (
    PROBLEM_TYPE,
    ExpectationFailed,
    HeadTooLarge,
    HeadTooSlow,
    InternalError,
    MalformedHttp,
    problem_of,
    problem_response,
)
from proxy.web.ways import prepared

log = structlog.get_logger()

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MAX_LINE_BYTES: Final = 16 * 1024  # of the request line and of each header
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
LINGER_SECONDS: Final = 2
WRITE_SECONDS: Final = 30
# Files and sockets that are not a client's: the store, gateways, webhooks, the operator's listener.
RESERVED_FILES: Final = 640
_LOOKS_PER_HEAD: Final = 4
_SERVER_ERROR: Final = 500


class Connection(RequestHandler):
    """One client's. It holds on to calls of aiohttp's that are not public; tests/web/test_slow_clients.py hold them."""

    __slots__ = ("_door", "_head_bytes", "_head_seconds", "_head_since", "_stuck", "_timer", "_wire", "address")

    def __init__(self, server: "Server", loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self.address = ""
        self._door = server.door
        self._head_seconds = server.head_seconds
        # When the first byte of a head came that is not whole yet, or the connection; None when none is awaited.
        self._head_since: float | None = None
        self._head_bytes = 0
        # Since when the client has not read all of which answer.
        self._stuck: tuple[int, float] | None = None
        self._wire: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._head_since = self._loop.time()
        if not self._door.enter(self):
            self._refuse(Overloaded())
        self._look_later()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._door.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._head_since, self._head_bytes = None, 0
        elif data and (before == 0 or self._idle()):
            self._head_grew(len(data))

    def waiting(self) -> tuple[bool, float] | None:
        """As `door.Guest` has it."""
        return (self._request_count > 0, self._next_keepalive_close_time) if self._idle() else None

    def show_out(self) -> None:
        """Ends the connection at once."""
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
        """What is answered to that which is no HTTP, and to what failed outside of the application: without an echo."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of an answer was sent already")
        if exc is not None and status >= _SERVER_ERROR:
            log.error("request_failed", exc_info=exc)
        error = InternalError() if status >= _SERVER_ERROR else _head_error(exc)
        response = problem_response(error)
        response.force_close()
        return response

    def _idle(self) -> bool:
        """Whether it waits for a head, whole or to be continued."""
        return self._waiter is not None and not self._waiter.done()

    def _head_grew(self, count: int) -> None:
        if self._head_since is None:
            self._head_since = self._loop.time()
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge())

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._head_seconds / _LOOKS_PER_HEAD, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self._head_since is not None and now - self._head_since >= self._head_seconds:
            self._head_since = None
            self._refuse(HeadTooSlow() if self._head_bytes else None)
        assert self._wire is not None, "it is connected while it has a timer"
        if self._wire.get_write_buffer_size() == 0:
            self._stuck = None
        elif self._stuck is None or self._stuck[0] != self._request_count:
            self._stuck = (self._request_count, now)
        elif now - self._stuck[1] >= WRITE_SECONDS:
            self.show_out()
        self._look_later()

    def _refuse(self, error: DargahError | None) -> None:
        """Says why, where there is something to say, and ends the connection."""
        if error is not None and self.transport is not None:
            self.transport.write(_whole(error))
        self.force_close()


class Server(web.Server):
    """Makes the connections of one listener."""

    def __init__(self, handler: Handler, door: Door, head_seconds: float, **options: Any) -> None:
        factory = options.pop("request_factory")
        super().__init__(_told(handler), request_factory=factory, handler_cancellation=False)
        self.door = door
        self.head_seconds = head_seconds
        self._options = options

    def __call__(self) -> Connection:
        return Connection(self, self._loop, **self._options)


class Runner(web.AppRunner):
    """Runs an application behind `door`. Times are in seconds."""

    def __init__(
        self, app: web.Application, door: Door, *, head_seconds: float, idle_seconds: float, shutdown_timeout: float
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_timeout,
            # A create goes on in its request's task when the storefront hangs up.
            handler_cancellation=False,
            keepalive_timeout=idle_seconds,
            lingering_time=LINGER_SECONDS,
            max_field_size=MAX_LINE_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._door = door
        self._head_seconds = head_seconds

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        options = {name: value for name, value in self._kwargs.items() if name != "handler_cancellation"}
        return Server(
            cast("Handler", prepared(self.app)),
            self._door,
            self._head_seconds,
            request_factory=made.request_factory,
            **options,
        )


def room_for(wanted: int) -> int:
    """How many clients' connections the process may have, `wanted` at most: its limit of open files is raised for them.

    Where that is not allowed it is fewer, since a process without a free file answers nobody and stores nothing.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - RESERVED_FILES, soft // 4))
    if room < wanted:
        log.warning("few_open_files_allowed", count=room)
    return room


def _told(handler: Handler) -> Handler:
    """The application without the echo in what it refuses before its middleware: an `Expect` that it does not know."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPExpectationFailed:
            return problem_response(ExpectationFailed())
        except web.HTTPException:
            return problem_response(MalformedHttp())

    return answer


def _head_error(error: BaseException | None) -> DargahError:
    # aiohttp's parser says with the same class that a line is too long, and with a plainer one that they are too many.
    too_large = isinstance(error, LineTooLong) or "Too many" in str(error)
    return HeadTooLarge() if too_large else MalformedHttp()


def _whole(error: DargahError) -> bytes:
    """The answer as bytes, for a connection whose request never came to be one."""
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
