"""Answers that come whole, in one piece, as nearly all of a gateway's do: read without aiohttp's parser and stream.

That costs a create a twentieth less. Whatever is not plain goes to aiohttp's parser, which then judges it alone.
"""

import asyncio
import re
from typing import Final

from aiohttp.client_proto import ResponseHandler

Plain = tuple[int, bytes]

_START: Final = re.compile(rb"HTTP/1\.1 (20[0124]) ")
_NO_CONTENT: Final = 204
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?([0-9]{1,6})\r\n")
_KEEP_ALIVE: Final = b"\r\nconnection: keep-alive\r\n"


class WholeAnswers(ResponseHandler):
    """aiohttp's protocol, which gives a plain answer as it is to whoever said `expect` before asking."""

    _expected: asyncio.Future[Plain | None] | None = None

    def expect(self) -> asyncio.Future[Plain | None]:
        """The next answer's status and body, or None when it is to be had from `read`, an error of it too."""
        self._expected = self._loop.create_future()
        return self._expected

    def data_received(self, data: bytes) -> None:
        expected, self._expected = self._expected, None
        if expected is None:
            super().data_received(data)
            return
        plain = plain_answer(data)
        if plain is None:
            self.set_response_params(read_until_eof=True, auto_decompress=False)
            super().data_received(data)
        if not expected.done():
            expected.set_result(plain)

    def connection_lost(self, exc: BaseException | None) -> None:
        expected, self._expected = self._expected, None
        super().connection_lost(exc)
        if expected is not None and not expected.done():
            expected.set_result(None)


def plain_answer(data: bytes) -> Plain | None:
    """Status and body when `data` is exactly one answer that leaves no question; None for everything else.

    That is a 200, 201 or 202 with its length, or a 204 without one.
    """
    start, end = _START.match(data), data.find(b"\r\n\r\n")
    if start is None or end < 0:
        return None
    head = data[: end + 2].lower()
    if (
        b"transfer-encoding" in head
        or head.count(b"\r\nconnection:") != head.count(_KEEP_ALIVE)
        or head.count(b"\n") != head.count(b"\r\n")
    ):
        return None
    status, body = int(start[1]), data[end + 4 :]
    lengths = head.count(b"content-length")
    if status == _NO_CONTENT:
        return None if lengths or body else (status, body)
    length = _LENGTH.search(head)
    return (status, body) if length is not None and lengths == 1 and len(body) == int(length[1]) else None
