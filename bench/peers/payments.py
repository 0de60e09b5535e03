"""Payments through Dargah and through az-iranian-bank-gateways under gunicorn, before one gateway.

Creates as fast as they go; and customers who pay while the server is killed in the middle and started again. Every
request has a connection of its own, as nginx gives them to a server behind it.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from bench.peers import zibal
from bench.peers.databases import pinned_server
from bench.peers.merchants import Django, Shop, django, ours
from bench.peers.requests import ask, get, url_of
from bench.postgres import cpu_of
from bench.results import Cell, Table, percentile

AT_ONCE: Final = 16
AT_THE_BANK_SECONDS: Final = (0.05, 0.35)
SYNC: Final = ("--workers", "3")
THREADS: Final = ("--workers", "2", "--threads", "4")
BROKEN: Final = (OSError, asyncio.IncompleteReadError, TimeoutError)
POLL_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Counts:
    """`customers` come to each server that is killed; what is left of their payments has `patience` seconds."""

    rounds: int = 3
    creates: int = 300
    customers: int = 200
    kills: int = 3
    patience: float = 150.0


SHORT: Final = Counts(rounds=1, creates=60, customers=40, kills=1, patience=5.0)


@dataclass(slots=True)
class Creates:
    """Of one server, a figure per turn."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    store_ms: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


async def create_many(shop: Shop, count: int, taken: Creates | None) -> None:
    numbers, latencies = iter(range(count)), list[float]()

    async def one() -> None:
        for number in numbers:
            began = time.monotonic()
            status, body = await ask(url_of(shop), shop.create(number))
            latencies.append((time.monotonic() - began) * 1000)
            if status != 201:
                raise SystemExit(f"{shop.program.name} answered {status}, {body[:200]!r}: not a measurement")

    spent, stores, began = shop.program.cpu_seconds(), cpu_of(shop.store), time.monotonic()
    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    if taken is not None:
        latencies.sort()
        taken.rates.append(count / (time.monotonic() - began))
        taken.cpu_ms.append((shop.program.cpu_seconds() - spent) / count * 1000)
        taken.store_ms.append((cpu_of(shop.store) - stores) / count * 1000)
        taken.p50_ms.append(percentile(latencies, 0.50))
        taken.p99_ms.append(percentile(latencies, 0.99))


@dataclass(slots=True)
class Killed:
    """What became of the payments of customers who paid while the server was killed and started again.

    `at_once` are those that the shop knew as paid when the last customer was back, `after` those in the end: after the
    documented job, or when there is nothing more to come. `seconds` is how long that took.
    """

    paid: int
    at_once: int
    after: int
    unverified: int
    verified_unknown: int
    seconds: float


async def kill_in_the_middle(shop: Shop, gateway: zibal.Zibal, counts: Counts) -> dict[str, int]:
    """The trackIds of those who paid, by the shop's names of their payments.

    Customers who are on their way when the server is killed do not come again.
    """
    paid_by_name: dict[str, int] = {}
    numbers = iter(range(counts.customers))
    points = {counts.customers * (each + 1) // (counts.kills + 1) for each in range(counts.kills)}
    up, killing, random = asyncio.Event(), asyncio.Event(), Random(counts.customers)
    up.set()

    async def customer(number: int) -> None:
        try:
            status, body = await ask(url_of(shop), shop.create(1_000_000 + number))
        except BROKEN:
            return  # who sees an error page does not pay
        if status != 201:
            return
        track_id, name = shop.made(body)
        await asyncio.sleep(random.uniform(*AT_THE_BANK_SECONDS))
        back = gateway.pay(track_id)
        paid_by_name[name] = track_id
        with suppress(*BROKEN):  # the browser shows an error; the customer has paid and leaves
            await ask(url_of(shop), get(back))

    async def customers() -> None:
        for number in numbers:
            await up.wait()
            if number in points:
                up.clear()
                killing.set()
            await customer(number)

    coming = asyncio.gather(*(customers() for _ in range(AT_ONCE)))
    for _ in points:
        await killing.wait()
        killing.clear()
        await shop.program.kill()
        await shop.program.start()
        up.set()
    await coming
    return paid_by_name


async def recovery(shop: Shop, gateway: zibal.Zibal, paid_by_name: Mapping[str, int], patience: float) -> Killed:
    began = time.monotonic()
    names = list(paid_by_name)
    first = await shop.paid(names)
    known = await recovered(shop, names, patience)
    invoices = {name: gateway.invoices[track_id] for name, track_id in paid_by_name.items()}
    return Killed(
        paid=len(names),
        at_once=len(first & set(names)),
        after=len(known),
        unverified=sum(not each.verified for each in invoices.values()),
        verified_unknown=sum(each.verified and name not in known for name, each in invoices.items()),
        seconds=time.monotonic() - began,
    )


async def recovered(shop: Shop, names: list[str], patience: float) -> set[str]:
    """Those known as paid when all are, or when nothing more is to be waited for."""
    until = time.monotonic() + patience
    await shop.recover()
    while True:
        known = await shop.paid(names) & set(names)
        if len(known) == len(names) or isinstance(shop, Django) or time.monotonic() > until:
            return known
        await asyncio.sleep(POLL_SECONDS)


async def measure(folder: Path, core: int, counts: Counts, quiet: asyncio.Event) -> list[Table]:
    """`quiet` is set when the servers have nothing to do but to recover, which takes minutes."""
    made: dict[str, Creates] = {}
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(zibal.listening())
        stores = [await stack.enter_async_context(pinned_server(core)) for _ in range(2)]
        made_of: dict[str, AbstractAsyncContextManager[Shop]] = {
            "az, SQLite, 3 sync workers": django("az-sync", folder, gateway.url, core, *SYNC),
            "az, SQLite, 2 workers of 4 threads": django("az-threads", folder, gateway.url, core, *THREADS),
            "az, PostgreSQL, 3 sync workers": django("az-pg", folder, gateway.url, core, *SYNC, store=stores[0]),
            "Dargah, SQLite": ours(folder, gateway.url, core),
            "Dargah, PostgreSQL": ours(folder, gateway.url, core, stores[1]),
        }
        shops: dict[str, Shop] = {name: await stack.enter_async_context(it) for name, it in made_of.items()}
        for shop in shops.values():
            await create_many(shop, max(counts.creates // 10, AT_ONCE), None)
        for _ in range(counts.rounds):
            for name, shop in shops.items():
                await create_many(shop, counts.creates, made.setdefault(name, Creates()))
        names = await asyncio.gather(*(kill_in_the_middle(shop, gateway, counts) for shop in shops.values()))
        quiet.set()
        recoveries = (
            recovery(shop, gateway, paid, counts.patience) for shop, paid in zip(shops.values(), names, strict=True)
        )
        ends = await asyncio.gather(*recoveries)
    return [creates_table(counts, made), killed_table(counts, dict(zip(shops, ends, strict=True)))]


def creates_table(counts: Counts, made: Mapping[str, Creates]) -> Table:
    title = (
        f"Creates as fast as they go, {AT_ONCE} at once, each on a connection of its own: medians of"
        f" {counts.rounds} turns"
    )
    rows: list[Sequence[Cell]] = []
    for name, each in made.items():
        figures = map(statistics.median, (each.rates, each.cpu_ms, each.store_ms, each.p50_ms, each.p99_ms))
        rows.append((name, *(figure or None for figure in figures)))
    return Table(title, ("", "per s", "CPU ms", "PostgreSQL's", "p50 ms", "p99 ms"), rows)


def killed_table(counts: Counts, killed: Mapping[str, Killed]) -> Table:
    title = (
        f"{counts.customers} customers, {AT_ONCE} at once, up to {AT_THE_BANK_SECONDS[1]} s at the bank, while the"
        f" server is killed {counts.kills} times and started again: payments that the gateway's ledger has as paid"
    )
    heads = ("", "paid at the gateway", "known to the shop at once", "after the recovery", "never verified",
             "verified, and unpaid to the shop", "s of recovery")  # fmt: skip
    rows: list[Sequence[Cell]] = [
        (name, it.paid, it.at_once, it.after, it.unverified, it.verified_unknown, it.seconds)
        for name, it in killed.items()
    ]
    return Table(title, heads, rows)
