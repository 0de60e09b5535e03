"""A whole Dargah on either store, with a terminal at the simulator of one family."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.clock import ManualClock
from support.eventually import eventually
from web.lab import Answer, Lab, lab_in, link_of

from proxy.gateways.family import Family
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import MINUTE
from proxy.merchants.merchant import Mode
from proxy.payments.confirmation import CALL_LEASE
from proxy.simulator.command import dialect_of

CONFIRMING = [family for family in FAMILIES.values() if family.traits.confirms]


@dataclass
class Counter:
    """A merchant's counter: its shop's payments at one family, and the customer who stands before it."""

    lab: Lab
    family: Family
    terminal_id: str
    key: str
    credentials: dict[str, str] = field(default_factory=dict)

    async def order(self, **fields: Any) -> dict[str, Any]:
        return await self.lab.created(terminal_id=self.terminal_id, **fields)

    async def invoice(self, payment: Mapping[str, Any]) -> dict[str, Any]:
        """The payment's invoice as the gateway's ledger has it."""
        listed = await self.lab.control("GET", f"invoices?api_key={self.key}")
        [found] = [each for each in listed["invoices"] if each["return_url"].endswith(link_of(payment))]
        return dict(found)

    async def act(self, payment: Mapping[str, Any], act: str) -> dict[str, Any]:
        """The customer's act at the bank, and the trip back that follows."""
        return dict(await self.lab.control("POST", f"invoices/{(await self.invoice(payment))['invoice_key']}/{act}"))

    async def travel(self, trip: Mapping[str, Any], link: str | None = None) -> Answer:
        """The browser goes back to Dargah as the bank sent it, or to another payment's link."""
        url = str(trip["return_url"])
        if link is not None:
            url = url.replace(urlsplit(url).path, f"/return/{link}")
        if trip["return_method"] == "get":
            return await self.lab.call("GET", url, token="")
        return await self.lab.call("POST", url, data=trip["params"], token="")

    async def act_and_return(self, payment: Mapping[str, Any], act: str) -> Answer:
        visit = await self.act(payment, act)
        return await self.travel(visit["returns"][0])

    async def pay(self, payment: Mapping[str, Any]) -> Answer:
        return await self.act_and_return(payment, "pay")

    async def check(self, payment: Mapping[str, Any]) -> dict[str, Any]:
        """The payment after a check, once no other call of the poller's is under way.

        A call of the poller's that ended without an answer is made again after its lease, for which the clock moves.
        """

        async def checked() -> dict[str, Any] | None:
            shown = await self.check_once(payment)
            if shown["check"]["reason"] != "under_way":
                return shown
            if len(self.lab.dargah.poller.tasks) == 0:
                self.lab.clock.forward(CALL_LEASE)
            return None

        return await eventually(checked)

    async def check_once(self, payment: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self.lab.call("POST", f"/v1/payments/{payment['id']}/check")
        assert answer.status == 200, answer.body
        return dict(answer.json)

    async def later(self, payment: Mapping[str, Any], milliseconds: int) -> dict[str, Any]:
        """The payment after that time, asked about once more."""
        self.lab.clock.forward(milliseconds)
        return await self.check(payment)

    async def events(self, payment: Mapping[str, Any]) -> list[str]:
        listed = (await self.lab.call("GET", f"/v1/events?payment_id={payment['id']}")).json["data"]
        return [event["type"] for event in listed]

    async def status(self, payment: Mapping[str, Any]) -> str:
        return str((await self.lab.payment(payment["id"]))["status"])

    @property
    def operations(self) -> list[str]:
        """The calls about an invoice that the family has."""
        traits = self.family.traits
        has = {"check": traits.checks, "confirm": traits.confirms, "settle": traits.settles}
        return [name for name, there in has.items() if there]

    @property
    def past_every_window(self) -> int:
        """Milliseconds after which no unconfirmed money is left."""
        return (self.family.traits.gives_back_after or 30 * MINUTE) + MINUTE


@pytest.fixture(params=list(FAMILIES.values()), ids=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture
async def counter(folder: Path, family: Family) -> AsyncIterator[Counter]:
    clock = ManualClock()
    async with lab_in(folder, clock) as lab:
        yield await counter_at(lab, family)


async def counter_at(lab: Lab, family: Family) -> Counter:
    """A terminal of the family, registered on both sides."""
    credentials = dict(dialect_of(family.name).sample)
    key = next(iter(credentials.values()))
    body = {"api_key": key, "family": family.name, "credentials": credentials}
    await lab.control("POST", "terminals", body)
    terminal = await lab.dargah.services.setup.add_terminal(
        lab.merchant_id,
        family.name,
        lab.gateway_url,
        None,
        mode=Mode.LIVE,
        gateway=family.name,
        credentials=credentials,
        actor="test",
    )
    return Counter(lab, family, terminal.id, key, credentials)
