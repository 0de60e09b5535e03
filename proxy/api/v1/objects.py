"""JSON objects of both APIs: a payment's timeline, an event, an endpoint, its deliveries and their results."""

from collections.abc import Sequence
from typing import Any

import orjson

from proxy.kernel.clock import rfc3339
from proxy.merchants.merchant import Mode
from proxy.payments.change import Entry
from proxy.payments.history import History
from proxy.webhooks.delivery import Attempt, Delivery
from proxy.webhooks.endpoint import V1A, Endpoint, endpoint_data
from proxy.webhooks.endpoint_setup import EndpointSetup
from proxy.webhooks.event import StoredEvent
from proxy.webhooks.redelivery import DeliveryStatistics
from proxy.webhooks.request import WebhookResult
from proxy.webhooks.retry_policy import Health


def event_object(event: StoredEvent) -> dict[str, Any]:
    """The event as it is sent (`type`, `timestamp`, `data`), with its id and place."""
    return {
        "id": event.id,
        "sequence": event.sequence,
        "storefront": event.storefront,
        "mode": event.mode or Mode.LIVE,
        "payment_id": event.payment_id,
        **orjson.loads(event.body),
    }


async def endpoint_object(setup: EndpointSetup, endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint, with the key that verifies its `v1a` signatures where it is signed so."""
    public_key = await setup.public_key(endpoint) if V1A in endpoint.signatures else None
    return endpoint_data(endpoint) | {"public_key": public_key}


async def endpoint_objects(setup: EndpointSetup, endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
    return [await endpoint_object(setup, endpoint) for endpoint in endpoints]


def delivery_object(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "payment_id": delivery.payment_id,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "next_attempt_at": _time(delivery.due_at),
        "created_at": rfc3339(delivery.created_at),
        "delivered_at": _time(delivery.delivered_at),
    }


def attempt_object(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_at),
        "outcome": attempt.outcome,
        "http_status": attempt.status,
        "error": attempt.error,
        "duration_ms": attempt.duration_ms,
        "excerpt": text_of(attempt.excerpt),
    }


def answer_object(event_id: str, answer: WebhookResult) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "outcome": "delivered" if answer.delivered else "failed",
        "http_status": answer.status,
        "error": answer.error,
        "duration_ms": answer.duration_ms,
        "excerpt": text_of(answer.excerpt),
    }


def stats_object(stats: DeliveryStatistics) -> dict[str, Any]:
    endpoint = stats.endpoint
    return {
        "since": rfc3339(stats.since),
        "attempts": len(endpoint.attempts),
        "delivered": stats.delivered,
        "success_rate": stats.success_rate,
        "p50_ms": stats.p50_ms,
        "p95_ms": stats.p95_ms,
        "backlog": endpoint.backlog,
        "oldest_undelivered_at": _time(endpoint.oldest_undelivered_at),
        "in_flight": endpoint.in_flight,
        "health": None if endpoint.health is None else _health_object(endpoint.health),
    }


def text_of(excerpt: bytes) -> str:
    """A receiver's bytes as text; invalid UTF-8 is replaced."""
    return excerpt.decode("utf-8", "replace")


def _health_object(health: Health) -> dict[str, Any]:
    return {
        "failures_in_a_row": health.failures,
        "probing": health.is_probed,
        "failing_since": _time(health.failing_since),
        "paused_until": _time(health.paused_until or None),
    }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def timeline_object(history: History) -> dict[str, Any]:
    return {"data": [_entry_object(entry) for entry in history.entries], "truncated": history.truncated}


def _entry_object(entry: Entry) -> dict[str, Any]:
    return {"at": rfc3339(entry.at), "kind": entry.kind, "duration_ms": entry.duration_ms, "data": dict(entry.data)}
