"""Requests as bytes, and what a listener answers to such as no HTTP library makes."""

import asyncio
import re
from urllib.parse import urlsplit


def posted(path: str, body: bytes, *types: str, **headers: str) -> bytes:
    """A request that says all of `types` of its body."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {each}" for each in types]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


MAX_ANSWER_BYTES = 10_000_000


async def answers_to(url: str, data: bytes) -> bytes:
    """All that is answered before the server closes, or until we do, having said all."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    answered = b""
    try:
        writer.write(data)
        async with asyncio.timeout(60):
            while len(answered) < MAX_ANSWER_BYTES and (more := await reader.read(65536)):
                answered += more
    except ConnectionError:
        pass  # what came before the reset counts
    finally:
        writer.close()
    return answered


def statuses(answered: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answered)]
