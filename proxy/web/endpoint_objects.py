"""How both APIs show an endpoint, its deliveries, and what came of them."""

from collections.abc import Sequence
from typing import Any

from proxy.clock import rfc3339
from proxy.merchant import V1A, Endpoint
from proxy.records import Answer, Attempt, Delivery
from proxy.redelivery import Stats
from proxy.setup import Setup
from proxy.verdict import FAILURES_TO_PROBE, Health
from proxy.views import endpoint_data


async def endpoint_object(setup: Setup, endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint, with the key that verifies its `v1a` signatures where it is signed so."""
    public_key = await setup.public_key(endpoint) if V1A in endpoint.signatures else None
    return endpoint_data(endpoint) | {"public_key": public_key}


async def endpoint_objects(setup: Setup, endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
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


def answer_object(event_id: str, answer: Answer) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "outcome": "delivered" if answer.delivered else "failed",
        "http_status": answer.status,
        "error": answer.error,
        "duration_ms": answer.duration_ms,
        "excerpt": text_of(answer.excerpt),
    }


def stats_object(stats: Stats) -> dict[str, Any]:
    figures = stats.figures
    return {
        "since": rfc3339(stats.since),
        "attempts": len(figures.attempts),
        "delivered": stats.delivered,
        "success_rate": stats.success_rate,
        "p50_ms": stats.p50_ms,
        "p95_ms": stats.p95_ms,
        "backlog": figures.backlog,
        "oldest_undelivered_at": _time(figures.oldest_undelivered_at),
        "in_flight": figures.in_flight,
        "health": None if figures.health is None else _health_object(figures.health),
    }


def text_of(excerpt: bytes) -> str:
    """A receiver's bytes as text: what is not UTF-8 is replaced."""
    return excerpt.decode("utf-8", "replace")


def _health_object(health: Health) -> dict[str, Any]:
    return {
        "failures_in_a_row": health.failures,
        "probing": health.failures >= FAILURES_TO_PROBE,
        "failing_since": _time(health.failing_since),
        "paused_until": _time(health.paused_until or None),
    }


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
