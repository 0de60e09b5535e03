"""A closed-loop load over raw connections: so cheap that the server on the other core is what is measured."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Load:
    """What one run came to: requests per second, their latencies in milliseconds in order, and other statuses."""

    rate: float
    latencies_ms: list[float]
    failures: dict[int, int]

    def percentile(self, share: float) -> float:
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(len(self.latencies_ms) * share))]


async def run(url: str, make: Callable[[int], bytes], requests: int, connections: int, expect: int) -> Load:
    """`requests` posts of what `make` gives (a whole HTTP request), over so many connections at once."""
    parts = urlsplit(url)
    latencies: list[float] = []
    failures: dict[int, int] = {}
    numbers = iter(range(requests))

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in numbers:
            began = time.perf_counter()
            writer.write(make(number))
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            lower = head.lower()
            at = lower.index(b"content-length:") + 15
            await reader.readexactly(int(lower[at : lower.index(b"\r\n", at)]))
            latencies.append((time.perf_counter() - began) * 1000)
            if status != expect:
                failures[status] = failures.get(status, 0) + 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    elapsed = time.perf_counter() - began
    return Load(requests / elapsed, sorted(latencies), failures)
