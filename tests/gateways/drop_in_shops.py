"""Shops at Dargah on clients that others wrote for ZarinPal and Zibal, and on those of the invoice script.

Each keeps its orders and its credits as the client's documents tell: it looks an order up by the reference that came
back, verifies with the amount that it stored, and credits an order once, for "paid" or for "verified before".
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

from e2e.test_clients import require_language, shop_says

from gateways.public_clients import Driven, Front, Runtime, Trip, driven

CALLBACK: Final = "https://shop.example/back"
ORIGIN: Final = "https://shop.example"
NODE, OLD, MIDDLE, NEW = Runtime("node"), Runtime("python3.11"), Runtime("python3.12"), Runtime("python3.13")


@dataclass(frozen=True)
class Plugin:
    """A client as a shop has it.

    `runtime` and `program` drive one of ZarinPal or Zibal; `language`, `form` and `reads` one of the script, whose
    returns are by `method`. `sends_amount` is whether the shop says or compares an amount at verify, and `toman` its
    unit. `first` is the client's verdict about the first verify. `loses_again` is whether it takes "verified before"
    for "canceled", so that an order whose first answer was lost is never credited: docs/gateways/clients.md.
    """

    name: str
    protocol: str
    runtime: Runtime = OLD
    program: str = "drive"
    language: str = ""
    form: str = "form"
    reads: str = "any"
    method: str = "get"
    sends_amount: bool = True
    toman: bool = False
    first: str = "paid"
    loses_again: bool = False

    def __str__(self) -> str:
        return f"{self.protocol}: {self.name}"


def _script(language: str, form: str, reads: str, method: str) -> Plugin:
    names = {"php": "PHP", "mjs": "Node", "lua": "Lua", "py": "Python"}
    name = f"{names[language]}, sends {form}, reads {reads}"
    return Plugin(name, "invoice_script", language=language, form=form, reads=reads, method=method)


PLUGINS: Final = (
    _script("php", "form", "query", "get"),
    _script("php", "array", "body", "post"),
    _script("mjs", "json", "bank_code", "get"),
    _script("py", "raw", "bank_code", "post"),
    _script("lua", "form", "query", "get"),
    _script("lua", "raw", "body", "post"),
    Plugin("irgateway", "zarinpal"),
    Plugin("pardakht", "zarinpal"),
    Plugin("zarinpal-py-sdk", "zarinpal", MIDDLE),
    Plugin("payman-zarinpal", "zarinpal", NEW),
    Plugin("zarinpal-node-sdk", "zarinpal", NODE),
    Plugin("zarinpal-checkout", "zarinpal", NODE, toman=True),
    Plugin("az-iranian-bank-gateways", "zarinpal", OLD, "banks", sends_amount=False, toman=True),
    Plugin("django-iranian-payment", "zarinpal", OLD, "banks"),
    Plugin("irgateway", "zibal"),
    Plugin("pardakht", "zibal"),
    Plugin("zibal-client", "zibal"),
    Plugin("payman-zibal", "zibal", NEW, first="broken"),
    Plugin("zibal", "zibal", NODE),
    Plugin("az-iranian-bank-gateways", "zibal", OLD, "banks", sends_amount=False, loses_again=True),
    Plugin("django-iranian-payment", "zibal", OLD, "banks"),
)
CREDENTIAL: Final = {"zarinpal": "merchant_id", "zibal": "merchant"}
"""Where a shop puts its token, by protocol."""


def verify_call(protocol: str, token: str, reference: str, rials: int, *, toman: bool) -> tuple[str, dict[str, Any]]:
    """The path and the fields of a verify, as the protocol has it."""
    if protocol == "zarinpal":
        amount = rials // 10 if toman else rials
        return "/pg/v4/payment/verify.json", {"merchant_id": token, "authority": reference, "amount": amount}
    if protocol == "zibal":
        return "/v1/verify", {"merchant": token, "trackId": int(reference)}
    return f"/invoice/check/{reference}", {"api_key": token}


def verdict_of(protocol: str, told: Mapping[str, Any]) -> str:
    """What the answer to a verify says: `paid`, `again` or the code of another answer."""
    if protocol == "zarinpal":
        code = (told["data"] or told["errors"])["code"]
    else:
        code = told["result"] if protocol == "zibal" else told["status"]
    return {100: "paid", 1: "paid", 101: "again", 201: "again"}.get(code, str(code))


class Shop(Protocol):
    """`credits` are the numbers of its orders in the order of their credits, `said` is what the client said last."""

    credits: list[int]
    said: str

    async def order(self, number: int, rials: int) -> dict[str, Any]:
        """What the client says to a new order: `url` and `fields` are the customer's way, or there is none."""
        ...

    async def asks(self, number: int, back: Trip | None = None, rials: int | None = None) -> str:
        """The client's verdict about the order, which is credited by it: `paid`, `again` or another.

        `back` is what the customer brought, `rials` another amount than the shop's.
        """
        ...

    async def asks_with_key_of(self, number: int, other: int, back: Trip, /) -> str:
        """The verdict about an order at whose callback a customer came with what belongs to another."""
        ...


@dataclass
class PublicShop:
    """On a client of ZarinPal or Zibal, which runs."""

    client: Driven
    credits: list[int] = field(default_factory=list)
    said: str = ""
    orders: dict[int, tuple[str, int]] = field(default_factory=dict)

    async def order(self, number: int, rials: int) -> dict[str, Any]:
        there = await self.client.say(do="request", amount_rials=rials, number=number, callback=CALLBACK)
        if "reference" in there:
            self.orders[number] = (there["reference"], rials)
        return there

    async def asks(self, number: int, back: Trip | None = None, rials: int | None = None) -> str:
        reference, own = self.orders[number]
        return await self._verdict(number, reference, own if rials is None else rials, back)

    async def asks_with_key_of(self, number: int, other: int, back: Trip) -> str:
        return await self._verdict(number, self.orders[other][0], self.orders[number][1], back)

    async def _verdict(self, number: int, reference: str, rials: int, back: Trip | None) -> str:
        came = back or Trip("GET", CALLBACK, {})
        stored = {"do": "verify", "number": number, "reference": reference, "amount_rials": rials}
        told = await self.client.say(**stored, method=came.method, returned=dict(came.params))
        self.said = str(told["says"])
        if told["verdict"] in ("paid", "again") and number not in self.credits:
            self.credits.append(number)
        return str(told["verdict"])


@dataclass
class ScriptShop:
    """On a client of the script: a program for each act, its orders in a file. It requests at the first of `bases` and
    checks at the second.
    """

    plugin: Plugin
    bases: tuple[str, str]
    token: str
    file: Path
    credits: list[int] = field(default_factory=list)
    said: str = ""

    async def order(self, number: int, rials: int) -> dict[str, Any]:
        said = await self._say("request", self.bases[0], number, str(rials), CALLBACK)
        return (
            {"url": said["pay_url"], "fields": None, "reference": said["invoice_key"]} if said["status"] == 1 else said
        )

    async def asks(self, number: int, back: Trip | None = None, rials: int | None = None) -> str:
        own, key = self._read(number)
        # The plugins ask only when a customer comes back; a shop that asks by itself calls that with its own key.
        back = back or Trip("GET", CALLBACK, {"invoice_key": key, "bank_code": "1"})
        self._write(number, own if rials is None else rials, key)
        verdict = await self._verdict(number, back)
        self._write(number, own, key)
        return verdict

    async def asks_with_key_of(self, number: int, _other: int, back: Trip) -> str:
        return await self._verdict(number, back)

    async def _verdict(self, number: int, back: Trip) -> str:
        query, body = urlsplit(back.url).query, urlencode(back.params)
        said = await self._say("return", self.bases[1], number, query or body, body, self.plugin.reads)
        self.said = str(said.get("why"))
        if not said["credited"]:
            return "refused"
        if number in self.credits:
            return "again"
        self.credits.append(number)
        return "paid"

    async def _say(self, act: str, base: str, number: int, *rest: str) -> dict[str, Any]:
        plugin = self.plugin
        return await shop_says(plugin.language, act, base, self.token, str(self.file), plugin.form, str(number), *rest)

    def _read(self, number: int) -> tuple[int, str]:
        """The amount and the key of an order, as the program stored them: JSON, or Lua's line."""
        text = self.file.read_text()
        if self.plugin.language != "lua":
            own = json.loads(text)[str(number)]
            return own["amount"], own["key"]
        [(amount, key)] = [line.split()[1:] for line in text.splitlines() if line.split()[0] == str(number)]
        return int(amount), key

    def _write(self, number: int, rials: int, key: str) -> None:
        text = self.file.read_text()
        if self.plugin.language == "lua":
            kept = [line for line in text.splitlines() if line.split()[0] != str(number)]
            self.file.write_text("\n".join([*kept, f"{number} {rials} {key}", ""]))
        else:
            orders = json.loads(text)
            self.file.write_text(json.dumps(orders | {str(number): orders[str(number)] | {"amount": rials}}))


@asynccontextmanager
async def shop_on(plugin: Plugin, token: str, bases: tuple[str, str], front: Front) -> AsyncIterator[Shop]:
    """A shop on this client, with its token; skips the test where the client cannot run."""
    if plugin.protocol not in CREDENTIAL:
        require_language(plugin.language)
        yield ScriptShop(plugin, bases, token, front.authority.folder / f"orders-{token[-8:]}.json")
        return
    given = {CREDENTIAL[plugin.protocol]: token}
    async with driven(plugin.runtime, plugin.program, plugin.name, plugin.protocol, front, given) as program:
        yield PublicShop(program)
