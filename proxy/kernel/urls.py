"""Hosts, origins and URLs in ASCII, as browsers read them: one form is compared, stored and sent.

A host is mapped by UTS 46, non-transitional, and holds `[a-z0-9._-]` alone, or is an IP literal. What passes here goes
where it says in every browser (WHATWG URL). Some that browsers take are refused: `127.1`, `a..ir`, `☕.example`.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes, urlencode

import idna

from proxy.kernel.text import refused_in

_MAX_HOST_CHARS: Final = 253
_MAX_PORT: Final = 65535
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_WEB: Final = re.compile(r"(https?)://([^/?#\\]*)", re.IGNORECASE | re.ASCII)
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^:\[\]@]*)(?::([0-9]*))?", re.ASCII)
# Names inside a network may have underscores; none of the public that a customer goes to has one.
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# WHATWG's "ends in a number": browsers read such a host as an IPv4 address, in decimal, octal or hexadecimal.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_PLAIN: Final = re.compile(r"https?://[a-z0-9.:\[\]-]+(?:[/?#][!-~]*)?", re.IGNORECASE | re.ASCII)
_VISIBLE_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_FRAMING: Final = re.compile(r"https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?")

# urllib's parser costs ten times this, on a path that benchmarks run through.
_HEAD: Final = re.compile(
    r"https?://(?:[^@/?#]*@)?(\[[0-9a-f:.]+\]|[^:/?#@\[\]]+)(?::[0-9]*)?(?=[/?#]|$)", re.IGNORECASE
)

_APP: Final = re.compile(r"([a-z][a-z0-9+.-]{2,39})://", re.IGNORECASE | re.ASCII)
# What a browser or a phone does more with than open an app, and what looks like the web and is not.
_NO_APP: Final = re.compile(
    r"ht.*|hxx.*|.*http.*|wss?|s?ftps?|file|filesystem|data|blob|about|.*script|mocha|jar|resource|content|"
    r"view-source|chrome.*|edge|moz-.*|safari.*|opera|brave|android-app|intent|ms-.*|search(-ms)?|shell|"
    r"mailto|tel|callto|sms|smsto|mms|mmsto|geo|maps|market|itms.*|facetime.*|ssh|telnet|ldaps?|git|magnet|urn|cid|mid"
)


def origin_of(url: str) -> str:
    """The `scheme://host[:port]` of an absolute http(s) URL, lower case, in ASCII, its default port left out.

    Raises ValueError for anything else: no host, userinfo, white space or forbidden characters, a bad port.
    """
    scheme, host, port = _web_parts(url)
    return f"{scheme}://{host}" if port in {None, _DEFAULT_PORTS[scheme]} else f"{scheme}://{host}:{port}"


@lru_cache(maxsize=256)
def return_origin_of(url: str) -> str:
    """Where a customer may go back to: a web origin, or the scheme of an app as `myapp://`. Raises ValueError.

    Cached, because many shops have one address for all customers.
    """
    found = _APP.match(url)
    scheme = "" if found is None else found[1].lower()
    if scheme in {"", *_DEFAULT_PORTS}:
        return origin_of(url)
    _check_text(url)
    if _NO_APP.fullmatch(scheme):
        raise ValueError(f"{scheme}: is no scheme that an app may have here")
    return f"{scheme}://"


def is_app(origin: str) -> bool:
    """Whether an origin is an app's scheme."""
    return origin.endswith("://")


def bare_origin_of(text: str) -> str:
    """The same for a text that is an origin and nothing more. Raises ValueError."""
    origin = return_origin_of(text)
    rest = text.partition("://")[2]
    more = rest if is_app(origin) else rest.partition("/")[2]
    if more or "?" in rest or "#" in rest:
        raise ValueError("is an origin: scheme, host and port (or an app's scheme, such as myapp://), and no path")
    if "_" in origin:
        raise ValueError("has an underscore, which no public name has")
    return origin


def framing_origin_of(url: str) -> str:
    """The origin of a page that may frame one of ours, as a Content-Security-Policy can name it. Raises ValueError."""
    origin = origin_of(url)
    if not _FRAMING.fullmatch(origin):
        raise ValueError("a policy of browsers cannot name this host: use a name, without a dot at its end")
    return origin


def framing_source(origin: str | None) -> str:
    """`origin` as the one source of `frame-ancestors`; `'none'` for None and for an origin unfit for a policy."""
    return origin if origin is not None and _FRAMING.fullmatch(origin) else "'none'"


def ascii_url(url: str) -> str:
    """`url` byte for byte where it is visible ASCII; its host by UTS 46, and other characters percent-encoded.

    Browsers read the URL the same way, so it can stand in a Location header. Raises ValueError for a host that no name
    can have.
    """
    if _PLAIN.fullmatch(url):
        return url
    head = _WEB.match(url)
    if head is None:
        return quote(url, safe=_VISIBLE_ASCII)
    host, port = _split_authority(head[2])
    authority = host if port is None else f"{host}:{port}"
    return f"{head[1]}://{authority}{quote(url[head.end() :], safe=_VISIBLE_ASCII)}"


def host_of(url: str) -> str:
    """The host of an http or https URL, in lower case; empty when it is no such URL."""
    found = _HEAD.match(url)
    return found[1].lower() if found else ""


def head_of(url: str) -> str:
    """The scheme and authority of an http or https URL, as written; empty when it is no such URL."""
    found = _HEAD.match(url)
    return found[0] if found else ""


def with_params(url: str, params: Mapping[str, str]) -> str:
    """`url` with `params` added to its query, which stays byte for byte; a fragment stays last."""
    base, mark, fragment = url.partition("#")
    _, asks, own = base.partition("?")
    glue = "&" if own and not own.endswith("&") else "" if asks else "?"
    return f"{base}{glue}{urlencode(params, quote_via=quote, safe='')}{mark}{fragment}"


def ascii_or_same(url: str) -> str:
    """`ascii_url` of a stored URL from before there was one form; an unreadable one stays as it is."""
    try:
        return ascii_url(url)
    except ValueError:
        return url


def origin_or_same(text: str) -> str:
    """`return_origin_of` of a stored origin from before there was one form; an unreadable one stays as it is."""
    try:
        return return_origin_of(text)
    except ValueError:
        return text


@lru_cache(maxsize=1024)
def ascii_host(text: str) -> str:
    """A URL's host as it is looked up: a name in lower case, an IPv4 address, or an IPv6 address in brackets.

    Raises ValueError, with a text that names the fault.
    """
    if text.startswith("["):
        return f"[{IPv6Address(text[1:-1])}]"
    # A name's last dot makes it another origin to browsers, so it stays.
    name = idna.uts46_remap(unquote_to_bytes(text).decode(), std3_rules=False)
    stem = name.removesuffix(".")
    labels = stem.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return str(IPv4Address(name))
    labels = [_ascii_label(label) for label in labels]
    if len(".".join(labels)) > _MAX_HOST_CHARS:
        raise ValueError("the host is longer than 253 characters")
    _check_direction(labels)
    return ".".join(labels) + name[len(stem) :]


def _web_parts(url: str) -> tuple[str, str, int | None]:
    _check_text(url)
    found = _WEB.match(url)
    if found is None or not found[2]:
        raise ValueError("the URL must start with https:// (or http://) and a host")
    host, digits = _split_authority(found[2])
    port = int(digits) if digits else None
    if port is not None and port > _MAX_PORT:
        raise ValueError("the port is beyond 65535")
    return found[1].lower(), host, port


def _split_authority(authority: str) -> tuple[str, str | None]:
    """The host in ASCII and the port's digits, None when there is no colon. Raises ValueError."""
    if "@" in authority:
        raise ValueError("the URL must not carry a user name or password")
    found = _AUTHORITY.fullmatch(authority)
    if found is None or not found[1]:
        raise ValueError("the URL must have a host, and its port must be a number")
    try:
        return ascii_host(found[1]), found[2]
    except ValueError as error:
        raise ValueError("the host is no name that can be looked up (UTS 46), and no IP address in full") from error


def _check_text(url: str) -> None:
    refused = refused_in(url)
    if refused is not None:
        raise ValueError(f"the URL has a character that no text may have ({refused})")
    if " " in url or "\\" in re.split("[?#]", url, maxsplit=1)[0]:
        raise ValueError("the URL has white space or a backslash")


def _ascii_label(label: str) -> str:
    if not label.isascii() or label.startswith("xn--"):
        return idna.alabel(label).decode()
    if not _LABEL.fullmatch(label):
        raise ValueError("a part of the host is empty, over 63 characters, or has a hyphen at its end")
    return label


def _check_direction(labels: list[str]) -> None:
    """RFC 5893: where one label is written from right to left, all of them keep the rule, as browsers demand."""
    names = [idna.ulabel(label) if label.startswith("xn--") else label for label in labels]
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for name in names for char in name):
        for name in names:
            idna.check_bidi(name, check_ltr=True)


Network = IPv4Network | IPv6Network
# What stands for the address of whoever comes by a socket file; who may is what the file's mode says.
UNIX: Final = "unix"

# A provider gives each customer a network of this size, so one caller has all of its addresses.
_IPV6_CUSTOMER_BITS: Final = 64


def parse_networks(value: object) -> tuple[Network | Literal["unix"], ...]:
    """Addresses and CIDR networks, and `unix`, by comma or white space. Raises ValueError."""
    entries: Iterable[object] = value if isinstance(value, tuple | list) else re.split(r"[,\s]+", str(value))
    return tuple(_networks(entries))


@lru_cache(maxsize=4096)
def caller_of(address: str) -> str:
    """The key of the caller at this address: of IPv6 its network, since a caller has 2^64 addresses there."""
    found = parsed(address)
    if not isinstance(found, IPv6Address):
        return address if found is None else str(found)
    return str(IPv6Network((found, _IPV6_CUSTOMER_BITS), strict=False))


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost or a loopback address, in writing: no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether this is loopback, a private network's or a socket file's."""
    found = parsed(address)
    return address == UNIX or (found is not None and (found.is_loopback or found.is_private))


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one where IPv6 only wraps it."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _networks(entries: Iterable[object]) -> Iterator[Network | Literal["unix"]]:
    for entry in entries:
        if isinstance(entry, IPv4Network | IPv6Network):
            yield entry
        elif entry == UNIX:
            yield UNIX
        elif entry:
            try:
                yield ip_network(str(entry))
            except ValueError as error:
                raise ValueError(f"{entry!r}: write addresses or networks, such as 10.0.0.0/8 ({error})") from None
