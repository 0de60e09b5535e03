"""What the two durable steps of a create cost inside SQLite, statement by statement, alone and many in one commit.

The real store on a file, without HTTP. The CPU time of the database's thread from one statement to the next is counted
to the first of the two, so that rows being made and answers being handed back are in it, and all of the thread's time.
"""

import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench.postgres_dargahs import setup_of
from bench.processes import share_cores
from bench.results import Cell, Result, Run, Table, arguments, publish
from bench.webhooks_stock import IDS, new_payment
from proxy.adapters.queries import load_queries
from proxy.adapters.sqlite import open_store
from proxy.adapters.sqlite.store import SqliteStore
from proxy.clock import system_now
from proxy.facts import InvoiceIssued
from proxy.payment import Payment
from proxy.records import Entry, Intent, Reply
from proxy.settlement import Settlement

TOGETHER: Final = 31  # as many as wait for a commit with 64 connections, on average
PAGE_BYTES: Final = 4096 + 24
NAMES: Final = {text: name for name, text in load_queries("sqlite").items()}
LAST: Final = "COMMIT"


@dataclass(frozen=True, slots=True)
class Counts:
    creates: int = 6000
    alone: int = 1000
    warm_up: int = 310


SHORT: Final = Counts(creates=62, alone=5, warm_up=31)


class Meter:
    """A store's `fault`, which fails nothing: nanoseconds of the database's thread by statement."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._name, self._since = LAST, 0

    def __call__(self, statement: str) -> None:
        now = time.thread_time_ns()
        self.spent[self._name] += now - self._since
        self._name, self._since = NAMES.get(statement, statement.strip().split()[0]), now

    def forget(self) -> None:
        self.spent.clear()


@dataclass(frozen=True, slots=True)
class Bench:
    store: SqliteStore
    settlement: Settlement
    merchant_id: str

    async def create(self, count: int, together: int) -> None:
        """So many creates, so many of which wait for each commit."""
        for first in range(0, count, together):
            payments = [new_payment(self.merchant_id, first + number) for number in range(together)]
            await asyncio.gather(*map(self._begin, payments))
            await asyncio.gather(*map(self._issue, payments))

    async def _begin(self, payment: Payment) -> None:
        await self.store.create_payment(payment, Intent(payment.id, bytes(32), 0), self.settlement.expect(payment))

    async def _issue(self, payment: Payment) -> None:
        watch = self.settlement.expect(payment)
        entry = Entry(payment.created_at, "gateway.request", 40, {"outcome": "issued"})
        fact = InvoiceIssued(f"inv{payment.id}")
        await self.settlement.settle(payment, fact, (entry,), plan=watch, read=watch, render=reply)


def reply(payment: Payment) -> Reply:
    return Reply(201, b'{"id":"%s"}' % payment.id.encode() + b" " * 600)


async def measure(counts: Counts) -> Result:
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dargah.db"
        store = await open_store(path, now=system_now, fault=meter)
        try:
            merchant, _ = await setup_of(store).create_merchant("bench", ["https://shop.example"], actor="bench")
            bench = Bench(store, Settlement(store, IDS, system_now, lambda: 0.5), merchant.id)
            await bench.create(counts.warm_up, TOGETHER)
            pages = await pages_of_a_commit(bench, path)
            spent = await costs(bench, meter, counts.creates, TOGETHER)
            alone = await costs(bench, meter, counts.alone, 1)
        finally:
            await store.close()
    return result(counts, alone, spent, pages)


async def pages_of_a_commit(bench: Bench, path: Path) -> float:
    """Pages that a commit of so many creates' steps writes, while the WAL grows and is not begun anew."""
    wal = path.with_name(path.name + "-wal")
    before = wal.stat().st_size
    await bench.create(TOGETHER, TOGETHER)
    return (wal.stat().st_size - before) / PAGE_BYTES / 2


async def costs(bench: Bench, meter: Meter, creates: int, together: int) -> dict[str, float]:
    """Microseconds of one create, by statement."""
    meter.forget()
    await bench.create(creates, together)
    made = -(-creates // together) * together
    return {name: nanoseconds / made / 1000 for name, nanoseconds in meter.spent.items()}


def result(counts: Counts, alone: dict[str, float], together: dict[str, float], pages: float) -> Result:
    names = sorted(alone.keys() | together.keys(), key=lambda name: -alone.get(name, 0.0))
    rows: list[tuple[Cell, ...]] = [(name, alone.get(name), together.get(name)) for name in names]
    rows.append(("all of it", sum(alone.values()), sum(together.values())))
    title = (
        f"CPU µs of one create's two steps on the database's thread; a commit of {TOGETHER} steps writes"
        f" {pages:.0f} pages of 4 kB"
    )
    table = Table(title, ("", "each step in a commit alone", f"{TOGETHER} in each commit"), rows)
    raw = {"alone_us": alone, "together_us": together, "pages": pages}
    return Result("statements", asdict(counts) | {"together": TOGETHER}, [table], raw=raw)


async def main(run: Run) -> None:
    share_cores()
    publish(await measure(SHORT if run.short else Counts()), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
