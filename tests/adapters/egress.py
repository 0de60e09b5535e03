"""An egress proxy that really joins connections, and notes what it was asked."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from adapters.raw_server import Script

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class EgressProxy:
    """Whatever address is asked for is the server at `port` of this machine; an address of `refused` is a 502.

    With a `script` it plays that in place of an answer. Used as `async with`.
    """

    port_behind: int = 0
    script: Script | None = None
    credentials: str | None = None
    refused: tuple[str, ...] = ()
    heads: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def targets(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    async def __aenter__(self) -> Self:
        self._tasks = set[asyncio.Task[None]]()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.script is not None:
                await self.script(writer)
            else:
                await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = self.heads[-1]
        if self.credentials is not None and f"Proxy-Authorization: Basic {self.credentials}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
        elif self.targets[-1].rpartition(":")[0] in (*self.refused, "dargah.invalid"):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(ESTABLISHED)
            behind = await asyncio.open_connection("127.0.0.1", self.port_behind)
            try:
                await asyncio.gather(_pipe(reader, behind[1]), _pipe(behind[0], writer))
            finally:
                behind[1].close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
