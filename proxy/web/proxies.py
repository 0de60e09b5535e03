"""Whose address a request comes from, and what the proxies in front may say about it.

`X-Forwarded-For` or `Forwarded` is read from the right, and only as far as configured proxies wrote it: what stands
further left was sent by the client itself. One of the two is read, since a proxy that sets one lets the other pass.
`Host`, `X-Forwarded-Host` and `X-Forwarded-Proto` are believed from nobody: links are built from DARGAH_PUBLIC_URL.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

import structlog
from aiohttp import web
from multidict import istr

from proxy.addresses import Network, is_private, parsed
from proxy.web.server import Connection

log = structlog.get_logger()

# Such strings are looked for without being folded each time.
X_FORWARDED_FOR: Final = istr("X-Forwarded-For")
FORWARDED: Final = istr("Forwarded")
# More hops than any deployment has. What is not that short is not worth the time to read it.
MAX_HOPS: Final = 16
MAX_CHARS: Final = 1024
_QUOTED: Final = re.compile(r'"([^"]+)"|([^"\s]+)')
_WITH_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")


class Proxies:
    """Which peers are proxies of ours. `header` is the one that they all set."""

    def __init__(
        self, trusted: Sequence[Network] = (), header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    ) -> None:
        self._trusted = tuple(trusted)
        self._header = FORWARDED if header == "forwarded" else X_FORWARDED_FOR
        self._told = False
        self.trusts = lru_cache(maxsize=4096)(self._trusts)
        self._client = lru_cache(maxsize=4096)(self._from_the_right)

    def client(self, request: web.Request) -> str | None:
        """The client's address. None when it is behind a proxy that is not configured, and so unknown."""
        protocol = request.protocol
        # The connection knows it since it was made; aiohttp asks the transport for each request.
        peer = protocol.address if isinstance(protocol, Connection) else request.remote or ""
        if not self._trusted:
            headers = request.headers
            silent = X_FORWARDED_FOR not in headers and FORWARDED not in headers
            return peer if silent or not self._is_forgotten(peer) else None
        if not self.trusts(peer):
            return peer
        text = ",".join(request.headers.getall(self._header, ()))
        return self._client(peer, text) if len(text) <= MAX_CHARS else peer

    def _is_forgotten(self, peer: str) -> bool:
        """Whether one who speaks for others seems a proxy that the settings forgot: its clients share no limit."""
        if not is_private(peer):
            return False
        if not self._told:
            self._told = True
            log.warning("proxy_not_configured", client=peer)
        return True

    def _trusts(self, peer: str) -> bool:
        address = parsed(peer)
        return address is not None and any(address in network for network in self._trusted)

    def _from_the_right(self, peer: str, text: str) -> str:
        """The first address from the right that is no proxy of ours; the last proxy's where nothing better is known."""
        known = peer
        hops = _forwarded(text) if self._header is FORWARDED else text.split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            address = parsed(_bare(hop.strip()))
            if address is None:
                return known
            known = str(address)
            if not self.trusts(known):
                return known
        return known


def _bare(hop: str) -> str:
    """The address without the port and the brackets that some proxies write."""
    found = _WITH_PORT.fullmatch(hop)
    return hop if found is None else found[1] or found[2]


def _forwarded(text: str) -> list[str]:
    """The `for` of each element of RFC 7239's list; empty where there is none or it is not understood."""
    return [_for(element) for element in text.split(",")]


def _for(element: str) -> str:
    pairs = (pair.strip().partition("=") for pair in element.split(";"))
    values = [value for name, _, value in pairs if name.lower() == "for"]
    found = _QUOTED.fullmatch(values[0]) if len(values) == 1 else None
    return "" if found is None else found[1] or found[2]
