"""Webhooks by pgqueuer on PostgreSQL: an entrypoint whose failures are tried again."""

import asyncio
import json
import os
from functools import cache

import aiohttp
import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.foreign import signing


async def main() -> PgQueuer:
    """What `pgq run` is given."""
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(os.environ["DATABASE_URL"])))
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=signing.TIMEOUT_SECONDS), raise_for_status=True)

    @pgq.entrypoint(
        "send_webhook",
        executor_factory=lambda parameters: DatabaseRetryEntrypointExecutor(parameters=parameters, max_attempts=8),
    )
    async def send_webhook(job: Job) -> None:
        payload = json.loads(job.payload or b"{}")
        body, headers = signing.request(payload["data"]["id"], payload)
        async with session.post(signing.URL, data=body, headers=headers):
            pass

    return pgq


@cache
def connected() -> list[Queries]:
    return []


async def enqueue(event_ids: list[str]) -> None:
    kept = connected()
    if not kept:
        kept.append(Queries(AsyncpgDriver(await asyncpg.connect(os.environ["DATABASE_URL"]))))
    for event_id in event_ids:
        await kept[0].enqueue("send_webhook", json.dumps(signing.event(event_id)).encode())


async def work() -> None:
    """What `pgq run` does; the command of 1.6.0 does not start with the typer that its own bounds let in."""
    await (await main()).run()


if __name__ == "__main__":
    asyncio.run(work())
