"""Where the metrics look: hooks of the use-cases, a gateway that counts its calls, and gauges of what is under way."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, Protocol

from proxy.checkout import Checkout
from proxy.delivery import Delivery
from proxy.figures import Figures
from proxy.gate import Gate
from proxy.loops import Repeater, Tasks
from proxy.metrics.instruments import ALONE
from proxy.metrics.metrics import LISTENERS, Metrics
from proxy.metrics.pulse import Pulse
from proxy.metrics.stock import Auditor, Stock
from proxy.ports import Gateway, Now
from proxy.records import Account, Checked, Requested
from proxy.settlement import Settlement

KINDS: Final = ("request", "check", "webhook", "ping")


class Listener(Protocol):
    """A server's open connections."""

    @property
    def connections(self) -> Sequence[object]: ...


class MeteredGateway:
    """Implements ports.Gateway: another one, with each call counted."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    async def request(self, account: Account, amount_rials: int, return_url: str) -> Requested:
        made = await self._gateway.request(account, amount_rials, return_url)
        self._metrics.called("request", made.fact, made.duration_ms)
        return made

    async def check(self, account: Account, invoice_key: str) -> Checked:
        made = await self._gateway.check(account, invoice_key)
        self._metrics.called("check", made.fact, made.duration_ms)
        return made


def observe_store(metrics: Metrics, store: Figures, now: Now, stack: AsyncExitStack) -> Repeater:
    """Shows what the store holds and how late the loop is, until the stack's end. Gives the loop of the audit."""
    tick = asyncio.get_running_loop().time
    stock, pulse = Stock(store, now, tick), Pulse(metrics.loop_lag)
    stock.show(metrics)
    stack.push_async_callback(stock.stop)
    pulse.start()
    stack.callback(pulse.stop)
    return Repeater("audit", Auditor(store, metrics, now).step, now)


def observe_payments(metrics: Metrics, checkout: Checkout, settlement: Settlement, delivery: Delivery) -> None:
    """Has the use-cases tell of what happens."""
    checkout.on_created = metrics.created
    settlement.on_change = metrics.changed
    delivery.on_attempt = metrics.attempted


def observe_work(metrics: Metrics, gate: Gate, tasks: Mapping[str, Tasks]) -> None:
    """Shows what is under way; `tasks` by their kind, of KINDS."""
    metrics.gauge(
        "dargah_tasks",
        "Work under way, by kind.",
        ["kind"],
        lambda: {(kind,): len(tasks[kind]) for kind in KINDS},
    )
    metrics.gauge(
        "dargah_gateway_calls_in_flight", "Gateway calls under way.", [], lambda: {ALONE: gate.load().in_flight}
    )
    metrics.gauge(
        "dargah_gateway_calls_waiting",
        "Gateway calls that wait for their turn.",
        [],
        lambda: {ALONE: gate.load().waiting},
    )
    metrics.gauge(
        "dargah_gateway_circuits_open",
        "Terminals whose gateway is spared because it did not answer.",
        [],
        lambda: {ALONE: gate.load().open_circuits},
    )


def observe_listeners(metrics: Metrics, listeners: Mapping[str, Listener]) -> None:
    """Shows how many connections are open; `listeners` may be filled later."""
    metrics.gauge(
        "dargah_connections",
        "Open connections, by listener.",
        ["listener"],
        lambda: {(name,): len(listeners[name].connections) for name in LISTENERS if name in listeners},
    )
