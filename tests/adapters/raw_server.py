"""A server that speaks HTTP by hand, so that it can do it wrong."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(
    body: bytes, status: str = "200 OK", headers: str = "", *, length: int | None = None, close: bool = False
) -> Script:
    """A whole answer. `length` lies about it; `close` hangs up after it without having said so."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{headers}\r\n"
    return raw(head.encode() + body, close=close)


def raw(data: bytes, *, close: bool = True) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return script


async def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of a tidy FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


def then(*scripts: Script) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        for one in scripts:
            await one(writer)

    return script


def drip(data: bytes, seconds: float = 0.02) -> Script:
    """One byte each `seconds`, for ever at the last one."""

    async def script(writer: asyncio.StreamWriter) -> None:
        place = 0
        while not writer.is_closing():
            writer.write(data[place : place + 1] or b" ")
            await writer.drain()
            await asyncio.sleep(seconds)
            place += 1

    return script


@dataclass
class RawServer:
    """Plays one script per request, the last one again and again. Used as `async with`."""

    scripts: tuple[Script, ...]
    tls: ssl.SSLContext | None = None
    greeting: bytes = b""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client closed its connection, or we did
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._tasks = set[asyncio.Task[None]]()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.write(self.greeting)
        try:
            # How the other side leaves is its own business.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    self.requests.append(await _request(reader))
                    self.asked.set()
                    await self.scripts[min(len(self.requests), len(self.scripts)) - 1](writer)
        finally:
            writer.close()
            self.left.set()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    return head + (await reader.readexactly(int(lengths[0])) if lengths else b"")
