"""A shop that hears webhooks and checks each signature: what came, when its first byte was there, and how often."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from standardwebhooks import Webhook

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(slots=True)
class Receiver:
    """By the event's name, the times of its requests. `answer_seconds` is how long each answer takes."""

    port: int = 0
    secret: str = ""
    answer_seconds: float = 0.0
    heard: dict[str, list[float]] = field(default_factory=dict)
    _before: set[str] = field(default_factory=set)
    _wanted: int = 0
    _enough: asyncio.Event = field(default_factory=asyncio.Event)

    def forget(self) -> None:
        """The next turn begins; what an earlier one had sent is not counted when it comes again."""
        self._before |= self.heard.keys()
        self.heard.clear()

    async def wait_for(self, count: int, seconds: float) -> bool:
        """Whether so many events have been heard of within that time."""
        self._wanted = count
        self._enough.clear()
        if len(self.heard) >= count:
            return True
        try:
            await asyncio.wait_for(self._enough.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def hear(self, head: bytes, body: bytes, began: float) -> None:
        lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
        Webhook(self.secret).verify(body, {name.strip().lower(): value.strip() for name, _, value in lines})
        name = json.loads(body)["data"]["id"]
        if name in self._before:
            return
        self.heard.setdefault(name, []).append(began)
        if len(self.heard) >= self._wanted:
            self._enough.set()


class Wire(asyncio.Protocol):
    """One connection to the shop, kept alive."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver, self._buffer, self._began = receiver, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._began = time.monotonic()
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if mark and len(rest) >= length:
            self._buffer = b""
            self._receiver.hear(head, rest, self._began)
            if self._receiver.answer_seconds:
                asyncio.get_running_loop().call_later(self._receiver.answer_seconds, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():  # a sender that was killed hears nothing
            self._transport.write(ANSWER)


@asynccontextmanager
async def listening() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.get_running_loop().create_server(lambda: Wire(receiver), "127.0.0.1", 0)
    async with server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver
