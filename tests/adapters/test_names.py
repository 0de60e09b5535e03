"""Name look-ups against a real name server on loopback: slow, silent, or one that knows nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest

from adapters.slow_names import NameServer
from proxy.http.outbound.connector import BoundedResolver


@asynccontextmanager
async def resolver_of(server: NameServer, seconds: float = 3.0) -> AsyncIterator[BoundedResolver]:
    asking = partial(aiohttp.AsyncResolver, nameservers=["127.0.0.1"], udp_port=server.port)
    resolver = BoundedResolver(seconds, asking, partial(asking, timeout=2.8, tries=1))
    try:
        yield resolver
    finally:
        await resolver.close()


async def addresses(resolver: BoundedResolver, name: str) -> list[str]:
    return [found["host"] for found in await resolver.resolve(name, 443)]


async def test_a_name_server_may_take_two_and_a_half_seconds_after_many_quick_answers() -> None:
    async with NameServer() as quick_then_slow, resolver_of(quick_then_slow) as resolver:
        for number in range(45):
            assert await addresses(resolver, f"quick-{number}.example") == ["127.0.0.1"]
        assert len(quick_then_slow.asked) == 90  # no look-up on a second channel where the first is quick
        quick_then_slow.seconds = 2.5
        found = await asyncio.gather(*(addresses(resolver, f"slow-{number}.example") for number in range(5)))
        assert found == [["127.0.0.1"]] * 5


async def test_one_that_never_answers_is_given_up_in_time() -> None:
    async with NameServer(seconds=60) as silent, resolver_of(silent, seconds=0.5) as resolver:
        async with asyncio.timeout(2):
            with pytest.raises(OSError, match="in time"):
                await resolver.resolve("silent.example", 443)


async def test_a_name_that_is_not_there_is_told_at_once() -> None:
    async with NameServer(refuses=True) as server, resolver_of(server) as resolver:
        async with asyncio.timeout(0.9):
            with pytest.raises(OSError, match="Domain name not found"):
                await resolver.resolve("nobody.example", 443)
