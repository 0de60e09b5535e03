"""Signed webhooks by Celery, RQ, pgqueuer, procrastinate and Dargah to one shop that answers at once.

A backlog as fast as it goes, with the CPU of each webhook; how long one takes at a slow rate; and what is lost or sent
twice when the worker is killed in the middle and started again. A worker and its broker or database share core 0.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.load import paced
from bench.peers.databases import pinned_server
from bench.peers.senders import Sender, payments, queue
from bench.results import Cell, Table, percentile

NAMES: Final = {
    "celery": "Celery, Redis",
    "rq": "RQ, Redis",
    "pgqueuer": "pgqueuer, PostgreSQL",
    "procrastinate": "procrastinate, PostgreSQL",
}
NEED_REDIS: Final = ("celery", "rq")
UNTIL_SENT_SECONDS: Final = 100
SLOW_SHOP_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """`sent` events of a backlog, a tenth of them before the clock starts; `killed` events around a kill, and the
    seconds that are given to what that left; `timed` events at `per_second`.
    """

    rounds: int = 2
    sent: int = 250
    timed: int = 160
    per_second: float = 20.0
    killed: int = 200
    patience: float = 120.0


SHORT: Final = Counts(rounds=1, sent=60, timed=20, killed=60, patience=5.0)


@dataclass(slots=True)
class Sent:
    """Of one sender, a figure per turn; and of all turns the milliseconds from enqueue to first byte."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    store_ms: list[float] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Killed:
    """How many events came twice, and how many not; the seconds from the restart to the last that came first then."""

    twice: int
    missing: int
    seconds: float | None


async def measure(folder: Path, core: int, counts: Counts, *, with_redis: bool) -> list[Table]:
    sent: dict[str, Sent] = {}
    async with AsyncExitStack() as stack:
        senders: dict[str, Sender] = {
            title: await stack.enter_async_context(queue(name, folder, core))
            for name, title in NAMES.items()
            if with_redis or name not in NEED_REDIS
        }
        store = await stack.enter_async_context(pinned_server(core))
        senders["Dargah, SQLite"] = await stack.enter_async_context(payments(folder, core, None))
        senders["Dargah, PostgreSQL"] = await stack.enter_async_context(payments(folder, core, store))
        for _ in range(counts.rounds):
            for name, sender in senders.items():
                taken = sent.setdefault(name, Sent())
                await backlog(name, sender, counts.sent, taken)
                taken.waits_ms += await waits(sender, counts.timed // counts.rounds, counts.per_second)
        killed = await asyncio.gather(*(kill_in_the_middle(name, it, counts) for name, it in senders.items()))
    return [sent_table(counts, sent), killed_table(counts, dict(zip(senders, killed, strict=True)))]


async def backlog(name: str, sender: Sender, count: int, taken: Sent) -> None:
    receiver, worker = sender.receiver, sender.worker
    receiver.forget()
    await sender.fill(count)
    await sender.release()
    await must_hear(name, sender, count // 10)
    before, began = len(receiver.heard), time.monotonic()
    cpu, store = worker.cpu_seconds(), sender.store_cpu_seconds()
    await must_hear(name, sender, count)
    done = len(receiver.heard) - before
    taken.rates.append(done / (time.monotonic() - began))
    taken.cpu_ms.append((worker.cpu_seconds() - cpu) / done * 1000)
    taken.store_ms.append((sender.store_cpu_seconds() - store) / done * 1000)
    await sender.rest()


async def must_hear(name: str, sender: Sender, count: int) -> None:
    if not await sender.receiver.wait_for(count, UNTIL_SENT_SECONDS):
        sent = len(sender.receiver.heard)
        raise SystemExit(f"{name} sent {sent} of {count} in {UNTIL_SENT_SECONDS} s:\n{sender.worker.said()}")


async def waits(sender: Sender, count: int, per_second: float) -> list[float]:
    """Milliseconds from each enqueue to its webhook's first byte."""
    enqueues = await sender.ready(count)
    began: dict[str, float] = {}

    async def one(number: int, _due: float) -> None:
        name, at = await enqueues[number]()
        began[name] = at

    sender.receiver.forget()
    await paced(count, per_second, one)
    await must_hear(sender.worker.name, sender, count)
    await sender.rest()
    return [(sender.receiver.heard[name][0] - at) * 1000 for name, at in began.items()]


async def kill_in_the_middle(name: str, sender: Sender, counts: Counts) -> Killed:
    receiver = sender.receiver
    receiver.forget()
    receiver.answer_seconds = SLOW_SHOP_SECONDS
    await sender.fill(counts.killed)
    await sender.release()
    await must_hear(name, sender, counts.killed // 2)
    await sender.worker.kill()
    began = time.monotonic()
    await sender.worker.start()
    await receiver.wait_for(counts.killed, counts.patience)
    # What is sent a second time is sent after what had not been tried.
    await asyncio.sleep(max(0.0, began + counts.patience - time.monotonic()))
    twice = sum(len(times) > 1 for times in receiver.heard.values())
    last = max(times[0] for times in receiver.heard.values()) - began
    return Killed(twice, counts.killed - len(receiver.heard), last if last > 0 else None)


def sent_table(counts: Counts, sent: Mapping[str, Sent]) -> Table:
    title = (
        f"Signed webhooks: a backlog of {counts.sent} as fast as it goes, medians of {counts.rounds} turns; and"
        f" ms from the enqueue to the first byte at {counts.per_second:g} a second"
    )
    rows: list[Sequence[Cell]] = []
    for name, each in sent.items():
        waited = sorted(each.waits_ms)
        figures = map(statistics.median, (each.rates, each.cpu_ms, each.store_ms))
        rows.append((name, *(it or None for it in figures), percentile(waited, 0.50), percentile(waited, 0.99)))
    return Table(title, ("", "per s", "CPU ms", "broker's or database's", "p50 ms", "p99 ms"), rows)


def killed_table(counts: Counts, killed: Mapping[str, Killed]) -> Table:
    title = (
        f"{counts.killed} webhooks to a shop that answers after {SLOW_SHOP_SECONDS * 1000:.0f} ms, with the worker"
        f" killed in the middle and started again: what came within {counts.patience:.0f} s"
    )
    heads = ("", "sent twice", "not sent", "s from the restart to the last")
    rows: list[Sequence[Cell]] = [(name, it.twice, it.missing, it.seconds) for name, it in killed.items()]
    return Table(title, heads, rows)
