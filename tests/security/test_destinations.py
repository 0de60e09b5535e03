"""A sealed credential goes where it was sealed for and nowhere else, whatever is written into the database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.command import Cli
from support.dargah import API_KEY, OPERATOR_TOKEN, server
from support.shop import Shop, playground
from web.browsing import operator as operator_of
from web.lab import Lab

from proxy.app import Dargah
from security.older import sql

HEADERS = {"X-Api-Key": "canary-header-2f81", "X-Auth-Token": "canary-header-77b0"}


@dataclass
class Thief:
    """A server of somebody else's: it keeps all that it is sent."""

    url: str = ""
    got: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((request.path, dict(request.headers), await request.read()))
        return web.json_response({"status": 1, "invoice_key": "k" * 12})


@asynccontextmanager
async def thief() -> AsyncIterator[Thief]:
    made = Thief()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with server(app) as url:
        made.url = url
        yield made


async def operator(shop: Shop, dargah: Dargah, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{dargah.admin_url}/admin/v1/merchants/{shop.merchant_id}{path}"
    async with shop.session.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


def refused(answer: tuple[int, dict[str, Any]]) -> dict[str, str]:
    """The fields of a 422 with their codes."""
    status, problem = answer
    assert status == 422, problem
    return {error["field"]: error["code"] for error in problem["errors"]}


async def test_a_gateway_url_written_by_sql_is_never_sent_the_api_key(folder: Path) -> None:
    async with thief() as other, playground(folder) as (shop, dargah):
        pending = await shop.created()
        sql(folder, "UPDATE terminals SET gateway_url = $1", other.url)
        dargah.services.merchant_cache.forget()
        stored = sql(folder, "SELECT count(*) FROM payments")
        status, problem = await shop.create()
        assert (status, problem["code"]) == (503, "credential_unusable")
        assert sql(folder, "SELECT count(*) FROM payments") == stored
        status, problem = await shop.call("POST", f"/v1/payments/{pending['id']}/check")
        assert (status, problem["code"]) == (503, "credential_unusable")
        async with shop.session.get(pending["pay_url"], allow_redirects=False) as page:
            assert page.status == 503
        found = await dargah_findings(shop, dargah, folder)
        assert found["terminal_seal"] == "problem"
        # A payment that is watched is put off, and is seen to once the URL is right again.
        sql(folder, "UPDATE watches SET due_at = 0")
        await dargah.poller.step()
        await dargah.poller.tasks.drain()
        assert other.got == []
        sql(folder, "UPDATE terminals SET gateway_url = $1", shop.gateway_url)
        dargah.services.merchant_cache.forget()
        await shop.come_back(await shop.act(pending, "pay"))
        assert (await shop.payment(pending["id"]))["status"] == "paid"
        assert other.got == []


async def dargah_findings(shop: Shop, dargah: Dargah, folder: Path) -> dict[str, str]:
    ran = await Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, folder).run(
        "doctor", "--merchant", shop.merchant_id
    )
    lines = [line.split() for line in ran.out.splitlines() if line.split()]
    return {line[1]: line[0].lower() for line in lines if len(line) > 1}


async def test_another_origin_needs_the_api_key_and_another_path_does_not(folder: Path) -> None:
    async with thief() as other, playground(folder) as (shop, dargah):
        path = f"/terminals/{shop.terminal_id}"
        for url in (other.url, f"{other.url}/base", shop.gateway_url.replace("http:", "https:")):
            assert refused(await operator(shop, dargah, "PATCH", path, {"gateway_url": url})) == {
                "api_key": "secret_required"
            }
        cli = Cli({"DARGAH_ADMIN_URL": dargah.admin_url, "DARGAH_ADMIN_TOKEN": OPERATOR_TOKEN}, folder)
        ran = await cli.run("terminal", "update", shop.terminal_id, "--gateway-url", other.url)
        assert (ran.code, "api_key" in ran.error) == (1, True)
        status, changed = await operator(shop, dargah, "PATCH", path, {"gateway_url": f"{shop.gateway_url}/v2"})
        assert (status, changed["gateway_url"]) == (200, f"{shop.gateway_url}/v2")
        both = {"gateway_url": other.url, "api_key": "another-key"}
        assert (await operator(shop, dargah, "PATCH", path, both))[0] == 200
        await shop.created()
        assert [(path, b"another-key" in body) for path, _, body in other.got] == [("/invoice/request", True)]
        assert all(API_KEY.encode() not in body for _, _, body in other.got)


async def test_a_new_api_key_is_not_sealed_for_a_url_that_somebody_else_wrote(folder: Path) -> None:
    async with thief() as other, playground(folder) as (shop, dargah):
        path = f"/terminals/{shop.terminal_id}"
        sql(folder, "UPDATE terminals SET gateway_url = $1", other.url)
        dargah.services.merchant_cache.forget()
        assert refused(await operator(shop, dargah, "PATCH", path, {"api_key": API_KEY})) == {
            "gateway_url": "url_required"
        }
        both = {"gateway_url": shop.gateway_url, "api_key": API_KEY}
        assert (await operator(shop, dargah, "PATCH", path, both))[0] == 200
        await shop.created()
        assert other.got == []


@pytest.fixture
async def hooked(folder: Path) -> AsyncIterator[tuple[Shop, Dargah, str]]:
    """A shop whose endpoint has headers that only its receiver should know."""
    async with playground(folder) as (shop, dargah):
        # The operator's endpoint is none of a shop's token.
        [operators] = await dargah.services.store.webhooks.list_endpoints(shop.merchant_id)
        await dargah.services.endpoints.delete_endpoint(shop.merchant_id, operators.id, actor="test")
        asked = {"url": shop.receiver.url, "headers": HEADERS}
        status, endpoint = await shop.call("POST", "/v1/webhook-endpoints", asked)
        assert (status, endpoint["header_names"]) == (201, ["x-api-key", "x-auth-token"])
        shop.receiver.secret = endpoint["secret"]
        path = f"/v1/webhook-endpoints/{endpoint['id']}"
        yield shop, dargah, path


async def test_an_endpoints_headers_are_sent_and_neither_shown_nor_stored(
    hooked: tuple[Shop, Dargah, str], folder: Path
) -> None:
    shop, _, path = hooked
    status, changed = await shop.call("PATCH", path, {"headers": HEADERS})
    assert (status, changed["header_names"]) == (200, ["x-api-key", "x-auth-token"])
    assert (await shop.call("POST", f"{path}/test"))[1]["outcome"] == "delivered"
    [(headers, _)] = shop.receiver.requests
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
    for method, target in (("GET", path), ("GET", "/v1/webhook-endpoints"), ("PATCH", path)):
        _, shown = await shop.call(method, target, {} if method == "PATCH" else None)
        assert "canary-header" not in str(shown)
    for table in ("endpoints", "secrets", "audit"):
        assert "canary-header" not in str(sql(folder, f"SELECT * FROM {table}"))  # noqa: S608
    for file in folder.glob("dargah.db*"):
        assert b"canary-header" not in file.read_bytes()


async def test_another_origin_of_an_endpoint_needs_its_headers(hooked: tuple[Shop, Dargah, str]) -> None:
    shop, _, path = hooked
    async with thief() as other:
        assert refused(await shop.call("PATCH", path, {"url": f"{other.url}/hook"})) == {"headers": "secret_required"}
        status, changed = await shop.call("PATCH", path, {"url": f"{other.url}/hook", "headers": {}})
        assert (status, changed["header_names"]) == (200, [])
        await shop.call("POST", f"{path}/test")
        [(_, headers, _)] = other.got
        assert not {name.lower() for name in HEADERS} & {name.lower() for name in headers}
        # Without headers there is nothing to bind.
        assert (await shop.call("PATCH", path, {"url": shop.receiver.url}))[0] == 200


async def test_an_endpoints_url_written_by_sql_is_sent_nothing(hooked: tuple[Shop, Dargah, str], folder: Path) -> None:
    shop, dargah, path = hooked
    async with thief() as other:
        sql(folder, "UPDATE endpoints SET url = $1", f"{other.url}/hook")
        dargah.services.merchant_cache.forget()
        status, problem = await shop.call("POST", f"{path}/test")
        assert (status, problem["code"]) == (503, "credential_unusable")
        await shop.come_back(await shop.act(await shop.created(), "pay"))
        await dargah.delivery.step()
        await dargah.delivery.tasks.drain()
        _, deliveries = await shop.call("GET", f"{path}/deliveries")
        log = (await shop.call("GET", f"/v1/deliveries/{deliveries['data'][0]['id']}"))[1]["log"]
        assert log[0]["error"] == "sealed_elsewhere"
        assert refused(await shop.call("PATCH", path, {"headers": HEADERS})) == {"url": "url_required"}
        assert other.got == []


async def test_the_console_takes_an_address_with_its_api_key_only(lab: Lab) -> None:
    browser = await operator_of(lab)
    await browser.get(f"/console/merchants/{lab.merchant_id}")
    path = f"/console/terminals/{lab.terminal_id}"
    stored = lab.rows()["secrets"]
    answer = await browser.post(path, {"gateway_url": "https://evil.example", "enabled": "1"})
    assert answer.status == 303
    assert "evil.example" not in str(lab.rows()["terminals"])
    sql(lab.folder, "UPDATE terminals SET gateway_url = 'https://evil.example'")
    refused = await browser.post(path, {"api_key": "another-key"})
    assert (refused.status, "gateway_url" in refused.text) == (422, True)
    assert lab.rows()["secrets"] == stored
    both = {"api_key": "another-key", "gateway_url": lab.gateway_url}
    assert (await browser.post(path, both)).status == 303
    assert lab.rows()["secrets"] != stored
