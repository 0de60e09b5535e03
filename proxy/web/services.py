"""What the handlers work with, in one value under one key of the application."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from proxy.bell import Bell
from proxy.checkout import Checkout
from proxy.directory import Directory
from proxy.ids import RandomBytes
from proxy.loops import Tasks
from proxy.metrics import Metrics
from proxy.ports import Now, Store
from proxy.redelivery import Redelivery
from proxy.setup import Setup
from proxy.trial import Trial
from proxy.web.callers import Callers, unlimited
from proxy.web.traced import RequestSpans

Ready = Callable[[], Awaitable[Mapping[str, bool]]]


@dataclass(frozen=True, slots=True)
class Services:
    """`public_url` gives the base of the pay links; `ready` names each check and whether it passes.

    `default_expires_in` is milliseconds. `random_bytes` makes request and span ids.
    """

    store: Store
    directory: Directory
    checkout: Checkout
    setup: Setup
    tasks: Tasks
    now: Now
    random_bytes: RandomBytes
    public_url: Callable[[], str]
    default_expires_in: int
    ready: Ready
    redelivery: Redelivery
    trial: Trial
    bell: Bell
    metrics: Metrics
    callers: Callers = field(default_factory=unlimited)
    hsts: str | None = None
    api_docs: bool = True
    spans: RequestSpans | None = None


SERVICES = web.AppKey("services", Services)
