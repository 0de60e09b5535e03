"""Whatever a request without a token holds, reading it takes time in proportion to its size.

Every route of both listeners is fed every kind of input at a size and at four times that size, which is about the most
that a listener takes. A quadratic reader takes sixteen times as much for the larger one. Counted are the interpreter's
steps (a line, a call, a return) beyond those of the plain request once it is warm, which no load changes. Code in C
takes none, so the processor time of the thread must not grow so either: both sizes are measured in turns, and the least
of each counts, since load, or a collector's run, may fall into some rounds but not into all.
"""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiohttp import web
from web.lab import Lab, link_of
from web.raw_answers import answers_to, statuses

from proxy.http.listeners import listen
from security.hostile import Hostile, every

HEAD_BYTES, BODY_BYTES = 15_000, 60_000
TIMES: Final = 4
ROUNDS: Final = 12
SHARE: Final = 4
# What is less than this is no matter, however it grew.
LEAST_STEPS: Final = 4000
LEAST_SECONDS: Final = 0.004
MOST_GROWTH: Final = 2 * TIMES

# How a path's variable is filled; a route with another one is fed once it stands here. A link is a payment's own.
VARIABLES: Final = {
    "name": "icon.svg",
    "digest": "0" * 64,
    "prefix": "shop",
    "merchant_id": "mer_00000000",
    **{f"{kind}_id": "x_" + "0" * 26 for kind in ("payment", "event", "delivery", "endpoint", "terminal", "token")},
    **{f"{kind}_id": "x" for kind in ("operator", "job")},
}
LINKS: Final = frozenset({"link", "invoice_key"})
NOTHING: Final = Hostile("nothing", "Accept", lambda _size: "*/*")
BODILESS: Final = frozenset({"GET", "DELETE"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: all of this is refused before any store."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Without limits, so that the hundredth wrong call is read as the first one was."""
    off = ("address_auth_failures", "link_visits", "address_unknown_links", "address_calls", "address_creates")
    return {"log_level": "error", **{f"{name}_per_minute": 0 for name in off}}


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> dict[str, web.Application]:
    """The applications of the lab that is started after it, by their listeners."""
    found: dict[str, web.Application] = {}

    async def noted(admin: web.Application, public: web.Application, *more: Any) -> Any:
        found.update(admin=admin, public=public)
        return await listen(admin, public, *more)

    monkeypatch.setattr("proxy.app.listen", noted)
    return found


@pytest.mark.timeout(300)  # every route is fed everything, and each line that runs is counted
@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_no_input_costs_more_than_its_size(apps: dict[str, web.Application], lab: Lab, listener: str) -> None:
    url = lab.dargah.url if listener == "public" else lab.dargah.admin_url
    link = link_of(await lab.created())
    grown = []
    for number, (method, path) in enumerate(paths(apps[listener], link)):
        plain = min([await cost(url, request(method, path)) for _ in range(3)], key=lambda each: each.steps)
        for hostile in fed(number, method, plain):
            told = await excess(url, method, path, hostile, plain)
            grown += [] if told is None else [f"{method} {path}: {hostile.name}: {told}"]
    assert grown == [], "\n".join(grown)


class Cost(NamedTuple):
    """What a request gets, and costs."""

    answer: bytes
    steps: int
    seconds: float

    @property
    def is_guarded(self) -> bool:
        return statuses(self.answer) == [401] or b"Location: /console/login" in self.answer


def fed(number: int, method: str, plain: Cost) -> list[Hostile]:
    """All to a route that anybody is answered by; to one behind a token each SHARE-th, and to the next one the next."""
    inputs = [each for each in every() if each.where != "body" or method not in BODILESS]
    return inputs[number % SHARE :: SHARE] if plain.is_guarded else inputs


def paths(app: web.Application, link: str) -> Iterator[tuple[str, str]]:
    """Every route's method and a path of it."""

    def filled(name: re.Match[str]) -> str:
        return link if name[1] in LINKS else VARIABLES[name[1]]

    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            path = re.sub(r"\{(\w+)\}", filled, route.resource.canonical)
            yield "POST" if route.method == "*" else route.method, path


async def excess(url: str, method: str, path: str, hostile: Hostile, plain: Cost) -> str | None:
    """What it costs too much; None where it is well. `plain` is what the route costs by itself."""
    size = BODY_BYTES if hostile.where == "body" else HEAD_BYTES
    small, large = (request(method, path, hostile, each) for each in (size // TIMES, size))
    one = await cost(url, large)
    told = None if one.steps < LEAST_STEPS else await excess_steps(url, small, large, plain.steps)
    return told if told or one.seconds < LEAST_SECONDS else await excess_seconds(url, small, large)


async def excess_steps(url: str, small: bytes, large: bytes, plain: int) -> str | None:
    """The steps beyond those of the route. What else the loop has to do falls into some rounds."""
    least, most = [min([(await cost(url, data)).steps for _ in range(3)]) - plain for data in (small, large)]
    return None if most < max(LEAST_STEPS, least * MOST_GROWTH) else f"{least} steps became {most}"


async def excess_seconds(url: str, small: bytes, large: bytes) -> str | None:
    """The same of the time, the route's own among it."""
    least = most = float("inf")
    for _ in range(ROUNDS):
        least, most = min(least, await seconds(url, small)), min(most, await seconds(url, large))
        if most < max(LEAST_SECONDS, least * MOST_GROWTH):
            return None
    return f"{least * 1000:.1f} ms became {most * 1000:.1f} ms"


async def cost(url: str, data: bytes) -> Cost:
    """Of one request, its sending among it. What fails is no 5xx."""
    steps = 0

    def step(*_frame_event_argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return step

    others, started = sys.gettrace(), time.thread_time()
    sys.settrace(step)
    try:
        answered = await answers_to(url, data)
    finally:
        sys.settrace(others)
    spent = time.thread_time() - started
    # 503 is what a page says that was fetched ahead.
    assert all(status < 500 or status == 503 for status in statuses(answered)), (data[:200], answered[:500])
    return Cost(answered, steps, spent)


async def seconds(url: str, data: bytes) -> float:
    """Processor time of this thread."""
    started = time.thread_time()
    await answers_to(url, data)
    return time.thread_time() - started


def request(method: str, path: str, hostile: Hostile = NOTHING, size: int = 0) -> bytes:
    filled = hostile.filled(size)
    headers = {"Host": "localhost", "Sec-Fetch-Site": "same-origin", "Connection": "close"}
    body = b""
    match hostile.where:
        case "body":
            body, headers["Content-Type"] = filled.encode(), hostile.content_type
        case "query":
            path = f"{path}?{filled}"
        case "path":
            path = f"{path.rpartition('/')[0]}/{filled}"
        case header:
            headers[header] = filled.strip()
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
