"""How long a shop waits for its create while a thousand slow clients hold the listener, beside how long without them.

`python -m bench.slow_clients` runs it. Half of the slow ones send a head, half a body, a byte each second, and come
again when they are sent away. Dargah has core 0 to itself; all clients and the gateway share the other one.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench import load
from bench.create import Server, cpu_seconds, dargah, pin, request_of, start

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
    print("ready", flush=True)
    await asyncio.gather(*ones)


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from when a create was due until its answer, and how much of its core Dargah was busy."""

    p50: float
    p99: float
    busy: float

    def __str__(self) -> str:
        return f"{self.p50:8.2f} {self.p99:8.2f} {self.busy:7.1%}"


async def paced(server: Server, run_id: str) -> Waits:
    parts = urlsplit(server.url)
    make, taken = request_of(server, run_id), list[float]()
    began = time.perf_counter() + 0.1

    async def shop(numbers: range) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in numbers:
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(make(number))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            if not head.startswith(b"http/1.1 201"):
                raise SystemExit(f"a create was answered {head[:40]!r}: not a measurement")
            taken.append((time.perf_counter() - due) * 1000)
        writer.close()

    stat = Path(f"/proc/{server.pid}/stat")
    spent = cpu_seconds(stat)
    await asyncio.gather(*(shop(range(start, RATE * SECONDS, 4)) for start in range(4)))
    taken.sort()
    return Waits(taken[len(taken) // 2], taken[len(taken) * 99 // 100], (cpu_seconds(stat) - spent) / SECONDS)


async def in_turns(core: int, upstream: str) -> list[float]:
    """The quotients of the p99s of each turn."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        stage, server = await dargah(Path(folder), upstream, SETTINGS)
        try:
            pin(server.pid, core)
            await load.run(server.url, request_of(server, "warm"), WARM_UP, 4, 201)
            print(f"{RATE} creates a second for {SECONDS} s: p50 and p99 in ms and the core's use, alone and beside "
                  f"{SLOW} slow")  # fmt: skip
            for turn in range(ROUNDS):
                alone = await paced(server, f"alone{turn}")
                slow, _ = start("-m", "bench.slow_clients", server.url)
                try:
                    beside = await paced(server, f"beside{turn}")
                finally:
                    slow.terminate()
                    slow.wait()
                ratios.append(beside.p99 / alone.p99)
                print(f"{alone}   {beside}   {ratios[-1]:.2f} times")
        finally:
            await stage.stop()
    return ratios


async def main() -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    upstream_process, upstream = start("bench/upstream.py")
    try:
        ratios = await in_turns(cores[0], upstream)
    finally:
        upstream_process.terminate()
        upstream_process.wait()
    ratio = statistics.median(ratios)
    print(f"p99 beside the slow ones: {ratio:.2f} times (wanted: {WANTED} at most)")
    if ratio > WANTED:
        raise SystemExit("above what is wanted")


if __name__ == "__main__":
    uvloop.run(crowd(sys.argv[1]) if len(sys.argv) > 1 else main())
