"""The instruments of a process, and the hooks through which the use-cases record."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Info,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.database.transaction import Batch
from proxy.gateways.port import CheckOutcome, RequestOutcome
from proxy.kernel.clock import SECOND, Now, system_now
from proxy.observability.metrics.distribution import Distribution
from proxy.operations.troubles.noticed import Noticed
from proxy.payments.change import EVENT_UNNUMBERED, INVARIANTS, Change, violations
from proxy.payments.history import OUTCOMES
from proxy.payments.payment import GivenBackReason, Payment, Status
from proxy.webhooks.delivery import Claim
from proxy.webhooks.endpoint import EndpointState
from proxy.webhooks.event import EventType
from proxy.webhooks.request import WebhookResult

PERIOD_SECONDS: Final = 0.5


class LagProbe:
    """Asks to be called every half a second, and notes how late that was."""

    def __init__(self, lag: Distribution) -> None:
        self._lag = lag
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = self._loop.time() + PERIOD_SECONDS
        self._handle = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        self._lag.observe(max(0.0, self._loop.time() - self._due))
        self.start()


Key = tuple[str, ...]
"""The values of the labels, in the labels' order."""

ALONE: Final[Key] = ()

Read = Callable[[], Mapping[Key, float]]


class GaugeReader(Collector):
    """A gauge with a value for each key that `read` gives."""

    def __init__(self, name: str, about: str, labels: Sequence[str], read: Read) -> None:
        self._name, self._about, self._labels, self._read = name, about, labels, read

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for key, value in self._read().items():
            family.add_metric(key, value)
        yield family


class TotalReader(Collector):
    """A counter that other code increments, with a value for each key that `read` gives."""

    def __init__(self, name: str, about: str, labels: Sequence[str], read: Read) -> None:
        self._name, self._about, self._labels, self._read = name, about, labels, read

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for key, value in self._read().items():
            family.add_metric(key, value)
        yield family


OPERATIONS: Final = {
    "request": ("issued", "refused", "unknown"),
    "check": ("captured", "paid_unconfirmed", "not_paid", "canceled", "reversed", "unknown"),
    "confirm": (
        *("captured", "confirmed", "not_paid", "canceled"),
        *("too_late", "reversed", "amount_differs", "unknown"),
    ),
    "settle": ("captured", "reversed", "too_late", "not_paid", "unknown"),
    "reverse": ("reversed", "too_late", "not_paid", "unknown"),
}
ATTEMPTS: Final = (
    *("delivered", "status_1xx", "status_3xx", "status_4xx", "status_5xx"),
    *(
        "timeout",
        "connect_timeout",
        "refused",
        "reset",
        "dns",
        "tls",
        "proxy",
        "blocked_address",
        "bad_url",
        "bad_response",
    ),
    "sealed_elsewhere",
)
LISTENERS: Final = ("public", "admin")
ANSWERS: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
STATES: Final = tuple(state.value for state in EndpointState)
LOOPS: Final = ("watch", "deliver", "forget", "audit", "recheck", "last_used", "clock")
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# From at once to the retries' end: what was held for a paused endpoint comes late and is none of ours.
DELAYS: Final = (*SECONDS, 60.0, 300.0, 3600.0, 86_400.0)
LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """Made once per process. Its methods are called on the event loop.

    `refresh` is awaited before each scrape: it returns within its time, and raises nothing.
    """

    def __init__(self, now: Now = system_now) -> None:
        self.noticed = Noticed(now)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.refresh: Callable[[], Awaitable[None]] | None = None
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("dargah_build", "The running version.", registry=self._registry).info({"version": __version__})
        self._add_payments()
        self._add_process()

    def _add_payments(self) -> None:
        registry = self._registry
        # Counted twice in a create: an increment of Prometheus' own is four calls and a lock.
        self._payments = dict.fromkeys(Status, 0)
        about = "Payments that came into a status."
        registry.register(TotalReader("dargah_payments_total", about, ["status"], self._payments_by_status))
        about = "Reviews opened because money moved otherwise than asked, and resolved by an operator."
        self._reviews = _children(
            Counter("dargah_reviews_total", about, ["act"], registry=registry), [("opened",), ("resolved",)]
        )
        about = "Payments whose money is not kept, by why."
        self._given_back = Counter("dargah_payments_given_back_total", about, ["reason"], registry=registry)
        _children(self._given_back, [(reason.value,) for reason in GivenBackReason])
        about = "Calls of gateways, by what they came to."
        self._calls = Distribution(
            "dargah_gateway_call_seconds", about, ["operation", "outcome"], registry=registry, buckets=SECONDS
        ).children([(operation, outcome) for operation, outcomes in OPERATIONS.items() for outcome in outcomes])
        about = "Attempts of webhooks, by what they came to."
        self._attempts = Distribution(
            "dargah_webhook_attempt_seconds", about, ["outcome"], registry=registry, buckets=SECONDS
        )
        self._attempts.children([(outcome,) for outcome in ATTEMPTS])
        about = "From an event to the start of its first attempt."
        self._first_attempts = Distribution(
            "dargah_webhook_first_attempt_delay_seconds", about, registry=registry, buckets=DELAYS
        )

    def _add_process(self) -> None:
        registry = self._registry
        about = "Steps that shared one transaction and one sync of the disk."
        self._batch_steps = Distribution("dargah_store_batch_steps", about, registry=registry, buckets=BATCHES)
        about = "Time of such a transaction, commit and all."
        self._batch_seconds = Distribution("dargah_store_batch_seconds", about, registry=registry, buckets=SECONDS)
        about = "Transactions that failed as a whole: nothing of them is stored."
        self._batches_failed = Counter("dargah_store_batches_failed_total", about, registry=registry)
        about = "Connections that PostgreSQL, or a pooler, had no room for while others were held."
        self._connections_refused = Counter("dargah_store_connections_refused_total", about, registry=registry)
        about = "Impossible states that were met. Must stay 0."
        self._invariants = Counter("dargah_invariant_violations_total", about, ["invariant"], registry=registry)
        _children(self._invariants, [(name,) for name in INVARIANTS])
        self.broken: dict[str, int] = dict.fromkeys(INVARIANTS, 0)
        about = "Requests answered, by listener and class of the status."
        self._requests = Distribution(
            "dargah_http_request_seconds", about, ["listener", "status"], registry=registry, buckets=SECONDS
        ).children([(listener, answer) for listener in LISTENERS for answer in ANSWERS])
        about = "How late the event loop runs what is due."
        self.loop_lag = Distribution("dargah_loop_lag_seconds", about, registry=registry, buckets=LAGS)
        about = "Steps of background loops that failed; each is tried again."
        self._loop_failures = Counter("dargah_loop_failures_total", about, ["loop"], registry=registry)
        _children(self._loop_failures, [(name,) for name in LOOPS])
        about = "Storefronts whose drop-in amounts jumped by about ten times: rial and toman may be mixed up."
        self._amount_jumps = Counter("dargah_amount_jumps_total", about, registry=registry)

    def _payments_by_status(self) -> dict[Key, float]:
        return {(status.value,): count for status, count in self._payments.items()}

    def amounts_jumped(self, merchant_id: str, storefront: str) -> None:
        self._amount_jumps.inc()
        self.noticed.amounts_jumped(merchant_id, storefront)

    def loop_failed(self, name: str) -> None:
        """A step of a loop failed."""
        self._loop_failures.labels(name).inc()
        self.noticed.loop_failed(name)

    def created(self, _payment: Payment) -> None:
        """A payment was stored."""
        self._payments[Status.CREATED] += 1

    def changed(self, change: Change) -> None:
        """A change was stored."""
        before, after = change.before, change.after
        if after is before:
            return
        if after.status is not before.status:
            self._payments[after.status] += 1
        if EventType.GIVEN_BACK in {event.type for event in change.events} and after.given_back is not None:
            self._given_back.labels(after.given_back.reason.value).inc()
        if after.review is not before.review and after.review is not None:
            self._reviews[("opened" if after.review.resolution is None else "resolved",)].inc()
        if before.status is Status.PAID or after.status is Status.PAID:
            for name in violations(change):
                self.violated(name)

    def violated(self, name: str, count: int = 1) -> None:
        """An impossible state was met."""
        self._invariants.labels(name).inc(count)
        self.broken[name] += count

    def called(self, operation: str, outcome: RequestOutcome | CheckOutcome, duration_ms: int) -> None:
        """A gateway was asked."""
        label = OUTCOMES[type(outcome)]
        # What a family never answers to an operation is no clear answer.
        called = self._calls.get((operation, label)) or self._calls[operation, "unknown"]
        called.observe(duration_ms / SECOND)

    def attempted(self, claim: Claim, started: int, answer: WebhookResult) -> None:
        """A delivery was attempted, from `started` (milliseconds since the epoch)."""
        self._attempts.labels(_outcome(answer)).observe(answer.duration_ms / SECOND)
        if claim.attempt == 1:
            self._first_attempts.observe(max(0, started - claim.event.occurred_at) / SECOND)
        if claim.event.sequence < 1:
            self.violated(EVENT_UNNUMBERED)

    def committed(self, batch: Batch) -> None:
        """The store wrote a batch of steps, or could not."""
        if batch.failed:
            self._batches_failed.inc()
            return
        self._batch_steps.observe(batch.steps)
        self._batch_seconds.observe(batch.seconds)

    def connection_refused(self) -> None:
        """The database had no room for one connection more."""
        self._connections_refused.inc()

    def answers(self, listener: str) -> Callable[[int, float], None]:
        """The hook for each answer there: its status, and its duration in seconds."""
        requests = [self._requests[listener, answer] for answer in ANSWERS]

        def answered(status: int, seconds: float) -> None:
            requests[status // 100 - 1].observe(seconds)

        return answered

    def gauge(self, name: str, about: str, labels: list[str], read: Read) -> None:
        """Adds a gauge that is read when it is scraped."""
        self._registry.register(GaugeReader(name, about, labels, read))

    def total(self, name: str, about: str, read: Callable[[], int]) -> None:
        """Adds a counter that other code increments, and that is read when it is scraped."""
        self._registry.register(TotalReader(name, about, (), lambda: {ALONE: read()}))

    async def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        if self.refresh is not None:
            await self.refresh()
        return generate_latest(self._registry)


def _children(metric: Counter, values: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Counter]:
    """Children by their label values. Prometheus sees them with 0 from the start, so the first event is a rise."""
    return {each: metric.labels(*each) for each in values}


def _outcome(answer: WebhookResult) -> str:
    if answer.status is None:
        error = answer.error or "bad_response"
        kind = error.partition("_")[0]
        return kind if kind in {"tls", "proxy"} else error
    return "delivered" if answer.delivered else f"status_{answer.status // 100}xx"
