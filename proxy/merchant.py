"""Who sells: merchants, their terminals, API tokens and webhook endpoints, as the operator sets them up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from proxy.errors import Forbidden, InvalidInput, invalid

STOREFRONT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
DEFAULT_STOREFRONT = "main"
V1, V1A = "v1", "v1a"
KEY_PREFIXES = {V1: "signing:", V1A: "signing_v1a:"}


class Mode(StrEnum):
    """Whether money moves: a `test` token works only with `test` terminals, and the reverse."""

    LIVE = "live"
    TEST = "test"


class Scope(StrEnum):
    """What a token may do."""

    PAYMENTS_WRITE = "payments:write"
    PAYMENTS_READ = "payments:read"
    WEBHOOKS = "webhooks"
    FACADE = "facade"


class AmountUnit(StrEnum):
    """What a drop-in shop's bare number means: 1 toman is 10 rial."""

    RIAL = "rial"
    TOMAN = "toman"


class ReturnMethod(StrEnum):
    """How a drop-in shop's customer is sent back to it."""

    GET = "get"
    POST = "post"


class Language(StrEnum):
    """What customers are shown their pages in."""

    PERSIAN = "fa"
    ENGLISH = "en"


TERMINAL_SCOPE = "terminal:"
ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = frozenset({Scope.PAYMENTS_WRITE, Scope.PAYMENTS_READ, Scope.WEBHOOKS})


@dataclass(frozen=True, slots=True)
class Looks:
    """How a merchant's customers see it: a Persian name beside its name, `#rrggbb`, one language for all of them, and
    the logo's digest, by which its picture is kept.
    """

    name_fa: str | None = None
    colour: str | None = None
    language: Language | None = None
    logo: str | None = None


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who sells. `return_origins` are the `scheme://host[:port]` to which a customer may be sent back."""

    id: str
    name: str
    return_origins: tuple[str, ...]
    created_at: int
    updated_at: int
    looks: Looks = Looks()

    def called(self, language: Language) -> str:
        """Its name in a language."""
        return (self.looks.name_fa if language is Language.PERSIAN else None) or self.name


@dataclass(frozen=True, slots=True)
class Terminal:
    """An account at a gateway; its api_key is sealed elsewhere. `return_base_url` is a public base of the
    shop's own domain that points here, for gateways that insist on the registered one (codes 203 and 204).
    """

    id: str
    merchant_id: str
    name: str
    mode: Mode
    gateway_url: str
    return_base_url: str | None
    enabled: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Token:
    """An API token of one storefront; `digest` is the SHA-256 of it and `prefix` the part that may be shown.

    With a `terminal_id` (the scope `terminal:…`) it sees and makes that terminal's payments only. `amount_unit` and
    the two after it are the drop-in's: what unit the shop sends, how its customers come back, and whether any https
    origin may be returned to, registered or not.
    """

    id: str
    merchant_id: str
    storefront: str
    mode: Mode
    prefix: str
    digest: bytes
    scopes: frozenset[Scope]
    terminal_id: str | None
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    amount_unit: AmountUnit = AmountUnit.RIAL
    return_method: ReturnMethod = ReturnMethod.GET
    any_https_return: bool = False
    last_used_at: int | None = None

    def alive(self, now: int) -> bool:
        """Whether it may be used at `now`."""
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)

    def sees(self, storefront: str, mode: Mode, terminal_id: str) -> bool:
        """Whether a payment of this storefront, mode and terminal is the token's to see."""
        return storefront == self.storefront and mode is self.mode and self.terminal_id in {None, terminal_id}

    def scope_names(self) -> list[str]:
        """Its scopes as they are written, the terminal's among them."""
        bound = [] if self.terminal_id is None else [f"{TERMINAL_SCOPE}{self.terminal_id}"]
        return sorted(scope.value for scope in self.scopes) + bound

    def require(self, scope: Scope) -> None:
        """Raises Forbidden unless the token has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(scope)


class EndpointState(StrEnum):
    """Paused is the merchant's wish, disabled is ours (410, or no success for 5 days); both hold events."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that gets webhooks; empty `event_types` means all, `storefront` None means every storefront.

    `signatures` are the schemes that it is signed by. Its keys are numbered: the current one is `key_number`, and until
    `previous_until` the one before signs too.
    """

    id: str
    merchant_id: str
    url: str
    storefront: str | None
    event_types: frozenset[str]
    description: str
    headers: Mapping[str, str]
    state: EndpointState
    state_reason: str | None
    state_since: int
    created_at: int
    updated_at: int
    signatures: tuple[str, ...] = (V1,)
    key_number: int = 1
    previous_until: int | None = None

    def key_names(self, now: int) -> list[str]:
        """The names of the secrets that sign for it at `now`: the current key's first, and `v1` before `v1a`."""
        overlap = self.previous_until is not None and now < self.previous_until
        numbers = [self.key_number, self.key_number - 1] if overlap else [self.key_number]
        return [f"{KEY_PREFIXES[scheme]}{number}" for scheme in self.signatures for number in numbers]

    def wants(self, event_type: str, storefront: str | None) -> bool:
        """Whether an event of this type and storefront goes to this endpoint."""
        if self.event_types and event_type not in self.event_types:
            return False
        return self.storefront is None or storefront is None or self.storefront == storefront


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act of an operator: who did what to which record, and what was set (never a secret)."""

    id: str
    merchant_id: str
    at: int
    actor: str
    action: str
    target: str
    data: Mapping[str, object]


def origin_of(url: str) -> str:
    """The `scheme://host[:port]` of an absolute http(s) URL, lower case, default port left out.

    Raises ValueError for anything else: no host, userinfo, white space or control characters, a bad port.
    """
    if not url.isprintable() or any(char.isspace() or char == "\\" for char in url):
        raise ValueError("the URL has white space, a backslash or control characters")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL must start with https:// (or http://) and a host")
    if "@" in parts.netloc:
        raise ValueError("the URL must not carry a user name or password")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = parts.port
    return f"{parts.scheme}://{host}" if port in {None, default} else f"{parts.scheme}://{host}:{port}"


def check_return_url(url: str, allowed: tuple[str, ...]) -> str:
    """`url` itself when its origin is one of `allowed`; InvalidInput about `return_url` otherwise."""
    try:
        origin = origin_of(url)
    except ValueError as error:
        raise _bad_return_url("url_invalid", str(error), "نشانی بازگشت معتبر نیست") from error
    if origin not in allowed:
        raise _bad_return_url(
            "return_origin_not_registered",
            f"the origin {origin} is not registered for this merchant; an operator can add it",
            f"مبدأ {origin} برای این پذیرنده ثبت نشده است؛ از گردانندهٔ سامانه بخواهید آن را بیفزاید",
        )
    return url


def _bad_return_url(code: str, detail: str, detail_fa: str) -> InvalidInput:
    return invalid("return_url", code, detail, detail_fa)
