"""Merchants, with their terminals and API tokens."""

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from proxy.gateways.port import INVOICE_SCRIPT
from proxy.kernel.errors import Forbidden, InvalidInput, TerminalBound, invalid
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import return_origin_of

STOREFRONT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
DEFAULT_STOREFRONT = "main"


class Mode(StrEnum):
    """Whether money moves: a `test` token works only with `test` terminals, and the reverse."""

    LIVE = "live"
    TEST = "test"


# The names of the secrets that sign customers' ways back: what was there before modes had their own is the live one.
RETURN_SECRETS = {Mode.LIVE: "return_secret", Mode.TEST: "return_secret_test"}


class Scope(StrEnum):
    """A permission of a token."""

    PAYMENTS_WRITE = "payments:write"
    PAYMENTS_READ = "payments:read"
    WEBHOOKS = "webhooks"
    FACADE = "facade"


class AmountUnit(StrEnum):
    """The unit of a drop-in shop's bare number: 1 toman is 10 rial."""

    RIAL = "rial"
    TOMAN = "toman"


class ReturnMethod(StrEnum):
    """The method of a drop-in shop's return; BOTH is a POST to a URL with the parameters in its query too."""

    GET = "get"
    POST = "post"
    BOTH = "both"


class Language(StrEnum):
    """The language of the customers' pages."""

    PERSIAN = "fa"
    ENGLISH = "en"


TERMINAL_SCOPE = "terminal:"
ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = frozenset({Scope.PAYMENTS_WRITE, Scope.PAYMENTS_READ, Scope.WEBHOOKS})


@dataclass(frozen=True, slots=True)
class Branding:
    """A merchant's appearance to customers: a Persian name beside its name, `#rrggbb`, one language for all, the
    logo's digest, by which its picture is kept, and the ways to reach the merchant, as `contacts.py` reads them.
    """

    name_fa: str | None = None
    colour: str | None = None
    language: Language | None = None
    logo: str | None = None
    contact: str | None = None


@dataclass(frozen=True, slots=True)
class Merchant:
    """A seller. `return_origins` are the `scheme://host[:port]`, or apps' `scheme://`, that customers go back to.

    An archived one takes no new payments; those that it has go on to their end.
    """

    id: str
    name: str
    return_origins: tuple[str, ...]
    created_at: int
    updated_at: int
    branding: Branding = Branding()
    archived_at: int | None = None

    def called(self, language: Language) -> str:
        """Its name in a language."""
        return (self.branding.name_fa if language is Language.PERSIAN else None) or self.name


@dataclass(frozen=True, slots=True)
class Terminal:
    """An account at a gateway of the family `gateway`, which stays; its credentials are sealed elsewhere.

    `options` are the family's settings that are no secret. `return_base_url` is a public base of the shop's own domain
    that points here, for gateways that insist on the registered one.
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
    gateway: str = INVOICE_SCRIPT
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """An API token of one storefront; `digest` is the SHA-256 of it and `prefix` the part that may be shown.

    With a `terminal_id` (the scope `terminal:…`) it sees and makes that terminal's payments only. `amount_unit` and the
    two after it are the drop-in's: the unit of the shop's amounts, the method of its customers' return, and whether any
    https origin is allowed, registered or not. `protocol` is the family whose protocol such a shop speaks.
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
    protocol: str = INVOICE_SCRIPT

    def alive(self, now: int) -> bool:
        """Whether it may be used at `now`."""
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)

    def sees(self, storefront: str | None, mode: Mode, terminal_id: str | None) -> bool:
        """Whether the token may see records of this storefront, mode and terminal.

        `storefront` None stands for the merchant as a whole, `terminal_id` None for payments of every terminal.
        """
        return storefront == self.storefront and mode is self.mode and self.terminal_id in {None, terminal_id}

    def scope_names(self) -> list[str]:
        """Its scopes as they are written, the terminal's among them."""
        bound = [] if self.terminal_id is None else [f"{TERMINAL_SCOPE}{self.terminal_id}"]
        return sorted(scope.value for scope in self.scopes) + bound

    def allows(self, scope: Scope) -> bool:
        """Whether it has `scope`. A token of one terminal has no webhooks, which report every terminal's payments."""
        return scope in self.scopes and (scope is not Scope.WEBHOOKS or self.terminal_id is None)

    def require(self, scope: Scope) -> None:
        """Raises Forbidden unless the token has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(scope)
        if not self.allows(scope):
            raise TerminalBound(scope)


def check_return_url(url: str, allowed: tuple[str, ...]) -> str:
    """`url` itself when its origin is one of `allowed`; InvalidInput about `return_url` otherwise."""
    try:
        origin = return_origin_of(url)
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
