"""A POST and its answer on a connection of aiohttp's pool, without aiohttp's request and response objects.

`ClientSession.post` costs more than the rest of a create together: it builds a request and a response each time, and
starts a task that writes the body. The pool, the names, TLS, the protocol and the parser here are aiohttp's own. The
protocol is not documented and two of the pool's methods are private: nothing else in Dargah uses those, pyproject.toml
caps aiohttp's version, and tests/adapters/test_answers.py finds the release that breaks it.
"""

import asyncio
import re
import ssl
from functools import cached_property, partial
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.http.outbound.egress_proxy import Tunnels
from proxy.kernel.clock import Deadline
from proxy.kernel.frozen import dataclass

MAX_INFORMATIONAL: Final = 8
MAX_HEAD_BYTES: Final = 64 * 1024
"""Of all heads of one answer, the informational ones among them."""
MAX_FRAMING_BYTES: Final = 64 * 1024
"""Of all that frames one body: the sizes and extensions of its chunks, and its trailers."""
_INFORMATIONAL: Final = range(100, 200)
_SWITCHING: Final = 101
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_BEHIND_AUTHORITY: Final = re.compile(r"[^:/?#]*://[^/?#]*([^#]*)")
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_OVERLAP: Final = 2  # bytes of a head's end that may stand in the segment before

RAISED: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError)
"""Everything a call may raise that is not our own mistake; cancellation is not among it. uvloop has RuntimeErrors
where asyncio has OSErrors."""


class AnswerProtocol(ResponseHandler):
    """aiohttp's protocol for one answer at a time: at most 8 informational answers, 64 kB of heads and of framing.

    The parser gets the head alone, because it forgets a whole head when the bytes behind it are wrong. Bytes behind the
    answer, or without a request, close the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._content: aiohttp.StreamReader | None = None
        self._heads_left = 0
        self._head_bytes_left = 0
        self._body_bytes = 0
        self._last = b""

    @property
    def overran(self) -> bool:
        """Whether bytes came behind the answer's end, or its body broke its own framing."""
        return isinstance(self.exception(), HttpProcessingError)

    async def ask(self, message: bytes) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """The head of the answer to `message`, and its body on the way."""
        if self.transport is None or self.should_close:
            # What came unasked must not pass for the answer to this one.
            raise aiohttp.ClientConnectionResetError("it closed, or spoke unasked")
        self.set_response_params(read_until_eof=True, auto_decompress=False)
        self.transport.write(message)
        try:
            return await self.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError from error

    def set_response_params(self, **params: Any) -> None:
        """An answer is expected: aiohttp too says so before each of its own requests."""
        self._content = None
        self._heads_left = MAX_INFORMATIONAL + 1
        self._head_bytes_left = MAX_HEAD_BYTES
        self._body_bytes = 0
        self._last = b""
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """An answer's head, from the parser. The informational ones are dropped here: nobody reads them."""
        message, content = data
        if self._content is not None or message.code == _SWITCHING:
            self._refuse("an answer that nobody asked for")
        elif message.code not in _INFORMATIONAL:
            self._content = content
            super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        while data and self._content is None and self.exception() is None:
            data = self._feed_head(data)
        if not data or self._content is None or self.exception() is not None:
            return
        if self._content.is_eof():
            self._refuse("bytes behind the answer")
        else:
            self._feed_body(self._content, data)

    def _feed_body(self, content: aiohttp.StreamReader, data: bytes) -> None:
        self._feed(data)
        self._body_bytes += len(data)
        if self._body_bytes - content.total_bytes > MAX_FRAMING_BYTES:
            self._refuse("too much that frames the body")
        if self.overran and not content.is_eof():
            content.set_exception(aiohttp.ClientPayloadError())  # the parser forgets to

    def _feed_head(self, data: bytes) -> bytes:
        """Feeds `data` up to the end of a head, and gives the rest."""
        found = _HEAD_END.search(self._last + data[: self._head_bytes_left])
        end = len(data) if found is None else found.end() - len(self._last)
        self._head_bytes_left -= end
        if self._heads_left == 0 or self._head_bytes_left < 0:
            self._refuse("too many informational answers, too long a head, or one that nobody asked for")
            return b""
        if found is not None:
            self._heads_left -= 1
        self._last = (self._last + data)[-_OVERLAP:] if found is None else b""
        self._feed(data[:end])
        return data[end:]

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        error = self.exception()
        if error is not None and error.__cause__ is not None:
            # Its frames hold the bytes and this protocol, which holds it: a circle.
            error.__cause__.__traceback__ = None

    def _refuse(self, why: str) -> None:
        if self.transport is not None:
            self.transport.close()
        self.set_exception(HttpProcessingError(message=why))


class Pool(aiohttp.TCPConnector):
    """Every connection speaks AnswerProtocol, and goes by `tunnels` where there are any."""

    def __init__(self, *, tunnels: Tunnels | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._tunnels = tunnels

    async def _wrap_create_connection(
        self,
        *_args: Any,  # aiohttp's own protocol
        addr_infos: list[aiohttp.AddrInfoType],
        req: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  the name is aiohttp's
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **options: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        protocol = partial(AnswerProtocol, asyncio.get_running_loop())
        said: dict[str, Any] = {"req": req, "timeout": timeout, "client_error": client_error, **options}
        direct = addr_infos if self._tunnels is None else self._tunnels.direct(req.url, addr_infos)
        if self._tunnels is None or direct:
            return await super()._wrap_create_connection(protocol, addr_infos=direct, **said)
        try:
            connected = await self._tunnels.through(req.url, addr_infos, timeout.sock_connect)
        except OSError as error:
            addr_infos.clear()  # all were tried
            raise client_error(req.connection_key, error) from error
        return await self._wrap_existing_connection(protocol, sock=connected, **said)


@dataclass(frozen=True, slots=True)
class Origin:
    """A server and its request target. `request` is the object that the connector needs; it is never sent."""

    request: aiohttp.ClientRequest
    target: str
    headers: bytes


class _PooledRequest(aiohttp.ClientRequest):
    """Represents every post to a server, so that its key in the pool is made once and not for each."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


def request_target(url: str) -> str:
    """Path and query exactly as `url` has them: no escape is changed, no dot taken out. Only bytes beyond ASCII are
    escaped, because no request may have them as they are.
    """
    behind = _BEHIND_AUTHORITY.match(url)
    target = behind[1] if behind else ""
    return quote(target if target.startswith("/") else f"/{target}", safe=_ASCII)


def origin_of(session: aiohttp.ClientSession, text: str, tls: ssl.SSLContext | None = None) -> Origin:
    """`tls` where it is not the session's own. Raises ValueError, aiohttp.InvalidURL or NonHttpUrlClientError."""
    url = URL(text)
    if url.scheme not in {"http", "https"}:
        raise aiohttp.NonHttpUrlClientError(url)
    request = _PooledRequest(
        "POST", url, headers=session.headers, loop=asyncio.get_running_loop(), session=session, ssl=tls or True
    )
    lines = [f"{name}: {value}\r\n" for name, value in request.headers.items() if name.lower() != "content-length"]
    return Origin(request, request_target(text), f" HTTP/1.1\r\n{''.join(lines)}Content-Length: ".encode())


@dataclass(frozen=True, slots=True)
class Response:
    """A head that has come, its body on the way. The holder ends with `release`, for the pool to judge."""

    status: int
    headers: CIMultiDictProxy[str]
    _content: aiohttp.StreamReader
    _connection: Connection
    _protocol: AnswerProtocol

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, or more than `max_bytes` of it. Raises ClientPayloadError for one that is not framed."""
        body = await self._first(max_bytes + 1)
        if self._protocol.overran:
            raise aiohttp.ClientPayloadError("more than the answer's length")
        return body

    async def glance(self, max_bytes: int, seconds: float, deadline: Deadline) -> bytes:
        """The first bytes of a body that decides nothing, read on to its end where that is near: the connection is
        then free. One that breaks or drips is left after `seconds`, and at the call's deadline at the latest.
        """
        body = bytearray()
        try:
            if self._content.is_eof():  # all of it came with the head, as most answers do: no timer is needed
                return self._content.read_nowait(max_bytes)
            latest = asyncio.get_running_loop().time() + seconds
            async with asyncio.timeout_at(min(latest, deadline.when())):
                while len(body) < max_bytes and (chunk := await self._content.readany()):
                    body += chunk
        except RAISED:
            pass
        return bytes(body)

    async def _first(self, max_bytes: int) -> bytes:
        if self._content.is_eof():
            return self._content.read_nowait()
        body = bytearray()
        while len(body) < max_bytes and (chunk := await self._content.readany()):
            body += chunk
        return bytes(body)

    def release(self) -> None:
        """Into the pool, unless there is more to read."""
        self._connection.release()


async def exchange(session: aiohttp.ClientSession, origin: Origin, message: bytes) -> Response:
    """The head of the answer to `message`, a complete HTTP request. Raises the errors of a ClientSession."""
    connection = await _connect(session, origin.request)
    try:
        protocol = connection.protocol
        assert isinstance(protocol, AnswerProtocol)
        head, content = await protocol.ask(message)
    except BaseException:
        connection.close()
        raise
    return Response(head.code, head.headers, content, connection, protocol)


async def _connect(session: aiohttp.ClientSession, request: aiohttp.ClientRequest) -> Connection:
    connector = session.connector
    assert connector is not None
    try:
        return await connector.connect(request, [], session.timeout)
    except TimeoutError as error:
        raise aiohttp.ConnectionTimeoutError from error
