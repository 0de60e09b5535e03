"""A name server that speaks DNS over UDP: one address for every name, after as long as it is told."""

import asyncio
import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

_A = 1


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Used as `async with`. `asked` has the names of all queries, those that were sent again among them.

    An answer takes `seconds` and up to `spread` more.
    """

    seconds: float = 0.0
    spread: float = 0.0
    random: Random = field(default_factory=lambda: Random(1))
    address: bytes = bytes((127, 0, 0, 1))
    refuses: bool = False
    asked: list[bytes] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12)
        self.asked.append(data[12:end])
        asyncio.get_running_loop().call_later(self._delay(), self._answer, data, data[12 : end + 5], addr)

    def _delay(self) -> float:
        return self.seconds + self.random.random() * self.spread

    def _answer(self, query: bytes, question: bytes, addr: Any) -> None:
        if self._transport.is_closing():
            return
        [kind] = struct.unpack(">H", question[-4:-2])
        records = 1 if kind == _A else 0
        if self.refuses:
            self._transport.sendto(query[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question, addr)
            return
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, records, 0, 0)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, 60, 4) + self.address if records else b""
        self._transport.sendto(head + question + answer, addr)
