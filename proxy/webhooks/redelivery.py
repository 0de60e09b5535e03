"""Redelivery at a merchant's request, and an endpoint's statistics."""

from collections.abc import Callable, Sequence
from typing import Final

from proxy.kernel.clock import DAY, Now
from proxy.kernel.frozen import dataclass
from proxy.webhooks.delivery import Delivery
from proxy.webhooks.event import EventSpan
from proxy.webhooks.storage.redelivery import EndpointStatistics, RedeliveryBatch
from proxy.webhooks.storage.repository import WebhookRepository

STATS_PERIOD: Final = DAY


@dataclass(frozen=True, slots=True)
class DeliveryStatistics:
    """`since` is the beginning of the period; without attempts in it there is no rate and there are no times."""

    since: int
    delivered: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    endpoint: EndpointStatistics


class Redelivery:
    """`on_due` is called when something became due."""

    def __init__(self, webhooks: WebhookRepository, now: Now, on_due: Callable[[], None] = lambda: None) -> None:
        self._webhooks = webhooks
        self._now = now
        self._on_due = on_due

    async def retry(self, merchant_id: str, delivery_id: str, seen_attempts: int | None = None) -> Delivery:
        """The delivery, which is due now, before all others there. Raises NotFound.

        With `seen_attempts` a second click of one page sends nothing: an attempt that began since is its answer.
        """
        delivery = await self._webhooks.retry_delivery(merchant_id, delivery_id, seen_attempts)
        self._on_due()
        return delivery

    async def recover(self, merchant_id: str, endpoint_id: str, since: int, after: str | None) -> RedeliveryBatch:
        """One batch of the undelivered events since a time. Raises NotFound."""
        requeued = await self._webhooks.recover_deliveries(merchant_id, endpoint_id, since, after)
        self._on_due()
        return requeued

    async def replay(self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None) -> RedeliveryBatch:
        """A batch of the span's events. Raises NotFound."""
        requeued = await self._webhooks.replay_events(merchant_id, endpoint_id, span, after)
        self._on_due()
        return requeued

    async def stats(self, merchant_id: str, endpoint_id: str) -> DeliveryStatistics:
        """The statistics of the last day, or of the last 1000 attempts if there were more. Raises NotFound."""
        await self._webhooks.endpoint(merchant_id, endpoint_id)
        since = self._now() - STATS_PERIOD
        statistics = await self._webhooks.endpoint_statistics(merchant_id, endpoint_id, since)
        delivered = sum(attempt.outcome == "delivered" for attempt in statistics.attempts)
        times = sorted(attempt.duration_ms for attempt in statistics.attempts)
        rate = round(delivered / len(times), 4) if times else None
        return DeliveryStatistics(since, delivered, rate, percentile(times, 50), percentile(times, 95), statistics)


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile of numbers in order; None of none."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1] if ordered else None
