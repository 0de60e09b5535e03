"""The sources of the metrics: hooks of the use-cases, a gateway that counts its calls, and gauges of work under way."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import web

from proxy.gateways.circuit_breaker import CircuitBreaker
from proxy.gateways.concurrency_limiter import ConcurrencyLimiter
from proxy.gateways.port import Account, CheckResult, Gateway, RequestResult
from proxy.kernel.background import Tasks
from proxy.kernel.clock import SECOND, Now
from proxy.observability.metrics.metrics import ALONE, LISTENERS, LagProbe, Metrics
from proxy.observability.metrics.store_statistics import StoreStatistics
from proxy.observability.statistics import StatisticsRepository
from proxy.operations.clock_watch import ClockWatch

KINDS: Final = ("request", "check", "webhook", "ping")


class MeteredGateway:
    """Implements `gateways.port.Gateway`: another one, with each call counted."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    async def request(self, account: Account, amount_rials: int, return_url: str) -> RequestResult:
        made = await self._gateway.request(account, amount_rials, return_url)
        self._metrics.called("request", made.outcome, made.duration_ms)
        return made

    async def check(self, account: Account, invoice_key: str) -> CheckResult:
        made = await self._gateway.check(account, invoice_key)
        self._metrics.called("check", made.outcome, made.duration_ms)
        return made


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
