"""Undone: what calls of a gateway do to be quick. Benchmarks only."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
from aiohttp.connector import Connection

from bench.undo import Used, replace
from proxy import app
from proxy.adapters import gateway, whole_answers
from proxy.adapters.connector import Dial
from proxy.adapters.failures import RAISED, failure_name
from proxy.adapters.gateway import REQUEST_SECONDS, HttpGateway
from proxy.adapters.gateway_answers import Broken, Raw, request_fact
from proxy.records import Account, Requested


def own_connections(used: Used) -> None:
    """A new connection for each call."""

    def released(self: Connection) -> None:
        used()
        self.close()

    replace(Connection, "release", released)


def parsed_answers(used: Used) -> None:
    """Plain answers go through aiohttp's parser and stream too."""

    def never_plain(_data: bytes) -> None:
        used()

    replace(whole_answers, "plain_answer", never_plain)


def own_timers(used: Used) -> None:
    """A timer for each call."""

    class Timer:
        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        def __enter__(self) -> None:
            used()
            task = asyncio.current_task()
            assert task is not None
            self._handle = asyncio.get_running_loop().call_later(self._seconds, task.cancel)

        def __exit__(self, *_error: object) -> None:
            self._handle.cancel()

    class Timers:
        def __init__(self, seconds: float) -> None:
            self.block = partial(Timer, seconds)

    replace(gateway, "Deadlines", Timers)


def by_session(*, form: bool = False, cookies: bool = False, timeouts: bool = False) -> Callable[[Used], None]:
    """The gateway is asked by aiohttp's ClientSession, which is spared a form to encode, a jar of cookies and a timeout
    for each call, or is not.
    """

    def undo(used: Used) -> None:
        class BySession(HttpGateway):
            async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
                used()
                started = self._tick()
                client = self._outbound.session
                assert isinstance(client.cookie_jar, aiohttp.CookieJar) is cookies
                body: dict[str, Any] | bytes
                if form:
                    body = {"api_key": account.api_key, "amount": amount_rials, "return_url": return_url}
                else:
                    quoted = gateway._quoted_url(return_url)  # noqa: SLF001  the product's own
                    body = f"api_key={account.api_key}&amount={amount_rials}&return_url={quoted}".encode()
                ask = partial(client.post, f"{account.gateway_url}/invoice/request", data=body)
                try:
                    if timeouts:
                        answer = await _answer(ask(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)))
                    else:
                        with self._request_deadlines.block():
                            answer = await _answer(ask())
                    return Requested(request_fact(answer), self._milliseconds(started))
                except RAISED as error:
                    broken = Broken(failure_name(error, Dial()), timed_out=isinstance(error, TimeoutError))
                    return Requested(request_fact(broken), self._milliseconds(started))

        replace(app, "HttpGateway", BySession)
        if cookies:
            replace(aiohttp, "DummyCookieJar", aiohttp.CookieJar)

    return undo


session = by_session()
form, cookies, timeouts = by_session(form=True), by_session(cookies=True), by_session(timeouts=True)
ordinary = by_session(form=True, cookies=True, timeouts=True)


async def _answer(asking: Any) -> Raw:
    async with asking as response:
        return Raw(response.status, await response.read())
