"""A database of the schema before endpoints had a mode: its endpoints are live, and get no test event."""

import asyncio
import hashlib
import hmac
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import asyncpg
import orjson
import pytest
from databases.places import database_in
from support.clock import ManualClock
from support.dargah import KEY_RING, gateway, running_by, settings
from support.eventually import eventually
from support.receiver import Receiver, receiver
from web.lab import API_KEY, RETURN_URL, TERMINALS, TEST_API_KEY, Lab

from proxy.database.sqlite.store import migrate
from proxy.database.transaction import load_migrations
from proxy.kernel.clock import HOUR, rfc3339
from proxy.kernel.ids import DELIVERY, ENDPOINT, EVENT, TERMINAL, TOKEN, Ids, digest, partition_of
from proxy.merchants.vault import KeyRing
from proxy.webhooks.request import new_secret, private_key, sign
from security.older import older_seal

NOW = 1_800_000_000_000
OLD = 1  # the schema's version before endpoints had a mode
LOOKS = '{"name_fa":null,"colour":null,"language":null,"logo":null}'
RING = KeyRing.parse(KEY_RING)
RETURN_SECRET = "dg_return_" + "a" * 43

Statement = tuple[str, Sequence[Any]]


def insert(table: str, **columns: Any) -> Statement:
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", tuple(columns.values())  # noqa: S608


@dataclass
class Before:
    """What an older Dargah has left: a merchant with both terminals and tokens, an endpoint, and what waits for it."""

    hook_url: str
    gateway_url: str
    ids: Ids = field(default_factory=lambda: Ids(os.urandom))
    secret: str = field(default_factory=lambda: new_secret(os.urandom(32)))
    events: dict[str, str] = field(default_factory=dict)
    deliveries: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.merchant_id = self.ids.merchant()
        self.endpoint_id = self.ids.record(ENDPOINT, self.merchant_id, NOW)

    def statements(self) -> list[Statement]:
        mine = {"merchant_id": self.merchant_id}
        times = {"created_at": NOW, "updated_at": NOW}
        origins = '["https://shop.example.ir"]'
        rows = [
            insert("merchants", id=self.merchant_id, name="old", return_origins=origins, looks=LOOKS, **times),
            self._sealed(self.merchant_id, "return_secret", RETURN_SECRET),
            insert(
                "endpoints", **mine, id=self.endpoint_id, url=self.hook_url, storefront=None, event_types="[]",
                description="", headers="{}", state="enabled", state_reason=None, state_since=NOW, signatures="v1",
                key_number=1, previous_until=None, **times,
            ),
            self._sealed(self.endpoint_id, "signing:1", self.secret),
            self._sealed(self.endpoint_id, "signing_v1a:1", private_key(os.urandom(32))),
            insert("turns", **mine, endpoint_id=self.endpoint_id, due_at=NOW, served_at=0),
            insert("event_sequences", **mine, last=4),
        ]  # fmt: skip
        for mode, api_key in (("live", API_KEY), ("test", TEST_API_KEY)):
            rows += self._till(mode, api_key)
        waiting: dict[str, str | None] = {"paid": "live", "trial": "test", "disabled": None}
        for number, (name, event_mode) in enumerate(waiting.items(), start=1):
            rows += self._waiting(number, name, event_mode)
        return rows

    def _till(self, mode: str, api_key: str) -> list[Statement]:
        mine = {"merchant_id": self.merchant_id}
        terminal_id = self.ids.record(TERMINAL, self.merchant_id, NOW)
        self.tokens[mode] = text = self.ids.api_token(self.merchant_id, mode)
        return [
            insert(
                "terminals", **mine, id=terminal_id, name=mode, mode=mode, gateway_url=self.gateway_url,
                return_base_url=None, enabled=1, created_at=NOW, updated_at=NOW,
            ),
            self._sealed(terminal_id, "api_key", api_key),
            insert(
                "tokens", **mine, id=self.ids.record(TOKEN, self.merchant_id, NOW), storefront="main", mode=mode,
                prefix=text[:12], digest=digest(text), scopes="payments:read payments:write webhooks",
                terminal_id=None, created_at=NOW, expires_at=None, revoked_at=None, amount_unit="rial",
                return_method="get", any_https_return=0, last_used_at=None,
            ),
        ]  # fmt: skip

    def _waiting(self, number: int, name: str, mode: str | None) -> list[Statement]:
        """An event of this mode, and its delivery, which is due. Of no payment: as the trials of old were."""
        event_id = self.events[name] = self.ids.record(EVENT, self.merchant_id, NOW + number)
        delivery_id = self.deliveries[name] = self.ids.record(DELIVERY, self.merchant_id, NOW + number)
        type_ = "endpoint.disabled" if mode is None else "payment.paid"
        data = {"name": name, "sequence": number} | ({} if mode is None else {"mode": mode, "storefront": "main"})
        body = orjson.dumps({"type": type_, "timestamp": rfc3339(NOW), "data": data})
        mine = {"merchant_id": self.merchant_id, "part": partition_of(event_id)}
        return [
            insert(
                "events", **mine, id=event_id, sequence=number, storefront="main" if mode else None, mode=mode,
                type=type_, payment_id=None, payment_version=None, occurred_at=NOW, body=body,
            ),
            insert(
                "deliveries", **mine, id=delivery_id, endpoint_id=self.endpoint_id, event_id=event_id, payment_id=None,
                status="pending", attempts=0, scheduled_from=0, due_at=NOW, created_at=NOW, delivered_at=None,
            ),
        ]  # fmt: skip

    def _sealed(self, owner_id: str, name: str, secret: str) -> Statement:
        sealed = older_seal(RING, self.merchant_id, owner_id, name, secret)
        mine = {"merchant_id": self.merchant_id, "owner_id": owner_id, "name": name}
        return insert("secrets", **mine, kek_id=sealed.kek_id, blob=sealed.blob)


async def leave(folder: Path, before: Before) -> None:
    """The folder's database is as that Dargah left it, schema and all."""
    database = database_in(folder)
    if isinstance(database, str):
        await _leave_postgresql(database, before.statements())
        return
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("proxy.database.sqlite.store.load_migrations", lambda _: load_migrations("sqlite")[:OLD])
            migrate(connection, NOW)
        for text, values in before.statements():
            connection.execute(re.sub(r"\$(\d+)", r"?\1", text), values)


async def _leave_postgresql(url: str, statements: Sequence[Statement]) -> None:
    from proxy.database.postgresql.schema import migrate as migrate_postgresql  # noqa: PLC0415  one of two

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC"
        )
        with pytest.MonkeyPatch.context() as patch:
            known = load_migrations("postgresql")[:OLD]
            patch.setattr("proxy.database.postgresql.schema.load_migrations", lambda _: known)
            await migrate_postgresql(connection, NOW)
        for text, values in statements:
            await connection.execute(text, *values)
    finally:
        await connection.close()


@asynccontextmanager
async def upgraded(folder: Path) -> AsyncIterator[tuple[Lab, Before, Receiver]]:
    """A Dargah of today, started on what the older one left."""
    clock = ManualClock(NOW + 10)
    async with (
        gateway(*TERMINALS, clock=clock) as gateway_url,
        receiver() as made,
        aiohttp.ClientSession() as session,
    ):
        before = Before(made.url, gateway_url)
        await leave(folder, before)
        async with running_by(clock, settings(folder, log_level="info")) as dargah:
            lab = Lab(dargah, before.gateway_url, session, clock, folder, before.merchant_id)
            lab.token = before.tokens["live"]
            yield lab, before, made


async def test_what_waits_goes_out_signed_as_before_but_for_test_events(folder: Path) -> None:
    async with upgraded(folder) as (lab, before, made):
        await made.told(2)
        store = lab.dargah.services.store

        async def refused() -> bool | None:
            trial = await store.webhooks.delivery(before.merchant_id, before.deliveries["trial"])
            return trial.status == "dropped" or None

        await eventually(refused)
        assert {event["data"]["name"] for event in made.events} == {"paid", "disabled"}
        for headers, body in made.requests:
            signature = sign([before.secret], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
            assert headers["webhook-signature"] == signature
        [attempt] = await store.webhooks.list_attempts(before.merchant_id, before.deliveries["trial"])
        assert (attempt.outcome, attempt.error) == ("failed", "event_not_for_endpoint")
        endpoint = await store.webhooks.endpoint(before.merchant_id, before.endpoint_id)
        assert (endpoint.mode, endpoint.storefront) == ("live", None)
        admin = f"{lab.dargah.admin_url}/admin/v1/merchants/{before.merchant_id}/endpoints"
        operator = {"Authorization": "Bearer operator-token-of-the-tests"}
        [shown] = (await lab.call("GET", admin, headers=operator)).json["data"]
        assert (shown["id"], shown["mode"], shown["test"], shown["storefront"]) == (endpoint.id, "live", False, None)


async def test_a_replay_and_a_new_payment_keep_to_the_modes(folder: Path) -> None:
    async with upgraded(folder) as (lab, before, made):
        await made.told(2)
        redelivery, key = lab.dargah.services.redelivery, (before.merchant_id, before.endpoint_id)
        replayed = await redelivery.recover(*key, NOW - HOUR, None)
        assert replayed.count == 0
        for mode, told in (("test", 2), ("live", 3)):
            payment = await lab.created(token=before.tokens[mode], return_url=RETURN_URL)
            home = await lab.call("GET", await lab.act(payment, "pay"), token="")
            query = dict(parse_qsl(urlsplit(home.location).query, strict_parsing=True))
            assert old_shop_believes(query) == (mode == "live")
            await made.told(told)
        async with asyncio.timeout(10):
            await lab.dargah.delivery.tasks.drain()
        assert [event["data"].get("mode") for event in made.events[2:]] == ["live"]


def old_shop_believes(query: dict[str, str]) -> bool:
    """A shop that verifies the three parameters that there were, under the one secret that there was."""
    signed = "&".join(f"{name}={query[name]}" for name in ("payment_id", "order_id", "status"))
    return hmac.new(RETURN_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest() == query["signature"]
