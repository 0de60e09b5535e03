"""Webhooks by Celery on Redis: a task with automatic retries, acknowledged when it has ended."""

import os
from typing import Any

import requests
from celery import Celery

from bench.peers.foreign import signing

app = Celery("webhooks", broker=os.environ["REDIS_URL"])
app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True)
session = requests.Session()


@app.task(autoretry_for=(requests.RequestException,), retry_backoff=True, max_retries=8, acks_late=True)
def send_webhook(event_id: str, payload: dict[str, Any]) -> None:
    body, headers = signing.request(event_id, payload)
    session.post(signing.URL, data=body, headers=headers, timeout=signing.TIMEOUT_SECONDS).raise_for_status()


async def enqueue(event_ids: list[str]) -> None:
    for event_id in event_ids:
        send_webhook.delay(event_id, signing.event(event_id))
