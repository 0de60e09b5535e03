"""Answers whose body is known, sent as they are: the head and the body in one write.

aiohttp asks of every answer whether it is compressed, comes in chunks, sets a cookie or is what HEAD is told, through
six coroutines and as many looks for headers. Here that is asked once, and whatever is not plain goes aiohttp's way.
"""

from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

# What has no body, whatever its Content-Length says.
_BODILESS: Final = frozenset({204, 304})


class WholeResponse(web.Response):
    """One with a body of bytes, and headers that tell its type."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if not self._is_plain(request):
            return await super().prepare(request)
        keep_alive = request.keep_alive if self._keep_alive is None else self._keep_alive
        self._keep_alive = keep_alive
        body = self._body
        assert isinstance(body, bytes), "it was made with one"
        headers = self._headers
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        if not keep_alive:
            headers[hdrs.CONNECTION] = "close"
        writer = request.writer
        await writer.write_headers(f"HTTP/1.1 {self._status} {self._reason}", headers)
        await writer.write_eof(body)
        self._eof_sent = True
        self._body_length = writer.output_size
        return writer

    def _is_plain(self, request: web.BaseRequest) -> bool:
        return (
            request.version == HttpVersion11
            and request.method != hdrs.METH_HEAD
            and self._status not in _BODILESS
            and not self._cookies
            and not self._compression
            and not self._chunked
            and not self._eof_sent
            and self._payload_writer is None
        )
