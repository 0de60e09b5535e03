"""Connections through the operator's egress proxy: HTTP CONNECT to an address that was resolved and checked here.

aiohttp's own support gives the proxy the name, which is then resolved where no guard looks. Here the proxy is asked for
the address; certificate and SNI are of the name. `exchange.Pool` has its connections made here.
"""

import asyncio
import base64
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from ipaddress import ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.http.outbound.ssrf_guard import BlockedAddress, Guard
from proxy.kernel.frozen import dataclass

MAX_HEAD_BYTES: Final = 8 * 1024
MAX_ADDRESSES: Final = 8
"""Of one name that are tried, of the proxy's and of the receiver's."""
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})(?=[ \r\n])")
_SUCCESS: Final = range(200, 300)
_WANTS_CREDENTIALS: Final = 407


class TunnelFailed(OSError):
    """The proxy gave no way through. `name` is proxy_unreachable (nothing listens there), proxy_timeout, proxy_auth (it
    wants other credentials), proxy_refused (it refused, or could not connect), proxy_bad_response (malformed HTTP) or
    proxy_needs_tls (plain http goes through no proxy).
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Egress:
    """The proxy, `user:password` for it, and the targets that are reached without it."""

    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)
    direct: Guard = field(default_factory=Guard)
    plain_http: bool = False

    @cached_property
    def authorization(self) -> str:
        """The header's line, or nothing."""
        if self.credentials is None:
            return ""
        return f"Proxy-Authorization: Basic {base64.b64encode(self.credentials.encode()).decode()}\r\n"

    def reaches(self, address: aiohttp.AddrInfoType) -> bool:
        """Whether this address is one that the settings name as reached without the proxy."""
        return self.direct.expects(str(address[4][0]), int(address[4][1]))


class Tunnel:
    """The way through the proxy. Its address is the operator's, so no guard checks it."""

    def __init__(self, egress: Egress, names: AbstractResolver) -> None:
        self._egress = egress
        self._names = names

    async def to(self, target: str, seconds: float | None) -> socket.socket:
        """A connected socket that the proxy has joined with `target`, an address with its port. Raises TunnelFailed."""
        try:
            async with asyncio.timeout(seconds):
                connected = await self._to_proxy()
                try:
                    await self._ask(connected, target)
                except BaseException:
                    connected.close()
                    raise
                return connected
        except TimeoutError:
            raise TunnelFailed("proxy_timeout") from None

    async def _to_proxy(self) -> socket.socket:
        for address in await self._addresses():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connected = socket.socket(family, socket.SOCK_STREAM)
            try:
                connected.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connected, (address, self._egress.port))
            except BaseException as error:
                connected.close()
                if not isinstance(error, OSError) or isinstance(error, TimeoutError):
                    raise
            else:
                return connected
        raise TunnelFailed("proxy_unreachable")

    async def _addresses(self) -> list[str]:
        host = self._egress.host
        with suppress(ValueError):
            return [str(ip_address(host))]
        try:
            found = await self._names.resolve(host, self._egress.port)
        except OSError:
            raise TunnelFailed("proxy_unreachable") from None
        return [each["host"] for each in found[:MAX_ADDRESSES]]

    async def _ask(self, connected: socket.socket, target: str) -> None:
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{self._egress.authorization}\r\n"
        try:
            await asyncio.get_running_loop().sock_sendall(connected, request.encode())
            status = await _status(connected)
        except (TunnelFailed, TimeoutError):
            raise
        except OSError:
            raise TunnelFailed("proxy_bad_response") from None
        if status == _WANTS_CREDENTIALS:
            raise TunnelFailed("proxy_auth")
        if status not in _SUCCESS:
            raise TunnelFailed("proxy_refused")


async def _status(connected: socket.socket) -> int:
    """Of the whole head. Nothing may come behind that of a success: no server speaks before it is spoken to."""
    head, loop = b"", asyncio.get_running_loop()
    while (end := _HEAD_END.search(head)) is None:
        chunk = await loop.sock_recv(connected, MAX_HEAD_BYTES - len(head)) if len(head) < MAX_HEAD_BYTES else b""
        if not chunk:
            raise TunnelFailed("proxy_bad_response")
        head += chunk
    found = _STATUS.match(head)
    if found is None or (int(found[1]) in _SUCCESS and end.end() != len(head)):
        raise TunnelFailed("proxy_bad_response")
    return int(found[1])


class Tunnels:
    """The ways of one pool through the proxy. `check_address` raises BlockedAddress where nothing may be dialled."""

    def __init__(
        self, egress: Egress, names: AbstractResolver, check_address: Callable[[aiohttp.AddrInfoType], None]
    ) -> None:
        self._egress = egress
        self._tunnel = Tunnel(egress, names)
        self._check_address = check_address

    def direct(self, url: URL, addresses: list[aiohttp.AddrInfoType]) -> list[aiohttp.AddrInfoType]:
        """Those that the settings name as reached without the proxy."""
        named = self._egress.direct.names(url.raw_host or "", url.port or 0)
        return [each for each in addresses if named or self._egress.reaches(each)]

    async def through(self, url: URL, addresses: list[aiohttp.AddrInfoType], seconds: float | None) -> socket.socket:
        """Joined with the first of the receiver's addresses that the proxy gets to. Raises TunnelFailed or
        BlockedAddress.
        """
        if url.scheme != "https" and not self._egress.plain_http:
            raise TunnelFailed("proxy_needs_tls")
        failed: OSError = TunnelFailed("proxy_refused")
        for address in addresses[:MAX_ADDRESSES]:
            host, port = str(address[4][0]), int(address[4][1])
            try:
                self._check_address(address)
                return await self._tunnel.to(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", seconds)
            except BlockedAddress as error:
                failed = error
            except TunnelFailed as error:
                if error.name != "proxy_refused":
                    raise
                failed = error
        raise failed
