"""The families' simulators are spoken to by clients that others wrote for the real gateways (see public_clients.py)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.dargah import server

from gateways.public_clients import CREDENTIALS, Customer, Driven, Front, Runtime, driven, front_of
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.simulator.command import create_app

AMOUNT_RIALS = 150_000
OTHER_RIALS = 140_000
CALLBACK = "https://shop.example/back"
NODE, OLD, MIDDLE, NEW = Runtime("node"), Runtime("python3.11"), Runtime("python3.12"), Runtime("python3.13")


@dataclass(frozen=True)
class Client:
    """A client at one family, and what it makes of the gateway's answers, in the verdicts of tests/clients/families.

    `paid` is its verdict about the verify of a payment, `again` about a second one; `other` about a verify of another
    amount than was asked for, and about one of the right amount after that; `canceled` about a verify of what the
    customer canceled. What differs from the defaults is explained in docs/gateways/clients.md.
    """

    name: str
    family: str
    runtime: Runtime = OLD
    program: str = "drive"
    paid: str = "paid"
    again: str = "again"
    other: tuple[str, str] = ("refused", "paid")
    canceled: str = "refused"

    def __str__(self) -> str:
        return f"{self.name} at {self.family}"


def _az(family: str, again: str = "paid") -> Client:
    # The shop never says an amount at verify: the package sends its own row's, or none, and compares none.
    return Client("az-iranian-bank-gateways", family, OLD, "banks", again=again, other=("paid", again))


def _dip(family: str, **more: Any) -> Client:
    return Client("django-iranian-payment", family, OLD, "banks", **more)


# Zibal's verify takes no amount: the money is kept, and a client can but say that it is another amount.
ZIBAL = ("differs", "again")

CLIENTS = (
    Client("irgateway", "zarinpal"),
    Client("pardakht", "zarinpal", other=("broken", "paid"), canceled="broken"),
    Client("zarinpal-py-sdk", "zarinpal", MIDDLE),
    Client("payman-zarinpal", "zarinpal", NEW),
    Client("zarinpal-node-sdk", "zarinpal", NODE),
    Client("zarinpal-checkout", "zarinpal", NODE),
    _az("zarinpal"),
    _dip("zarinpal"),
    Client("irgateway", "zibal", again="broken", other=("differs", "broken")),
    Client("pardakht", "zibal", other=ZIBAL),
    Client("zibal-client", "zibal", other=ZIBAL),
    Client("payman-zibal", "zibal", NEW, paid="broken", other=("broken", "again")),
    Client("zibal", "zibal", NODE, other=ZIBAL),
    _az("zibal", again="refused"),
    _dip("zibal", other=ZIBAL),
    _az("sep", again="refused"),
    _dip("sep", other=ZIBAL),
    _az("sadad", again="refused"),
    _dip("sadad", other=ZIBAL),
    _az("mellat"),
    _dip("mellat", other=("paid", "again")),
)


@dataclass
class Trade:
    """A client's shop before a simulator, and the simulator's ledger."""

    client: Driven
    customer: Customer
    control: str

    async def buys(self, number: int, action: str, asked: Sequence[int]) -> tuple[str, ...]:
        """The verdicts of a verify of each amount in turn, after the customer did that to an order of AMOUNT_RIALS."""
        there = await self.client.say(do="request", amount_rials=AMOUNT_RIALS, number=number, callback=CALLBACK)
        assert "reference" in there, there
        back = await self.customer.acts(there, action)
        stored = {"do": "verify", "number": number, "reference": there["reference"]}
        came = {"method": back.method, "returned": dict(back.params)}
        told = [await self.client.say(**stored, **came, amount_rials=rials) for rials in asked]
        return tuple(each["verdict"] for each in told)

    async def states(self) -> list[tuple[str, int]]:
        """The state and the amount of each invoice, oldest first."""
        async with self.customer.session.get(f"{self.control}/control/invoices") as answer:
            rows = (await answer.json())["invoices"]
        return [(row["state"], row["amount_rials"]) for row in rows]


def terminal_of(family: str) -> SimulatedTerminal:
    """The simulator's terminal that has the credentials of the tests."""
    main, *rest = CREDENTIALS[family].items()
    return SimulatedTerminal(main[1], family=family, credentials=dict(rest))


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[tuple[Front, str]]:
    app = create_app(terminals=[terminal_of(family) for family in CREDENTIALS])
    async with server(app) as url, front_of(url, tmp_path) as made:
        yield made, url


@pytest.mark.parametrize("client", CLIENTS, ids=str)
async def test_a_client_of_others_is_told_the_truth(front: tuple[Front, str], client: Client) -> None:
    made, url = front
    async with (
        driven(client.runtime, client.program, client.name, client.family, made) as program,
        aiohttp.ClientSession() as session,
    ):
        trade = Trade(program, Customer(made, session), url)
        paid = await trade.buys(17, "pay", [AMOUNT_RIALS, AMOUNT_RIALS])
        other = await trade.buys(18, "pay", [OTHER_RIALS, AMOUNT_RIALS])
        canceled = await trade.buys(19, "cancel", [AMOUNT_RIALS])
        states = await trade.states()
    assert (paid, other, canceled) == ((client.paid, client.again), client.other, (client.canceled,))
    assert states == [(state, AMOUNT_RIALS) for state in ("captured", "captured", "canceled")]
