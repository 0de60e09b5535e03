"""What a listener answers to bytes that are not made by any HTTP library."""

import asyncio
import re
from urllib.parse import urlsplit

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
