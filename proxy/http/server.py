"""aiohttp's server for our connections: caps of a request, and an application's answers before its middleware."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import structlog
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

from proxy.http.connection_limits import ConnectionLimits
from proxy.http.connections import ClientConnection
from proxy.http.problems import ExpectationFailed, HeadTooLarge, MalformedHttp, problem_response
from proxy.kernel.background import Tasks
from proxy.kernel.errors import Overloaded

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Factory = Callable[..., web.BaseRequest]

MAX_LINE_BYTES: Final = 16 * 1024  # of the request line and of each header
MAX_HEADERS: Final = 100
# Longer than any of ours. The router looks at each of a path's ends in turn, by copies: at many for a path of slashes.
MAX_PATH_CHARS: Final = 2048
LINGER_SECONDS: Final = 2
# What a connection that came when all places were taken may ask for.
PROBED: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class HttpServer(web.Server):
    """Makes the connections of one listener, for the application that `made` serves."""

    def __init__(
        self,
        made: web.Server,
        connection_limits: ConnectionLimits,
        head_seconds: float,
        ending: Callable[[], bool],
        options: Mapping[str, Any],
    ) -> None:
        # A create goes on in its request's task when the storefront hangs up.
        super().__init__(
            _guard(made.request_handler, ending),
            request_factory=_notify_connection(made.request_factory),
            handler_cancellation=False,
        )
        self._connection_limits = connection_limits
        self._head_seconds = head_seconds
        self._options = options

    def __call__(self) -> ClientConnection:
        return ClientConnection(
            self, self._connection_limits, self._head_seconds, asyncio.get_running_loop(), **self._options
        )


class Runner(web.AppRunner):
    """Runs an application. Times are in seconds. While `ending`, each answer ends its connection."""

    def __init__(
        self,
        app: web.Application,
        connection_limits: ConnectionLimits,
        *,
        head_seconds: float,
        idle_seconds: float,
        shutdown_timeout: float,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._connection_limits = connection_limits
        self._head_seconds = head_seconds
        self._ending = ending
        self._cut_seconds = shutdown_timeout
        self._listening: HttpServer | None = None
        self._options = {
            "access_log": None,
            "keepalive_timeout": idle_seconds,
            "lingering_time": LINGER_SECONDS,
            "auto_decompress": False,  # no body is taken that needs it
            "max_field_size": MAX_LINE_BYTES,
            "max_line_size": MAX_LINE_BYTES,
            "max_headers": MAX_HEADERS,
        }

    @property
    def server(self) -> HttpServer | None:
        return self._listening

    async def setup(self) -> None:
        await super().setup()
        made = super().server
        assert made is not None, "it is set up"
        self._listening = HttpServer(made, self._connection_limits, self._head_seconds, self._ending, self._options)

    async def shutdown(self) -> None:
        await super().shutdown()
        if self._listening is not None:
            self._listening.pre_shutdown()
            await self._listening.shutdown(self._cut_seconds)


def _guard(handler: Handler, ending: Callable[[], bool]) -> Handler:
    """The application's handler without the echo of its errors before the middleware: an unknown `Expect`.

    While the process is `ending`, clients that keep their connections are told to connect again, and so to another
    process.
    """

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        probing = isinstance(connection, ClientConnection) and connection.probing
        served = not probing or request.path in PROBED
        response = await answer(request) if served else problem_response(Overloaded())
        if probing or ending():
            response.force_close()
        return response

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if len(request.rel_url.raw_path) > MAX_PATH_CHARS:
            return problem_response(HeadTooLarge())
        try:
            return await handler(request)
        except web.HTTPExpectationFailed:
            return problem_response(ExpectationFailed())
        except web.HTTPException:
            return problem_response(MalformedHttp())

    return respond


def _notify_connection(factory: Factory) -> Factory:
    """Notifies a connection of each complete head: aiohttp makes its request as soon as it takes it up."""

    def make_request(
        message: Any, content: StreamReader, protocol: RequestHandler, writer: AbstractStreamWriter, *more: Any
    ) -> web.BaseRequest:
        if isinstance(protocol, ClientConnection):
            protocol.began(content, writer)
        return factory(message, content, protocol, writer, *more)

    return make_request


log = structlog.get_logger()

# What is left of a connection whose handler outlived the time is cut within this.
CUT_SECONDS: Final = 0.1


class GracefulShutdown:
    """`begin` starts the time; each part of the end then takes what is `left`. `tick` gives seconds.

    `linger_seconds` of it the listeners stay open while /readyz says 503, so that load balancers send nobody more.
    `reason` says for the log what ended the process, and `unfinished` how much work outlived the time.
    """

    def __init__(self, seconds: float, tick: Callable[[], float]) -> None:
        self._seconds = seconds
        self._tick = tick
        self._ends_at: float | None = None
        self.linger_seconds = 0.0
        self.reason = "closed"
        self.unfinished = 0

    def begin(self) -> None:
        if self._ends_at is None:
            self._ends_at = self._tick() + self._seconds

    @property
    def begun(self) -> bool:
        return self._ends_at is not None

    @property
    def left(self) -> float:
        """Seconds until it must be over; 0 when it should be."""
        self.begin()
        assert self._ends_at is not None
        return max(0.0, self._ends_at - self._tick())

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return 0.0 if self._ends_at is None else self._tick() - self._ends_at + self._seconds

    async def linger(self) -> None:
        if self.linger_seconds > 0:
            await asyncio.sleep(min(self.linger_seconds, self.left))

    async def close(self, runner: web.AppRunner) -> None:
        """Stops accepting connections, ends idle ones, lets running requests finish, and cuts the rest."""
        for site in list(runner.sites):
            await site.stop()
        server = runner.server
        if server is not None:
            await asyncio.sleep(0)  # what has just arrived is handled, not taken for idle
            server.pre_shutdown()
            await self._within([server.shutdown(self.left + CUT_SECONDS)])
        await runner.cleanup()

    async def wait_for(self, kinds: Sequence[Tasks]) -> None:
        """Waits for the background work to end; the leases recover the rest."""
        if not await self._within([tasks.drain() for tasks in kinds]):
            self.unfinished = sum(len(tasks) for tasks in kinds)
            log.warning("drain_ended_early", running=self.unfinished)

    async def _within(self, waiting: Sequence[Coroutine[Any, Any, None]]) -> bool:
        """Whether all of it ended in time; the rest is not waited for any more."""
        tasks = [asyncio.create_task(each) for each in waiting]
        _, late = await asyncio.wait(tasks, timeout=max(self.left, CUT_SECONDS))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late
