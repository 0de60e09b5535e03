"""Deliveries sent again at their merchant's wish, and how an endpoint is doing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.clock import DAY
from proxy.delivery_records import EndpointFigures, EventSpan, Requeued
from proxy.ports import Now, Store
from proxy.records import Delivery

STATS_PERIOD: Final = DAY


@dataclass(frozen=True, slots=True)
class Stats:
    """`since` is the beginning of the period; without attempts in it there is no rate and there are no times."""

    since: int
    delivered: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    figures: EndpointFigures


class Redelivery:
    """`on_due` is called when something became due."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self.on_due: Callable[[], None] = lambda: None

    async def retry(self, merchant_id: str, delivery_id: str) -> Delivery:
        """The delivery, which is due now. Raises NotFound."""
        delivery = await self._store.retry_delivery(merchant_id, delivery_id)
        self.on_due()
        return delivery

    async def recover(self, merchant_id: str, endpoint_id: str, since: int, after: str | None) -> Requeued:
        """A batch of what did not get through since a time. Raises NotFound."""
        requeued = await self._store.recover_deliveries(merchant_id, endpoint_id, since, after)
        self.on_due()
        return requeued

    async def replay(self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None) -> Requeued:
        """A batch of the span's events. Raises NotFound."""
        requeued = await self._store.replay_events(merchant_id, endpoint_id, span, after)
        self.on_due()
        return requeued

    async def stats(self, merchant_id: str, endpoint_id: str) -> Stats:
        """Of the last day, or the last 1000 attempts where there were more. Raises NotFound."""
        await self._store.endpoint(merchant_id, endpoint_id)
        since = self._now() - STATS_PERIOD
        figures = await self._store.endpoint_figures(merchant_id, endpoint_id, since)
        delivered = sum(attempt.outcome == "delivered" for attempt in figures.attempts)
        times = sorted(attempt.duration_ms for attempt in figures.attempts)
        rate = round(delivered / len(times), 4) if times else None
        return Stats(since, delivered, rate, percentile(times, 50), percentile(times, 95), figures)


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile of numbers in order; None of none."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1] if ordered else None
