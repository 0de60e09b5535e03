"""Rate limiting before the handlers: the limits of callers, and the counters of failed calls.

A secret that was valid lately passes, even if other calls from its address fail. Many wrong secrets are refused, at
last without a look-up; a valid secret that is new to this process needs one of the address's look-ups. A customer is
counted by the payment's own link, because many customers share one address behind their provider's NAT; an address
counts only for links that do not exist.
"""

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRoute

from proxy.http.headers import rate_limit_headers
from proxy.http.trusted_proxies import AllowedHosts, TrustedProxies
from proxy.kernel.clock import Now, system_now
from proxy.kernel.errors import DargahError, NotFound, RateLimited, Unauthenticated
from proxy.kernel.ids import merchant_of_link, split_link
from proxy.kernel.rate_limits import LimitState, Quotas, RateLimit
from proxy.kernel.urls import caller_of
from proxy.merchants.cache import BeforeLookUp

# How routes take a link: with whatever was pasted to it, but no second part of a path, which may be a drop-in's.
PASTED: Final = r"[0-9A-Za-z]{35,37}[^0-9A-Za-z].*|[^/]+/*"
# So many more look-ups has an address than wrong tokens or links, for what is right and was not seen here lately.
LOOK_UPS_PER_FAILURE: Final = 10


class RouteKind(Enum):
    """The rate-limit kind of a route: by token, by address alone, by pay link, or as an operator's."""

    CREATE = auto()
    CALL = auto()
    OPEN = auto()
    PAGE = auto()
    OPERATE = auto()


class FailureLimits(NamedTuple):
    """The limits of an address's failures: wrong calls, and look-ups of secrets that turned out wrong."""

    calls: RateLimit
    look_ups: RateLimit


class RouteLimits(NamedTuple):
    """The limits of a kind of route. With `token`, calls of valid tokens count against both it and `address`; a page
    counts against its link.
    """

    page: bool
    address: RateLimit | None
    token: RateLimit | None
    wrong: FailureLimits


class PayLink(NamedTuple):
    """The link of a page's path (the drop-in's invoice_key) and the rest of the path behind it.

    `merchant_id` is the merchant of the link, None for text that is not a link.
    """

    text: str
    tail: str
    merchant_id: str | None


class Call:
    """The known values of one request: its client's address, the address that it counts against, and the nearest limit.

    One object, because each look-up of an absent key in a request costs aiohttp an exception.
    """

    __slots__ = ("caller", "client", "looks_up", "now", "rules", "standing")

    def __init__(self, client: str, rules: RouteLimits | None, now: int) -> None:
        self.client = client
        self.caller = caller_of(client)
        self.rules = rules
        self.now = now
        self.looks_up = False
        self.standing: LimitState | None = None

    @property
    def of_page(self) -> bool:
        return self.rules is not None and self.rules.page

    def look_up(self) -> None:
        """Before the store is asked whether a token or a link is right. Raises RateLimited."""
        if self.rules is not None:
            self.rules.wrong.look_ups.check(self.caller, self.now)
            self.looks_up = True

    def near(self, standing: LimitState) -> None:
        if self.standing is None or standing.remaining < self.standing.remaining:
            self.standing = standing

    def headers(self) -> Mapping[str, str] | None:
        """The headers for a caller near a limit."""
        at = self.standing
        return None if at is None else rate_limit_headers(at.limit, at.per_minute, at.remaining, at.reset_seconds)


_CALL: Final = web.RequestKey("call", Call)
PAY_LINK: Final = web.RequestKey("pay_link", PayLink)
"""Set for every page before its handler runs."""


def before_look_up(request: web.Request) -> BeforeLookUp:
    """The rate limit of look-ups for this request."""
    return request[_CALL].look_up


def client_address(request: web.Request) -> str:
    """The address of this request's client, as its log line has it."""
    return request[_CALL].client


class RateLimiting:
    """The limits of one listener, over the routes given to `cover`, and its `hosts`."""

    def __init__(self, quotas: Quotas, now: Now, proxies: TrustedProxies, hosts: AllowedHosts | None = None) -> None:
        self.proxies = proxies
        self._now = now
        self._hosts = hosts
        self._rules: dict[AbstractRoute, RouteLimits] = {}
        token_creates = RateLimit("token-creates", quotas.token_creates)
        address_creates = RateLimit("address-creates", quotas.address_creates)
        token_calls = RateLimit("token-calls", quotas.token_calls)
        address_calls = RateLimit("address-calls", quotas.address_calls)
        tokens = _wrong("auth-failures", "token-look-ups", quotas.auth_failures)
        links = _wrong("unknown-links", "link-look-ups", quotas.unknown_links)
        self._of_kind = {
            RouteKind.CREATE: RouteLimits(page=False, address=address_creates, token=token_creates, wrong=tokens),
            RouteKind.CALL: RouteLimits(page=False, address=address_calls, token=token_calls, wrong=tokens),
            RouteKind.OPEN: RouteLimits(page=False, address=address_calls, token=None, wrong=tokens),
            RouteKind.PAGE: RouteLimits(page=True, address=None, token=None, wrong=links),
            RouteKind.OPERATE: RouteLimits(page=False, address=None, token=None, wrong=tokens),
        }
        self._link_visits = RateLimit("link-visits", quotas.link_visits)

    def cover(self, route: AbstractRoute, kind: RouteKind) -> None:
        self._rules[route] = self._of_kind[kind]

    def covers(self, route: AbstractRoute) -> bool:
        return route in self._rules

    def call(self, request: web.Request) -> Call:
        """The call of this request; `enter` counts it."""
        rules = self._rules.get(request.match_info.route)
        call = request[_CALL] = Call(self.proxies.client(request), rules, self._now())
        return call

    def enter(self, request: web.Request, call: Call) -> None:
        """Counts a call that no token will be counted for. Raises RateLimited, or HostNotServed."""
        if self._hosts is not None:
            self._hosts.check(request)
        rules = call.rules
        if rules is None:
            return
        if rules.page:
            link = request[PAY_LINK] = _pay_link(request)
            self._enter_page(link, call)
        elif rules.token is None:
            _spend(rules.address, call.caller, call)

    def known(self, request: web.Request, token_id: str) -> None:
        """Counts the call of a right token. Raises RateLimited."""
        call = request[_CALL]
        if call.rules is not None:
            _spend(call.rules.token, token_id, call)
            _spend(call.rules.address, call.caller, call)

    def failed(self, call: Call, error: DargahError) -> DargahError:
        """Counts a wrong token or an unknown link against its address. Returns the error to answer with: past the
        limit, RateLimited.
        """
        rules = call.rules
        if rules is None or not isinstance(error, NotFound if rules.page else Unauthenticated):
            return error
        try:
            if call.looks_up:
                with suppress(RateLimited):
                    rules.wrong.look_ups.spend(call.caller, call.now)
            rules.wrong.calls.spend(call.caller, call.now)
        except RateLimited as over:
            return over
        return error

    def visited(self, request: web.Request, call: Call) -> None:
        """Counts a visit of a page against its link, which exists."""
        with suppress(RateLimited):
            self._link_visits.spend(request[PAY_LINK].text, call.now)

    def _enter_page(self, link: PayLink, call: Call) -> None:
        self._link_visits.check(link.text, call.now)
        # A link that was seen here lately exists: a neighbour who guesses at links does not keep its customer out.
        if link.text not in self._link_visits and link.merchant_id is not None:
            call.look_up()


def _spend(limit: RateLimit | None, key: str, call: Call) -> None:
    if limit is not None and (standing := limit.spend(key, call.now)) is not None:
        call.near(standing)


def _wrong(calls: str, look_ups: str, per_minute: int) -> FailureLimits:
    return FailureLimits(RateLimit(calls, per_minute), RateLimit(look_ups, per_minute * LOOK_UPS_PER_FAILURE))


def _pay_link(request: web.Request) -> PayLink:
    path = request.match_info
    text, tail = split_link(path["link"] if "link" in path else path["invoice_key"])
    return PayLink(text, tail, merchant_of_link(text))


def unlimited() -> RateLimiting:
    """Nobody is limited, and nobody in front is believed."""
    return RateLimiting(Quotas(), system_now, TrustedProxies())
