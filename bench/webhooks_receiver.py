"""The merchants' servers as cheap as they can be, and the bad ones among them; each kind a process. Benchmarks only.

Prints `{"ports": […], "dns": …}`; then answers each line on its input with what it saw since the line before.
"""

import argparse
import asyncio
import gzip
import json
import struct
import sys
import time
from typing import Any, cast

import uvloop

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
HUGE = b"x" * 10_000_000
BOMB = gzip.compress(bytes(100_000_000))
MADE = {
    "huge": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(HUGE), HUGE),
    "bomb": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(BOMB), BOMB),
}
ID = b"webhook-id:"


class Seen:
    """What came: requests, when each message's first byte was there, and the most connections open at once."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}
        self.requests = self.most_at_one = self.most = 0
        self.first_byte: dict[str, float] = {}

    def opened(self, port: int) -> None:
        self.open[port] = self.open.get(port, 0) + 1
        self.most_at_one = max(self.most_at_one, self.open[port])
        self.most = max(self.most, sum(self.open.values()))

    def told(self) -> dict[str, Any]:
        told = {
            "requests": self.requests,
            "most": self.most,
            "most_at_one": self.most_at_one,
            "first_byte": self.first_byte,
        }
        self.requests, self.first_byte, self.most = 0, {}, sum(self.open.values())
        self.most_at_one = max(self.open.values(), default=0)
        return told


class Shop(asyncio.Protocol):
    """One connection to a merchant's server, which answers as `kind` says."""

    def __init__(self, seen: Seen, kind: str, timed: bool) -> None:
        self.seen, self.kind, self.timed = seen, kind, timed
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.port = transport.get_extra_info("sockname")[1]
        self.seen.opened(self.port)

    def connection_lost(self, _: Exception | None) -> None:
        self.seen.open[self.port] -= 1

    def data_received(self, data: bytes) -> None:
        if not self.buffer:
            self.began = time.monotonic()
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            if self.timed:
                at = head.find(ID)
                name = self.buffer[at + len(ID) : self.buffer.find(b"\r\n", at)].strip().decode()
                self.seen.first_byte.setdefault(name, self.began)
            self.buffer = self.buffer[end + 4 + length :]
            self.seen.requests += 1
            self.answer()

    def answer(self) -> None:
        if self.kind == "drip":
            self.drip(0)
        elif self.kind != "hang":
            self.transport.write(MADE.get(self.kind, OK))

    def drip(self, at: int) -> None:
        if at < len(OK) and not self.transport.is_closing():
            self.transport.write(OK[at : at + 1])
            asyncio.get_running_loop().call_later(1.0, self.drip, at + 1)


class Names(asyncio.DatagramProtocol):
    """A name server: every name is 127.0.0.1, but of those that begin with `dead` it never says anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if data[13:17] == b"dead":
            return
        question_end = data.index(b"\0", 12) + 5
        question, kind = data[12:question_end], struct.unpack(">H", data[question_end - 4 : question_end - 2])[0]
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + b"\x7f\0\0\1" if kind == 1 else b""
        self.transport.sendto(
            data[:2] + struct.pack(">HHHHH", 0x8180, 1, int(kind == 1), 0, 0) + question + answer, address
        )


async def main(kind: str, count: int, timed: bool) -> None:
    loop, seen = asyncio.get_running_loop(), Seen()
    ports = []
    for _ in range(count):
        server = await loop.create_server(lambda: Shop(seen, kind, timed), "127.0.0.1", 0, backlog=1024)
        ports.append(server.sockets[0].getsockname()[1])
    names, _ = await loop.create_datagram_endpoint(Names, ("127.0.0.1", 0))
    print(json.dumps({"ports": ports, "dns": names.get_extra_info("sockname")[1]}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(seen.told()), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["good", "hang", "drip", "huge", "bomb"])
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--timed", action="store_true")
    given = parser.parse_args()
    uvloop.run(main(given.kind, given.count, given.timed))
