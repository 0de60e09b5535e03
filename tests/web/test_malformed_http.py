"""What is no proper HTTP, on both listeners: no 5xx, no crash, nothing left behind, echoed or smuggled.

Each case of the fuzz is made from its number and the seed alone; `DARGAH_TEST_SEED` tries others.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs
from support.eventually import until

from web.clients import answers_to, statuses
from web.lab import Lab

CHUNKED = b"Transfer-Encoding: chunked"
AMBIGUOUS: tuple[bytes, ...] = (
    b"Content-Length: 5\r\n" + CHUNKED,
    CHUNKED + b"\r\nContent-Length: 5",
    CHUNKED + b"\r\nTransfer-Encoding: identity",
    CHUNKED + b"\r\n" + CHUNKED,
    b"Content-Length: 15\r\nContent-Length: 15",
    b"Content-Length: 15\r\nContent-Length: 5",
    b"Content-Length: 15, 15",
    b"Content-Length: +15",
    b"Content-Length: 0xf",
    b"Content-Length: 1 5",
    b"Content-Length:",
    b"Content-Length : 15",
    b" Content-Length: 15",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding:\r\n chunked",
    b"X: y\n" + CHUNKED,
    b"X: y\r" + CHUNKED,
)
NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Who says only half of something is soon sent away; and nobody is sent away for failing often."""
    return {"head_timeout_seconds": 0.2, "idle_timeout_seconds": 0.4, "address_auth_failures_per_minute": 0}


@pytest.mark.parametrize("header", AMBIGUOUS)
async def test_where_a_body_ends_is_never_a_matter_of_opinion(lab: Lab, header: bytes) -> None:
    """A proxy in front may read such a head otherwise; what follows must not become a request that it never saw."""
    for version in (b"1.1", b"1.0"):
        head = b"POST /v1/nothing HTTP/%s\r\nHost: x\r\n%s\r\n\r\n" % (version, header)
        assert statuses(await answers_to(lab.dargah.url, head + b"5\r\nabcde\r\n0\r\n\r\n" + NEXT)) == [400]


@pytest.mark.parametrize(
    "body",
    [
        b"5\nabcde\n0\n\n",
        b"5 \r\nabcde\r\n0\r\n\r\n",
        b"5;a=b\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcdeX\r\n0\r\n\r\n",
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_nor_where_a_chunk_ends(lab: Lab, body: bytes) -> None:
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % CHUNKED
    assert statuses(await answers_to(lab.dargah.url, head + body + NEXT)) == [400]


async def test_a_body_in_proper_chunks_ends_where_it_says(lab: Lab) -> None:
    head = b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % CHUNKED
    assert statuses(await answers_to(lab.dargah.url, head + b"5\r\nabcde\r\n0\r\n\r\n" + NEXT)) == [404, 200]


async def test_a_line_ends_with_both_of_its_bytes(lab: Lab) -> None:
    assert statuses(await answers_to(lab.dargah.url, b"GET /healthz HTTP/1.1\nHost: x\n\n" + NEXT)) == [400]


SEED = int(os.environ.get("DARGAH_TEST_SEED", "20261124"))
CASES = 2_500  # on each of the two listeners
AT_ONCE = 150
HEALTHY = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CANARY = b"CANARY-7f31"


def lines(*headers: bytes) -> bytes:
    return b"".join(header + b"\r\n" for header in (b"Host: localhost", *headers)) + b"\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def smuggling(dice: Random) -> bytes:
    body = b'{"canary":"%s"}' % CANARY
    length = b"Content-Length: %d" % dice.choice([0, 1, len(body), len(body) + 40, 10**6, 2**63, 2**64 + 1])
    te = dice.choice(
        [
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding:\tchunked",
            b"Transfer-Encoding: \x0bchunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            b"X: y\nTransfer-Encoding: chunked",
            b"Transfer-Encoding\r\n : chunked",
            b"TRANSFER-ENCODING: CHUNKED",
        ]
    )
    headers = [
        [length, te],
        [te, length],
        [length, b"Content-Length: 3"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -1"],
        [b"Content-Length: 0x5"],
        [b"Content-Length:"],
        [b"Content-Length: 5\r\n 7"],
        [te],
    ]
    sent = chunked(body) if dice.random() < 0.5 else body
    return b"POST /v1/payments HTTP/1.1\r\n" + lines(*dice.choice(headers)) + sent + b"GET /healthz HTTP/1.1\r\n\r\n"


def chunks(dice: Random) -> bytes:
    bad = dice.choice(
        [
            b"zz\r\nabc\r\n0\r\n\r\n",
            b"-1\r\nabc\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\nabc",
            b"3\nabc\n0\n\n",
            b"3\r\nabcdef\r\n0\r\n\r\n",
            b"3;ext=%s\r\nabc\r\n0\r\n\r\n" % (b"x" * dice.choice([1, 100, 20_000])),
            b"3\r\nabc\r\n0\r\nTrailer: \x00\r\n\r\n",
            b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
            b" 3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"\r\n" * dice.randrange(1, 50),
            b"1\r\na\r\n" * 500 + b"0\r\n\r\n",
        ]
    )
    path = dice.choice([b"/v1/payments", b"/invoice/request", b"/return/x", b"/admin/v1/merchants", b"/nothing"])
    json = b"Content-Type: application/json"
    return b"POST %s HTTP/1.1\r\n" % path + lines(b"Transfer-Encoding: chunked", json, b"Idempotency-Key: k") + bad


def request_line(dice: Random) -> bytes:
    line = dice.choice(
        [
            b"GET /",
            b"GET / HTTP/0.9",
            b"GET / HTTP/1.9",
            b"GET / HTTP/2.0",
            b"GET / HTTP/11",
            b"GET / FTP/1.1",
            b"PRI * HTTP/2.0\r\n\r\nSM",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT evil.example:443 HTTP/1.1",
            b"GET http://evil.example/%s HTTP/1.1" % CANARY,
            b"GET http://evil.example:99999/ HTTP/1.1",
            b"GET http://[::1 HTTP/1.1",
            b"GET //evil.example/%2e%2e HTTP/1.1",
            b"GET evil HTTP/1.1",
            b"GET /%s HTTP/1.1" % (b"a" * dice.choice([100, 8_000, 16_500, 70_000])),
            b"GET /\x00%s HTTP/1.1" % CANARY,
            b"GET /%00%ff%fe HTTP/1.1",
            b"GET /\xff\xfe\xd9 HTTP/1.1",
            b"GET /?%s=%s HTTP/1.1" % (b"a" * 50, b"%" * 50),
            b"G\x00T / HTTP/1.1",
            b"%s / HTTP/1.1" % (b"M" * dice.choice([10, 300, 20_000])),
            b"GET  / HTTP/1.1",
            b"GET\t/\tHTTP/1.1",
            b" GET / HTTP/1.1",
            b"GET /\rHTTP/1.1",
            b"",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(60),
        ]
    )
    return line + dice.choice([b"\r\n", b"\n", b"\r", b"\r\n\r\n"]) + lines()


def header_lines(dice: Random) -> bytes:
    header = dice.choice(
        [
            b"X: %s" % (b"a" * dice.choice([100, 16_000, 17_000, 60_000])),
            b"\r\n".join(b"X-%d: %s" % (n, b"v" * dice.choice([1, 400])) for n in range(dice.choice([50, 200]))),
            b"X: a\r\n folded: %s" % CANARY,
            b"X: a\n bare",
            b"X: \x00%s" % CANARY,
            b"X\x00: a",
            b"X: \xff\xfe\xd9",
            b"X : a",
            b": a",
            b"nocolon%s" % CANARY,
            b"Host: %s\r\nHost: y" % CANARY,
            b"Host: \xff%s" % CANARY,
            b"Expect: %s" % CANARY,
            b"Expect: 100-continue",
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x",
            b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            b"Connection: \x00",
            b"Content-Encoding: gzip\r\nContent-Length: 5",
            b"Content-Encoding: %s" % CANARY,
            b"Content-Type: application/json; charset=%s" % CANARY,
            b"Authorization: Bearer \xff\xfe",
            b"Authorization: Bearer %s" % (b"x" * 9_000),
            b"X-Forwarded-For: %s" % (b"1.2.3.4," * 400),
            b'Forwarded: for="%s' % CANARY,
            b"traceparent: \xff",
            b"Cookie: %s" % (b"a=b; " * 500),
        ]
    )
    path = dice.choice([b"/healthz", b"/v1/payments", b"/pay/x", b"/invoice/request", b"/admin/v1/merchants", b"/x"])
    return b"%s %s HTTP/1.%d\r\n" % (dice.choice([b"GET", b"POST", b"HEAD"]), path, dice.randrange(2)) + lines(header)


def pipelined(dice: Random) -> bytes:
    one = b"GET %s HTTP/1.1\r\n" % dice.choice([b"/healthz", b"/v1/payments", b"/nothing"]) + lines()
    return one * dice.choice([2, 10, 35]) + dice.choice([b"", b"G", b"\x00\xff", smuggling(dice)])


def noise(dice: Random) -> bytes:
    """A proper request with a few of its bytes changed, taken out, doubled or cut off."""
    text = bytearray(
        b"POST /v1/payments HTTP/1.1\r\n"
        + lines(
            b"Content-Type: application/json", b"Idempotency-Key: k", b"Content-Length: 2", b"Authorization: Bearer x"
        )
        + b"{}"
    )
    for _ in range(dice.randrange(1, 8)):
        at = dice.randrange(len(text))
        match dice.randrange(4):
            case 0:
                text[at] = dice.randrange(256)
            case 1:
                del text[at]
            case 2:
                text[at:at] = text[at : at + 20]
            case _:
                text[at:at] = dice.randbytes(3)
    return bytes(text[: dice.randrange(1, len(text) + 1)] if dice.random() < 0.3 else text)


MAKERS: tuple[Callable[[Random], bytes], ...] = (smuggling, chunks, request_line, header_lines, pipelined, noise)


def case(number: int) -> bytes:
    dice = Random(f"{SEED}|{number}")
    return MAKERS[number % len(MAKERS)](dice)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.http.parsing.BODY_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("proxy.http.server.LINGER_SECONDS", 0.2)


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_nothing_malformed_gets_a_5xx_or_an_echo_or_leaves_anything_behind(
    lab: Lab, listener: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = lab.dargah.url if listener == "public" else lab.dargah.admin_url
    await answers_to(url, HEALTHY)  # what is made once is made
    tasks, files = len(asyncio.all_tasks()), descriptors()
    room = asyncio.Semaphore(AT_ONCE)
    told: dict[int, int] = {}

    async def one(number: int) -> None:
        async with room:
            answered = await answers_to(url, case(number))
        assert CANARY not in answered, (number, answered)
        for status in statuses(answered):
            assert status < 500, (number, case(number)[:200], answered[-500:])
            told[status] = told.get(status, 0) + 1

    with capture_logs() as logged:
        await asyncio.gather(*(one(number) for number in range(CASES)))
    assert [line for line in logged if line["log_level"] not in {"info", "warning"}] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    # They were answers of every sort, or the cases would show nothing.
    assert {400, 401, 404, 431} <= set(told), told
    await until(lambda: len(asyncio.all_tasks()) <= tasks and descriptors() <= files, 60)
    assert statuses(await answers_to(url, HEALTHY)) == [200 if listener == "public" else 404]


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400, "malformed_http"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_http"),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 17_000), 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"a" * 17_000), 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: %s\r\n" % (b"a" * 1000) * 40, 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: CANARY-7f31\r\n\r\n", 417, "expectation_failed"),
    ],
)
@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_what_is_no_http_is_a_short_problem(lab: Lab, listener: str, sent: bytes, status: int, code: str) -> None:
    url = lab.dargah.url if listener == "public" else lab.dargah.admin_url
    head, _, body = (await answers_to(url, sent)).partition(b"\r\n\r\n")
    assert statuses(head) == [status]
    assert b"application/problem+json" in head
    assert b"Server: dargah" in head
    assert orjson.loads(body)["code"] == code
    assert len(body) < 500
    assert CANARY not in body
