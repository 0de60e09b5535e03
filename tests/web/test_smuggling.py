"""Requests that two servers in a row could read differently are refused."""

from pathlib import Path
from typing import Any

import pytest

from web.lab import Lab
from web.raw_answers import answers_to, statuses

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
    """What waits for more is soon closed."""
    return {"head_timeout_seconds": 0.2, "idle_timeout_seconds": 0.4}


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
