"""The requests of the stories over HTTP: as Dargah sends them, and as nobody should."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from proxy.http.outbound.connector import CONNECT_SECONDS, Dial
from proxy.http.outbound.failures import failure_name
from proxy.kernel.frozen import dataclass
from proxy.operations.certification.message import Prepared
from proxy.webhooks.sender import MAX_BODY_BYTES, TOTAL_SECONDS

EXCERPT_CHARS: Final = 120
BODY_SECONDS: Final = 1.0
_RAISED: Final = (aiohttp.ClientError, OSError, ValueError, RuntimeError)


@dataclass(frozen=True, slots=True)
class ShopAnswer:
    """The shop's answer to a request, or the named error if there was none (see `WebhookResult`)."""

    status: int | None
    error: str | None
    duration_ms: int
    location: str | None = None
    excerpt: str = ""

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  the HTTP class

    @property
    def broken(self) -> bool:
        """No answer, or the one of a server that failed."""
        return self.status is None or self.status >= 500  # noqa: PLR2004  the HTTP class

    def __str__(self) -> str:
        if self.status is None:
            return f"no answer ({self.error})"
        return f"answered {self.status}" + (f" to {self.location}" if self.location else "")


class ShopLine:
    """Sends to one URL, on a connection of its own each time, and follows no redirect."""

    def __init__(self, session: aiohttp.ClientSession, url: str, answer_seconds: float = TOTAL_SECONDS) -> None:
        self._session = session
        self._url = URL(url, encoded=url.isascii())
        self._answer_seconds = answer_seconds

    async def send(self, method: str, prepared: Prepared | None) -> ShopAnswer:
        """Never raises for errors of the shop or the network. `prepared` is None for a request without a body."""
        headers, body = (prepared.headers, prepared.body) if prepared else ({}, None)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._answer_seconds):
                answer = await self._session.request(
                    method, self._url, headers=headers, data=body, allow_redirects=False
                )
            took = _milliseconds_since(began)
            async with answer:
                return ShopAnswer(answer.status, None, took, answer.headers.get("Location"), await _excerpt_of(answer))
        except _RAISED as error:
            return ShopAnswer(None, failure_name(error, Dial()), _milliseconds_since(began))

    @asynccontextmanager
    async def stalled(self, prepared: Prepared, seconds: float) -> AsyncIterator[None]:
        """Half of the request is sent. At the end the connection stays silent until `seconds` are over since then, or
        the shop has ended it.
        """
        half, silence = asyncio.Event(), asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            yield prepared.body[: len(prepared.body) // 2]
            half.set()
            await silence.wait()

        async def talk() -> None:
            headers = {**prepared.headers, "content-length": str(len(prepared.body))}
            async with self._session.post(self._url, headers=headers, data=slow_body(), allow_redirects=False):
                pass

        ends = time.perf_counter() + seconds
        task = asyncio.create_task(talk())
        sent = asyncio.create_task(half.wait())
        try:
            await asyncio.wait({task, sent}, timeout=self._answer_seconds, return_when=asyncio.FIRST_COMPLETED)
            yield
            await asyncio.wait({task}, timeout=max(0.0, ends - time.perf_counter()))
        finally:
            task.cancel()
            sent.cancel()
            await asyncio.gather(task, sent, return_exceptions=True)


@asynccontextmanager
async def shop_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that verifies certificates, keeps no cookie, and uses no proxy of the environment."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        headers={"Accept": "*/*", "Accept-Encoding": "identity"},
        trust_env=False,
        auto_decompress=False,
    ) as session:
        yield session


async def _excerpt_of(answer: aiohttp.ClientResponse) -> str:
    """The beginning of the body, as far as it comes soon: the status has decided."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(body) < EXCERPT_CHARS and (more := await answer.content.read(MAX_BODY_BYTES)):
                body += more
    except _RAISED:
        pass
    return body[: 4 * EXCERPT_CHARS].decode(errors="replace")[:EXCERPT_CHARS]


def _milliseconds_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
