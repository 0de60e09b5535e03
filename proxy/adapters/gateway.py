"""The gateway's protocol over HTTP: `request` and `check`, each with its deadline, each always ending in a fact."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.adapters.connector import CONNECT_SECONDS, DIAL, Dial, Outbound, resend_if_stale
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
_OK: Final = 200
_REASONS: Final = {"connect_timeout": "timeout", "refused": "refused_connection", "bad_response": "bad_answer"}


class HttpGateway:
    """Implements ports.Gateway. Made inside the running loop; `close` when nothing is under way any more.

    `request` is never resent: a call that died may have made an invoice, so what became of it is unknown. `check`
    changes nothing at our side of the wire, so a stale idle socket is worth a second one at once.
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
    ) -> None:
        self._request_seconds = request_seconds
        self._check_seconds = check_seconds
        self._tick = tick
        self._outbound = Outbound(headers=_HEADERS, connect_seconds=connect_seconds, resolver=resolver, tls=tls)

    async def close(self) -> None:
        await self._outbound.close()

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
        started = self._tick()
        fields = {"api_key": account.api_key, "amount": str(amount_rials), "return_url": return_url}
        answer = await self._ask(account, "request", fields, self._request_seconds, resend=False)
        return Requested(request_fact(answer), self._milliseconds(started))

    async def check(self, account: Account, invoice_key: str) -> Checked:
        started = self._tick()
        path = f"check/{quote(invoice_key, safe='')}"
        answer = await self._ask(account, path, {"api_key": account.api_key}, self._check_seconds, resend=True)
        return Checked(check_fact(invoice_key, answer), self._milliseconds(started))

    async def _ask(
        self, account: Account, path: str, fields: Mapping[str, str], seconds: float, *, resend: bool
    ) -> Raw | Broken:
        dial = Dial()
        DIAL.set(dial)
        try:
            url = _url(account.gateway_url, path)
            async with asyncio.timeout(seconds):
                return await self._post(url, urlencode(fields).encode(), dial, resend=resend)
        except RAISED as error:
            name = failure_name(error, dial)
            return Broken(_REASONS.get(name, name), timed_out=isinstance(error, TimeoutError))

    async def _post(self, url: URL, body: bytes, dial: Dial, *, resend: bool) -> Raw:
        async def once() -> aiohttp.ClientResponse:
            return await self._outbound.session.post(url, data=body, allow_redirects=False)

        response = await (resend_if_stale(once, dial) if resend else once())
        try:
            return Raw(response.status, await _body(response) if response.status == _OK else b"")
        finally:
            response.close()  # nothing to do when the body was read to its end: the connection is idle already

    def _milliseconds(self, started: float) -> int:
        return round((self._tick() - started) * 1000)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, or its first bytes beyond the limit, which are then too many."""
    body = bytearray()
    while len(body) <= MAX_ANSWER_BYTES:
        chunk = await response.content.readany()
        if not chunk:
            break
        body += chunk
    return bytes(body)


@lru_cache(maxsize=1024)
def _url(gateway_url: str, path: str) -> URL:
    # The base is encoded by yarl and the path by us: encoding it again would change the key.
    return URL(f"{_base(gateway_url)}/invoice/{path}", encoded=True)


@lru_cache(maxsize=1024)
def _base(gateway_url: str) -> str:
    return str(URL(gateway_url)).rstrip("/")
