"""Requests of customers and shops, each on a connection of its own."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from bench.load import Connection
from bench.peers.merchants import Shop

ANSWER_SECONDS: Final = 30


def url_of(shop: Shop) -> str:
    return f"http://127.0.0.1:{shop.program.port}"


async def ask(url: str, request: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    async with asyncio.timeout(ANSWER_SECONDS):
        connection = await Connection.open(url)
        try:
            return await connection.ask(request)
        finally:
            connection.close()


def get(url: str) -> bytes:
    parts = urlsplit(url)
    return f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
