"""A whole Dargah and a gateway on loopback, whose every answer is held against openapi.yaml."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest
from databases.places import Rows, rows_in
from support.clock import ManualClock
from support.dargah import gateway, running_by, settings
from support.eventually import eventually, until
from support.receiver import Receiver
from yarl import URL

from proxy.app import Dargah
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.merchants.merchant import Mode, Scope
from proxy.payments.payment import Payment
from proxy.webhooks.event import EventFilter
from web.openapi_check import check_answer, check_event

API_KEY = "canary-api-key-52c1e0"
TEST_API_KEY = "canary-test-key-90bb3d"
LAST_USED = {"tokens": -2, "operators": -1}  # which column is the time of the last use
SHARED = pytest.mark.asyncio(loop_scope="module")
TERMINALS = (SimulatedTerminal(API_KEY), SimulatedTerminal(TEST_API_KEY))
ORIGIN = "https://shop.example.ir"
RETURN_URL = f"{ORIGIN}/thanks?lang=fa"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return self.headers["Location"]

    def field_codes(self) -> dict[str, str]:
        """The fields that a 422 names, with their codes."""
        return {error["field"]: error["code"] for error in self.json["errors"]}


@dataclass
class Lab:
    """One merchant with a live and a test terminal; `token` is its main storefront's."""

    dargah: Dargah
    gateway_url: str
    session: aiohttp.ClientSession
    clock: ManualClock
    folder: Path
    merchant_id: str = ""
    terminal_id: str = ""
    test_terminal_id: str = ""
    return_secret: str = ""
    token: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def set_up(self) -> None:
        setup = self.dargah.services.setup
        merchant, self.return_secret = await setup.create_merchant("فروشگاه آزمایش", [ORIGIN], actor="test")
        self.merchant_id = merchant.id
        self.terminal_id = await self._terminal(Mode.LIVE, API_KEY)
        self.test_terminal_id = await self._terminal(Mode.TEST, TEST_API_KEY)
        self.token = await self.issue()

    async def issue(
        self,
        storefront: str = "main",
        mode: Mode = Mode.LIVE,
        scopes: frozenset[Scope] | None = None,
        merchant_id: str | None = None,
        terminal_id: str | None = None,
    ) -> str:
        _, text = await self.dargah.services.setup.issue_token(
            merchant_id or self.merchant_id, storefront, mode, scopes, terminal_id, actor="test"
        )
        return text

    async def another_merchant(self) -> str:
        """The token of somebody else."""
        merchant, _ = await self.dargah.services.setup.create_merchant("دیگری", [], actor="test")
        return await self.issue(merchant_id=merchant.id)

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, which openapi.yaml must have. An empty `token` sends none."""
        sent = dict(headers or {})
        if token != "":
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        if json is not None:
            data, sent["Content-Type"] = orjson.dumps(json), "application/json"
        url = URL(path if path.startswith("http") else self.dargah.url + path, encoded=True)
        async with self.session.request(method, url, data=data, headers=sent, allow_redirects=False) as response:
            answer = Answer(response.status, response.headers, await response.read())
        if method != "HEAD":
            check_answer(method, urlsplit(str(url)).path, answer.status, answer.headers, answer.body)
        return answer

    async def create(self, key: str | None = None, token: str | None = None, **fields: Any) -> Answer:
        number = next(self._numbers)
        order = {"amount": 15_000, "currency": "IRT", "order_id": f"A-{number}"} | fields
        headers = {"Idempotency-Key": key or f"key-{number}"}
        return await self.call("POST", "/v1/payments", json=order, headers=headers, token=token)

    async def hang_up(self, calling: Coroutine[Any, Any, Answer]) -> None:
        """Begins a call, and hangs up once Dargah works on it."""
        call = asyncio.create_task(calling)
        await until(lambda: len(self.dargah.services.tasks) > 0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    async def created(self, **fields: Any) -> dict[str, Any]:
        answer = await self.create(**fields)
        assert answer.status == 201, answer.body
        payment: dict[str, Any] = answer.json
        return payment

    async def payment(self, payment_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.call("GET", f"/v1/payments/{payment_id}")).json
        return shown

    async def stored(self, payment_id: str) -> Payment:
        return await self.dargah.services.store.payments.payment(self.merchant_id, payment_id)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.gateway_url}/control/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json(content_type=None)

    async def act(self, payment: Mapping[str, Any], act: str) -> str:
        """The customer pays, cancels or fails at the bank; gives where they are sent."""
        visit = await self.control("POST", f"invoices/{payment['invoice_key']}/{act}")
        return str(visit["return_url"])

    async def fault(self, operation: str, kind: str, **more: Any) -> None:
        await self.control("POST", "faults", {"operation": operation, "kind": kind, **more})

    async def checks(self) -> int:
        """How often the gateway was asked what happened."""
        answered = (await self.control("GET", "stats"))["answered"]
        return sum(count for name, count in answered.items() if name.startswith("check:"))

    def rows(self) -> Rows:
        """Every row of every table, to see whether anything changed, without what Dargah writes of itself."""
        rows = {name: found for name, found in rows_in(self.folder).items() if name != "heartbeat"}
        for name, place in LAST_USED.items():
            rows[name] = [row[: len(row) + place] + row[len(row) + place + 1 :] for row in rows[name]]
        return rows

    async def check_events(self) -> None:
        """Holds every stored event of the merchant against its type's schema."""
        webhooks, after = self.dargah.services.store.webhooks, 0
        while events := await webhooks.list_events(self.merchant_id, EventFilter(after=after, limit=1000)):
            for event in events:
                check_event(orjson.loads(event.body))
            after = events[-1].sequence

    async def _terminal(self, mode: Mode, api_key: str) -> str:
        terminal = await self.dargah.services.setup.add_terminal(
            self.merchant_id, mode.value, self.gateway_url, api_key, mode=mode, actor="test"
        )
        return terminal.id


@asynccontextmanager
async def lab_in(folder: Path, clock: ManualClock | None = None, /, **more: Any) -> AsyncIterator[Lab]:
    """A lab whose database is in the folder, with `more` settings."""
    clock = clock or ManualClock()
    async with (
        gateway(*TERMINALS, clock=clock) as gateway_url,
        running_by(clock, settings(folder, **({"log_level": "info"} | more))) as dargah,
        aiohttp.ClientSession() as session,
    ):
        made = Lab(dargah, gateway_url, session, clock, folder)
        await made.set_up()
        yield made
        await made.check_events()


def link_of(payment: Mapping[str, Any]) -> str:
    return str(payment["pay_url"]).rpartition("/")[2]


async def endpoint_at(lab: Lab, made: Receiver, **fields: Any) -> dict[str, Any]:
    answer = await lab.call("POST", "/v1/webhook-endpoints", json={"url": made.url} | fields)
    assert answer.status == 201, answer.body
    shown: dict[str, Any] = answer.json
    return shown


async def trigger(lab: Lab, event_type: str = "payment.paid") -> dict[str, Any]:
    answer = await lab.call("POST", "/v1/events/test", json={"type": event_type})
    assert answer.status == 201, answer.body
    event: dict[str, Any] = answer.json
    return event


async def deliveries(lab: Lab, endpoint: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    listed = await lab.call("GET", f"/v1/webhook-endpoints/{endpoint['id']}/deliveries{query}")
    assert listed.status == 200, listed.body
    found: list[dict[str, Any]] = listed.json["data"]
    return found


async def settled(lab: Lab, endpoint: dict[str, Any], attempts: int = 1) -> dict[str, Any]:
    """The endpoint's newest delivery, with its log, once so many attempts of it have ended."""

    async def look() -> dict[str, Any] | None:
        rows = await deliveries(lab, endpoint)
        if not rows:
            return None
        shown = (await lab.call("GET", f"/v1/deliveries/{rows[0]['id']}")).json
        ended = [each for each in shown["log"] if each["outcome"] != "unknown"]
        return shown if len(ended) >= attempts else None

    return await eventually(look)
