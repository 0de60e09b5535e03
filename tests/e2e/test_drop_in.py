"""Shops in four languages, as public clients are written, at the simulator and at the drop-in in its place.

And Dargah behind Dargah.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
from support.dargah import API_KEY, gateway, settings
from support.receiver import receiver
from support.shop import RETURN_ORIGIN, Shop, open_shop, playground
from yarl import URL

from e2e import languages
from proxy.app import Dargah, running
from proxy.merchants.merchant import Mode, ReturnMethod, Scope

CALLBACK = f"{RETURN_ORIGIN}/callback"
FORMS = [
    *(("php", form) for form in ("form", "json", "array")),
    *(("mjs", form) for form in ("form", "json", "text")),
    *(("lua", form) for form in ("form", "raw")),
    *(("py", form) for form in ("form", "json", "raw")),
]


@dataclass(frozen=True)
class Client:
    """A shop in some language, with its own orders."""

    language: str
    form: str
    base: str
    token: str
    orders: Path
    session: aiohttp.ClientSession

    async def request(self, order: str, amount: int, token: str | None = None) -> dict[str, Any]:
        return await self._say("request", order, str(amount), CALLBACK, token=token)

    async def comes_back(self, order: str, query: str, body: str = "", reads: str = "any") -> dict[str, Any]:
        return await self._say("return", order, query, body, reads)

    async def _say(self, act: str, order: str, *rest: str, token: str | None = None) -> dict[str, Any]:
        where = (self.base, token or self.token, str(self.orders), self.form)
        return await languages.shop(self.language, act, *where, order, *rest)

    async def go(self, url: str) -> str:
        """Where a customer who opens this is sent."""
        async with self.session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]


async def facade_token(dargah: Dargah, merchant_id: str, method: ReturnMethod = ReturnMethod.GET) -> str:
    setup = dargah.services.setup
    _, token = await setup.issue_token(
        merchant_id, "main", Mode.LIVE, [Scope.FACADE], return_method=method, actor="test"
    )
    return token


async def pay(client: Client, shop: Shop, said: dict[str, Any]) -> str:
    """The customer pays and comes back; gives the query that the shop's callback gets."""
    at_gateway = await client.go(said["pay_url"])
    visit = await shop.control("POST", f"/invoices/{at_gateway.rpartition('/')[2]}/pay")
    home = await client.go(visit["return_url"])
    assert home.startswith(f"{CALLBACK}?")
    return urlsplit(home).query


@pytest.fixture
async def live(folder: Path) -> AsyncIterator[tuple[Shop, str]]:
    async with playground(folder) as (shop, dargah):
        yield shop, await facade_token(dargah, shop.merchant_id)


@pytest.mark.parametrize(("language", "form"), FORMS)
async def test_a_shop_is_paid_and_told_the_truth(
    live: tuple[Shop, str], tmp_path: Path, language: str, form: str
) -> None:
    languages.require(language)
    shop, token = live
    client = Client(language, form, shop.url, token, tmp_path / "orders.json", shop.session)

    said = await client.request("17", 150_000)
    query = await pay(client, shop, said)
    [invoice] = (await shop.control("GET", f"/invoices?api_key={API_KEY}"))["invoices"]
    assert query == f"order=17&_token=a%20b&invoice_key={said['invoice_key']}&bank_code={invoice['bank_code']}"
    credited = await client.comes_back("17", query)

    assert credited == {"credited": True, "bank_code": invoice["bank_code"]}
    [event] = await shop.receiver.told()
    assert (event["type"], event["data"]["amount_rials"]) == ("payment.paid", 150_000)


@pytest.mark.parametrize(("language", "form"), [("php", "form"), ("mjs", "form"), ("py", "form")])
async def test_a_shop_refuses_what_is_not_its_order(
    live: tuple[Shop, str], tmp_path: Path, language: str, form: str
) -> None:
    languages.require(language)
    shop, token = live
    client = Client(language, form, shop.url, token, tmp_path / "orders.json", shop.session)
    cheap, dear = await client.request("1", 1000), await client.request("2", 9_000_000)
    query = await pay(client, shop, cheap)

    assert await client.comes_back("2", query) == {"credited": False, "why": "key"}
    own = f"invoice_key={dear['invoice_key']}&status=0&bank_code=1"
    assert await client.comes_back("2", own) == {"credited": False, "why": 201}
    refused = await client.request("3", 150_000, token=shop.token)
    assert (refused["status"], refused["errorCode"]) == (0, 101)
    assert (await client.comes_back("1", query))["credited"]


async def test_dargah_behind_dargah_is_a_faithful_gateway(tmp_path: Path) -> None:
    for name in ("inner", "outer"):
        (tmp_path / name).mkdir()
    async with AsyncExitStack() as stack:
        inner, dargah = await stack.enter_async_context(playground(tmp_path / "inner"))
        hook = await stack.enter_async_context(receiver())
        outer = await stack.enter_async_context(running(settings(tmp_path / "outer")))
        setup = dargah.services.setup
        await setup.change_merchant(inner.merchant_id, return_origins=[outer.url], actor="test")
        token = await facade_token(dargah, inner.merchant_id)
        shop = await open_shop(outer, inner.url, hook, inner.session)
        [terminal] = await outer.services.store.merchants.list_terminals(shop.merchant_id)
        await outer.services.setup.change_terminal(shop.merchant_id, terminal.id, api_key=token, actor="test")

        payment = await shop.created(amount=15_000, currency="IRT", return_url=CALLBACK)
        client = Client("py", "form", outer.url, token, tmp_path / "orders.json", inner.session)
        at_inner = await client.go(payment["pay_url"])
        assert at_inner == f"{inner.url}/invoice/pay/{payment['invoice_key']}"
        at_gateway = await client.go(at_inner)
        visit = await inner.control("POST", f"/invoices/{at_gateway.rpartition('/')[2]}/pay")
        at_outer = await client.go(visit["return_url"])
        assert at_outer.startswith(f"{outer.url}/return/")
        assert f"?invoice_key={payment['invoice_key']}&bank_code=" in at_outer
        assert "status=paid" in await client.go(at_outer)

        [invoice] = (await inner.control("GET", f"/invoices?api_key={API_KEY}"))["invoices"]
        paid = await shop.payment(payment["id"])
        assert (paid["status"], paid["bank_code"], paid["amount_rials"]) == ("paid", invoice["bank_code"], 150_000)
        assert {event["type"] for event in [*(await inner.receiver.told()), *(await hook.told())]} == {"payment.paid"}


async def test_a_cancel_and_a_refusal_pass_through_two_dargahs(tmp_path: Path) -> None:
    for name in ("inner", "outer"):
        (tmp_path / name).mkdir()
    async with AsyncExitStack() as stack:
        inner, dargah = await stack.enter_async_context(playground(tmp_path / "inner"))
        hook = await stack.enter_async_context(receiver())
        outer = await stack.enter_async_context(running(settings(tmp_path / "outer")))
        token = await facade_token(dargah, inner.merchant_id)
        shop = await open_shop(outer, inner.url, hook, inner.session)
        [terminal] = await outer.services.store.merchants.list_terminals(shop.merchant_id)
        await outer.services.setup.change_terminal(shop.merchant_id, terminal.id, api_key=token, actor="test")

        status, problem = await shop.create()
        assert (status, problem["gateway_error_code"]) == (502, 203)
        await dargah.services.setup.change_merchant(inner.merchant_id, return_origins=[outer.url], actor="test")
        payment = await shop.created()
        client = Client("py", "form", outer.url, token, tmp_path / "orders.json", inner.session)
        at_gateway = await client.go(f"{inner.url}/invoice/pay/{payment['invoice_key']}")
        visit = await inner.control("POST", f"/invoices/{at_gateway.rpartition('/')[2]}/cancel")
        async with inner.session.get(await client.go(visit["return_url"])) as page:
            assert "پرداخت لغو شد" in await page.text()
        assert (await shop.payment(payment["id"]))["status"] == "canceled"


async def test_a_gateway_in_the_playground_is_the_oracle(tmp_path: Path) -> None:
    """The clients' check is not fooled: with no payment there is nothing to credit."""
    async with gateway() as url, aiohttp.ClientSession() as session:
        client = Client("py", "form", url, API_KEY, tmp_path / "orders.json", session)
        said = await client.request("17", 150_000)
        assert await client.comes_back("17", f"invoice_key={said['invoice_key']}") == {"credited": False, "why": 201}


# A language, how it writes a call, what it reads of a return, and which return of a gateway's suits it.
CLIENTS = {
    "PHP, reads a GET alone and encodes the return_url twice": ("php", "form", "query", "get"),
    "PHP, reads a POST alone and sends multipart": ("php", "array", "body", "post"),
    "Node, takes a bank_code for paid": ("mjs", "json", "bank_code", "get"),
    "Python, takes a bank_code for paid and encodes nothing": ("py", "raw", "bank_code", "post"),
    "Lua, reads a GET alone and puts the key into addresses by hand": ("lua", "form", "query", "get"),
    "Lua, reads a POST alone and encodes nothing": ("lua", "raw", "body", "post"),
}


@dataclass(frozen=True)
class Place:
    """Where shops send their calls: the simulator itself, or a drop-in in front of it."""

    shop: Shop
    dargah: Dargah
    at_simulator: bool
    method: str

    async def client(self, language: str, form: str, orders: Path) -> Client:
        if self.at_simulator:
            way = {"api_key": API_KEY, "return_method": self.method, "return_extras": ["bank_code"]}
            await self.shop.control("POST", "/terminals", way)
            return Client(language, form, self.shop.gateway_url, API_KEY, orders, self.shop.session)
        token = await facade_token(self.dargah, self.shop.merchant_id, ReturnMethod(self.method))
        return Client(language, form, self.shop.url, token, orders, self.shop.session)

    async def visit(self, client: Client, said: dict[str, Any], act: str) -> tuple[str, str]:
        """What the customer brings back to the shop after that act: the query and the body."""
        at_gateway = said["pay_url"] if self.at_simulator else await client.go(said["pay_url"])
        trip = await self.shop.control("POST", f"/invoices/{at_gateway.rpartition('/')[2]}/{act}")
        if self.at_simulator:
            body = urlencode(trip["params"]) if trip["return_method"] == "post" else ""
            return urlsplit(trip["return_url"]).query, body
        return await self._sent_home(trip["return_url"])

    async def _sent_home(self, return_url: str) -> tuple[str, str]:
        async with self.shop.session.get(URL(return_url, encoded=True), allow_redirects=False) as answer:
            if answer.status == 303:
                return urlsplit(answer.headers["Location"]).query, ""
            page = await answer.text()
        [action] = re.findall(r'<form method="post" action="([^"]+)"', page)
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        return urlsplit(unescape(action)).query, urlencode([(name, unescape(value)) for name, value in fields])


@pytest.fixture
async def running_shop(tmp_path: Path) -> AsyncIterator[tuple[Shop, Dargah]]:
    async with playground(tmp_path) as running:
        yield running


@pytest.mark.parametrize("where", ["simulator", "drop-in", "drop-in, both ways"])
@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_credits_what_is_paid_and_nothing_else(
    running_shop: tuple[Shop, Dargah], tmp_path: Path, name: str, where: str
) -> None:
    language, form, reads, suits = CLIENTS[name]
    languages.require(language)
    place = Place(*running_shop, where == "simulator", "both" if where == "drop-in, both ways" else suits)
    client = await place.client(language, form, tmp_path / "orders")

    paid = await client.request("paid", 150_000)
    back = await place.visit(client, paid, "pay")
    [invoice] = (await place.shop.control("GET", f"/invoices?api_key={API_KEY}"))["invoices"]
    assert await client.comes_back("paid", *back, reads) == {"credited": True, "bank_code": invoice["bank_code"]}

    for act in ("cancel", "fail"):
        said = await client.request(act, 150_000)
        why = "bank_code" if reads == "bank_code" else 202
        brought = await place.visit(client, said, act)
        assert await client.comes_back(act, *brought, reads) == {"credited": False, "why": why}

    dear = await client.request("dear", 9_000_000)
    assert await client.comes_back("dear", *back, reads) == {"credited": False, "why": "key"}
    forged = urlencode({"invoice_key": dear["invoice_key"], "bank_code": "1"})
    assert await client.comes_back("dear", forged, forged, reads) == {"credited": False, "why": 201}
    assert (await client.request("low", 999))["errorCode"] == 102
    assert (await client.request("stranger", 150_000, token="nobody"))["errorCode"] == 101


@pytest.mark.parametrize(("reads", "sent"), [("body", "get"), ("query", "post")])
async def test_a_client_that_reads_the_other_way_needs_both(
    running_shop: tuple[Shop, Dargah], tmp_path: Path, reads: str, sent: str
) -> None:
    languages.require("php")
    for method, credited in ((sent, False), ("both", True)):
        place = Place(*running_shop, at_simulator=False, method=method)
        client = await place.client("php", "form", tmp_path / method)
        back = await place.visit(client, await client.request("17", 150_000), "pay")
        assert (await client.comes_back("17", *back, reads))["credited"] is credited
