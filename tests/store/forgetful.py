"""A pooler in transaction mode, as far as its clients can tell: nothing that a session knows outlives a transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

_IDLE = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, outside of a transaction
_DISCARD = b"DISCARD ALL\x00"


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[str]:
    """The URL by which the database at `url`, which is behind a unix socket, is reached through it."""
    socket = f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(socket)
        writers.update((writer, server_writer))
        there = asyncio.create_task(_forward(reader, server_writer))
        try:
            await _answers(server_reader, server_writer, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            server_writer.close()
            await there

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"postgresql://dargah@127.0.0.1:{port}{urlsplit(url).path}?sslmode=disable"
    finally:
        listener.close()
        for writer in writers:
            writer.close()
        await listener.wait_closed()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _answers(reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: asyncio.StreamWriter) -> None:
    while True:
        message = await _message(reader)
        if message == _IDLE:
            server.write(b"Q" + (len(_DISCARD) + 4).to_bytes(4, "big") + _DISCARD)
            while await _message(reader) != _IDLE:
                pass
        client.write(message)
        await client.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
