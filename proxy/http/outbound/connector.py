"""The HTTP client session of both outbound adapters: its allowed addresses, its resolver, and its restrictions."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import field
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy.http.outbound.egress_proxy import Egress, Tunnels
from proxy.http.outbound.exchange import Pool
from proxy.http.outbound.ssrf_guard import BlockedAddress, Guard
from proxy.kernel.clock import Now, system_now
from proxy.kernel.frozen import dataclass

DNS_SECONDS: Final = 3.0  # less than a connect, so that a dead name server is told from a dead host
PATIENT_AFTER_SECONDS: Final = 0.2
MAX_PATIENT: Final = 64  # each is a thread of c-ares
_PATIENT_SECONDS: Final = DNS_SECONDS - PATIENT_AFTER_SECONDS


def quick_names() -> AbstractResolver:
    return aiohttp.AsyncResolver()


def patient_names() -> AbstractResolver:
    return aiohttp.AsyncResolver(timeout=_PATIENT_SECONDS, tries=1)


class BoundedResolver(AbstractResolver):
    """One dead name server stalls neither a thread pool nor the other merchants.

    c-ares learns its time-outs: after quick answers it gives up on a name server that takes a second, and drops what
    comes later. So a look-up that is not answered at once is also asked on a channel of its own, which has learnt
    nothing. Both are asked, because the quick one tries the next name server sooner, and another packet.
    """

    def __init__(
        self,
        seconds: float = DNS_SECONDS,
        quick: Callable[[], AbstractResolver] = quick_names,
        patient: Callable[[], AbstractResolver] = patient_names,
    ) -> None:
        self._seconds = seconds
        self._quick = quick()
        self._patient = patient
        self._room = asyncio.Semaphore(MAX_PATIENT)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._seconds), AsyncExitStack() as stack:
                return await self._first_answer(stack, host, port, family)
        except TimeoutError as error:
            raise OSError(None, "the name server did not answer in time") from error

    async def close(self) -> None:
        await self._quick.close()

    async def _first_answer(
        self, stack: AsyncExitStack, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult]:
        def asked(resolver: AbstractResolver) -> asyncio.Task[list[ResolveResult]]:
            task = asyncio.create_task(resolver.resolve(host, port, family))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask for the second
            stack.callback(task.cancel)
            return task

        quick = asked(self._quick)
        await asyncio.wait({quick}, timeout=PATIENT_AFTER_SECONDS)
        if quick.done():
            return quick.result()
        await stack.enter_async_context(self._room)
        resolver = self._patient()
        stack.push_async_callback(resolver.close)
        patient = asked(resolver)
        await asyncio.wait({quick, patient}, return_when=asyncio.FIRST_COMPLETED)
        first, other = (quick, patient) if quick.done() else (patient, quick)
        return first.result() if first.exception() is None else await other


T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0  # TCP and TLS together
# Servers of this field close idle connections after 5 s (Node, Apache); leaving first is what avoids most stale ones.
IDLE_SECONDS: Final = 4.0


@dataclass(slots=True)
class Dial:
    """The record of one outbound call. `trusted` when the operator's settings name the very host and port."""

    trusted: bool = False
    dialled: bool = False
    blocked: bool = False


DIAL: Final[ContextVar[Dial | None]] = ContextVar("dial", default=None)
"""The call that is under way. aiohttp makes sockets in the caller's context, which is how a socket knows its call."""


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
    """`tls_context()`, made once: it reads the system's authorities, which takes 80 ms. Nobody may change it."""
    return tls_context()


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The options of an outbound client. `tick` gives seconds for durations.

    `tls` replaces the system's authorities. `own_tls` are the contexts of hosts (or host:port) with an authority of
    their own, or that ask for our certificate.
    """

    connect_seconds: float = CONNECT_SECONDS
    now: Now = system_now
    tick: Callable[[], float] = time.perf_counter
    resolver: AbstractResolver | None = None
    tls: ssl.SSLContext | None = None
    own_tls: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    egress: Egress | None = None

    def own_context(self, url: URL) -> ssl.SSLContext | None:
        """The context of the URL's host:port, or of its host."""
        return self.own_tls.get(f"{url.raw_host}:{url.port}") or self.own_tls.get(url.raw_host or "")

    def milliseconds_since(self, started: float) -> int:
        return round((self.tick() - started) * 1000)


class Outbound:
    """A client session and its resolver, made once inside the running loop and closed together."""

    def __init__(
        self,
        options: ClientOptions,
        headers: Mapping[str, str] = MappingProxyType({}),
        guard: Guard | None = None,
    ) -> None:
        egress = options.egress
        self._resolver = options.resolver or BoundedResolver()
        check_address = partial(_check_address, guard)
        pool = Pool(
            tunnels=None if egress is None else Tunnels(egress, self._resolver, check_address),
            limit=0,  # aiohttp's 100 would be shared by all; the use-cases limit per terminal and endpoint
            keepalive_timeout=IDLE_SECONDS,
            resolver=self._resolver,
            socket_factory=partial(_dial, check_address),
            ssl=options.tls or True,  # aiohttp's own context, of the system's authorities, which it has read already
        )
        self.session = aiohttp.ClientSession(
            connector=pool,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", **headers},
            auto_decompress=False,  # what is sent compressed all the same is not worth a gzip bomb
            trust_env=False,
            # The adapters bound a whole call, with its one resend, by a deadline of their own; the resolver bounds DNS.
            # `sock_connect` costs a call on an open connection nothing, where `connect` makes a timer for each.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_seconds),
        )

    async def close(self) -> None:
        await self.session.close()
        await self._resolver.close()


async def resend_if_stale(call: Callable[[], Awaitable[T]], dial: Dial) -> T:
    """The result of `call`; called again if it went out on an idle socket that died before any answer byte."""
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


def _check_address(guard: Guard | None, address: aiohttp.AddrInfoType) -> None:
    """Raises BlockedAddress when the call under way may not dial this address, directly or through a proxy."""
    target = address[4]
    dial = DIAL.get() or Dial()
    reason = None if guard is None or dial.trusted else guard.refuses(str(target[0]), int(target[1]))
    if reason is not None:
        dial.blocked = True
        raise BlockedAddress(reason)
    dial.dialled = True


def _dial(check_address: Callable[[aiohttp.AddrInfoType], None], address: aiohttp.AddrInfoType) -> socket.socket:
    check_address(address)
    family, kind, protocol, _, _ = address
    return socket.socket(family, kind, protocol)
