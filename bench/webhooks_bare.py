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

Message = tuple[str, dict[str, str], bytes]


def messages(urls: Sequence[str], number: int) -> list[Message]:
    """The same bodies as the engine's, signed beforehand."""
    merchants = [IDS.merchant() for _ in urls]
    key, seconds = webhook.new_secret(bytes(range(32))), system_now() // 1000
    made = []
    for n in range(number):
        event = refused(new_payment(merchants[n % len(urls)], n)).events[0]
        body = event.body(n)
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": event.id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": webhook.sign([key], event.id, seconds, body),
        }
        made.append((urls[n % len(urls)], headers, body))
    return made


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
