"""A POST and its answer on a connection of aiohttp's pool, without aiohttp's request and response objects.

`ClientSession.post` costs more than the rest of a create together: it builds a request and a response each time, and
starts a task that writes the body. The pool, the names, TLS, the protocol and the parser here are aiohttp's own, but
the calls that join them (`connect`, `set_response_params`, `read`) are not its public ones: tests/adapters hold them.
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http import HttpProcessingError, RawResponseMessage
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.adapters.connector import Outbound
from proxy.adapters.whole_answers import Plain, WholeAnswers

_OK: Final = 200
_INFORMATIONAL: Final = range(100, 200)


@dataclass(frozen=True, slots=True)
class Origin:
    """The server and the path under which posts go. `request` is what the connector asks of one; it is never sent."""

    request: aiohttp.ClientRequest
    path: str
    headers: bytes


class _Standing(aiohttp.ClientRequest):
    """Stands for every post to a server, so that its key in the pool is made once and not for each."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


def origin_of(outbound: Outbound, url: URL, tls: ssl.SSLContext | None = None) -> Origin:
    """`tls` where it is not the session's own. Raises aiohttp.InvalidURL or NonHttpUrlClientError."""
    session = outbound.session
    if url.scheme not in {"http", "https"}:
        raise aiohttp.NonHttpUrlClientError(url)
    request = _Standing(
        "POST", url, headers=session.headers, loop=asyncio.get_running_loop(), session=session, ssl=tls or True
    )
    lines = [f"{name}: {value}\r\n" for name, value in request.headers.items() if name.lower() != "content-length"]
    return Origin(request, url.raw_path.rstrip("/"), f" HTTP/1.1\r\n{''.join(lines)}Content-Length: ".encode())


@dataclass(frozen=True, slots=True)
class Response:
    """A head that has come, its body on the way. The holder ends with `close`, or `release` for the pool to judge."""

    status: int
    headers: CIMultiDictProxy[str]
    content: aiohttp.StreamReader
    connection: aiohttp.connector.Connection


async def post(outbound: Outbound, origin: Origin, path: str, body: bytes, max_bytes: int) -> Plain:
    """The status, and of a 200 the body, or its first bytes beyond `max_bytes`. `path` is encoded already.

    Raises what a ClientSession raises. The caller bounds the time.
    """
    line = f"POST {origin.path}{path}"
    answer = await exchange(outbound, origin, b"%s%s%d\r\n\r\n%s" % (line.encode(), origin.headers, len(body), body))
    if not isinstance(answer, Response):
        return answer if answer[0] == _OK else (answer[0], b"")
    try:
        read = await _body(answer.content, max_bytes) if answer.status == _OK else b""
    except BaseException:
        answer.connection.close()
        raise
    answer.connection.release()  # into the pool, unless there is more to read
    return answer.status, read


async def exchange(outbound: Outbound, origin: Origin, message: bytes) -> Response | Plain:
    """The answer to `message`, a whole HTTP request: a plain one as it is, of every other its head.

    Raises what a ClientSession raises.
    """
    connection = await _connect(outbound, origin.request)
    try:
        protocol = _protocol(connection)
        whole = protocol.expect()
        _write(connection, message)
        plain = await whole
        if plain is None:
            head, content = await _head(protocol)
            return Response(head.code, head.headers, content, connection)
    except BaseException:
        connection.close()
        raise
    connection.release()
    return plain


async def _connect(outbound: Outbound, request: aiohttp.ClientRequest) -> aiohttp.connector.Connection:
    connector = outbound.session.connector
    assert connector is not None
    try:
        return await connector.connect(request, [], outbound.session.timeout)
    except TimeoutError as error:
        raise aiohttp.ConnectionTimeoutError from error


def _protocol(connection: aiohttp.connector.Connection) -> WholeAnswers:
    """Raises ClientConnectionResetError when something came unasked: it must not pass for the answer to this one."""
    protocol = connection.protocol
    if not isinstance(protocol, WholeAnswers) or protocol.should_close:
        raise aiohttp.ClientConnectionResetError("it spoke unasked")
    return protocol


def _write(connection: aiohttp.connector.Connection, message: bytes) -> None:
    transport = connection.transport
    if transport is None:
        raise aiohttp.ClientConnectionResetError("it closed at once")
    transport.write(message)


async def _head(protocol: ResponseHandler) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    while True:
        try:
            message, content = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError from error
        if message.code not in _INFORMATIONAL:
            return message, content


async def _body(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    if content.is_eof():  # all of it came with the head, as most answers do
        return content.read_nowait()
    body = bytearray()
    while len(body) <= max_bytes and (chunk := await content.readany()):
        body += chunk
    return bytes(body)
