"""Test money never looks like live money: events, what is sent again, the customer's way back, and after an upgrade."""

import asyncio
import hashlib
import hmac
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
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
from web.clients import operator
from web.lab import API_KEY, RETURN_URL, TERMINALS, TEST_API_KEY, Lab

from proxy.database.sqlite.store import migrate
from proxy.database.transaction import load_migrations
from proxy.kernel.clock import HOUR, rfc3339
from proxy.kernel.ids import DELIVERY, ENDPOINT, EVENT, TERMINAL, TOKEN, Ids, digest, partition_of
from proxy.merchants.merchant import Mode
from proxy.merchants.vault import KeyRing
from proxy.webhooks.delivery import Delivery, DeliveryFilter
from proxy.webhooks.request import new_secret, private_key, sign
from proxy.webhooks.retry_policy import DeliveryStatus
from security.older import older_seal

OPERATOR = {"Authorization": "Bearer operator-token-of-the-tests"}
ENDPOINTS = "/v1/webhook-endpoints"


async def hooked(lab: Lab, stack: AsyncExitStack, token: str) -> tuple[Receiver, dict[str, Any]]:
    """A receiver, and the endpoint that a token makes there."""
    made = await stack.enter_async_context(receiver())
    answer = await lab.call("POST", ENDPOINTS, json={"url": made.url}, token=token)
    assert answer.status == 201, answer.body
    return made, answer.json


async def by_operator(lab: Lab, method: str, path: str, body: Any = None) -> Any:
    answer = await lab.call(method, f"{lab.dargah.admin_url}/admin/v1{path}", json=body, headers=OPERATOR)
    assert answer.status < 300, answer.body
    return answer.json


async def paid(lab: Lab, token: str, **fields: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A payment whose customer has paid and come back; and what they brought to the shop."""
    payment = await lab.created(token=token, return_url=RETURN_URL, **fields)
    home = await lab.call("GET", await lab.act(payment, "pay"), token="")
    assert home.status == 303
    shown = (await lab.call("GET", f"/v1/payments/{payment['id']}", token=token)).json
    assert shown["status"] == "paid"
    return shown, dict(parse_qsl(urlsplit(home.location).query, strict_parsing=True))


async def delivered(lab: Lab, token: str, endpoint: Mapping[str, Any], status: str = "") -> list[dict[str, Any]]:
    path = f"{ENDPOINTS}/{endpoint['id']}/deliveries?limit=100" + (f"&status={status}" if status else "")
    found: list[dict[str, Any]] = (await lab.call("GET", path, token=token)).json["data"]
    return found


def signed_by(secret: str, receiver: Receiver) -> bool:
    """Whether the receiver's one message is signed by this secret."""
    [(headers, body)] = receiver.requests
    signature = sign([secret], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    return headers["webhook-signature"] == signature


def old_signature(secret: str, query: Mapping[str, str]) -> bool:
    """What a shop verifies that was written before there was a payment_mode."""
    signed = "&".join(f"{name}={query[name]}" for name in ("payment_id", "order_id", "status"))
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest() == query["signature"]


def new_signature(secret: str, query: Mapping[str, str]) -> bool:
    signed = "&".join(f"{name}={query[name]}" for name in ("payment_id", "order_id", "status", "payment_mode"))
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest() == query["signature_v2"]


async def test_a_payment_is_told_to_the_endpoints_of_its_mode_alone(lab: Lab) -> None:
    tokens = {mode.value: await lab.issue(mode=mode) for mode in Mode}
    async with AsyncExitStack() as stack:
        hooks = {mode: await hooked(lab, stack, token) for mode, token in tokens.items()}
        assert {mode: made["mode"] for mode, (_, made) in hooks.items()} == {"live": "live", "test": "test"}
        paid_in = {mode: (await paid(lab, token, order_id="17"))[0] for mode, token in tokens.items()}
        for mode, (receiver, endpoint) in hooks.items():
            await receiver.told(1)
            assert [event["data"]["id"] for event in receiver.events] == [paid_in[mode]["id"]]
            data = receiver.events[0]["data"]
            assert (data["mode"], data["test"], data["storefront"]) == (mode, mode == "test", "main")
            assert len(await delivered(lab, tokens[mode], endpoint)) == 1
            assert [mode for mode, (_, each) in hooks.items() if signed_by(each["secret"], receiver)] == [mode]
    assert {mode: payment["test"] for mode, payment in paid_in.items()} == {"live": False, "test": True}


async def test_an_endpoint_of_a_token_has_its_mode_and_storefront(lab: Lab) -> None:
    url = {"url": "https://hooks.shop.example.ir/dargah"}
    test = await lab.issue("web", mode=Mode.TEST)
    made = (await lab.call("POST", ENDPOINTS, json=url, token=test)).json
    assert (made["mode"], made["test"], made["storefront"]) == ("test", True, "web")
    same = (await lab.call("POST", ENDPOINTS, json=url | {"mode": "test", "storefront": "web"}, token=test)).json
    assert (same["mode"], same["storefront"]) == ("test", "web")
    for wrong, codes in (
        ({"mode": "live"}, {"mode": "other_mode"}),
        ({"storefront": "main"}, {"storefront": "other_storefront"}),
        ({"mode": "both"}, {"mode": "not_one_of"}),
    ):
        refused = await lab.call("POST", ENDPOINTS, json=url | wrong, token=test)
        assert (refused.status, refused.field_codes()) == (422, codes)
    live = (await lab.call("POST", ENDPOINTS, json=url)).json
    assert (live["mode"], live["test"], live["storefront"]) == ("live", False, "main")
    for change, name in (({"mode": "test"}, "mode"), ({"storefront": "web"}, "storefront")):
        refused = await lab.call("PATCH", f"{ENDPOINTS}/{live['id']}", json=change)
        assert (refused.status, list(refused.field_codes())) == (422, [name])
    widened = await lab.call("PATCH", f"{ENDPOINTS}/{live['id']}", json={"storefront": None})
    assert widened.field_codes() == {"storefront": "other_storefront"}


async def test_an_operator_chooses_the_mode_once(lab: Lab) -> None:
    path = f"/merchants/{lab.merchant_id}/endpoints"
    url = {"url": "https://hooks.shop.example.ir/dargah"}
    live = await by_operator(lab, "POST", path, url)
    test = await by_operator(lab, "POST", path, url | {"mode": "test"})
    assert [(each["mode"], each["storefront"]) for each in (live, test)] == [("live", None), ("test", None)]
    admin = f"{lab.dargah.admin_url}/admin/v1{path}/{test['id']}"
    assert (await lab.call("PATCH", admin, json={"mode": "live"}, headers=OPERATOR)).status == 422
    assert (await by_operator(lab, "GET", f"{path}/{test['id']}"))["mode"] == "test"


async def test_a_storefronts_events_go_to_its_endpoints_and_to_those_of_all(lab: Lab) -> None:
    web = await lab.issue("web")
    async with AsyncExitStack() as stack:
        (main_hook, main), (web_hook, _) = [await hooked(lab, stack, token) for token in (lab.token, web)]
        everything = await stack.enter_async_context(receiver())
        path = f"/merchants/{lab.merchant_id}/endpoints"
        await by_operator(lab, "POST", path, {"url": everything.url})
        mine, _ = await paid(lab, lab.token, order_id="17")
        theirs, _ = await paid(lab, web, order_id="17")
        await everything.told(2)
        await main_hook.told(1)
        await web_hook.told(1)
        assert {event["data"]["id"] for event in everything.events} == {mine["id"], theirs["id"]}
        assert [event["data"]["id"] for event in main_hook.events] == [mine["id"]]
        assert [event["data"]["id"] for event in web_hook.events] == [theirs["id"]]
        assert len(await delivered(lab, lab.token, main)) == 1


async def test_a_replay_sends_no_event_of_the_other_mode(lab: Lab) -> None:
    tokens = {mode.value: await lab.issue(mode=mode) for mode in Mode}
    ids = {mode: (await paid(lab, token))[0]["id"] for mode, token in tokens.items()}
    since = {"since": rfc3339(lab.clock.now - HOUR)}
    async with AsyncExitStack() as stack:
        for mode, token in tokens.items():
            receiver, endpoint = await hooked(lab, stack, token)
            said = (await lab.call("POST", f"{ENDPOINTS}/{endpoint['id']}/replay", json=since, token=token)).json
            assert said["requeued"] == 1
            await receiver.told(1)
            assert [event["data"]["id"] for event in receiver.events] == [ids[mode]]
            assert [each["payment_id"] for each in await delivered(lab, token, endpoint)] == [ids[mode]]


async def test_what_is_held_for_a_storefront_is_dropped_when_the_endpoint_becomes_anothers(lab: Lab) -> None:
    """The operator moves an endpoint to another storefront while deliveries wait there."""
    async with AsyncExitStack() as stack:
        receiver, endpoint = await hooked(lab, stack, lab.token)
        path = f"/merchants/{lab.merchant_id}/endpoints/{endpoint['id']}"
        await by_operator(lab, "PATCH", path, {"paused": True})
        for _ in range(12):
            await paid(lab, lab.token)
        await by_operator(lab, "PATCH", path, {"storefront": "web", "paused": False})
        web = await lab.issue("web")
        theirs, _ = await paid(lab, web)
        await receiver.told(1)

        store, key = lab.dargah.services.store, (lab.merchant_id, endpoint["id"])

        async def all_dropped() -> list[Delivery] | None:
            rows = await store.webhooks.list_endpoint_deliveries(
                *key, DeliveryFilter(DeliveryStatus.DROPPED, limit=100)
            )
            return rows if len(rows) == 12 else None

        dropped = (await eventually(all_dropped))[0]
        assert [event["data"]["id"] for event in receiver.events] == [theirs["id"]]
        [attempt] = await store.webhooks.list_attempts(lab.merchant_id, dropped.id)
        assert (attempt.outcome, attempt.error, dropped.due_at) == ("failed", "event_not_for_endpoint", None)
        browser = await operator(lab)
        assert (await browser.post(f"/console/deliveries/{dropped.id}/retry")).status == 409
        since = {"since": rfc3339(lab.clock.now - HOUR)}
        said = await lab.call("POST", f"{ENDPOINTS}/{endpoint['id']}/recover", json=since, token=web)
        assert said.json["requeued"] == 0
        assert len(receiver.requests) == 1


async def test_what_is_about_no_payment_says_the_mode_of_its_endpoint(lab: Lab) -> None:
    test = await lab.issue(mode=Mode.TEST)
    async with AsyncExitStack() as stack:
        (gone, broken), (other, _) = [await hooked(lab, stack, test) for _ in range(2)]
        live, _ = await hooked(lab, stack, lab.token)
        await lab.call("POST", f"{ENDPOINTS}/{broken['id']}/test", token=test)
        assert gone.events[0]["data"]["mode"] == "test"
        gone.status = 410
        triggered = (await lab.call("POST", "/v1/events/test", json={"type": "payment.paid"}, token=test)).json
        assert (triggered["mode"], triggered["data"]["mode"], triggered["data"]["test"]) == ("test", "test", True)
        await other.told(2)
        told = {event["type"]: event["data"] for event in other.events}
        assert told.keys() == {"payment.paid", "endpoint.disabled"}
        assert {(data["mode"], data["test"]) for data in told.values()} == {("test", True)}
        await paid(lab, lab.token)
        await live.told(1)
        assert [event["data"]["mode"] for event in live.events] == ["live"]


async def test_a_token_lists_the_events_of_its_own_mode_and_storefront(lab: Lab) -> None:
    tokens = {
        (storefront, mode): await lab.issue(storefront, mode=Mode(mode))
        for storefront in ("main", "web")
        for mode in ("live", "test")
    }
    for token in tokens.values():
        await paid(lab, token)
    for (storefront, mode), token in tokens.items():
        for query in ("", "?type=payment.paid", "?delivered=false"):
            listed = (await lab.call("GET", f"/v1/events{query}", token=token)).json["data"]
            assert [(each["storefront"], each["mode"]) for each in listed] == [(storefront, mode)], query


async def test_a_test_payments_way_back_never_verifies_as_live(lab: Lab) -> None:
    test = await lab.issue(mode=Mode.TEST)
    _, home = await paid(lab, test, order_id="17")
    assert (home["order_id"], home["payment_mode"]) == ("17", "test")
    for forged in ({}, {"payment_mode": "live"}, {"signature_v2": home["signature"]}):
        assert not old_signature(lab.return_secret, home | forged)
        assert not new_signature(lab.return_secret, home | forged)
    path = f"/merchants/{lab.merchant_id}/rotate-return-secret"
    made = await by_operator(lab, "POST", path, {"mode": "test"})
    assert made["mode"] == "test"
    assert made["return_secret"].startswith("dg_return_test_")
    _, home = await paid(lab, test)
    assert new_signature(made["return_secret"], home)
    assert old_signature(made["return_secret"], home)
    assert not old_signature(lab.return_secret, home)
    _, live = await paid(lab, lab.token)
    assert live["payment_mode"] == "live"
    assert new_signature(lab.return_secret, live)
    assert old_signature(lab.return_secret, live)
    assert not new_signature(made["return_secret"], live)


async def test_the_two_return_secrets_are_rotated_apart(lab: Lab) -> None:
    path = f"/merchants/{lab.merchant_id}/rotate-return-secret"
    test = await by_operator(lab, "POST", path, {"mode": "test"})
    live = await by_operator(lab, "POST", path, {})
    assert live["mode"] == "live"
    token = await lab.issue(mode=Mode.TEST)
    assert new_signature(test["return_secret"], (await paid(lab, token))[1])
    assert new_signature(live["return_secret"], (await paid(lab, lab.token))[1])
    admin = f"{lab.dargah.admin_url}/admin/v1{path}"
    assert (await lab.call("POST", admin, json={"mode": "both"}, headers=OPERATOR)).status == 422


async def test_the_doctor_finds_test_payments_that_nobody_is_told_of(lab: Lab) -> None:
    async def untold() -> list[str]:
        found = await by_operator(lab, "POST", "/doctor", {"merchant_id": lab.merchant_id})
        commands = [each["advice"] for each in found["findings"] if each["check"] == "webhook"]
        return [mode.value for mode in Mode if any(f"--mode {mode.value}" in command for command in commands)]

    assert await untold() == ["live", "test"]
    url = {"url": "https://hooks.shop.example.ir/dargah"}
    await lab.call("POST", ENDPOINTS, json=url)
    assert await untold() == ["test"]
    await lab.call("POST", ENDPOINTS, json=url, token=await lab.issue(mode=Mode.TEST))
    assert await untold() == []


async def test_the_console_shows_the_mode_and_makes_endpoints_and_secrets_of_either(lab: Lab) -> None:
    browser = await operator(lab)
    merchant = f"/console/merchants/{lab.merchant_id}"
    url = "https://hooks.shop.example.ir/test"
    made = await browser.post(f"{merchant}/endpoints", {"url": url, "mode": "test"})
    assert made.status == 200
    [endpoint] = await lab.dargah.services.store.webhooks.list_endpoints(lab.merchant_id)
    assert (endpoint.mode, endpoint.storefront) == (Mode.TEST, None)
    for page in (merchant, "/console/endpoints", f"/console/endpoints/{endpoint.id}"):
        assert "آزمایشی" in (await browser.get(page)).text, page
    shown = await browser.confirmed(f"{merchant}/rotate-return-secret", {"mode": "test"})
    [secret] = set(re.findall(r"dg_return_test_\w+", shown.text))
    token = await lab.issue(mode=Mode.TEST)
    assert new_signature(secret, (await paid(lab, token))[1])
    assert (await browser.post(f"{merchant}/endpoints", {"url": url, "mode": "both"})).status == 422


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
        made.any_event = True
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
