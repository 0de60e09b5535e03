"""The sources of the metrics: the store's statistics, and gauges of work under way."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import structlog
from aiohttp import web

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter
from proxy.kernel.background import Tasks
from proxy.kernel.clock import DAY, MINUTE, SECOND, Now
from proxy.kernel.frozen import dataclass
from proxy.observability.metrics.metrics import ALONE, LISTENERS, STATES, Key, LagProbe, Metrics, Read
from proxy.observability.statistics import AuditResult, DueStatistics, StatisticsRepository
from proxy.operations.clock_watch import ClockWatch

log = structlog.get_logger()

KEEP_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 2.0
# About a millisecond of the store's thread each, between which it does other things.
MERCHANTS_AT_ONCE: Final = 20
AUDITED_AT_ONCE: Final = 5
AUDIT_PAUSE: Final = MINUTE // 4
STATUSES: Final = ("created", "pending", "needs_review")


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of all of it, ended at `at` (seconds of the event loop's clock)."""

    at: float
    due: DueStatistics
    payments: Counter[str]
    oldest: dict[str, int]
    endpoints: Counter[str]


ReadReading = Callable[[Reading], dict[Key, float]]
Gauge = tuple[str, str, list[str], ReadReading]
"""Its name, what it is about, its labels, and its values."""


class StoreStatistics:
    """Reads the figures every few seconds at most, and shows them as gauges; no scrape waits long for them.

    Nothing is shown before the first reading.
    """

    def __init__(self, statistics: StatisticsRepository, now: Now, tick: Callable[[], float]) -> None:
        self._statistics = statistics
        self._now = now
        self._tick = tick
        self._reading: Reading | None = None
        self._task: asyncio.Task[None] | None = None

    def show(self, metrics: Metrics) -> None:
        """Adds its gauges, and itself as a source that is refreshed before they are read."""
        metrics.refresh = self.refresh
        for name, about, labels, read in (*self._payment_gauges(), *self._webhook_gauges()):
            metrics.gauge(name, about, labels, self._reader(read))

    async def refresh(self) -> None:
        """Returns within WAIT_SECONDS. A longer reading continues, and the next scrape shows it."""
        if self._task is None:
            if self._reading is not None and self._tick() - self._reading.at < KEEP_SECONDS:
                return
            self._task = asyncio.create_task(self._read(), name="figures")
        await asyncio.wait([self._task], timeout=WAIT_SECONDS)

    async def stop(self) -> None:
        """Ends a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _read(self) -> None:
        try:
            self._reading = await self._read_all()
        except Exception as error:  # noqa: BLE001  the age of the last reading shows it, and the next scrape tries again
            log.warning("figures_failed", error=type(error).__name__)
        finally:
            self._task = None

    async def _read_all(self) -> Reading:
        payments, endpoints, oldest = Counter[str](), Counter[str](), dict[str, int]()
        after: str | None = None
        while True:
            some = await self._statistics.open_statistics(after, MERCHANTS_AT_ONCE)
            payments.update(some.payments)
            endpoints.update(some.endpoints)
            for status, at in some.oldest.items():
                oldest[status] = min(at, oldest.get(status, at))
            after = some.reached
            if after is None:
                return Reading(self._tick(), await self._statistics.due_statistics(), payments, oldest, endpoints)

    def _reader(self, read: ReadReading) -> Read:
        return lambda: {} if self._reading is None else read(self._reading)

    def _payment_gauges(self) -> list[Gauge]:
        return [
            (
                "dargah_payments_open",
                "Payments whose outcome is open, up to 1000 of each merchant.",
                ["status"],
                lambda reading: {(status,): reading.payments[status] for status in STATUSES},
            ),
            (
                "dargah_payment_oldest_open_seconds",
                "Age of the oldest of them; 0 when there is none.",
                ["status"],
                lambda reading: {(status,): self._since(reading.oldest.get(status)) for status in STATUSES},
            ),
            (
                "dargah_watches",
                "Payments that are watched, up to 10,000.",
                [],
                lambda reading: {ALONE: reading.due.watches},
            ),
            (
                "dargah_watch_lag_seconds",
                "How late the check is that has been due longest; 0 when none is due.",
                [],
                lambda reading: {ALONE: self._since(reading.due.watch_due_at)},
            ),
        ]

    def _webhook_gauges(self) -> list[Gauge]:
        return [
            (
                "dargah_webhook_backlog",
                "Deliveries that wait or are on their way, up to 10,000.",
                [],
                lambda reading: {ALONE: reading.due.deliveries},
            ),
            (
                "dargah_webhook_lag_seconds",
                "How late the delivery is that may start and has not, for longest; 0 when there is none.",
                [],
                lambda reading: {ALONE: self._since(reading.due.delivery_due_at)},
            ),
            (
                "dargah_webhook_endpoints",
                "Webhook endpoints by state.",
                ["state"],
                lambda reading: {(state,): reading.endpoints[state] for state in STATES},
            ),
            (
                "dargah_figures_age_seconds",
                "How old what was read from the store is.",
                [],
                lambda reading: {ALONE: self._tick() - reading.at},
            ),
        ]

    def _since(self, at: int | None) -> float:
        return 0.0 if at is None else max(0, self._now() - at) / SECOND


class Auditor:
    """A cheap audit of the invariants: four times a minute of the newest payments of a few merchants, in turn."""

    def __init__(self, statistics: StatisticsRepository, metrics: Metrics, now: Now) -> None:
        self._statistics = statistics
        self._metrics = metrics
        self._now = now
        self._reached: str | None = None

    async def step(self) -> int | None:
        """Looks at the next stretch, and gives when the one after it is due."""
        now = self._now()
        audited: AuditResult = await self._statistics.audit(self._reached, now - DAY, AUDITED_AT_ONCE)
        self._reached = audited.reached
        for name, count in audited.violations.items():
            log.error("invariant_violated", code=name, count=count)
            self._metrics.violated(name, count)
        return now + AUDIT_PAUSE


KINDS: Final = ("request", "check", "webhook", "ping")


def observe_store(metrics: Metrics, statistics: StatisticsRepository, now: Now, stack: AsyncExitStack) -> None:
    """Shows the store's statistics and the delay of the event loop, until the stack's end."""
    tick = asyncio.get_running_loop().time
    stock, pulse = StoreStatistics(statistics, now, tick), LagProbe(metrics.loop_lag)
    stock.show(metrics)
    stack.push_async_callback(stock.stop)
    pulse.start()
    stack.callback(pulse.stop)


def observe_work(
    metrics: Metrics, limiter: ConcurrencyLimiter, breaker: CircuitBreaker, tasks: Mapping[str, Tasks]
) -> None:
    """Shows the work under way; `tasks` by their kind, of KINDS."""
    metrics.gauge(
        "dargah_tasks",
        "Work under way, by kind.",
        ["kind"],
        lambda: {(kind,): len(tasks[kind]) for kind in KINDS},
    )
    metrics.gauge(
        "dargah_gateway_calls_in_flight", "Gateway calls under way.", [], lambda: {ALONE: limiter.load().in_flight}
    )
    metrics.gauge(
        "dargah_gateway_calls_waiting",
        "Gateway calls that wait for their turn.",
        [],
        lambda: {ALONE: limiter.load().waiting},
    )
    metrics.gauge(
        "dargah_gateway_circuits_open",
        "Terminals whose gateway is spared because it did not answer.",
        [],
        lambda: {ALONE: breaker.open_circuits},
    )


def observe_clocks(metrics: Metrics, watch: ClockWatch) -> None:
    """Shows the state of the clocks."""
    clock = watch.clock
    metrics.total("dargah_clock_jumps_total", "Jumps of the clock by more than a second.", lambda: clock.jumps)
    metrics.total(
        "dargah_due_times_pulled_in_total",
        "Due times that a clock which was ahead had left beyond their schedule.",
        lambda: watch.pulled_in,
    )
    metrics.gauge(
        "dargah_clock_skew_seconds",
        "By how much the database's clock is before this machine's.",
        [],
        lambda: {ALONE: watch.skew / SECOND},
    )
    metrics.gauge(
        "dargah_retention_lag_seconds",
        "By how much the time that retention goes by is behind the clock, which jumped ahead or stood still.",
        [],
        lambda: {ALONE: max(0, clock.now() - clock.settled()) / SECOND},
    )


def observe_process(metrics: Metrics, listeners: Mapping[str, web.Server], dropped_lines: Callable[[], int]) -> None:
    """Shows how many connections are open, and how many lines of the log were lost."""
    metrics.total(
        "dargah_log_lines_dropped_total",
        "Lines of the log that were lost, since nobody read them or their disk was full.",
        dropped_lines,
    )
    metrics.gauge(
        "dargah_connections",
        "Open connections, by listener.",
        ["listener"],
        lambda: {(name,): len(listeners[name].connections) for name in LISTENERS if name in listeners},
    )
