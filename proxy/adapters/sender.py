"""Posts webhooks: the exact bytes, to where the guard lets them go, and the status decides."""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.adapters.connector import CONNECT_SECONDS, DIAL, Dial, Outbound, resend_if_stale
from proxy.adapters.failures import RAISED, failure_name
from proxy.adapters.guard import Guard
from proxy.adapters.retry_after import retry_after_seconds
from proxy.clock import system_now
from proxy.ports import Now
from proxy.records import Answer, Outgoing

TOTAL_SECONDS: Final = 20.0
BODY_SECONDS: Final = 1.0  # the status has decided; the body is only for the log, and must not hold a slot
MAX_BODY_BYTES: Final = 64 * 1024
EXCERPT_BYTES: Final = 4096
_PUT_OFF: Final = frozenset({429, 503})


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
        self._total_seconds = total_seconds
        self._body_seconds = body_seconds
        self._now = now
        self._tick = tick
        self._outbound = Outbound(
            headers={"User-Agent": "dargah"}, connect_seconds=connect_seconds, guard=guard, resolver=resolver, tls=tls
        )

    async def close(self) -> None:
        await self._outbound.close()

    async def send(self, outgoing: Outgoing) -> Answer:
        started = self._tick()
        problem = self._guard.url_problem(outgoing.url)
        if problem is not None:
            return Answer(None, problem, self._milliseconds(started))
        url = URL(outgoing.url)
        dial = Dial(trusted=self._guard.names(url.raw_host or "", url.port or 0))
        DIAL.set(dial)
        try:
            async with asyncio.timeout(self._total_seconds) as limit:
                response = await self._post(url, outgoing, dial)
        except RAISED as error:
            return Answer(None, failure_name(error, dial), self._milliseconds(started))
        excerpt = await self._excerpt(response, limit.when())
        return Answer(
            response.status,
            None,
            self._milliseconds(started),
            excerpt=excerpt,
            retry_after_seconds=self._retry_after(response),
        )

    async def _post(self, url: URL, outgoing: Outgoing, dial: Dial) -> aiohttp.ClientResponse:
        async def once() -> aiohttp.ClientResponse:
            return await self._outbound.session.post(
                url, data=outgoing.body, headers=outgoing.headers, allow_redirects=False
            )

        # A resend carries the same id, so a receiver that did get the first one knows it.
        return await resend_if_stale(once, dial)

    async def _excerpt(self, response: aiohttp.ClientResponse, deadline: float | None) -> bytes:
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
            response.close()
        return bytes(body[:EXCERPT_BYTES])

    async def _read(self, content: aiohttp.StreamReader, body: bytearray, deadline: float | None) -> None:
        until = asyncio.get_running_loop().time() + self._body_seconds
        async with asyncio.timeout_at(until if deadline is None else min(until, deadline)):
            while len(body) < MAX_BODY_BYTES and (chunk := await content.readany()):
                body += chunk

    def _retry_after(self, response: aiohttp.ClientResponse) -> int | None:
        if response.status not in _PUT_OFF:
            return None
        return retry_after_seconds(response.headers.get("Retry-After"), self._now())

    def _milliseconds(self, started: float) -> int:
        return round((self._tick() - started) * 1000)
