"""Bodies that never end: whoever waits for one is shown out of a full house before anybody who asks is refused."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from web.lab import Lab
from web.raw_answers import answers_to, posted, statuses

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

IN_SOCKETS_BYTES = 8_000_000  # more than both ends hold of what nobody has read
ROOM = 16
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With SQLite's file: what is looked at here comes before any store."""
    return tmp_path


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"max_connections": ROOM, "max_address_connections": 0}


async def connected(lab: Lab) -> Streams:
    host, _, port = lab.dargah.url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def dribble(lab: Lab, path: str = "/invoice/request", before: bytes = b"") -> Streams:
    """A connection whose body does not come."""
    reader, writer = await connected(lab)
    head = posted(path, b"x" * 100, "application/x-www-form-urlencoded").removesuffix(b"x" * 100)
    writer.write(before + head.replace(b"Connection: close\r\n", b"") + b"api_key=")
    if before:
        await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize("path", ["/invoice/request", "/v1/payments"])  # the second is answered without its body
@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_slow_bodies_fill_no_house(lab: Lab, before: bytes, path: str) -> None:
    held = [await dribble(lab, path, before) for _ in range(ROOM * 2)]
    try:
        for _ in range(ROOM):
            assert statuses(await answers_to(lab.dargah.url, HEALTH)) == [200]
        assert (await lab.create()).status == 201
    finally:
        for _, writer in held:
            writer.close()


async def test_a_body_that_comes_in_time_is_taken(lab: Lab) -> None:
    reader, writer = await dribble(lab)
    assert statuses(await answers_to(lab.dargah.url, HEALTH)) == [200]
    writer.write(b"x" * 92)
    assert b"HTTP/1.1 200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("start", "more"),
    [(b"1;", b"x" * 60_000), (b"", b"1;a=b\r\nx\r\n" * 5000), (b"0\r\n", b"X: y\r\n" * 5000)],
    ids=["an extension of a chunk", "extensions of chunks", "trailers"],
)
@pytest.mark.parametrize("path", ["/invoice/request", "/v1/payments"])
async def test_what_frames_a_body_ends(lab: Lab, path: str, start: bytes, more: bytes) -> None:
    head = posted(path, b"", "application/x-www-form-urlencoded").replace(b"Connection: close\r\n", b"")
    reader, writer = await connected(lab)
    writer.write(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + start)
    sent = 0
    async with asyncio.timeout(5):
        with suppress(ConnectionError):
            while not reader.at_eof():
                assert sent <= IN_SOCKETS_BYTES
                writer.write(more)
                sent += len(more)
                await writer.drain()
                await asyncio.sleep(0)
    writer.close()
    assert (await lab.create()).status == 201
