"""A family's client against its simulator, over real HTTP, with a clock that the test holds; and the customer."""

import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from aiohttp.test_utils import TestServer
from support.clock import ManualClock

from proxy.gateways.family import Family
from proxy.gateways.port import (
    Account,
    CheckOutcome,
    GatewayClient,
    Inquiry,
    InvoiceIssued,
    Purchase,
    RequestOutcome,
)
from proxy.gateways.simulation.faults import Fault, FaultKind, GatewayOperation, Rule
from proxy.gateways.simulation.gateway import SimulatedGateway
from proxy.gateways.simulation.ledger import Invoice, SimulatedTerminal
from proxy.http.outbound.connector import ClientOptions
from proxy.simulator.command import GATEWAY, create_app

AMOUNT = 150_000
RETURN_URL = "https://pay.example.ir/returns/tok_9f8e7d6c5b4a"


@dataclass
class Simulated:
    """One terminal of one family. `key` is an invoice_key of the family's, as everywhere."""

    family: Family
    client: GatewayClient
    account: Account
    gateway: SimulatedGateway
    clock: ManualClock
    session: aiohttp.ClientSession
    numbers: Any = field(default_factory=lambda: count(1402))

    def set_up(self, **changes: Any) -> None:
        """The terminal at the bank: as the account has it, and what is changed."""
        ours = {"api_key": self.account.terminal_id, "credentials": self.account.credentials}
        self.gateway.bank.put_terminal(SimulatedTerminal(**ours | changes, family=self.family.name))

    def fault(self, operation: GatewayOperation, kind: FaultKind, times: int = 1) -> None:
        self.gateway.faults.add(Rule(operation, Fault(kind), times=times))

    async def request(self, number: int | None = None, account: Account | None = None) -> RequestOutcome:
        purchase = Purchase(next(self.numbers) if number is None else number)
        return (await self.client.request(account or self.account, AMOUNT, RETURN_URL, purchase)).outcome

    async def issued(self) -> str:
        outcome = await self.request()
        assert isinstance(outcome, InvoiceIssued)
        return outcome.invoice_key

    async def open(self, key: str, fields: Mapping[str, str] | None = None, referrer: str = "") -> tuple[int, str]:
        """The customer opens the way there: the status, and the page."""
        way = self.family.way_there(self.account.gateway_url, key)
        method = "GET" if way.fields is None else "POST"
        form = dict(way.fields or {}) | dict(fields or {})
        async with self.session.request(
            method, way.url, data=form or None, headers={"Referer": referrer}, allow_redirects=False
        ) as page:
            return page.status, page.headers.get("Location") or await page.text()

    async def act(self, key: str, action: str) -> dict[str, str]:
        """The customer presses a button of the page: the parameters that go back to return_url."""
        _, page = await self.open(key)
        way = self.family.way_there(self.account.gateway_url, key)
        pressed = form_of(page) | {"action": action}
        async with self.session.post(way.url, data=pressed, allow_redirects=False) as answer:
            back = answer.headers.get("Location")
            return form_of(await answer.text()) if back is None else dict(parse_qsl(urlsplit(back).query))

    async def paid(self, key: str) -> Inquiry:
        return self.inquiry(key, await self.act(key, "pay"))

    def inquiry(self, key: str, returned: Mapping[str, str]) -> Inquiry:
        """With what is kept of a return."""
        kept = {name: returned[name] for name in self.family.traits.evidence if returned.get(name)}
        return Inquiry(key, AMOUNT, kept)

    async def check(self, key: str, account: Account | None = None) -> CheckOutcome:
        return (await self.client.check(account or self.account, key)).outcome

    async def confirm(self, inquiry: Inquiry, account: Account | None = None) -> CheckOutcome:
        return (await self.client.confirm(account or self.account, inquiry)).outcome

    async def reverse(self, inquiry: Inquiry) -> CheckOutcome:
        return (await self.client.reverse(self.account, inquiry)).outcome

    def invoice(self, key: str) -> Invoice:
        """The bank's own row."""
        return self.gateway.bank.invoice(key.rpartition(":")[2])


def form_of(page: str) -> dict[str, str]:
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in pairs}


@asynccontextmanager
async def simulated(family: Family, terminal_id: str, credentials: Mapping[str, str]) -> AsyncIterator[Simulated]:
    clock = ManualClock()
    app = create_app(clock=clock, randomness=Random(1), families=[family.name])
    client: GatewayClient = family.make(ClientOptions(now=clock), request_seconds=5, check_seconds=5)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        account = Account(terminal_id, str(server.make_url("")), credentials, family.name)
        made = Simulated(family, client, account, app[GATEWAY], clock, session)
        made.set_up()
        yield made
        await client.close()
