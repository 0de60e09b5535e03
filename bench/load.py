"""Load over raw connections, so cheap that the server on the other core is what is measured.

Closed: so many connections, each of which asks again when it is answered: how much a server can do. Open: a constant
rate that does not care how the server is doing, timed from when a request was due, so that queueing shows.
"""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.results import percentile

Make = Callable[[int], bytes]
LEAD_SECONDS = 0.05
MOST_CONNECTIONS = 128
PATIENCE_SECONDS = 60


class NotAnsweredError(Exception):
    """No SystemExit: in a task that one ends the loop at once, which leaves processes behind."""


@dataclass(slots=True)
class Load:
    """What one run came to: requests per second, their latencies in milliseconds, and the statuses not expected."""

    expect: int
    rate: float
    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[int] = field(default_factory=Counter)

    def note(self, began: float, status: int) -> None:
        self.latencies_ms.append((time.monotonic() - began) * 1000)
        if status != self.expect:
            self.failures[status] += 1

    def percentile(self, share: float) -> float:
        return percentile(sorted(self.latencies_ms), share)


class Connection:
    """One connection, kept alive; `ask` sends a whole HTTP request and gives status and body of the answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "Connection":
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        head, body = await self.ask_whole(request)
        return int(head[9:12]), body

    async def ask_whole(self, request: bytes) -> tuple[bytes, bytes]:
        """The head of the answer, and its body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length:") + 15
        length = int(lower[at : lower.index(b"\r\n", at)]) if at >= 15 else 0
        return head, await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def closed(
    url: str, make: Make, requests: int, connections: int, expect: int, heard: Callable[[bytes], None] | None = None
) -> Load:
    """`requests` of what `make` gives (a whole HTTP request), over so many connections; `heard` gets each body."""
    done, numbers = Load(expect, 0.0), iter(range(requests))
    opened = [await Connection.open(url) for _ in range(connections)]

    async def one(connection: Connection) -> None:
        for number in numbers:
            began = time.monotonic()
            status, body = await connection.ask(make(number))
            done.note(began, status)
            if heard is not None:
                heard(body)

    began = time.monotonic()
    await asyncio.gather(*map(one, opened))
    done.rate = requests / (time.monotonic() - began)
    for connection in opened:
        connection.close()
    return done


async def paced(count: int, per_second: float, do: Callable[[int, float], Coroutine[Any, Any, None]]) -> None:
    """Begins `do(number, due)` at a constant rate, however long the ones before take; ends when all have. `due` is of
    `time.monotonic()`.

    The pace is a thread's: the loop's own timers are up to a millisecond late, which is what is measured here.
    """
    loop, running = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    all_begun = loop.create_future()
    start = time.monotonic() + LEAD_SECONDS

    def begin(number: int) -> None:
        running.add(loop.create_task(do(number, start + number / per_second)))
        if number == count - 1:
            all_begun.set_result(None)

    def pace() -> None:
        for number in range(count):
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
            loop.call_soon_threadsafe(begin, number)

    threading.Thread(target=pace, daemon=True).start()
    async with asyncio.timeout(count / per_second + PATIENCE_SECONDS):
        await all_begun
        await asyncio.gather(*running)


class Pool:
    """So many connections; whoever finds none free waits for one."""

    def __init__(self, opened: list[Connection]) -> None:
        self._free = deque(opened)
        self._ready = asyncio.Semaphore(len(opened))

    @classmethod
    async def open(cls, url: str, connections: int = MOST_CONNECTIONS) -> "Pool":
        return cls([await Connection.open(url) for _ in range(connections)])

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        async with self._ready:
            connection = self._free.pop()
            answer = await connection.ask(request)
            self._free.append(connection)
            return answer

    def close(self) -> None:
        for connection in self._free:
            connection.close()


async def open_loop(url: str, make: Make, per_second: float, seconds: float, expect: int) -> Load:
    """The latencies of requests at a constant rate, from when each was due."""
    pool, done = await Pool.open(url), Load(expect, per_second)

    async def one(number: int, due: float) -> None:
        status, _ = await pool.ask(make(number))
        done.note(due, status)

    await paced(round(per_second * seconds), per_second, one)
    pool.close()
    return done
