"""Posts webhooks: the exact bytes, to where the guard lets them go, and the status decides."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.adapters.connector import CONNECT_SECONDS, DIAL, Dial, Outbound, resend_if_stale
from proxy.adapters.deadline import Deadlines
from proxy.adapters.exchange import Origin, Response, exchange, origin_of
from proxy.adapters.failures import RAISED, failure_name
from proxy.adapters.guard import Guard
from proxy.adapters.retry_after import retry_after_seconds
from proxy.adapters.whole_answers import Plain
from proxy.clock import system_now
from proxy.ports import Now
from proxy.records import Answer, Outgoing

TOTAL_SECONDS: Final = 20.0
BODY_SECONDS: Final = 1.0  # the status has decided; the body is only for the log, and must not hold a slot
MAX_BODY_BYTES: Final = 64 * 1024
EXCERPT_BYTES: Final = 4096
_PUT_OFF: Final = frozenset({429, 503})
_OWN_HEADERS: Final = ("Host", "Accept", "Accept-Encoding")
_OWN_LINES: Final = len(_OWN_HEADERS) + 3  # with the request's own, Content-Length and the empty one


class HttpSender:
    """Implements ports.Sender. Made inside the running loop; `close` when nothing is under way any more."""

    def __init__(
        self,
        guard: Guard,
        *,
        total_seconds: float = TOTAL_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        body_seconds: float = BODY_SECONDS,
        now: Now = system_now,
        tick: Callable[[], float] = time.perf_counter,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._deadlines = Deadlines(total_seconds)
        self._body_seconds = body_seconds
        self._now = now
        self._tick = tick
        self._outbound = Outbound(headers={}, connect_seconds=connect_seconds, guard=guard, resolver=resolver, tls=tls)
        self._target = lru_cache(maxsize=4096)(self._target_of)

    async def close(self) -> None:
        await self._outbound.close()

    async def send(self, outgoing: Outgoing) -> Answer:
        started = self._tick()
        problem = self._guard.url_problem(outgoing.url)
        if problem is not None:
            return Answer(None, problem, self._milliseconds(started))
        dial = Dial()
        DIAL.set(dial)
        try:
            target = self._target(outgoing.url)
            dial.trusted = target.trusted
            message = _message(target, outgoing)

            # A resend carries the same id, so a receiver that did get the first one knows it.
            async def once() -> Response | Plain:
                return await exchange(self._outbound, target.origin, message)

            block = self._deadlines.block()
            with block:
                response = await resend_if_stale(once, dial)
        except RAISED as error:
            return Answer(None, failure_name(error, dial), self._milliseconds(started))
        if not isinstance(response, Response):
            status, body = response
            return Answer(status, None, self._milliseconds(started), excerpt=body[:EXCERPT_BYTES])
        excerpt = await self._excerpt(response, block.ends_at)
        return Answer(
            response.status,
            None,
            self._milliseconds(started),
            excerpt=excerpt,
            retry_after_seconds=self._retry_after(response),
        )

    async def _excerpt(self, response: Response, deadline: float) -> bytes:
        """The first bytes of the body, which is read on to its end where that is near: the connection is then free."""
        body = bytearray()
        try:
            if response.content.is_eof():  # all of it came with the head, as most answers do: no timer is needed
                body += response.content.read_nowait(MAX_BODY_BYTES)
            else:
                await self._read(response.content, body, deadline)
        except RAISED:
            pass  # a body that breaks or drips changes nothing: the status was said
        finally:
            response.connection.release()  # into the pool, unless there is more to read
        return bytes(body[:EXCERPT_BYTES])

    async def _read(self, content: aiohttp.StreamReader, body: bytearray, deadline: float) -> None:
        until = min(asyncio.get_running_loop().time() + self._body_seconds, deadline)
        async with asyncio.timeout_at(until):
            while len(body) < MAX_BODY_BYTES and (chunk := await content.readany()):
                body += chunk

    def _target_of(self, text: str) -> "_Target":
        url = URL(text)
        trusted = self._guard.names(url.raw_host or "", url.port or 0)
        origin = origin_of(self._outbound, url)
        own = [f"{name}: {origin.request.headers[name]}\r\n" for name in _OWN_HEADERS]
        return _Target(origin, f"POST {url.raw_path_qs} HTTP/1.1\r\n{''.join(own)}", trusted)

    def _retry_after(self, response: Response) -> int | None:
        if response.status not in _PUT_OFF:
            return None
        return retry_after_seconds(response.headers.get("Retry-After"), self._now())

    def _milliseconds(self, started: float) -> int:
        return round((self._tick() - started) * 1000)


@dataclass(frozen=True, slots=True)
class _Target:
    """What a URL says of the way there. `trusted` when the operator's settings name the very host and port."""

    origin: Origin
    start: str
    trusted: bool


def _message(target: _Target, outgoing: Outgoing) -> bytes:
    """The whole request. Raises ValueError for a header that would be more than one."""
    lines = [f"{name}: {value}\r\n" for name, value in outgoing.headers.items()]
    head = f"{target.start}{''.join(lines)}Content-Length: {len(outgoing.body)}\r\n\r\n"
    if head.count("\n") != len(lines) + _OWN_LINES or head.count("\r") != len(lines) + _OWN_LINES:
        raise ValueError("a header breaks its line")
    return head.encode() + outgoing.body
