"""The HTTP client session that both outbound adapters use: what it may dial, how it resolves, what it never does."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.adapters.guard import BlockedAddress, Guard
from proxy.adapters.whole_answers import WholeAnswers

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0  # TCP and TLS together
DNS_SECONDS: Final = 3.0  # less than a connect, so that a dead name server is told from a dead host
# Servers of this field close idle connections after 5 s (Node, Apache); leaving first is what avoids most stale ones.
IDLE_SECONDS: Final = 4.0


@dataclass(slots=True)
class Dial:
    """What one call did on its way out. `trusted` when the operator's settings name the very host and port."""

    trusted: bool = False
    dialled: bool = False
    blocked: bool = False


DIAL: Final[ContextVar[Dial | None]] = ContextVar("dial", default=None)
"""The call that is under way. aiohttp makes sockets in the caller's context, which is how a socket knows its call."""


class BoundedResolver(AbstractResolver):
    """aiodns with an upper bound: one dead name server stalls neither a thread pool nor the other merchants."""

    def __init__(self, seconds: float = DNS_SECONDS, inner: AbstractResolver | None = None) -> None:
        self._seconds = seconds
        self._inner = inner or aiohttp.AsyncResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._inner.resolve(host, port, family)
        except TimeoutError as error:
            raise OSError(None, "the name server did not answer in time") from error

    async def close(self) -> None:
        await self._inner.close()


def tls_context(authorities: Path | None = None) -> ssl.SSLContext:
    """Verifies certificate and host name, TLS 1.2 or newer. Only the `authorities` of that file count, or the system's.

    Raises OSError or ssl.SSLError when the file cannot be read or has no certificate.
    """
    context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def system_tls() -> ssl.SSLContext:
    """The context of all clients that have none of their own: as `tls_context()`. Nobody may change it."""
    # aiohttp reads the system's authorities when it is imported, for a context just like ours: to read them once more
    # takes 80 ms of every start.
    context: ssl.SSLContext = aiohttp.connector._SSL_CONTEXT_VERIFIED  # noqa: SLF001  there is no public way to it
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Outbound:
    """A client session and its resolver, made once inside the running loop and closed together."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        connect_seconds: float = CONNECT_SECONDS,
        guard: Guard | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._resolver = resolver or BoundedResolver()
        connector = aiohttp.TCPConnector(
            limit=0,  # aiohttp's 100 would be shared by all; the use-cases limit per terminal and endpoint
            keepalive_timeout=IDLE_SECONDS,
            resolver=self._resolver,
            socket_factory=_socket_factory(guard),
            ssl=tls or system_tls(),
        )
        # There is no public way to give the pool's connections a protocol of one's own.
        connector._factory = partial(WholeAnswers, loop=asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", **headers},
            auto_decompress=False,  # what is sent compressed all the same is not worth a gzip bomb
            trust_env=False,
            # The adapters bound a whole call, with its one resend, by a deadline of their own; the resolver bounds DNS.
            # `sock_connect` costs a call on an open connection nothing, where `connect` makes a timer for each.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        )

    async def close(self) -> None:
        await self.session.close()
        await self._resolver.close()


async def resend_if_stale(call: Callable[[], Awaitable[T]], dial: Dial) -> T:
    """What `call` gives; called once more when it went out on an idle socket that died before any answer byte."""
    try:
        return await call()
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError) as error:
        if dial.dialled or not _before_any_byte(error):
            raise
        return await call()


def _before_any_byte(error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    # aiohttp puts a half-read head in place of its message.
    return not isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.message, str)


def _socket_factory(guard: Guard | None) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    def dial_socket(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = address
        dial = DIAL.get() or Dial()
        reason = None if guard is None or dial.trusted else guard.refuses(str(target[0]), int(target[1]))
        if reason is not None:
            dial.blocked = True
            raise BlockedAddress(reason)
        dial.dialled = True
        return socket.socket(family, kind, protocol)

    return dial_socket
