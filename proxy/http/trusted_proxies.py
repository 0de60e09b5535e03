"""The client address of a request, and the headers of trusted proxies.

`X-Forwarded-For` or `Forwarded` is read from the right, and only as far as configured proxies wrote it: the client
itself sent everything further left. One of the two is read, since a proxy that sets one lets the other pass. A header
that is too long is read as far as its limit, from the right too: its left end is the client's. `Host`,
`X-Forwarded-Host` and `X-Forwarded-Proto` are never believed: links are built from DARGAH_PUBLIC_URL. The operator's
listener answers to certain `Host` names only.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

import structlog
from aiohttp import hdrs, web
from multidict import istr

from proxy.http.connections import ClientConnection
from proxy.http.problems import HostNotServed
from proxy.kernel.urls import UNIX, Network, is_private, parsed

log = structlog.get_logger()

# Such strings are looked for without being folded each time.
X_FORWARDED_FOR: Final = istr("X-Forwarded-For")
FORWARDED: Final = istr("Forwarded")
# More hops than any deployment has, and their characters.
MAX_HOPS: Final = 16
MAX_CHARS: Final = 1024
_QUOTED: Final = re.compile(r'"([^"]+)"|([^"\s]+)')
_WITH_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")


class TrustedProxies:
    """Which peers are proxies of ours. `header` is the one that they all set."""

    def __init__(
        self,
        trusted: Sequence[Network | Literal["unix"]] = (),
        header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
    ) -> None:
        self._trusted = tuple(trusted)
        self._networks = tuple(network for network in self._trusted if not isinstance(network, str))
        self._header = FORWARDED if header == "forwarded" else X_FORWARDED_FOR
        self._warned = False
        self.trusts = lru_cache(maxsize=4096)(self._trusts)
        self._client = lru_cache(maxsize=4096)(self._from_the_right)

    def client(self, request: web.Request) -> str:
        """The client's address; the peer's where no proxy of ours says better."""
        protocol = request.protocol
        # The connection knows it since it was made; aiohttp asks the transport for each request.
        peer = protocol.address if isinstance(protocol, ClientConnection) else request.remote or ""
        if not self._trusted:
            if not self._warned and (X_FORWARDED_FOR in request.headers or FORWARDED in request.headers):
                self._warn_if_forgotten(peer)
            return peer
        if not self.trusts(peer):
            return peer
        text = ",".join(request.headers.getall(self._header, ()))
        if len(text) > MAX_CHARS:
            text = text[-MAX_CHARS:].partition(",")[2]  # without the hop that was cut
        return self._client(peer, text)

    def _warn_if_forgotten(self, peer: str) -> None:
        """Warns once that a peer with forwarding headers may be a proxy missing in the settings. Its headers are not
        believed.
        """
        if is_private(peer):
            self._warned = True
            log.warning("proxy_not_configured", client=peer)

    def _trusts(self, peer: str) -> bool:
        address = parsed(peer)
        if address is None:
            return peer == UNIX and UNIX in self._trusted
        return any(address in network for network in self._networks)

    def _from_the_right(self, peer: str, text: str) -> str:
        """The first address from the right that is no proxy of ours; the last proxy's where nothing better is known."""
        known = peer
        hops = _parse_forwarded(text) if self._header is FORWARDED else text.split(",")
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


def _parse_forwarded(text: str) -> list[str]:
    """The `for` of each element of RFC 7239's list; empty where there is none or it is not understood."""
    return [_for(element) for element in text.split(",")]


def _for(element: str) -> str:
    pairs = (pair.strip().partition("=") for pair in element.split(";"))
    values = [value for name, _, value in pairs if name.lower() == "for"]
    found = _QUOTED.fullmatch(values[0]) if len(values) == 1 else None
    return "" if found is None else found[1] or found[2]


class AllowedHosts:
    """The names that the operator's listener answers to: addresses, `localhost` and `names`, each with any port.

    A page of another site can lead its own name to this listener's address (DNS rebinding), and would then read answers
    as its own. It cannot do so with an address, nor with `localhost`; probes and scrapers come by an address.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset({"localhost", *names})
        self._serves = lru_cache(maxsize=64)(self.serves)

    def check(self, request: web.BaseRequest) -> None:
        """Raises HostNotServed."""
        if not self._serves(request.headers.get(hdrs.HOST, "")):
            raise HostNotServed

    def serves(self, host: str) -> bool:
        """Whether it answers to this `Host`; to none at all, since every browser sends one."""
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].rstrip(".").lower()
        return not host or name in self._names or parsed(name) is not None
