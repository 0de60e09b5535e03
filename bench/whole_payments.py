"""What a whole payment costs, from the create to the webhook's answer: rows, bytes, WAL and CPU, on each database.

`python -m bench.whole_payments` runs it: a gateway, a shop and Dargah as processes, over real HTTP. docs/scaling.md
reckons with its figures (bench/results/whole_payments.json).
"""

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import asyncpg
import uvloop
from aiohttp import web

from bench.processes import cpu_seconds
from proxy.demo.stage import Stage, free_port

PAYMENTS = 1500
WARM_UP = 100
AT_ONCE = 16
API_KEY = "bench-key-0123456789"
LIMITS = {
    f"DARGAH_{name}_PER_MINUTE": "0" for name in ("ADDRESS_CREATES", "TOKEN_CREATES", "ADDRESS_CALLS", "TOKEN_CALLS")
}


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
    bytes: float
    wal: float | None
    rows: dict[str, float]
    bytes_of: dict[str, float]


class Shop:
    """Its receiver counts webhooks; `pay` is one payment, as a shop, its customer and the bank make it."""

    def __init__(self, stage: Stage, session: aiohttp.ClientSession) -> None:
        self._stage = stage
        self._session = session
        self.token = ""
        self.told = 0

    async def hear(self, _request: web.Request) -> web.Response:
        self.told += 1
        return web.Response(status=204)

    async def pay(self, number: int) -> None:
        order = {"amount": 150_000, "currency": "IRT", "order_id": f"order-{number}", "description": "چای سبز"}
        order |= {"return_url": f"https://shop.example/back?order={number}"}
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": f"order-{number}-try-1"}
        async with self._session.post(f"{self._stage.url}/v1/payments", json=order, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            key = (await answer.json())["invoice_key"]
        async with self._session.post(f"{self._stage.gateway_url}/control/invoices/{key}/pay") as answer:
            visit = await answer.json()
        async with self._session.get(visit["return_url"], allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()

    async def pay_all(self, first: int, count: int) -> None:
        """That many, some at once, until the last webhook was answered."""
        numbers, wanted = iter(range(first, first + count)), self.told + count

        async def work() -> None:
            for number in numbers:
                await self.pay(number)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        async with asyncio.timeout(60):
            while self.told < wanted:  # noqa: ASYNC110  what it looks at comes by HTTP
                await asyncio.sleep(0.05)


@asynccontextmanager
async def shop(folder: Path, database: str) -> AsyncIterator[tuple[Stage, Shop]]:
    stage = Stage(folder, shop_port=free_port(), settings={**LIMITS, "DARGAH_DATABASE": database})
    async with aiohttp.ClientSession() as session:
        made = Shop(stage, session)
        app = web.Application()
        app.router.add_post("/hook", made.hear)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(stage.shop_url.rpartition(":")[2])).start()
        try:
            await stage.start_gateway()
            await stage.start_dargah()
            await set_up(stage, made, session)
            yield stage, made
        finally:
            await stage.stop()
            await runner.cleanup()


async def set_up(stage: Stage, made: Shop, session: aiohttp.ClientSession) -> None:
    async with session.post(f"{stage.gateway_url}/control/terminals", json={"api_key": API_KEY}) as answer:
        assert answer.status < 300, await answer.text()
    merchant = await stage.json("merchant", "create", "--name", "bench", "--return-origin", "https://shop.example")
    owned = ("--merchant", merchant["id"])
    terminal = ("terminal", "create", *owned, "--name", "main", "--gateway-url", stage.gateway_url, "--api-key-stdin")
    await stage.json(*terminal, stdin=API_KEY)
    made.token = (await stage.json("token", "create", *owned, "--storefront", "main"))["token"]
    await stage.json("endpoint", "create", *owned, "--url", f"{stage.shop_url}/hook")


async def measured(database: str, folder: Path) -> Cost:
    async with shop(folder, database) as (stage, made):
        pids = stage.pids[-1:]
        await made.pay_all(0, WARM_UP)
        began, before = cpu_seconds(pids), await held(database)
        await made.pay_all(WARM_UP, PAYMENTS)
        cpu, after = cpu_seconds(pids) - began, await held(database)
    grown = {name: (after.bytes[name] - before.bytes[name]) / PAYMENTS for name in after.bytes}
    rows = {name: (after.rows[name] - before.rows[name]) / PAYMENTS for name in after.rows}
    wal = None if after.wal is None or before.wal is None else (after.wal - before.wal) / PAYMENTS
    return Cost(
        cpu / PAYMENTS * 1e6,
        sum(grown.values()),
        wal,
        {name: count for name, count in rows.items() if count},
        {name: size for name, size in grown.items() if size},
    )


async def held(database: str) -> Held:
    return await held_by_server(database) if "://" in database else await held_in_file(Path(database))


async def held_in_file(path: Path) -> Held:
    """Of a copy, as the file itself is another process's: a backup would do, and this is a benchmark's own file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        for side in ("", "-wal"):
            copy.with_name(copy.name + side).write_bytes(path.with_name(path.name + side).read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            owners = dict(
                connection.execute("SELECT name, tbl_name FROM sqlite_schema WHERE type IN ('table', 'index')")
            )
            sizes: dict[str, int] = {}
            for name, size in connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
                owner = owners.get(name, name)
                sizes[owner] = sizes.get(owner, 0) + size
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


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """A PostgreSQL of its own, for as long as this process lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "tests/databases/serving.py", str(os.getpid()), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def main() -> None:
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        costs["SQLite"] = await measured(str(Path(folder) / "dargah.db"), Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        async with server() as url:
            costs["PostgreSQL"] = await measured(url, Path(folder))
    report(costs)


def report(costs: dict[str, Cost]) -> None:
    print(f"{PAYMENTS} whole payments, {AT_ONCE} at once, one webhook each; of one payment:")
    for name, cost in costs.items():
        wal = "" if cost.wal is None else f", {cost.wal:.0f} bytes of WAL"
        rows = sum(cost.rows.values())
        print(f"{name}: {cost.cpu_us:.0f} us of Dargah's CPU, {rows:.1f} rows, {cost.bytes:.0f} bytes{wal}")
        for table, size in sorted(cost.bytes_of.items(), key=lambda pair: -pair[1]):
            print(f"  {table:16} {cost.rows.get(table, 0):5.2f} rows {size:7.0f} bytes")
    results = Path("bench/results")
    results.mkdir(exist_ok=True)
    figures = {name: asdict(cost) for name, cost in costs.items()}
    (results / "whole_payments.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    uvloop.run(main())
