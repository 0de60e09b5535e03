"""The webhook sender: it posts the exact bytes to addresses that the SSRF guard allows."""

from functools import lru_cache
from typing import Final

from yarl import URL

from proxy.http.outbound.connector import DIAL, ClientOptions, Dial, Outbound, resend_if_stale
from proxy.http.outbound.exchange import RAISED, Origin, Response, exchange, origin_of
from proxy.http.outbound.failures import failure_name, retry_after_seconds
from proxy.http.outbound.ssrf_guard import Guard
from proxy.kernel.clock import Deadline
from proxy.kernel.frozen import dataclass
from proxy.webhooks.request import WebhookRequest, WebhookResult

TOTAL_SECONDS: Final = 20.0
BODY_SECONDS: Final = 1.0  # the status has decided; the body is only for the log, and must not hold a slot
MAX_BODY_BYTES: Final = 64 * 1024
EXCERPT_BYTES: Final = 4096
_DEFAULT: Final = ClientOptions()
_OWN_HEADERS: Final = ("Host", "Accept", "Accept-Encoding")
_OWN_LINES: Final = len(_OWN_HEADERS) + 3  # with the request's own, Content-Length and the empty one


class HttpSender:
    """Implements request.Sender. Made inside the running loop; `close` when nothing is under way any more."""

    def __init__(
        self,
        guard: Guard,
        options: ClientOptions = _DEFAULT,
        *,
        total_seconds: float = TOTAL_SECONDS,
        body_seconds: float = BODY_SECONDS,
        excerpt_bytes: int = EXCERPT_BYTES,
    ) -> None:
        self._guard = guard
        self._options = options
        self._total_seconds = total_seconds
        self._body_seconds = body_seconds
        self._excerpt_bytes = excerpt_bytes
        self._outbound = Outbound(options, guard=guard)
        self._target = lru_cache(maxsize=4096)(self._target_of)

    async def close(self) -> None:
        await self._outbound.close()

    async def send(self, request: WebhookRequest) -> WebhookResult:
        started = self._options.tick()
        problem = self._guard.url_problem(request.url)
        if problem is not None:
            return WebhookResult(None, problem, self._options.milliseconds_since(started))
        dial = Dial()
        DIAL.set(dial)
        try:
            target = self._target(request.url)
            dial.trusted = target.trusted
            message = _message(target, request)

            # A resend carries the same id, so a receiver that did get the first one knows it.
            async def once() -> Response:
                return await exchange(self._outbound.session, target.origin, message)

            with Deadline(self._total_seconds) as deadline:
                response = await resend_if_stale(once, dial)
        except RAISED as error:
            return WebhookResult(None, failure_name(error, dial), self._options.milliseconds_since(started))
        excerpt = await self._excerpt(response, deadline)
        return WebhookResult(
            response.status,
            None,
            self._options.milliseconds_since(started),
            excerpt=excerpt,
            retry_after_seconds=self._wait_of(response),
        )

    def _wait_of(self, response: Response) -> int | None:
        asked = response.headers.get("Retry-After")
        return None if asked is None else retry_after_seconds(response.status, asked, self._options.now())

    async def _excerpt(self, response: Response, deadline: Deadline) -> bytes:
        try:
            return (await response.glance(MAX_BODY_BYTES, self._body_seconds, deadline))[: self._excerpt_bytes]
        finally:
            response.release()

    def _target_of(self, text: str) -> "_Target":
        url = URL(text)
        trusted = self._guard.names(url.raw_host or "", url.port or 0)
        origin = origin_of(self._outbound.session, text, self._options.own_context(url))
        own = [f"{name}: {origin.request.headers[name]}\r\n" for name in _OWN_HEADERS]
        return _Target(origin, f"POST {origin.target} HTTP/1.1\r\n{''.join(own)}", trusted)


@dataclass(frozen=True, slots=True)
class _Target:
    """The connection target of a URL. `trusted` when the operator's settings name the very host and port."""

    origin: Origin
    start: str
    trusted: bool


def _message(target: _Target, request: WebhookRequest) -> bytes:
    """The whole request. Raises ValueError for a header that would be more than one."""
    lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
    head = f"{target.start}{''.join(lines)}Content-Length: {len(request.body)}\r\n\r\n"
    if head.count("\n") != len(lines) + _OWN_LINES or head.count("\r") != len(lines) + _OWN_LINES:
        raise ValueError("a header breaks its line")
    return head.encode() + request.body
