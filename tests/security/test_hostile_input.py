"""What a stranger may send: refused at once, without memory left behind, at a cost in proportion to its size."""

import asyncio
import gc
import json
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiohttp import web
from web.clients import answers_to, drop_in, posted, statuses
from web.lab import Lab, lab_in, link_of

from proxy.http.listeners import listen

# What a refusal may take of the processor that the tests share; the attacks took seconds.
CPU_SECONDS: Final = 0.1
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: all of this is refused before any store."""
    return tmp_path


def nested(depth: int) -> bytes:
    """Multiparts within multiparts."""
    opening = (f"--b{n}\r\nContent-Type: multipart/mixed; boundary=b{n + 1}\r\n\r\n" for n in range(depth))
    return b"--b\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" + "".join(opening).encode()


UNREADABLE: Final = {
    "the issue's 300 bytes": (b"--b\n\n" * 60, MULTIPART + ";a=b" * 3800, 415),
    "the same body under a short type": (b"--b\n\n" * 12_000, MULTIPART, 400),
    "nested multiparts": (nested(900), MULTIPART, 400),
    "a type of 201 characters": (b"", MULTIPART + ";" * 170, 415),
    "too many parts": (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 900 + b"--b--", MULTIPART, 400),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_hostile_form_at_the_drop_in_is_refused_at_once(lab: Lab, name: str) -> None:
    body, content_type, status = UNREADABLE[name]
    started = time.process_time()
    answer = await answers_to(lab.dargah.url, posted("/invoice/request", body, content_type))
    assert time.process_time() - started < CPU_SECONDS
    assert statuses(answer) == [status]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errorCode"] == 101


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/webhook-endpoints", "/v1/events/test"])
@pytest.mark.parametrize("tail", [";a=b" * 3800, ";" + "(" * 15_000, ";" + '"' * 15_000, ";(((("])
async def test_a_hostile_content_type_of_a_json_route_is_refused_at_once(lab: Lab, path: str, tail: str) -> None:
    headers = {"Authorization": f"Bearer {lab.token}", "Idempotency_Key": "k"}
    started = time.process_time()
    answer = await answers_to(lab.dargah.url, posted(path, b"{}", JSON + tail, **headers))
    assert time.process_time() - started < CPU_SECONDS
    # A short one is JSON with parameters that nobody reads; what is wrong then is the order.
    assert statuses(answer) == [415 if len(tail) > 200 else 422]


async def test_a_content_type_that_says_two_things_is_refused(lab: Lab) -> None:
    headers = {"Authorization": f"Bearer {lab.token}", "Idempotency_Key": "k"}
    answer = await answers_to(lab.dargah.url, posted("/v1/payments", b"{}", JSON, "text/plain", **headers))
    assert statuses(answer) == [400]


@pytest.mark.parametrize("where", ["console", "portal"])
async def test_a_hostile_content_type_of_a_form_is_refused_at_once(lab: Lab, where: str) -> None:
    url = lab.dargah.admin_url if where == "console" else lab.dargah.url
    path = "/console/login" if where == "console" else "/portal/logout"
    started = time.process_time()
    form = posted(path, b"token=x", FORM + ";(" * 7000, Sec_Fetch_Site="same-origin")
    answer = await answers_to(url, form)
    assert time.process_time() - started < CPU_SECONDS
    assert statuses(answer) == ([415] if where == "console" else [401])


@pytest.mark.parametrize("depth", [255, 600, 1023, 1024, 1025, 20_000])
@pytest.mark.parametrize("shape", ['{"a":', "["])
async def test_json_that_is_too_deep_is_refused(lab: Lab, depth: int, shape: str) -> None:
    closing = "}" if shape.startswith("{") else "]"
    body = '{"amount":' + shape * depth + "1" + closing * depth + "}"
    headers = {"Idempotency-Key": "k", "Content-Type": JSON}
    answer = await lab.call("POST", "/v1/payments", data=body[:65_536].encode(), headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("number", ["9" * 4000, "9" * 5000, "-" + "9" * 30_000, "1e999999", "0." + "3" * 20_000])
async def test_numbers_of_thousands_of_digits_are_refused(lab: Lab, number: str) -> None:
    body = f'{{"amount": {number}, "currency": "IRT", "order_id": "1"}}'.encode()
    headers = {"Idempotency-Key": "k", "Content-Type": JSON}
    answer = await lab.call("POST", "/v1/payments", data=body, headers=headers)
    assert answer.status in {400, 422}


CHUNKED: Final = b"POST /invoice/request HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED: Final = {
    "trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * 40_000,
    "a chunk's length": CHUNKED + b"z" * 240_000,
    "a head": b"GET / HTTP/1.1\r\n" + b"\x00" * 240_000,
    "headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000,
    "no HTTP": b"\xff" * 240_000,
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_cannot_be_read_leaves_no_memory_behind(lab: Lab, name: str) -> None:
    """Not until a collector comes either, which is seldom."""
    await answers_to(lab.dargah.url, MALFORMED[name])
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(10):
            await answers_to(lab.dargah.url, MALFORMED[name])
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < len(MALFORMED[name])


async def test_others_are_served_meanwhile(lab: Lab) -> None:
    body, content_type, _ = UNREADABLE["the issue's 300 bytes"]
    attack = posted("/invoice/request", body, content_type)
    async with asyncio.timeout(5):
        answers = await asyncio.gather(
            *(answers_to(lab.dargah.url, attack) for _ in range(50)),
            answers_to(lab.dargah.url, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
    assert statuses(answers[-1]) == [200]
    assert {status for answer in answers[:-1] for status in statuses(answer)} <= {415, 200}
    assert (await drop_in(lab)).token  # the process lives


@dataclass(frozen=True)
class Hostile:
    """One part of a request, filled to a size: `where` is a header's name, `query`, `path`, or `body` with its type."""

    name: str
    where: str
    filled: Callable[[int], str]
    content_type: str = ""


def repeated(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """So much of `unit` that all of it has the size asked for."""
    return lambda size: before + unit * ((size - len(before) - len(after)) // len(unit)) + after


_HEADERS: Final = {
    "Content-Type": (
        f"{MULTIPART}|;a=b", f"{JSON}|;a=b", f"{FORM};|(", f'{JSON};a="|\\"', f"{MULTIPART};|a*0=b;", "|/", f"{FORM}| ",
    ),
    "Cookie": (
        "|a=b; ", 'a="|\\"', 'a="|\\";a=', "a| ", "a=| ", "dargah-session=|0", "|a;", '|"', "a=abc | ", "|a=Mon, ",
    ),
    "Accept-Language": ("|fa;q=0.1,", "|;", "fa-|a-", "fa;q=|9"),
    "User-Agent": ("|a ", "|(", "|bot"),
    "X-Forwarded-For": ("|1.1.1.1,", "|1.", "|:", "|,"),
    "Forwarded": ('|for="', "|for=a;", "for=|["),
    "Authorization": ("Bearer |x", "Bearer dg_live_|0", "Bearer | ", "|Bearer ", "Basic |a"),
    "Idempotency-Key": ("|x",),
    "traceparent": ("00-|0", "|0-"),
    "tracestate": ("|a=b,",),
    "X-Request-Id": ("|x", "|-"),
    "Range": ("bytes=|0-1,", "bytes=|9"),
    "If-None-Match": ('|"a",', '|W/"'),
    "If-Modified-Since": ("|Mon, ", "Mon, 01 Jan 2024 | "),
    "Accept": ("|text/html;q=0.1,",),
    "Accept-Encoding": ("|gzip;q=0,",),
    "Origin": ("http://|a.", "|http://"),
    "Sec-Purpose": ("|prefetch;",),
    "Host": ("|a.", "[|:", "localhost:|1"),
}  # fmt: skip
_QUERIES: Final = ("|a=b&", "|a&", "|&", "|%41", "|lang=fa&", "lang=|a", "next=|//", "a[|]", "cursor=|A", "|;", "|+")
_PATHS: Final = ("|x", "|/", "|../", "|%2e%2e/", "|%", "|/invoice/request", "|/invoice/check/a", "|/invoice/pay/a")
_BODIES: Final = {
    FORM: (
        "|a=b&", "|&", "|%", "|%41", "|=", "api_key=|%20%E2%80%8B", "api_key=|0", "|return_url=http://a&amount=1&",
        "|return_url=http://", "amount=1&api_key=x&|&return_url=http://a", "return_url=http://a|&amount=", "| ",
        "|\ufeff", "token=x&|csrf=", "status=0&|invoice_key=a&",
    ),
    JSON: (
        "|[", '|{"a":', '{"api_key":"| \u200b', '{"a":|9', '{"a":[|1,', '|{"a":1,', '{"a":"|\\u0041', "| ",
        '{"a":0.|1', '{"a":1e|9', '{"|\\\\', '{"api_key":"x","a":|[',
    ),
    MULTIPART: (
        "|--b\n\n", "|--b\r\n", '|--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n', "--b\r\n|a:b\r\n",
        '--b\r\nContent-Disposition: form-data|; name="a"', "--b\r\nContent-Disposition: form-data;|  ", "--b|--",
        "|--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\n|\r\n", "|\r\n--",
    ),
}  # fmt: skip


def every() -> Iterator[Hostile]:
    """All of them; in each text the part after `|` is what grows, up to the next `|` where there is one."""
    for name, texts in _HEADERS.items():
        yield from (_made(name, text) for text in texts)
    for where, texts in (("query", _QUERIES), ("path", _PATHS)):
        yield from (_made(where, text) for text in texts)
    for content_type, texts in _BODIES.items():
        yield from (_made("body", text, content_type) for text in texts)


def _made(where: str, text: str, content_type: str = "") -> Hostile:
    before, _, unit = text.partition("|")
    name = f"{where} {content_type.partition(';')[0]} {text!r}"
    unit, _, after = unit.partition("|") if unit.count("|") else (unit, "", "")
    return Hostile(name, where, repeated(unit, before, after), content_type)


HEAD_BYTES, BODY_BYTES = 15_000, 60_000
TIMES: Final = 4
ROUNDS: Final = 12
SHARE: Final = 4
# Even the longest unit is repeated 900 times, of which a quadratic reader takes many times this.
NOTICED_SECONDS: Final = 0.001
# What is less than this is no matter, however it grew.
LEAST_STEPS: Final = 4000
LEAST_SECONDS: Final = 0.004
MOST_GROWTH: Final = 2 * TIMES

# How a path's variable is filled; a route with another one is fed once it stands here. A link is a payment's own.
VARIABLES: Final = {
    "name": "icon.svg",
    "digest": "0" * 64,
    "prefix": "shop/",
    "end": "",
    "page": "payments",
    "storefront": "main",
    "mode": "live",
    "number": "4503599627370497",
    "merchant_id": "mer_00000000",
    **{f"{kind}_id": "x_" + "0" * 26 for kind in ("payment", "event", "delivery", "endpoint", "terminal", "token")},
    **{f"{kind}_id": "x" for kind in ("operator", "job", "session", "resend", "filter")},
}
LINKS: Final = frozenset({"link", "invoice_key"})
NOTHING: Final = Hostile("nothing", "Accept", lambda _size: "*/*")
BODILESS: Final = frozenset({"GET", "DELETE"})
# Without limits, so that the hundredth wrong call is read as the first one was.
UNREFUSED: Final[dict[str, Any]] = {"log_level": "error"} | {
    f"{name}_per_minute": 0
    for name in ("address_auth_failures", "link_visits", "address_unknown_links", "address_calls", "address_creates")
}


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> dict[str, web.Application]:
    """The applications of the lab that is started after it, by their listeners."""
    found: dict[str, web.Application] = {}

    async def noted(admin: web.Application, public: web.Application, *more: Any) -> Any:
        found.update(admin=admin, public=public)
        return await listen(admin, public, *more)

    monkeypatch.setattr("proxy.app.listen", noted)
    return found


@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_no_input_costs_more_than_its_size(
    apps: dict[str, web.Application], tmp_path: Path, listener: str
) -> None:
    """Every route of both listeners is fed every kind of input at about the most that a listener takes. One that takes
    noticeably longer than the plain request is held against a quarter of its size, which a quadratic reader reads in a
    sixteenth. Counted are the interpreter's steps (a line, a call, a return) beyond those of the plain request once it
    is warm, which no load changes. Code in C takes none, so the processor time of the thread must not grow so either:
    both sizes are measured in turns, and the least of each counts, since load, or a collector's run, falls into some
    rounds but not into all.
    """
    async with lab_in(tmp_path, **UNREFUSED) as lab:
        url = lab.dargah.url if listener == "public" else lab.dargah.admin_url
        link = link_of(await lab.created())
        grown = []
        for number, (method, path) in enumerate(paths(apps[listener], link)):
            plain = await cost_of(url, request(method, path))
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


async def cost_of(url: str, data: bytes) -> Cost:
    """The least of several, once it is warm."""
    answer = await answered(url, data)
    counted = min([await steps(url, data) for _ in range(3)])
    return Cost(answer, counted, min([await seconds(url, data) for _ in range(3)]))


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
    spent = await seconds(url, large)
    if spent < plain.seconds + NOTICED_SECONDS:
        return None
    told = await excess_steps(url, small, large, plain.steps)
    return told if told or spent < LEAST_SECONDS else await excess_seconds(url, small, large)


async def excess_steps(url: str, small: bytes, large: bytes, plain: int) -> str | None:
    """The steps beyond those of the route. What else the loop has to do falls into some rounds."""
    least, most = min([await steps(url, small) - plain for _ in range(3)]), sys.maxsize
    for _ in range(3):
        most = min(most, await steps(url, large) - plain)
        if most < max(LEAST_STEPS, least * MOST_GROWTH):
            return None
    return f"{least} steps became {most}"


async def excess_seconds(url: str, small: bytes, large: bytes) -> str | None:
    """The same of the time, the route's own among it."""
    least = most = float("inf")
    for _ in range(ROUNDS):
        least, most = min(least, await seconds(url, small)), min(most, await seconds(url, large))
        if most < max(LEAST_SECONDS, least * MOST_GROWTH):
            return None
    return f"{least * 1000:.1f} ms became {most * 1000:.1f} ms"


async def answered(url: str, data: bytes) -> bytes:
    """What fails is no 5xx, but for the 503 that a page says which was fetched ahead."""
    answer = await answers_to(url, data)
    assert all(status < 500 or status == 503 for status in statuses(answer)), (data[:200], answer[:500])
    return answer


async def steps(url: str, data: bytes) -> int:
    """Of one request, its sending among it."""
    counted = 0

    def step(*_frame_event_argument: Any) -> Any:
        nonlocal counted
        counted += 1
        return step

    others = sys.gettrace()
    sys.settrace(step)
    try:
        await answered(url, data)
    finally:
        sys.settrace(others)
    return counted


async def seconds(url: str, data: bytes) -> float:
    """Processor time of this thread."""
    started = time.thread_time()
    await answered(url, data)
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
