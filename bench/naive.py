"""The proxy that most would write in an afternoon, as fairly as that goes: the same create, durable, one commit for
each statement. Benchmarks only.

It is no straw man: one session and one connection for all, indexes, a body validated by pydantic, the api_key sealed
with Fernet, an Idempotency-Key that is honoured, a log of what became of a payment. It has no watch, no limits, no
metrics and no scopes, each of which would make it slower. The loop and the database are as they come; with `tuned`
they are what somebody would turn to who looks for speed, uvloop and a WAL.
"""

import asyncio
import hashlib
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import aiosqlite
import uvloop
from aiohttp import web
from cryptography.fernet import Fernet
from pydantic import BaseModel, Field

SCHEMA = """
CREATE TABLE merchants (id INTEGER PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, api_key BLOB NOT NULL);
CREATE TABLE payments (
    id TEXT PRIMARY KEY, merchant_id INTEGER NOT NULL REFERENCES merchants (id), order_id TEXT NOT NULL,
    amount INTEGER NOT NULL, idempotency_key TEXT NOT NULL, status TEXT NOT NULL, invoice_key TEXT, answer TEXT,
    created_at REAL NOT NULL, UNIQUE (merchant_id, idempotency_key)
);
CREATE INDEX payments_by_invoice ON payments (invoice_key);
CREATE TABLE payment_log (id INTEGER PRIMARY KEY, payment_id TEXT NOT NULL, at REAL NOT NULL, what TEXT NOT NULL);
CREATE INDEX log_by_payment ON payment_log (payment_id);
"""
# Durable, as the default is: FULL syncs at each commit.
TUNED = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"


class Order(BaseModel):
    amount: int = Field(ge=1000)
    currency: str
    order_id: str = Field(max_length=100)
    metadata: dict[str, Any] = {}


class Proxy:
    def __init__(
        self, database: aiosqlite.Connection, session: aiohttp.ClientSession, gateway: str, key: bytes
    ) -> None:
        self._database, self._session, self._gateway = database, session, gateway
        self._fernet = Fernet(key)

    async def create(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        merchant = await self._one("SELECT id, api_key FROM merchants WHERE token_hash = ?", digest(token))
        if merchant is None:
            return web.json_response({"error": "unauthorized"}, status=401)
        order = Order.model_validate_json(await request.read())
        key = request.headers["Idempotency-Key"]
        known = await self._one(
            "SELECT answer FROM payments WHERE merchant_id = ? AND idempotency_key = ?", merchant[0], key
        )
        if known is not None:
            return web.json_response(text=known[0], status=201)
        payment_id = f"pay_{secrets.token_hex(12)}"
        await self._write(
            "INSERT INTO payments (id, merchant_id, order_id, amount, idempotency_key, status, created_at)"
            " VALUES (?, ?, ?, ?, ?, 'created', ?)",
            payment_id, merchant[0], order.order_id, order.amount, key, time.time(),
        )  # fmt: skip
        await self._note(payment_id, "created")
        fields = {
            "api_key": self._fernet.decrypt(merchant[1]).decode(),
            "amount": str(order.amount),
            "return_url": f"https://pay.example/return/{payment_id}",
        }
        async with self._session.post(f"{self._gateway}/invoice/request", data=fields) as answer:
            told = await answer.json()
        await self._note(payment_id, f"the gateway said {json.dumps(told)}")
        invoice_key = told["invoice_key"]
        shown = {"id": payment_id, "status": "pending", "order_id": order.order_id, "amount": order.amount}
        text = json.dumps(shown | {"invoice_key": invoice_key, "pay_url": f"https://pay.example/pay/{payment_id}"})
        await self._write(
            "UPDATE payments SET status = 'pending', invoice_key = ?, answer = ? WHERE id = ?",
            invoice_key, text, payment_id,
        )  # fmt: skip
        return web.json_response(text=text, status=201)

    async def _note(self, payment_id: str, what: str) -> None:
        await self._write(
            "INSERT INTO payment_log (payment_id, at, what) VALUES (?, ?, ?)", payment_id, time.time(), what
        )

    async def _one(self, statement: str, *values: object) -> Any:
        async with self._database.execute(statement, values) as cursor:
            return await cursor.fetchone()

    async def _write(self, statement: str, *values: object) -> None:
        await self._database.execute(statement, values)
        await self._database.commit()


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def main(gateway: str, token: str, pragmas: str) -> None:
    key = Fernet.generate_key()
    with tempfile.TemporaryDirectory() as folder:
        async with aiosqlite.connect(Path(folder) / "naive.db") as database, aiohttp.ClientSession() as session:
            await database.executescript(f"{pragmas} {SCHEMA}")
            sealed = Fernet(key).encrypt(b"bench-key-0123456789")
            await database.execute("INSERT INTO merchants VALUES (1, ?, ?)", (digest(token), sealed))
            await database.commit()
            app = web.Application()
            app.router.add_post("/v1/payments", Proxy(database, session, gateway, key).create)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            print(f"ready on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    gateway_url, merchants_token, *more = sys.argv[1:]
    if more == ["tuned"]:
        uvloop.run(main(gateway_url, merchants_token, TUNED))
    else:
        asyncio.run(main(gateway_url, merchants_token, ""))
