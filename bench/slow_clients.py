"""How long a shop waits for its create while a thousand slow clients hold the listener, beside how long without them.

`python -m bench.slow_clients` runs it. Half of the slow ones send a head, half a body, a byte each second, and come
again when they are sent away. Dargah has core 0 to itself; all clients and the gateway share the other one.
"""

import asyncio
import statistics
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench import load
from bench.processes import Cores, child, cpu_seconds, share_cores
from bench.shops import Server, answered, creates, dargah

SLOW = 1000
RATE, SECONDS, ROUNDS = 100, 12, 3
WARM_UP = 500
SPREAD_SECONDS = 5.0
WANTED = 1.5
# All of them come from one address here, which would get no more than its share.
SETTINGS = {"DARGAH_MAX_ADDRESS_CONNECTIONS": "0"}
HEAD = b"GET /v1/payments HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"POST /invoice/request HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\napi_key="


async def crowd(url: str) -> None:
    """The slow ones, until the process is ended."""
    parts = urlsplit(url)
    up = asyncio.Semaphore(0)

    async def one(number: int, beginning: bytes) -> None:
        # Spread, as strangers are: in step with each other they would be a burst each second rather than slow.
        await asyncio.sleep(number / SLOW * SPREAD_SECONDS)
        while True:
            with suppress(OSError, RuntimeError):  # uvloop has RuntimeErrors where asyncio has OSErrors
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(beginning)
                up.release()
                while not writer.is_closing():
                    await asyncio.sleep(1)
                    writer.write(b"a")
                    await writer.drain()
            await asyncio.sleep(0.1)

    ones = [asyncio.create_task(one(number, BODY if number % 2 else HEAD)) for number in range(SLOW)]
    for _ in ones:
        await up.acquire()
    print("ready on", url, flush=True)
    await asyncio.gather(*ones)


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from when a create was due until its answer, and how much of its core Dargah was busy."""

    p50: float
    p99: float
    busy: float

    def __str__(self) -> str:
        return f"{self.p50:8.2f} {self.p99:8.2f} {self.busy:7.1%}"


async def waits(server: Server) -> Waits:
    spent = cpu_seconds([server.pid])
    done = answered(await load.open_loop(server.url, creates(server.token), RATE, SECONDS, 201), "Dargah")
    return Waits(done.percentile(0.50), done.percentile(0.99), (cpu_seconds([server.pid]) - spent) / SECONDS)


async def in_turns(cores: Cores, upstream: str) -> list[float]:
    """The quotients of the p99s of each turn."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        async with dargah(Path(folder), upstream, cores.server, settings=SETTINGS) as (_, server):
            await load.closed(server.url, creates(server.token), WARM_UP, 4, 201)
            print(f"{RATE} creates a second for {SECONDS} s: p50 and p99 in ms and the core's use, alone and beside "
                  f"{SLOW} slow")  # fmt: skip
            for _ in range(ROUNDS):
                alone = await waits(server)
                async with child(cores.rest, "-m", "bench.slow_clients", server.url):
                    beside = await waits(server)
                ratios.append(beside.p99 / alone.p99)
                print(f"{alone}   {beside}   {ratios[-1]:.2f} times")
    return ratios


async def main() -> None:
    cores = share_cores()
    async with child(cores.rest, "bench/upstream.py") as upstream:
        ratio = statistics.median(await in_turns(cores, upstream.url))
    print(f"p99 beside the slow ones: {ratio:.2f} times (wanted: {WANTED} at most)")
    if ratio > WANTED:
        raise SystemExit("above what is wanted")


if __name__ == "__main__":
    uvloop.run(crowd(sys.argv[1]) if len(sys.argv) > 1 else main())
