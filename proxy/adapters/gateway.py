"""The gateway's protocol over HTTP: `request` and `check`, each with its deadline, each always ending in a fact."""

import ssl
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.adapters.connector import CONNECT_SECONDS, DIAL, Dial, Outbound, resend_if_stale
from proxy.adapters.deadline import Deadlines
from proxy.adapters.exchange import Origin, origin_of, post
from proxy.adapters.failures import RAISED, failure_name
from proxy.adapters.gateway_answers import MAX_ANSWER_BYTES, Broken, Raw, check_fact, request_fact
from proxy.records import Account, Checked, Requested

REQUEST_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 10.0
_HEADERS: Final = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "User-Agent": "dargah",
}
_REASONS: Final = {"connect_timeout": "timeout", "refused": "refused_connection", "bad_response": "bad_answer"}


class HttpGateway:
    """Implements ports.Gateway. Made inside the running loop; `close` when nothing is under way any more.

    `request` is never resent: a call that died may have made an invoice, so what became of it is unknown. `check`
    changes nothing at our side of the wire, so a stale idle socket is worth a second one at once. `own_tls` are the
    contexts of hosts (or host:port) whose certificates others than the system's authorities vouch for.
    """

    def __init__(
        self,
        *,
        request_seconds: float = REQUEST_SECONDS,
        check_seconds: float = CHECK_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        tick: Callable[[], float] = time.perf_counter,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        own_tls: Mapping[str, ssl.SSLContext] | None = None,
    ) -> None:
        self._request_deadlines = Deadlines(request_seconds)
        self._check_deadlines = Deadlines(check_seconds)
        self._tick = tick
        self._outbound = Outbound(headers=_HEADERS, connect_seconds=connect_seconds, resolver=resolver, tls=tls)
        self._own_tls = own_tls or {}
        self._origin = lru_cache(maxsize=1024)(self._origin_of)

    async def close(self) -> None:
        await self._outbound.close()

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
        started = self._tick()
        body = f"{_key_field(account)}&amount={amount_rials}&return_url={_quoted_url(return_url)}"
        answer = await self._ask(account, "request", body, self._request_deadlines, resend=False)
        return Requested(request_fact(answer), self._milliseconds(started))

    async def check(self, account: Account, invoice_key: str) -> Checked:
        started = self._tick()
        path = f"check/{quote(invoice_key, safe='')}"
        answer = await self._ask(account, path, _key_field(account), self._check_deadlines, resend=True)
        return Checked(check_fact(invoice_key, answer), self._milliseconds(started))

    async def _ask(self, account: Account, path: str, body: str, deadlines: Deadlines, *, resend: bool) -> Raw | Broken:
        dial = Dial()
        DIAL.set(dial)
        try:
            origin = self._origin(account.gateway_url)

            async def once() -> tuple[int, bytes]:
                return await post(self._outbound, origin, f"/invoice/{path}", body.encode(), MAX_ANSWER_BYTES)

            with deadlines.block():
                return Raw(*await (resend_if_stale(once, dial) if resend else once()))
        except RAISED as error:
            name = failure_name(error, dial)
            return Broken(_REASONS.get(name, name), timed_out=isinstance(error, TimeoutError))

    def _origin_of(self, gateway_url: str) -> Origin:
        url = URL(gateway_url)
        own = self._own_tls.get(f"{url.host}:{url.port}") or self._own_tls.get(url.host or "")
        return origin_of(self._outbound, url, own)

    def _milliseconds(self, started: float) -> int:
        return round((self._tick() - started) * 1000)


def _key_field(account: Account) -> str:
    return f"api_key={_quoted(account.api_key)}"


def _quoted_url(return_url: str) -> str:
    """Our own return links differ in the token at their end only, and quoting one takes longer than the rest of it."""
    base, slash, token = return_url.rpartition("/")
    return _quoted_base(base + slash) + _quoted(token)


def _quoted(text: str) -> str:
    return text if text.isascii() and text.isalnum() else quote_plus(text)


_quoted_base: Final = lru_cache(maxsize=1024)(quote_plus)
