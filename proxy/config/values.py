"""The settings' values beyond words and numbers, and the parsers of their texts.

Every parser raises ValueError with a text that names a valid form.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from proxy.http.listeners import UNIX, Address, Listen, Place, SocketFile
from proxy.kernel.clock import HOUR, MINUTE, SECOND
from proxy.kernel.urls import ascii_host, ascii_url, is_loopback, origin_of
from proxy.webhooks.retry_policy import RetrySchedule


class Environment(StrEnum):
    PRODUCTION = "production"
    DEVELOPMENT = "development"


class ProcessRole(StrEnum):
    """A role of a process: together they do all of Dargah's work; apart they let replicas scale separately."""

    API = "api"
    """The public listener and the operator's API."""
    WATCH = "watch"
    """Asks gateways about payments whose customer has not come back."""
    DELIVER = "deliver"
    """Sends webhooks, and forgets those that are old enough."""


ALL_ROLES: Final = tuple(ProcessRole)
AdminTokens = Mapping[str, str]
Target = str | IPv4Network | IPv6Network
"""`host:port` exactly, or a network."""

MAX_RETRIES: Final = 20
LONGEST_DELAY: Final = 72 * HOUR
_DELAY: Final = re.compile(r"([0-9]{1,6})([smh])")
_DELAY_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR}
DEFAULT_OPERATOR: Final = "admin"
MIN_TOKEN_CHARS: Final = 24
# Of 32 random hexadecimal digits fewer differ once in ten million tokens.
MIN_TOKEN_LETTERS: Final = 8
_TOKEN: Final = re.compile(r"[!-+\--9;-~]+")  # visible ASCII but for the comma and the colon, which separate
_SOCKET_FILE: Final = re.compile(r"unix:(/[^?,\0]{0,105})(?:\?mode=0?([0-7]{3}))?")
_OPERATOR: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")


def parse_address(value: object) -> Address:
    """`host:port`, `[v6]:port`."""
    if isinstance(value, Address):
        return value
    host, _, port = str(value).strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  ports
        raise ValueError("write host:port, such as 127.0.0.1:8080 or 0.0.0.0:8080")
    return Address(_host(host), int(port))


def parse_listen(value: object) -> Listen:
    """`host:port`, `[v6]:port` and `unix:/path`, by comma. Raises ValueError."""
    if isinstance(value, Listen):
        return value
    texts = [text.strip() for text in str(value).split(",")]
    places = tuple(_place(text) for text in texts)
    named = [place for place in places if not isinstance(place, Address) or place.port]
    if len({str(place) for place in named}) != len(named):
        raise ValueError("an address stands twice")
    return Listen(places)


def parse_public_url(text: str) -> str:
    """A base of links, an origin and perhaps a path, as ASCII without its last slash."""
    origin_of(text)
    if "?" in text or "#" in text:
        raise ValueError("DARGAH_PUBLIC_URL is a base, without ? or #, such as https://pay.example.ir")
    return ascii_url(text).rstrip("/")


def check_public_url(url: str, *, plain_http: bool) -> None:
    """Plain http is for loopback, or where `plain_http` says. Raises ValueError."""
    parts = urlsplit(url)
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
        if _guessable(token):
            raise ValueError("a token repeats itself, and can be guessed; `openssl rand -hex 32` makes one")
        tokens[name] = token
    if not tokens:
        raise ValueError("it is empty; `openssl rand -hex 32` makes a token")
    return tokens


def _guessable(token: str) -> bool:
    """Whether it has few different characters, or is a shorter text again and again."""
    return len(set(token)) < MIN_TOKEN_LETTERS or token in (token + token)[1:-1]


def parse_retry_schedule(value: object) -> RetrySchedule:
    """Delays of a number and a unit each, by comma: `5s,5m,2h`."""
    if isinstance(value, RetrySchedule):
        return value
    texts = [text.strip() for text in str(value).split(",")]
    if len(texts) > MAX_RETRIES:
        raise ValueError(f"{len(texts)} delays; write at most {MAX_RETRIES}")
    return RetrySchedule(tuple(map(_delay, texts)))


def _delay(text: str) -> int:
    match = _DELAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no delay; write a number with s, m or h, such as 5s,5m,2h")
    milliseconds = int(match[1]) * _DELAY_UNITS[match[2]]
    if not SECOND <= milliseconds <= LONGEST_DELAY:
        raise ValueError(f"{text!r} is out of bounds; a delay takes 1s to 72h")
    return milliseconds


def parse_roles(value: object) -> tuple[ProcessRole, ...]:
    """The roles of `api,watch,deliver`, in that order for any order in the text."""
    if isinstance(value, tuple):
        return value
    names = {name.strip().lower() for name in str(value).split(",")}
    unknown = sorted(names - set(ALL_ROLES))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no role; write one or more of {', '.join(ALL_ROLES)}, comma separated")
    return tuple(role for role in ALL_ROLES if role in names)


def check_alone(roles: tuple[ProcessRole, ...], workers: int) -> None:
    """Raises ValueError unless one process with these roles does everything, as a SQLite file needs it to."""
    if workers > 1:
        raise ValueError(
            f"DARGAH_WORKERS is {workers}: a SQLite database has exactly one process, which uses little more "
            "than one core. Leave it out, or have each of them use a core of its own on PostgreSQL (DARGAH_DATABASE=postgresql://…)"
        )
    lacking = [role for role in ALL_ROLES if role not in roles]
    if lacking:
        raise ValueError(
            f"DARGAH_ROLES lacks {', '.join(lacking)}: a SQLite database has exactly one process, which does it all. "
            "Roles are for PostgreSQL (DARGAH_DATABASE=postgresql://…)"
        )


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


def _host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    try:
        return ascii_host(text)
    except ValueError:
        raise ValueError("write host:port, such as 127.0.0.1:8080 or 0.0.0.0:8080") from None


def _place(text: str) -> Place:
    if not text.startswith(UNIX):
        return parse_address(text)
    found = _SOCKET_FILE.fullmatch(text)
    if found is None:
        raise ValueError(
            "write unix:/run/dargah/dargah.sock, a whole path of 106 bytes at most, or with the file's mode, "
            "unix:/run/dargah/dargah.sock?mode=666"
        )
    return SocketFile(Path(found[1])) if found[2] is None else SocketFile(Path(found[1]), int(found[2], 8))
