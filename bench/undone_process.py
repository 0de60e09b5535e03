"""Undone: what the process and its web side do to be quick. Benchmarks only."""

import asyncio
import gc
import os
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import uvloop
from aiohttp import web
from prometheus_client import Counter, Histogram, Metric
from prometheus_client.registry import Collector

from bench.undo import Used, replace
from proxy import app, clock, ids
from proxy.adapters import gateway
from proxy.loops import Tasks
from proxy.metrics import metrics
from proxy.metrics.instruments import ALONE, Key
from proxy.telemetry.lines import Lines
from proxy.web import callers, middleware, parsing, server
from proxy.web.whole import WholeResponse


def nothing(used: Used) -> None:
    """The same twice, which shows what is noise."""
    used()


def plain_loop(used: Used) -> None:
    """asyncio's own loop."""

    async def checked(main: Coroutine[Any, Any, None]) -> None:
        assert not isinstance(asyncio.get_running_loop(), uvloop.Loop)
        used()
        await main

    replace(uvloop, "run", lambda main: asyncio.run(checked(main)))


def usual_garbage(used: Used) -> None:
    """CPython's own thresholds, and nothing frozen."""

    def set_threshold(*_thresholds: int) -> None:
        assert gc.get_threshold() == (700, 10, 10)
        assert gc.get_freeze_count() == 0
        used()

    replace(gc, "freeze", lambda: None)
    replace(gc, "set_threshold", set_threshold)


def own_randomness(used: Used) -> None:
    """The system is asked for random bytes each time."""

    def from_the_system(count: int) -> bytes:
        used()
        return os.urandom(count)

    replace(app, "Helpings", lambda _source: from_the_system)


def unkept_texts(used: Used) -> None:
    """Times, callers' addresses and the beginning of return links are made into texts each time."""
    quoted = gateway._quoted_base.__wrapped__  # noqa: SLF001  as it is without its memory

    def quoted_again(text: str) -> str:
        used()
        return str(quoted(text))

    for owner, name in ((clock, "_second"), (ids, "_time"), (callers, "caller_of")):
        replace(owner, name, getattr(owner, name).__wrapped__)
    replace(gateway, "_quoted_base", quoted_again)


def own_tasks(used: Used) -> None:
    """A create runs in a task beside its request's."""

    async def in_a_task(self: Tasks, work: Coroutine[Any, Any, Any]) -> Any:
        used()
        return await self.run(work)

    replace(Tasks, "run_here", in_a_task)


def awaited_bodies(used: Used) -> None:
    """A body that came with its head is waited for, with a timeout."""

    async def awaited(request: web.Request) -> bytes:
        used()
        async with asyncio.timeout(parsing.BODY_TIMEOUT_SECONDS):
            return await request.read()

    replace(parsing, "read_body", awaited)


def matched_routes(used: Used) -> None:
    """aiohttp matches the path, and wraps the handler in the middleware, for each request."""

    def matching(app: web.Application) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
            used()
            return app._handle(request)  # noqa: SLF001  what aiohttp's own runner calls

        return handle

    replace(server, "prepared", matching)


def answers_in_parts(used: Used) -> None:
    """aiohttp prepares and writes each answer."""
    ordinary = web.Response.prepare

    def prepare(self: web.Response, request: web.BaseRequest) -> Awaitable[object]:
        used()
        return ordinary(self, request)

    replace(WholeResponse, "prepare", prepare)


def own_children(used: Used) -> None:
    """prometheus_client's counters and histograms, whose children are looked up by their labels each time."""

    class Counted(Collector):
        def __init__(self, name: str, about: str, labels: Sequence[str] = (), known: Iterable[Key] = (ALONE,)) -> None:
            self._counter = Counter(name, about, labels, registry=None)
            for key in known:
                self._child(key)

        def add(self, key: Key = ALONE, count: int = 1) -> None:
            used()
            self._child(key).inc(count)

        def collect(self) -> Iterable[Metric]:
            return self._counter.collect()

        def _child(self, key: Key) -> Counter:
            return self._counter.labels(*key) if key else self._counter

    class Spread(Collector):
        def __init__(
            self,
            name: str,
            about: str,
            bounds: Sequence[float],
            labels: Sequence[str] = (),
            known: Iterable[Key] = (ALONE,),
        ) -> None:
            self._histogram = Histogram(name, about, labels, buckets=bounds, registry=None)
            for key in known:
                self._child(key)

        def observe(self, value: float, key: Key = ALONE) -> None:
            self._child(key).observe(value)

        def collect(self) -> Iterable[Metric]:
            return self._histogram.collect()

        def _child(self, key: Key) -> Histogram:
            return self._histogram.labels(*key) if key else self._histogram

    replace(metrics, "Counted", Counted)
    replace(metrics, "Spread", Spread)


def a_line_each(used: Used) -> None:
    """A line of the log for each request, into a file."""
    written = middleware._log  # noqa: SLF001  the product's own

    def log(*given: Any) -> None:
        used()
        written(*given)

    os.environ["DARGAH_LOG_LEVEL"] = "info"
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
    replace(middleware, "_log", log)


def lines_at_once(used: Used) -> None:
    """Each line is written by itself, while its answer waits for others."""

    def leave(self: Lines) -> None:
        used()
        self.leave()

    replace(Lines, "flush", leave)
