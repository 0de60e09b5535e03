"""Who calls and how often they may: the limits that stand before the handlers, and what failed calls count against.

A limit by address comes before anything is hashed or looked up. A customer is counted by the payment's own link: many
share one address behind their provider's NAT, so an address counts only for links that do not exist.
"""

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRoute

from proxy.addresses import caller_of
from proxy.clock import system_now
from proxy.errors import DargahError, NotFound, RateLimited, Unauthenticated
from proxy.ports import Now
from proxy.rate_limits import Quotas, RateLimit, Standing
from proxy.web.headers import rate_limit_headers
from proxy.web.proxies import Proxies


class Kind(Enum):
    """What a route is limited as."""

    CREATE = auto()
    CALL = auto()
    PAGE = auto()
    OPERATE = auto()


CLIENT: Final = web.RequestKey("client", str)
_KIND: Final = web.RequestKey("kind", Kind)
_STANDING: Final = web.RequestKey("standing", Standing)


class Callers:
    """The limits of one process, over the routes that were told to `cover`."""

    def __init__(self, quotas: Quotas, now: Now, proxies: Proxies) -> None:
        self.proxies = proxies
        self._kinds: dict[AbstractRoute, Kind] = {}
        self._token_creates = RateLimit("token-creates", quotas.token_creates, now)
        self._address_creates = RateLimit("address-creates", quotas.address_creates, now)
        self._token_calls = RateLimit("token-calls", quotas.token_calls, now)
        self._address_calls = RateLimit("address-calls", quotas.address_calls, now)
        self._auth_failures = RateLimit("auth-failures", quotas.auth_failures, now)
        self._link_visits = RateLimit("link-visits", quotas.link_visits, now)
        self._unknown_links = RateLimit("unknown-links", quotas.unknown_links, now)

    def cover(self, route: AbstractRoute, kind: Kind) -> None:
        self._kinds[route] = kind

    def enter(self, request: web.Request) -> None:
        """Counts the call against its address. Raises RateLimited."""
        client = self.proxies.client(request)
        caller = None
        if client is not None:
            request[CLIENT] = client
            caller = caller_of(client)
        kind = self._kinds.get(request.match_info.route)
        if kind is None:
            return
        request[_KIND] = kind
        if kind is Kind.PAGE:
            self._enter_page(link_of(request), caller)
        elif caller is not None:
            self._auth_failures.check(caller)
            if kind is not Kind.OPERATE:
                limit = self._address_creates if kind is Kind.CREATE else self._address_calls
                _note(request, limit.spend(caller))

    def known(self, request: web.Request, token_id: str) -> None:
        """Counts the call against its token. Raises RateLimited."""
        limit = self._token_creates if request.get(_KIND) is Kind.CREATE else self._token_calls
        _note(request, limit.spend(token_id))

    def failed(self, request: web.Request, error: DargahError) -> None:
        """Counts a wrong token or an unknown link against its address."""
        if not isinstance(error, Unauthenticated | NotFound) or CLIENT not in request:
            return
        page = request.get(_KIND) is Kind.PAGE
        # Past the limit nothing more is counted: enter() refuses already.
        with suppress(RateLimited):
            if isinstance(error, Unauthenticated):
                self._auth_failures.spend(caller_of(request[CLIENT]))
            elif page:
                self._unknown_links.spend(caller_of(request[CLIENT]))

    def visited(self, request: web.Request) -> None:
        """Counts a visit of a page against its link, which exists."""
        with suppress(RateLimited):
            self._link_visits.spend(link_of(request))

    def headers(self, request: web.Request) -> Mapping[str, str] | None:
        """What to tell a caller who nears a limit."""
        standing = request.get(_STANDING)
        if standing is None:
            return None
        return rate_limit_headers(standing.limit, standing.per_minute, standing.remaining, standing.reset_seconds)

    def _enter_page(self, link: str, caller: str | None) -> None:
        self._link_visits.check(link)
        # A link that was seen here lately exists: a neighbour who guesses at links does not keep its customer out.
        if caller is not None and link not in self._link_visits:
            self._unknown_links.check(caller)


def link_of(request: web.Request) -> str:
    """The link of a page's path, which is what the drop-in calls an invoice_key."""
    path = request.match_info
    return path["link"] if "link" in path else path["invoice_key"]


def _note(request: web.Request, standing: Standing | None) -> None:
    if standing is None:
        return
    other = request.get(_STANDING)
    if other is None or standing.remaining < other.remaining:
        request[_STANDING] = standing


def unlimited() -> Callers:
    """Nobody is limited, and nobody in front is believed."""
    return Callers(Quotas(), system_now, Proxies())
