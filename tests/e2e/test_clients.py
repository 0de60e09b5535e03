"""Clients as merchants have them: shops in four languages at the drop-in, and libraries that verify webhooks.

The shops are at the simulator and at the drop-in in its place, and Dargah is behind Dargah. Webhooks are real
deliveries, verified also by the servers of docs/webhooks.md.
"""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook
from standardwebhooks import WebhookVerificationError as StandardRefused
from support import certified
from support.dargah import API_KEY, gateway, settings
from support.eventually import eventually, listening
from support.ports import free_port
from support.receiver import receiver
from support.shop import RETURN_ORIGIN, Shop, open_shop, playground
from yarl import URL

from proxy.app import Dargah, running
from proxy.kernel.clock import system_now
from proxy.merchants.merchant import Mode, ReturnMethod, Scope
from proxy.webhooks.request import new_secret, signed_headers

PROGRAMS = Path(__file__).parents[1] / "clients"
RUNNERS = {"php": "php", "mjs": "node", "lua": "lua5.4", "py": sys.executable}
PATIENCE_SECONDS = 60
_LUA_NEEDS = 'require("socket.http") require("ssl.https")'


@cache
def _missing(language: str) -> str:
    """Why programs of this language cannot run here; empty when they can."""
    runner = shutil.which(RUNNERS[language])
    if runner is None:
        return f"NOT RUN: {RUNNERS[language]} is not installed (`.ci/run` installs it where it can)"
    if language == "php" and "curl" not in subprocess.check_output([runner, "-m"], text=True):
        return "NOT RUN: PHP has no curl here (Debian's php-curl)"
    if language == "lua" and subprocess.call([runner, "-e", _LUA_NEEDS], stderr=subprocess.DEVNULL):
        return "NOT RUN: Lua has no LuaSocket or LuaSec here (Debian's lua-socket and lua-sec)"
    return ""


def require_language(language: str) -> None:
    """Skips the test, saying so, where the language is missing."""
    if why := _missing(language):
        pytest.skip(why)


async def run_program(language: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a program prints; fails when it fails. The servers that it talks to run meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(RUNNERS[language], *arguments), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def shop_says(language: str, *arguments: str) -> dict[str, Any]:
    """What the shop of this language says."""
    said: dict[str, Any] = json.loads(await run_program(language, str(PROGRAMS / f"shop.{language}"), *arguments))
    return said


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
        return await shop_says(self.language, act, *where, order, *rest)

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
    require_language(language)
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
    require_language(language)
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
    require_language(language)
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
    require_language("php")
    for method, credited in ((sent, False), ("both", True)):
        place = Place(*running_shop, at_simulator=False, method=method)
        client = await place.client("php", "form", tmp_path / method)
        back = await place.visit(client, await client.request("17", 150_000), "pay")
        assert (await client.comes_back("17", *back, reads))["credited"] is credited


DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"
NPM_SECONDS = 60
ORDERS = {"17": 250_000, "18": 150_000, "19": 150_000}
# `make test-clients` sets it: then a client that cannot be had is a failure, not a skip.
REQUIRED = os.environ.get("DARGAH_TEST_CLIENTS") == "required"


def example(language: str) -> str:
    """The one server of the document in this language."""
    [text] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return str(text)


async def call(shop: Shop, method: str, path: str, body: Any = None) -> Any:
    status, answer = await shop.call(method, path, body)
    assert status < 300, answer
    return answer


async def attempts(shop: Shop, endpoint_id: str) -> list[dict[str, Any]]:
    """What came of each attempt at the endpoint, once they have ended."""

    async def look() -> list[dict[str, Any]] | None:
        rows = (await call(shop, "GET", f"/v1/webhook-endpoints/{endpoint_id}/deliveries"))["data"]
        logs = [(await call(shop, "GET", f"/v1/deliveries/{row['id']}"))["log"] for row in rows]
        flat: list[dict[str, Any]] = [each for log in logs for each in log]
        return flat if flat and all(each["outcome"] != "unknown" for each in flat) else None

    return await eventually(look)


async def test_python_libraries_verify_a_live_delivery_also_in_the_middle_of_a_rotation(shop: Shop) -> None:
    from svix.webhooks import Webhook as SvixWebhook  # noqa: PLC0415  a second for each process that collects it
    from svix.webhooks import WebhookVerificationError as SvixRefused  # noqa: PLC0415

    async with receiver() as made:
        endpoint = await call(shop, "POST", "/v1/webhook-endpoints", {"url": made.url, "signatures": ["v1", "v1a"]})
        path = f"/v1/webhook-endpoints/{endpoint['id']}"
        payment = await shop.paid()
        await attempts(shop, endpoint["id"])
        rotated = await call(shop, "POST", f"{path}/rotate-secret", {"overlap_seconds": 600})
        await call(shop, "POST", f"{path}/test")
        ended = await call(shop, "POST", f"{path}/rotate-secret", {"overlap_seconds": 0})
        await call(shop, "POST", f"{path}/test")
    first, middle, last = made.requests
    old, new, newest = endpoint["secret"], rotated["secret"], ended["secret"]
    for (headers, body), valid, invalid in (
        (first, [old], [new, newest]),
        (middle, [old, new], [newest]),
        (last, [newest], [old, new]),
    ):
        for secret in valid:
            assert Webhook(secret).verify(body, headers)
            SvixWebhook(secret).verify(body, headers)  # gives nothing, or raises
        for secret in invalid:
            with pytest.raises(StandardRefused):
                Webhook(secret).verify(body, headers)
            with pytest.raises(SvixRefused):
                SvixWebhook(secret).verify(body, headers)
    told = Webhook(old).verify(first[1], first[0])
    assert (told["type"], told["data"]["id"]) == ("payment.paid", payment["id"])
    for public in (endpoint["public_key"], rotated["public_key"]):
        assert any(signed_by(public, middle))
    assert not any(signed_by(ended["public_key"], middle))


def signed_by(public: str, message: tuple[dict[str, str], bytes]) -> list[bool]:
    """Whether each `v1a` signature is this key's, by the specification's words rather than by our code."""
    headers, body = message
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body

    def matches(signature: str) -> bool:
        try:
            key.verify(base64.b64decode(signature.removeprefix("v1a,")), content)
        except Exception:  # noqa: BLE001  whatever a verifier says that is not yes
            return False
        return True

    return [matches(each) for each in headers["webhook-signature"].split(" ") if each.startswith("v1a,")]


@asynccontextmanager
async def documented(
    command: list[str], folder: Path, secret: str, port: int, orders: Mapping[str, int]
) -> AsyncIterator[asyncio.StreamReader]:
    """A server of the document, listening; gives its standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | {"DARGAH_WEBHOOK_SECRET": secret, "PORT": str(port), "ORDERS": json.dumps(orders)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        await listening(port, lambda: process.returncode is None)
        yield process.stdout
    finally:
        process.kill()
        await process.communicate()


async def plays_its_part(shop: Shop, command: list[str], folder: Path) -> None:
    """The documented server takes what Dargah sends, credits once, and refuses what is forged or unsigned."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    endpoint = await call(shop, "POST", "/v1/webhook-endpoints", {"url": url})
    # In the middle of a rotation: the server still has the old secret.
    await call(shop, "POST", f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret", {"overlap_seconds": 600})
    async with documented(command, folder, endpoint["secret"], port, ORDERS) as out:
        await shop.paid(order_id="17", amount=250_000)
        assert [each["http_status"] for each in await attempts(shop, endpoint["id"])] == [204]
        rows = (await call(shop, "GET", f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"))["data"]
        await call(shop, "POST", f"/v1/deliveries/{rows[0]['id']}/retry")

        async def again() -> bool | None:
            return True if len(await attempts(shop, endpoint["id"])) == 2 else None

        await eventually(again)
        await call(shop, "POST", "/v1/events/test", {"type": "payment.paid"})
        assert (await call(shop, "POST", f"/v1/webhook-endpoints/{endpoint['id']}/test"))["http_status"] == 204
        [(headers, body), *_] = shop.receiver.requests
        for sent in ({}, headers):
            async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=sent) as answer:
                assert answer.status == 400, "it is signed for another endpoint, or not at all"
        await credits_nothing_that_is_not_its_own(url, endpoint["secret"], json.loads(body))
        # Nothing of that, of the retry and of the test event was credited: it would stand before this line.
        await shop.paid(order_id="18")
        async with asyncio.timeout(20):
            lines = [(await out.readline()).decode().strip() for _ in range(2)]
    assert lines == ["paid: 17 250000", "paid: 18 150000"]


async def credits_nothing_that_is_not_its_own(url: str, secret: str, event: dict[str, Any]) -> None:
    """Signed under the server's own secret, as if secrets or endpoints were mixed up: taken, and not credited."""
    others: list[dict[str, Any]] = [
        {"mode": "test", "test": True},
        {"test": True},
        {"storefront": "other"},
        {"amount_rials": ORDERS["19"] - 1},
        {"order_id": "20"},
    ]
    async with aiohttp.ClientSession() as session:
        for number, changes in enumerate(others):
            body = json.dumps(event | {"data": event["data"] | {"order_id": "19", "amount_rials": 150_000} | changes})
            headers = signed_headers([secret], f"evt_{number}", body.encode(), system_now())
            async with session.post(url, data=body.encode(), headers=headers) as answer:
                assert answer.status == 204, changes


@pytest.mark.parametrize("language", ["python", "js", "php", "go", "csharp"])
def test_every_documented_server_compares_mode_storefront_and_amount(language: str) -> None:
    text = example(language).lower().replace("_", "")
    for name in ("mode", "storefront", "amountrials", "test", "orderid"):
        assert name in text, name


async def is_certified(command: list[str], folder: Path) -> None:
    """`dargah certify` passes the documented server: each line that it prints is a credit."""
    secret, port = new_secret(bytes(range(32))), free_port()
    credited = Counter[str]()

    async def read(out: asyncio.StreamReader) -> None:
        async for line in out:
            credited[line.decode().split()[1]] += 1

    async with documented(command, folder, secret, port, certified.ORDERS) as out:
        reader = asyncio.create_task(read(out))
        url = f"http://127.0.0.1:{port}/hook"
        await certified.passes_certification(url, secret, credited.__getitem__, folder)
        reader.cancel()


async def test_the_documents_python_server_plays_its_part(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text(example("python"), "utf-8")
    await plays_its_part(shop, [sys.executable, "hook.py"], tmp_path)
    await is_certified([sys.executable, "hook.py"], tmp_path)


async def node_with_library(folder: Path) -> list[str]:
    """The command of node, with npm's standardwebhooks in `folder`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return unavailable("node and npm are not installed here")
    install = await asyncio.create_subprocess_exec(
        *(npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)),
        "standardwebhooks@1",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(NPM_SECONDS):
            code = await install.wait()
    except TimeoutError:
        install.kill()
        code = await install.wait()
    return [node, "hook.js"] if code == 0 else unavailable("npm's registry does not give standardwebhooks")


def unavailable(why: str) -> list[str]:
    if REQUIRED:
        pytest.fail(why)
    pytest.skip(f"{why}; `make test-clients` insists")


async def test_the_documents_node_server_plays_its_part(shop: Shop, tmp_path: Path) -> None:
    command = await node_with_library(tmp_path)
    (tmp_path / "hook.js").write_text(example("js"), "utf-8")
    await plays_its_part(shop, command, tmp_path)
    await is_certified(command, tmp_path)
