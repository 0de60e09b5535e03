"""Real shops in three languages at the live drop-in, and Dargah behind Dargah."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from e2e import languages
from e2e.playground import API_KEY, RETURN_ORIGIN, Shop, gateway, open_shop, playground, receiver, settings
from proxy.app import Dargah, running
from proxy.merchant import Mode, Scope

CALLBACK = f"{RETURN_ORIGIN}/callback"
FORMS = [
    *(("php", form) for form in ("form", "json", "array")),
    *(("mjs", form) for form in ("form", "json", "text")),
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

    async def comes_back(self, order: str, query: str) -> dict[str, Any]:
        return await self._say("return", order, query)

    async def _say(self, act: str, order: str, *rest: str, token: str | None = None) -> dict[str, Any]:
        where = (self.base, token or self.token, str(self.orders), self.form)
        return await languages.shop(self.language, act, *where, order, *rest)

    async def go(self, url: str) -> str:
        """Where a customer who opens this is sent."""
        async with self.session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]


async def facade_token(dargah: Dargah, merchant_id: str) -> str:
    setup = dargah.services.setup
    _, token = await setup.issue_token(merchant_id, "main", Mode.LIVE, [Scope.FACADE], actor="test")
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
    assert query == f"order=17&_token=a%20b&invoice_key={said['invoice_key']}"
    credited = await client.comes_back("17", query)

    [invoice] = (await shop.control("GET", f"/invoices?api_key={API_KEY}"))["invoices"]
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
        [terminal] = await outer.services.store.list_terminals(shop.merchant_id)
        await outer.services.setup.change_terminal(shop.merchant_id, terminal.id, api_key=token, actor="test")

        payment = await shop.created(amount=15_000, currency="IRT", return_url=CALLBACK)
        client = Client("py", "form", outer.url, token, tmp_path / "orders.json", inner.session)
        at_inner = await client.go(payment["pay_url"])
        assert at_inner == f"{inner.url}/invoice/pay/{payment['invoice_key']}"
        at_gateway = await client.go(at_inner)
        visit = await inner.control("POST", f"/invoices/{at_gateway.rpartition('/')[2]}/pay")
        at_outer = await client.go(visit["return_url"])
        assert at_outer.startswith(f"{outer.url}/return/")
        assert at_outer.endswith(f"?invoice_key={payment['invoice_key']}")
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
        [terminal] = await outer.services.store.list_terminals(shop.merchant_id)
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
