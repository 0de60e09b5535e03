"""Webhooks by procrastinate on PostgreSQL: a task with retries, and its document's task for stalled jobs."""

import os
from typing import Any

import aiohttp
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy

from bench.peers.foreign import signing

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))
sessions: list[aiohttp.ClientSession] = []


@app.task(retry=RetryStrategy(max_attempts=8, exponential_wait=2))
async def send_webhook(event_id: str, payload: dict[str, Any]) -> None:
    if not sessions:
        timeout = aiohttp.ClientTimeout(total=signing.TIMEOUT_SECONDS)
        sessions.append(aiohttp.ClientSession(timeout=timeout, raise_for_status=True))
    body, headers = signing.request(event_id, payload)
    async with sessions[0].post(signing.URL, data=body, headers=headers):
        pass


# The document has it each ten minutes.
@app.periodic(cron="* * * * *")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    for job in await app.job_manager.get_stalled_jobs():
        await app.job_manager.retry_job(job)


async def enqueue(event_ids: list[str]) -> None:
    if not sessions:
        await app.open_async()
        sessions.append(aiohttp.ClientSession())
    for event_id in event_ids:
        await send_webhook.defer_async(event_id=event_id, payload=signing.event(event_id))
