"""The settings' values that are more than a word or a number, and how their texts are read.

Every parser raises ValueError with a text that says what to write instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from proxy.merchant import origin_of
from proxy.setup.fields import is_loopback

AdminTokens = Mapping[str, str]
Target = str | IPv4Network | IPv6Network
"""`host:port` exactly, or a network."""

DEFAULT_OPERATOR: Final = "admin"
MIN_TOKEN_CHARS: Final = 24
_TOKEN: Final = re.compile(r"[!-+\--9;-~]+")  # visible ASCII but for the comma and the colon, which separate
_OPERATOR: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        return f"http://{self}"


def parse_address(value: object) -> Address:
    """`host:port`, `[v6]:port`."""
    if isinstance(value, Address):
        return value
    host, _, port = str(value).strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or not _is_host(host):  # noqa: PLR2004  ports
        raise ValueError("write host:port, such as 127.0.0.1:8080 or 0.0.0.0:8080")
    return Address(host, int(port))


def parse_public_url(text: str, *, plain_http: bool) -> None:
    """Checks a base of links: an origin and perhaps a path. Plain http is for loopback, or where `plain_http` says."""
    origin_of(text)
    parts = urlsplit(text)
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("DARGAH_PUBLIC_URL is a base, without ? or #, such as https://pay.example.ir")
    if parts.scheme == "http" and not plain_http and not is_loopback(parts.hostname or ""):
        raise ValueError("DARGAH_PUBLIC_URL must be https:// (customers pay there), or DARGAH_ENVIRONMENT=development")


def parse_admin_tokens(text: str) -> AdminTokens:
    """The tokens by operator: a single `token` is `admin`'s, several are `name:token`, by comma or line."""
    tokens: dict[str, str] = {}
    for entry in filter(None, (piece.strip() for piece in re.split(r"[,\n]", text))):
        name, mark, token = entry.rpartition(":")
        name = name if mark else DEFAULT_OPERATOR
        if name in tokens or token in tokens.values():
            raise ValueError("two tokens have the same name or are the same; write name:token,name:token")
        if not _OPERATOR.fullmatch(name) or not _TOKEN.fullmatch(token):
            raise ValueError("write a token, or name:token, of visible ASCII without commas and colons")
        if len(token) < MIN_TOKEN_CHARS:
            raise ValueError(f"a token has at least {MIN_TOKEN_CHARS} characters; `openssl rand -hex 32` makes one")
        tokens[name] = token
    if not tokens:
        raise ValueError("it is empty; `openssl rand -hex 32` makes a token")
    return tokens


def parse_webhook_allow(value: object) -> tuple[Target, ...]:
    """Exact `host:port` (lower case) and CIDR entries, by comma or white space."""
    if isinstance(value, tuple | list):
        return tuple(value)
    return tuple(_target(entry) for entry in re.split(r"[,\s]+", str(value)) if entry)


def _target(entry: str) -> Target:
    try:
        if "/" in entry:
            return ip_network(entry)
        return str(parse_address(entry)).lower()
    except ValueError as error:
        raise ValueError(f"{entry!r}: write host:port, such as 127.0.0.1:3000, or a CIDR ({error})") from None


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return True
    try:
        return bool(ip_address(host))
    except ValueError:
        return False
