"""The bare loop: workers that post signed bodies with one aiohttp session as cheap as it can be. Benchmarks only."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import aiohttp

from bench.webhooks_stock import IDS, new_payment, refused
from proxy import webhook
from proxy.clock import system_now
from proxy.outgoing import USER_AGENT
from proxy.webhook import Event

Message = tuple[str, dict[str, str], bytes]


def events(urls: Sequence[str], number: int) -> list[tuple[str, Event]]:
    """The events of so many refused payments, of one merchant after the other, and where each goes."""
    merchants = [IDS.merchant() for _ in urls]
    return [(urls[n % len(urls)], refused(new_payment(merchants[n % len(urls)], n)).events[0]) for n in range(number)]


def headers_of(message_id: str, key: str, seconds: int, body: bytes) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": webhook.sign([key], message_id, seconds, body),
    }


def messages(urls: Sequence[str], number: int) -> list[Message]:
    """The same bodies as the engine's, signed beforehand."""
    key, seconds = webhook.new_secret(bytes(range(32))), system_now() // 1000
    bodies = [(url, event.id, event.body(n)) for n, (url, event) in enumerate(events(urls, number))]
    return [(url, headers_of(message_id, key, seconds, body), body) for url, message_id, body in bodies]


async def post_all(
    urls: Sequence[str], number: int, connections: int, settle_memory: Callable[[], None]
) -> dict[str, Any]:
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"Accept-Encoding": "identity"},
    )

    async def worker(waiting: Iterator[Message]) -> None:
        for url, headers, body in waiting:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.read()

    async with session:
        made = messages(urls, number)
        settle_memory()
        began, cpu = time.perf_counter(), time.process_time()
        # One worker per connection of an endpoint, so that the limit per endpoint is the engine's too.
        shares = [iter(made[n :: len(urls)]) for n in range(len(urls))]
        await asyncio.gather(*(worker(shares[n % len(urls)]) for n in range(connections)))
        return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
