"""The bounds of a step, as programs that do on demand what it cannot do without: `durable DATABASE`, `webhooks URL`.

`durable` takes the two transactions of a create, each with its statements one by one, written beforehand; DATABASE is
a SQLite file or PostgreSQL's URL, of Dargah's schema. (On PostgreSQL Dargah itself runs each as one statement.)
`webhooks` posts to the URL with aiohttp's client.
Each prints `ready on` an address, where a line with a number has it done so often, one after the other, and answered.
"""

import asyncio
import secrets
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Final

import aiohttp
import asyncpg
import orjson
import uvloop

from bench.shops import RETURN_URL
from proxy.database.postgresql.transaction import begin
from proxy.database.sqlite.connection import CACHED_STATEMENTS, finished
from proxy.database.transaction import Dialect, Row, load_queries
from proxy.gateways.port import InvoiceIssued
from proxy.kernel.clock import system_now
from proxy.payments import check_schedule
from proxy.payments.change import Change, Entry, Intent, Reply
from proxy.payments.check_schedule import CheckSchedule, ScheduleChange
from proxy.payments.payment import Payment
from proxy.payments.serializers import payment_data
from proxy.payments.storage.writes import create_all, issue_all
from proxy.stores import postgresql, sqlite
from tests.store.records import LEASE, MERCHANT_ID, NOW, change, new_payment

Statement = tuple[str, Sequence[Row]]
Act = Callable[[], Awaitable[None]]

MOST: Final = 300
ANSWERED: Final = {"outcome": "invoice_issued", "http_status": 200}
OPENING: Final = begin(MERCHANT_ID, pooler=False)


class Recorder:
    """Implements proxy.database.transaction.Transaction: notes what is written, and says that it was."""

    def __init__(self, dialect: Dialect) -> None:
        self.statements: list[Statement] = []
        self._queries = load_queries(dialect)

    async def run(self, query: str, parameters: Row = ()) -> int:
        return await self.run_all(query, [parameters])

    async def run_all(self, query: str, rows: Sequence[Row]) -> int:
        if rows:
            self.statements.append((self._queries[query], rows))
        return len(rows)

    async def row(self, query: str, parameters: Row = ()) -> Row | None:
        raise NotImplementedError

    async def rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        raise NotImplementedError


def transactions(dialect: Dialect, number: int) -> Iterator[list[Statement]]:
    """The statements of both transactions of one create."""
    payment = new_payment(f"order-{number}", description=None, metadata={}, return_url=RETURN_URL)
    schedule = check_schedule.expect(payment, 0.5)
    intent = Intent(f"key-{number}", bytes(32), LEASE)
    recorder = Recorder(dialect)
    finished(create_all(recorder, [(payment, intent, schedule)]))
    yield recorder.statements
    recorder.statements = []
    finished(issue_all(recorder, [_issued(payment, number, schedule)]))
    yield recorder.statements


def _issued(payment: Payment, number: int, schedule: CheckSchedule) -> Change:
    """The change with which its invoice is stored, and the reply to its create."""
    fact = InvoiceIssued(f"inv{number:012}")
    entry = Entry(NOW, "gateway.request", 1, ANSWERED)
    made = change(payment, fact, entries=(entry,))
    following = check_schedule.after(schedule, made.after, fact, NOW, 0.5)
    reply = Reply(201, orjson.dumps(payment_data(made.after) | {"return_url": RETURN_URL, "pay_url": payment.link}))
    return replace(made, schedule=ScheduleChange(schedule, following), release=True, reply=reply)


@asynccontextmanager
async def durable(database: str) -> AsyncIterator[Act]:
    """Commits the next create's two transactions; there are MOST of them."""
    dialect: Dialect = "postgresql" if "://" in database else "sqlite"
    creates = iter([list(transactions(dialect, number)) for number in range(MOST)])
    if dialect == "postgresql":
        await (await postgresql.open_store(database)).close()
        connection = await asyncpg.connect(database)

        async def act() -> None:
            for statements in next(creates):
                await connection.execute(OPENING)
                for sql, rows in statements:
                    await connection.execute(sql, *rows[0])
                await connection.execute("COMMIT")

        yield act
        await connection.close()
    else:
        await (await sqlite.open_store(database, now=system_now)).close()
        with closing(sqlite3.connect(database, isolation_level=None, cached_statements=CACHED_STATEMENTS)) as file:
            file.execute("PRAGMA synchronous = FULL")

            async def act_on_file() -> None:
                for statements in next(creates):
                    file.execute("BEGIN IMMEDIATE")
                    for sql, rows in statements:
                        file.executemany(sql, rows)
                    file.execute("COMMIT")

            yield act_on_file


@asynccontextmanager
async def webhooks(url: str) -> AsyncIterator[Act]:
    """Posts a webhook, and reads its answer."""
    payment = new_payment()
    body = orjson.dumps({"id": "evt", "type": "payment.paid", "data": payment_data(payment)})
    headers = {"Content-Type": "application/json", "webhook-id": "msg", "webhook-timestamp": "1795600000"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector) as session:

        async def act() -> None:
            signed = {**headers, "webhook-signature": f"v1,{secrets.token_urlsafe(32)}"}
            async with session.post(url, data=body, headers=signed) as answer:
                await answer.read()

        yield act


async def serve(act: Act) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            for _ in range(int(line)):
                await act()
            writer.write(b"\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"ready on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def main(kind: str, where: str) -> None:
    async with durable(where) if kind == "durable" else webhooks(where) as act:
        await serve(act)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
