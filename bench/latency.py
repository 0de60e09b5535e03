"""The latency that a shop feels: from the customer's return, over check and commit, to the webhook's first byte.

At constant rates, from when each return was due. Dargah has core 0 to itself; the customers, the gateway, which answers
at once, and the shop share the other one.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.load import NotAnsweredError, Pool, closed, paced
from bench.processes import child, cpu_seconds, share_cores
from bench.results import Cell, Result, Run, Table, arguments, percentile, publish
from bench.shops import Server, answered, creates, dargah

SHARES: Final = (0.50, 0.95, 0.99)
CONNECTIONS: Final = 32
PATIENCE_SECONDS: Final = 60
RETURN_URL: Final = b"https://shop.example/back"


@dataclass(frozen=True, slots=True)
class Counts:
    rates: tuple[int, ...] = (10, 100, 500)
    seconds: float = 6.0
    rounds: int = 3
    warm_up: int = 500


SHORT: Final = Counts(rates=(10, 50), seconds=0.5, rounds=1, warm_up=20)


@dataclass(frozen=True, slots=True)
class Turn:
    """Milliseconds at each of SHARES until the customer's answer and the webhook's first byte; CPU of a payment."""

    answer_ms: list[float]
    webhook_ms: list[float]
    cpu_us: float


class Shop:
    """Hears webhooks: when the first byte of each was there, by payment."""

    def __init__(self) -> None:
        self.first_byte: dict[str, float] = {}
        self._wanted = 0
        self._all_heard = asyncio.Event()

    def heard(self, payment_id: str, at: float) -> None:
        self.first_byte.setdefault(payment_id, at)
        if len(self.first_byte) >= self._wanted:
            self._all_heard.set()

    async def wait_for(self, count: int) -> None:
        """Until so many payments have been heard of since the last `forget`."""
        self._wanted = count
        if len(self.first_byte) < count:
            self._all_heard.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._all_heard.wait()

    def forget(self) -> None:
        self.first_byte.clear()


class Hook(asyncio.Protocol):
    """A connection to the shop, which answers each webhook with 204."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._buffer = b""
        self._began = 0.0

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
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            self._shop.heard(json.loads(rest)["data"]["id"], self._began)


@asynccontextmanager
async def listening(shop: Shop) -> AsyncIterator[int]:
    """The shop's port."""
    server = await asyncio.get_running_loop().create_server(lambda: Hook(shop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def turn(server: Server, shop: Shop, count: int, per_second: float) -> Turn:
    """So many payments that were made before return at that rate."""
    bodies: list[bytes] = []
    make = creates(server.token, RETURN_URL)
    answered(await closed(server.url, make, count, CONNECTIONS, 201, bodies.append), server.name)
    payments = [(made["id"], made["pay_url"].rpartition("/")[2]) for made in map(json.loads, bodies)]
    shop.forget()
    pool = await Pool.open(server.url)
    dues: dict[str, float] = {}
    answers: list[float] = []

    async def come_back(number: int, due: float) -> None:
        payment_id, link = payments[number]
        dues[payment_id] = due
        status, _ = await pool.ask(b"GET /return/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % link.encode())
        answers.append((time.monotonic() - due) * 1000)
        if status != 303:
            raise NotAnsweredError(f"a return was answered {status}: not a measurement")

    spent = cpu_seconds([server.pid])
    await paced(count, per_second, come_back)
    await shop.wait_for(count)
    spent = cpu_seconds([server.pid]) - spent
    pool.close()
    webhooks = [(shop.first_byte[payment_id] - due) * 1000 for payment_id, due in dues.items()]
    return Turn(at_shares(answers), at_shares(webhooks), spent / count * 1e6)


def at_shares(taken_ms: Sequence[float]) -> list[float]:
    ordered = sorted(taken_ms)
    return [percentile(ordered, share) for share in SHARES]


async def measure(counts: Counts) -> Result:
    cores, shop = share_cores(), Shop()
    turns: dict[int, list[Turn]] = {rate: [] for rate in counts.rates}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            listening(shop) as port,
            child(cores.rest, "bench/upstream.py") as gateway,
            dargah(Path(folder), gateway.url, cores.server, hook_port=port) as (_, server),
        ):
            await turn(server, shop, counts.warm_up, min(counts.rates[-1], 200))
            for _ in range(counts.rounds):
                for rate, taken in turns.items():
                    taken.append(await turn(server, shop, round(rate * counts.seconds), rate))
    raw = {str(rate): [asdict(each) for each in taken] for rate, taken in turns.items()}
    return Result("latency", asdict(counts), [table(counts, turns)], raw=raw)


def table(counts: Counts, turns: dict[int, list[Turn]]) -> Table:
    title = (
        "ms from when a customer's return was due until the webhook's first byte and the customer's answer, at"
        f" constant rates for {counts.seconds:.0f} s each; medians of {counts.rounds} turns"
    )
    heads = (
        "payments/s",
        *(f"{what} p{share * 100:.0f}" for what in ("webhook", "answer") for share in SHARES),
        "CPU µs",
    )
    rows: list[Sequence[Cell]] = []
    for rate, taken in turns.items():
        webhook, answer = [medians(taken, name) for name in ("webhook_ms", "answer_ms")]
        rows.append((str(rate), *webhook, *answer, statistics.median(each.cpu_us for each in taken)))
    return Table(title, heads, rows)


def medians(taken: Sequence[Turn], name: str) -> list[float]:
    return [statistics.median(column) for column in zip(*(getattr(each, name) for each in taken), strict=True)]


async def main(run: Run) -> None:
    publish(await measure(SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
