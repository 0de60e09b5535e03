"""The queue-library peer: pgqueuer's worker whose jobs are posted with one aiohttp session. Benchmarks only.

pgqueuer and not procrastinate: it claims and acknowledges in batches over the driver that Dargah has, which is the
harder comparison; procrastinate takes a statement for each job. Each message is signed as it is sent, as the engine
does. What the engine does beside that the peer does not: attempts that are kept, a limit and an order per endpoint.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import aiohttp
import asyncpg
import uvloop
from pgqueuer import AsyncpgPoolDriver, Job, Queries, QueueManager

from bench.webhooks_bare import events, headers_of
from bench.webhooks_sender import settle_memory
from proxy import webhook
from proxy.clock import system_now

AT_ONCE: Final = 1000
ENTRYPOINT: Final = "deliver"
POOL: Final = 8  # 2 and 20 connections were slower
KEY: Final = webhook.new_secret(bytes(range(32)))


async def fill(database: str, urls: Sequence[str], number: int) -> dict[str, Any]:
    """So many jobs that wait, in the library's own schema: each table of it is logged, so durable."""
    pool = await asyncpg.create_pool(database, min_size=1, max_size=1)
    queries = Queries(AsyncpgPoolDriver(pool))
    await queries.install()
    made = events(urls, number)
    for at in range(0, number, AT_ONCE):
        some = made[at : at + AT_ONCE]
        await queries.enqueue(
            [ENTRYPOINT] * len(some),
            [event.body(at + n) for n, (_, event) in enumerate(some)],
            [0] * len(some),
            headers=[{"url": url, "id": event.id} for url, event in some],
        )
    await pool.execute("VACUUM ANALYZE")
    await pool.close()
    return {}


async def send(database: str, connections: int, batch: int) -> dict[str, Any]:
    """Sends until no job is left; how long that took from the start, and what it cost this process."""
    async with (
        asyncpg.create_pool(database, min_size=POOL, max_size=POOL) as pool,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=connections),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"Accept-Encoding": "identity"},
        ) as session,
    ):
        manager = QueueManager(Queries(AsyncpgPoolDriver(pool)))
        manager.entrypoint(ENTRYPOINT)(_posting(session))
        settle_memory()
        began, cpu = time.perf_counter(), time.process_time()
        running = asyncio.create_task(manager.run(batch_size=batch))
        while await pool.fetchval("SELECT EXISTS (SELECT FROM pgqueuer)"):  # noqa: ASYNC110  as the engine is asked
            await asyncio.sleep(0.02)
        done = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        manager.shutdown.set()
        await running
    return done


def _posting(session: aiohttp.ClientSession) -> Callable[[Job], Awaitable[None]]:
    async def deliver(job: Job) -> None:
        assert job.headers is not None
        assert job.payload is not None
        url, sent = str(job.headers["url"]), headers_of(str(job.headers["id"]), KEY, system_now() // 1000, job.payload)
        async with session.post(url, data=job.payload, headers=sent, allow_redirects=False) as answer:
            await answer.read()
            answer.raise_for_status()

    return deliver


async def main() -> None:
    loop = asyncio.get_running_loop()
    print(json.dumps({}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        work = fill if order.pop("do") == "fill" else send
        print(json.dumps(await work(**order)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
