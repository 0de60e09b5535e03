"""The export of every payment: its speed and memory, creates beside it, and clients that are slow, gone or too many."""

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from bench import load
from bench.console.installation import Installation
from bench.console.pages import Operator
from bench.load import NotAnsweredError
from bench.results import share
from bench.shops import answered, creates

EXPORT: Final = "/payments.csv"
MANY: Final = 6
LOOK_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 90
_READ_BYTES: Final = 1024
_END: Final = b"\r\n0\r\n\r\n"


@dataclass(slots=True)
class Exports:
    """`*_mb` are of the process's memory; `without` and `beside` are p99s of creates in milliseconds, turn by turn."""

    lines: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    cpu_us: float = 0.0
    server_cpu_us: float = 0.0
    before_mb: float = 0.0
    during_mb: float = 0.0
    after_mb: float = 0.0
    longest_ms: Sequence[float] = ()
    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    slow_seconds: float = 0.0
    slow_mb: float = 0.0
    gone_seconds: float = 0.0
    refused: int = 0
    retry_after: str = ""

    @property
    def lines_per_second(self) -> float:
        return self.lines / self.seconds

    @property
    def hindered(self) -> float:
        return share(self.beside, self.without)


async def export(on: Installation, operator: Operator) -> Exports:
    """One alone."""
    await _download(on, operator)
    done = Exports(before_mb=on.megabytes())
    on.holds.reset()
    dargah, server = on.cpu_seconds(), on.server_cpu_seconds()
    downloading = asyncio.create_task(_download(on, operator))
    while not downloading.done():
        done.during_mb = max(done.during_mb, on.megabytes())
        await asyncio.sleep(LOOK_SECONDS)
    found = downloading.result()
    done.lines, done.megabytes, done.seconds = found["lines"], found["bytes"] / 1e6, found["seconds"]
    done.cpu_us = (on.cpu_seconds() - dargah) / done.lines * 1e6
    done.server_cpu_us = (on.server_cpu_seconds() - server) / done.lines * 1e6
    done.longest_ms, done.after_mb = on.holds.milliseconds(), on.megabytes()
    return done


async def creates_beside(on: Installation, operator: Operator, done: Exports, per_second: int, seconds: float) -> None:
    """A turn of creates at a rate, and one of the same beside an export."""
    done.without.append(await _creates(on, per_second, seconds))
    over = asyncio.Event()

    async def downloads() -> None:
        while not over.is_set():
            await _download(on, operator)

    running = asyncio.create_task(downloads())
    done.beside.append(await _creates(on, per_second, seconds))
    over.set()
    await running


async def _creates(on: Installation, per_second: int, seconds: float) -> float:
    made = await load.open_loop(on.url, creates(on.token), per_second, seconds, 201)
    return answered(made, on.name).percentile(0.99)


async def _download(on: Installation, operator: Operator) -> dict[str, Any]:
    url = f"{on.admin_url}/console{EXPORT}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "bench/console/download.py", url, operator.cookie), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    found: dict[str, Any] = json.loads(printed)
    if found["status"] != 200:
        raise NotAnsweredError(f"the export was answered {found['status']}: not a measurement")
    return found


async def slow(on: Installation, operator: Operator, done: Exports, pause_seconds: float) -> None:
    """A client that reads a kilobyte after each pause: how long the server bears it, and what that holds. A short file
    it reads to its end.
    """
    with await _asking(on, operator) as client:
        port, began = client.getsockname()[1], time.monotonic()
        read = await _head(client)
        while on.serves(port) and not read.endswith(_END) and time.monotonic() - began < LONGEST_SECONDS:
            done.slow_mb = max(done.slow_mb, on.megabytes())
            with suppress(BlockingIOError, ConnectionError):
                read = client.recv(_READ_BYTES)
            await asyncio.sleep(pause_seconds)
    done.slow_seconds = time.monotonic() - began


async def gone(on: Installation, operator: Operator, done: Exports) -> None:
    """A client that vanishes in the middle: how long until the server has let go of it."""
    client = await _asking(on, operator)
    await _head(client)
    done.gone_seconds = await _left(on, client)


async def many(on: Installation, operator: Operator, done: Exports) -> None:
    """More at once than there are places, of clients that read nothing."""
    clients = [await _asking(on, operator) for _ in range(MANY)]
    for client in clients:
        head = await _head(client)
        if b" 503 " in head.partition(b"\r\n")[0]:
            done.refused += 1
            done.retry_after = head.lower().partition(b"retry-after: ")[2].partition(b"\r\n")[0].decode()
    for client in clients:
        await _left(on, client)


async def _left(on: Installation, client: socket.socket) -> float:
    """Cuts the connection off; gives the seconds until the server has closed it, too."""
    port, began = client.getsockname()[1], time.monotonic()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    while on.serves(port):
        if time.monotonic() - began > LONGEST_SECONDS:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - began


async def _asking(on: Installation, operator: Operator) -> socket.socket:
    """A client with next to no buffer, which has asked for the export."""
    parts = urlsplit(on.admin_url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (parts.hostname, parts.port))
    await loop.sock_sendall(client, operator.request(EXPORT))
    return client


async def _head(client: socket.socket) -> bytes:
    async with asyncio.timeout(LONGEST_SECONDS):
        return await asyncio.get_running_loop().sock_recv(client, 2048)
