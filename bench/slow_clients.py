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
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench import load
from bench.create import Server, dargah, pin, request_of, start

SLOW = 1000
RATE, SECONDS, ROUNDS = 100, 12, 3
WARM_UP = 500
WANTED = 1.5
# All of them come from one address here, which would get no more than its share.
SETTINGS = {"DARGAH_MAX_ADDRESS_CONNECTIONS": "0"}
HEAD = b"GET /v1/payments HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"POST /invoice/request HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\napi_key="


async def crowd(url: str) -> None:
    """The slow ones, until the process is ended."""
    parts = urlsplit(url)
    up = asyncio.Semaphore(0)

    async def one(beginning: bytes) -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(beginning)
                up.release()
                while not writer.is_closing():
                    await asyncio.sleep(1)
                    writer.write(b"a")
                    await writer.drain()
            await asyncio.sleep(0.1)

    ones = [asyncio.create_task(one(BODY if number % 2 else HEAD)) for number in range(SLOW)]
    for _ in ones:
        await up.acquire()
    print("ready", flush=True)
    await asyncio.gather(*ones)


async def paced(server: Server, run_id: str) -> list[float]:
    """Milliseconds from when each create was due until its answer, in order."""
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

    await asyncio.gather(*(shop(range(start, RATE * SECONDS, 4)) for start in range(4)))
    return sorted(taken)


async def main() -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    upstream_process, upstream = start("bench/upstream.py")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        stage, server = await dargah(Path(folder), upstream, SETTINGS)
        try:
            pin(server.pid, cores[0])
            await load.run(server.url, request_of(server, "warm"), WARM_UP, 4, 201)
            print(f"{RATE} creates a second for {SECONDS} s, in turns; p50 and p99 in ms, alone and beside {SLOW} slow")
            for turn in range(ROUNDS):
                alone = await paced(server, f"alone{turn}")
                slow, _ = start("-m", "bench.slow_clients", server.url)
                try:
                    beside = await paced(server, f"beside{turn}")
                finally:
                    slow.terminate()
                    slow.wait()
                (a50, a99), (b50, b99) = ((p[len(p) // 2], p[len(p) * 99 // 100]) for p in (alone, beside))
                ratios.append(b99 / a99)
                print(f"{a50:8.2f} {a99:8.2f}   {b50:8.2f} {b99:8.2f}   {ratios[-1]:.2f} times")
        finally:
            await stage.stop()
            upstream_process.terminate()
            upstream_process.wait()
    ratio = statistics.median(ratios)
    print(f"p99 beside the slow ones: {ratio:.2f} times (wanted: {WANTED} at most)")
    if ratio > WANTED:
        raise SystemExit("above what is wanted")


if __name__ == "__main__":
    uvloop.run(crowd(sys.argv[1]) if len(sys.argv) > 1 else main())
