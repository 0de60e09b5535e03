"""Where a webhook may go: the address that is really dialled decides, and before it the form of the URL.

A merchant writes the URL, so it may point at our own network, by a literal, by a name, or by a name that answers
otherwise the second time. The sources are the IANA special-purpose registries and the clouds' metadata addresses.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from yarl import URL

from proxy.kernel.text import refused_in

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_BLOCKED: Final = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", "metadata"),
        ("168.63.129.16/32", "metadata"),
        ("fd00:ec2::254/128", "metadata"),
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "this host"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# WHATWG's "ends in a number": such a host is an IPv4 address to some resolvers, in decimal, octal or hex.
_NUMERIC_HOST: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)
_USERINFO: Final = re.compile(r"[^/?#]*//[^/?#]*@")
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class BlockedAddress(OSError):
    """The guard refused to dial; an OSError because a connector expects one of a socket."""


def verdict(address: str) -> str | None:
    """Why `address` may not be dialled, or None when it is an ordinary public one.

    Python's `is_global` is not asked: in 3.11 it is true of NAT64, 6to4, multicast and IPv4-compatible forms.
    """
    ip = _parse(address)
    if ip is None:
        return "not an address"
    for network, reason in _BLOCKED:
        if ip.version == network.version and ip in network:
            return reason
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return "reserved"
    return None


class Guard:
    """The verdicts with the operator's exceptions.

    `allow` has CIDRs (any port) and exact `host:port`, IPv6 hosts in brackets: a sidecar's own targets. In
    development the loopback addresses are allowed too, and plain http everywhere. Raises ValueError for a bad entry.
    """

    def __init__(self, allow: Iterable[str] = (), *, development: bool = False) -> None:
        self._development = development
        # An endpoint's URL is judged at each of its attempts, and the judgement never changes.
        self._url_problems = lru_cache(maxsize=4096)(self._find_url_problem)
        self._networks: list[IpNetwork] = []
        self._sockets: set[tuple[IpAddress, int]] = set()
        self._names: set[tuple[str, int]] = set()
        for entry in (*allow, *(_LOOPBACK if development else ())):
            self._admit(entry.strip())

    def names(self, host: str, port: int) -> bool:
        """Whether `allow` has exactly this name and port: then any address that the name resolves to may be dialled."""
        return (host.lower().rstrip("."), port) in self._names

    def expects(self, address: str, port: int) -> bool:
        """Whether `allow` has this socket, by itself or by its network."""
        ip = _parse(address)
        return ip is not None and self._allows(ip, port)

    def refuses(self, address: str, port: int) -> str | None:
        """Why this socket may not be dialled, or None when it may."""
        return None if self.expects(address, port) else verdict(address)

    def url_problem(self, url: str) -> str | None:
        """`bad_url` or `blocked_address` for a URL that is not even resolved; None when the dialled socket decides."""
        return self._url_problems(url)

    def _find_url_problem(self, url: str) -> str | None:
        if refused_in(url) or any(char.isspace() or char == "\\" for char in url):
            return "bad_url"
        try:
            parsed = URL(url)
            host, port = parsed.raw_host, parsed.port
        except ValueError:
            return "bad_url"
        if parsed.scheme not in {"http", "https"} or not host or not port or _USERINFO.match(url):
            return "bad_url"
        return self._host_problem(parsed.scheme, host, port)

    def _host_problem(self, scheme: str, host: str, port: int) -> str | None:
        ip = _parse(host)
        if ip is None and _NUMERIC_HOST.fullmatch(host.rstrip(".")):
            return _odd_number_problem(host.rstrip("."))
        expected = self.names(host, port) or (ip is not None and self._allows(ip, port))
        if ip is not None and not expected and verdict(host) is not None:
            return "blocked_address"
        # A sidecar's own shop speaks http on a private address; across the internet a webhook is never in the clear.
        return None if scheme == "https" or self._development or expected else "bad_url"

    def _allows(self, ip: IpAddress, port: int) -> bool:
        if (ip, port) in self._sockets:
            return True
        return any(ip.version == network.version and ip in network for network in self._networks)

    def _admit(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry))
        except ValueError:
            host, separator, port = entry.rpartition(":")
            if not separator or not host or not port.isdecimal() or "/" in host:
                raise ValueError(f"{entry!r} is neither a CIDR nor host:port") from None
            bare = host.removeprefix("[").removesuffix("]").lower().rstrip(".")
            ip = _parse(bare)
            if ip is None:
                self._names.add((bare, int(port)))
            else:
                self._sockets.add((ip, int(port)))


def _parse(address: str) -> IpAddress | None:
    try:
        # A zone (fe80::1%eth0) only says through which interface.
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None


def _odd_number_problem(host: str) -> str:
    """2130706433, 0x7f.1 and 0177.0.0.1 are refused even where they mean a public address: no merchant needs them."""
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return "bad_url"
    return "bad_url" if verdict(address) is None else "blocked_address"
