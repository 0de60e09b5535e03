"""What a whole payment costs on each database, from the create to the webhook's answer: CPU, rows, bytes and WAL.

A gateway, a shop and Dargah speak real HTTP. The second table is the arithmetic of docs/scaling.md; what it assumes of
shops and gateways stands in the names below.
"""

import asyncio
import math
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncpg
import uvloop

from bench.load import Connection
from bench.processes import Cores, cpu_seconds, share_cores
from bench.results import Cell, Result, Run, Table, arguments, publish
from bench.shops import RETURN_URL, Shop, creates, dargah, gateway, listening, pay
from proxy.kernel.clock import DAY, SECOND
from proxy.payments.check_schedule import FROM_LINK
from tests.databases.durable import durable_server

AT_ONCE: Final = 16
RATES: Final = (100, 1_000, 10_000)
ABANDONED: Final = 0.3  # of the links, nobody pays and nobody comes back
GATEWAY_SECONDS: Final = 0.3  # a call's answer
BUSY: Final = 0.6  # of a core, so that a process has room for a peak and for another one's end
CONNECTIONS: Final = 8 + 1  # of a process: DARGAH_DATABASE_CONNECTIONS and the one for notifications
KEPT_WITH_EVENTS: Final = ("events", "deliveries", "attempts")  # retention removes these, and their partitions
DAY_SECONDS: Final = DAY // SECOND


@dataclass(frozen=True, slots=True)
class Counts:
    payments: int = 1500
    warm_up: int = 100


SHORT: Final = Counts(40, 10)


@dataclass(frozen=True, slots=True)
class Held:
    """What a database holds: bytes of each table with its indexes, its rows, and how much WAL it has written."""

    bytes: dict[str, int]
    rows: dict[str, int]
    wal: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one payment."""

    cpu_us: float
    wal: float | None
    rows: dict[str, float]
    bytes: dict[str, float]

    @property
    def bytes_kept(self) -> float:
        """Of what no retention removes."""
        return sum(size for name, size in self.bytes.items() if name.partition("_")[0] not in KEPT_WITH_EVENTS)


async def measured(cores: Cores, counts: Counts, url: str | None = None) -> Cost:
    """On the PostgreSQL database at the URL, or on a new SQLite file."""
    shop = Shop()
    with tempfile.TemporaryDirectory() as folder:
        database = url or str(Path(folder) / "dargah.db")
        settings = {"DARGAH_DATABASE": database}
        async with (
            listening(shop) as port,
            gateway(cores.rest) as asked,
            dargah(Path(folder), asked.url, cores.server, settings=settings, hook_port=port) as (_, server),
        ):
            await pay_all(server.url, server.token, counts.warm_up, shop)
            began, before = cpu_seconds([server.pid]), await held(database)
            await pay_all(server.url, server.token, counts.payments, shop)
            cpu, after = cpu_seconds([server.pid]) - began, await held(database)
    return Cost(
        cpu / counts.payments * 1e6,
        None if after.wal is None or before.wal is None else (after.wal - before.wal) / counts.payments,
        {name: (count - before.rows[name]) / counts.payments for name, count in after.rows.items()},
        {name: (size - before.bytes[name]) / counts.payments for name, size in after.bytes.items()},
    )


async def pay_all(url: str, token: str, count: int, shop: Shop) -> None:
    """So many whole payments, some at once, until the last webhook was answered."""
    shop.forget()
    make, numbers = creates(token, return_url=RETURN_URL, description="چای سبز"), iter(range(count))

    async def customer() -> None:
        connection = await Connection.open(url)
        for number in numbers:
            await pay(connection, make(number))
        connection.close()

    await asyncio.gather(*(customer() for _ in range(AT_ONCE)))
    await shop.wait_for(count)


async def held(database: str) -> Held:
    return await held_by_server(database) if "://" in database else held_in_file(Path(database))


def held_in_file(path: Path) -> Held:
    """Of a copy, because the file itself is another process's."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        for side in ("", "-wal"):
            copy.with_name(copy.name + side).write_bytes(path.with_name(path.name + side).read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            sizes = dict(
                connection.execute(
                    "SELECT coalesce(tbl_name, dbstat.name), sum(pgsize) FROM dbstat"
                    " LEFT JOIN sqlite_schema AS made ON made.name = dbstat.name GROUP BY 1"
                )
            )
            tables = [name for name in sizes if not name.startswith("sqlite_")]
            rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608  names of the schema
    return Held({name: sizes[name] for name in tables}, rows, None)


async def held_by_server(url: str) -> Held:
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        rows = {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name, _ in tables}  # noqa: S608  the same
        wal = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    finally:
        await connection.close()
    return Held(dict(map(tuple, tables)), rows, wal)


def result(counts: Counts, sqlite: Cost, postgresql: Cost) -> Result:
    costs = {"SQLite": sqlite, "PostgreSQL": postgresql}
    title = f"Of one payment: {counts.payments} whole ones, {AT_ONCE} at once, one webhook each"
    rows: list[Sequence[Cell]] = [
        (name, cost.cpu_us, sum(cost.rows.values()), sum(cost.bytes.values()), cost.bytes_kept, cost.wal)
        for name, cost in costs.items()
    ]
    heads = ("", "CPU µs", "rows", "bytes", "of them kept for ever", "WAL bytes")
    raw = {name: asdict(cost) for name, cost in costs.items()}
    return Result("whole_payments", asdict(counts), [Table(title, heads, rows), arithmetic(postgresql)], raw=raw)


def arithmetic(cost: Cost) -> Table:
    """Nothing of SQLite: a file has one process, and there is nothing to scale."""
    columns = [taken(rate, cost) for rate in RATES]
    rows: list[Sequence[Cell]] = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return Table("What so many payments take on PostgreSQL", ("", *(f"{rate:,}/s" for rate in RATES)), rows)


def taken(rate: int, cost: Cost) -> dict[str, Cell]:
    """By so many payments a second, held for a day."""
    calls = rate * (2 - ABANDONED + ABANDONED * len(FROM_LINK))
    cores = rate * cost.cpu_us / 1e6
    processes = max(2, math.ceil(cores / BUSY))
    return {
        "million rows/day": rate * sum(cost.rows.values()) * DAY_SECONDS / 1e6,
        "GB/day": rate * sum(cost.bytes.values()) * DAY_SECONDS / 1e9,
        "of them kept for ever": rate * cost.bytes_kept * DAY_SECONDS / 1e9,
        "WAL MB/s": rate * (cost.wal or 0.0) / 1e6,
        "gateway calls/s": calls,
        "calls in flight": calls * GATEWAY_SECONDS,
        "million open check schedules": rate * ABANDONED * FROM_LINK[-1] / SECOND / 1e6,
        "cores of Dargah": cores,
        "processes": processes,
        "connections": processes * CONNECTIONS,
    }


async def main(run: Run) -> None:
    cores, counts = share_cores(), SHORT if run.short else Counts()
    sqlite = await measured(cores, counts)
    async with durable_server("full_page_writes=off") as server:
        publish(result(counts, sqlite, await measured(cores, counts, server.url)), run)


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
