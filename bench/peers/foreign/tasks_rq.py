"""Webhooks by RQ on Redis: a job with retries.

The worker is named from here, so that each forked job finds this module loaded, as RQ's notes on performance advise.
"""

import os
from typing import Any

import requests
from redis import Redis
from rq import Queue, Retry, Worker

from bench.peers.foreign import signing

__all__ = ["Worker", "enqueue", "send_webhook"]

session = requests.Session()


def send_webhook(event_id: str, payload: dict[str, Any]) -> None:
    body, headers = signing.request(event_id, payload)
    session.post(signing.URL, data=body, headers=headers, timeout=signing.TIMEOUT_SECONDS).raise_for_status()


async def enqueue(event_ids: list[str]) -> None:
    queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
    retry = Retry(max=3, interval=[10, 30, 60])
    for event_id in event_ids:
        queue.enqueue(send_webhook, event_id, signing.event(event_id), retry=retry)
