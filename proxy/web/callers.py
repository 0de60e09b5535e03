"""Who calls and how often they may: the limits that stand before the handlers, and what failed calls count against.

A limit by address comes before anything is hashed or looked up. A customer is counted by the payment's own link: many
share one address behind their provider's NAT, so an address counts only for links that do not exist.
"""

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Final, NamedTuple

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


class Rules(NamedTuple):
    """What a kind of route counts against. A page counts against its link, and its unknown links against addresses."""

    page: bool
    address: RateLimit | None
    token: RateLimit | None


class Call:
    """What is known of one request: its client's address, whom that counts against, and the nearest limit.

    One object, as each look for what a request does not hold costs aiohttp an exception.
    """

    __slots__ = ("caller", "client", "now", "rules", "standing")

    def __init__(self, client: str | None, rules: Rules | None, now: int) -> None:
        self.client = client
        self.caller = None if client is None else caller_of(client)
        self.rules = rules
        self.now = now
        self.standing: Standing | None = None

    def near(self, standing: Standing) -> None:
        if self.standing is None or standing.remaining < self.standing.remaining:
            self.standing = standing

    def headers(self) -> Mapping[str, str] | None:
        """What to tell a caller who nears a limit."""
        at = self.standing
        return None if at is None else rate_limit_headers(at.limit, at.per_minute, at.remaining, at.reset_seconds)


_CALL: Final = web.RequestKey("call", Call)


class Callers:
    """The limits of one process, over the routes that were told to `cover`."""

    def __init__(self, quotas: Quotas, now: Now, proxies: Proxies) -> None:
        self.proxies = proxies
        self._now = now
        self._rules: dict[AbstractRoute, Rules] = {}
        token_creates = RateLimit("token-creates", quotas.token_creates)
        address_creates = RateLimit("address-creates", quotas.address_creates)
        token_calls = RateLimit("token-calls", quotas.token_calls)
        address_calls = RateLimit("address-calls", quotas.address_calls)
        self._of_kind = {
            Kind.CREATE: Rules(page=False, address=address_creates, token=token_creates),
            Kind.CALL: Rules(page=False, address=address_calls, token=token_calls),
            Kind.PAGE: Rules(page=True, address=None, token=None),
            Kind.OPERATE: Rules(page=False, address=None, token=None),
        }
        self._auth_failures = RateLimit("auth-failures", quotas.auth_failures)
        self._link_visits = RateLimit("link-visits", quotas.link_visits)
        self._unknown_links = RateLimit("unknown-links", quotas.unknown_links)

    def cover(self, route: AbstractRoute, kind: Kind) -> None:
        self._rules[route] = self._of_kind[kind]

    def covers(self, route: AbstractRoute) -> bool:
        return route in self._rules

    def call(self, request: web.Request) -> Call:
        """Who calls for what; `enter` counts it."""
        rules = self._rules.get(request.match_info.route)
        call = request[_CALL] = Call(self.proxies.client(request), rules, self._now())
        return call

    def enter(self, request: web.Request, call: Call) -> None:
        """Counts the call against its address. Raises RateLimited."""
        rules, caller = call.rules, call.caller
        if rules is None:
            return
        if rules.page:
            self._enter_page(link_of(request), call)
        elif caller is not None:
            self._auth_failures.check(caller, call.now)
            if rules.address is not None and (standing := rules.address.spend(caller, call.now)) is not None:
                call.near(standing)

    def known(self, request: web.Request, token_id: str) -> None:
        """Counts the call against its token. Raises RateLimited."""
        call = request[_CALL]
        limit = call.rules and call.rules.token
        if limit is not None and (standing := limit.spend(token_id, call.now)) is not None:
            call.near(standing)

    def failed(self, call: Call, error: DargahError) -> None:
        """Counts a wrong token or an unknown link against its address."""
        if call.caller is None:
            return
        # Past the limit nothing more is counted: enter() refuses already.
        with suppress(RateLimited):
            if isinstance(error, Unauthenticated):
                self._auth_failures.spend(call.caller, call.now)
            elif isinstance(error, NotFound) and call.rules is not None and call.rules.page:
                self._unknown_links.spend(call.caller, call.now)

    def visited(self, request: web.Request) -> None:
        """Counts a visit of a page against its link, which exists."""
        with suppress(RateLimited):
            self._link_visits.spend(link_of(request), request[_CALL].now)

    def _enter_page(self, link: str, call: Call) -> None:
        self._link_visits.check(link, call.now)
        # A link that was seen here lately exists: a neighbour who guesses at links does not keep its customer out.
        if call.caller is not None and link not in self._link_visits:
            self._unknown_links.check(call.caller, call.now)


def link_of(request: web.Request) -> str:
    """The link of a page's path, which is what the drop-in calls an invoice_key."""
    path = request.match_info
    return path["link"] if "link" in path else path["invoice_key"]


def unlimited() -> Callers:
    """Nobody is limited, and nobody in front is believed."""
    return Callers(Quotas(), system_now, Proxies())
