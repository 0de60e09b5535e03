"""The clients that Dargah serves through whole payments, in PHP, Node and Python: a program that waits, and a shop.

What is run are the samples of docs/clients.md, with the client's file beside them as a developer copies it.
"""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import aiohttp
import pytest
from support.certified import ORDERS, passes_certification
from support.dargah import OPERATOR_TOKEN
from support.eventually import eventually, until
from support.ports import free_port
from support.shop import Shop, playground
from support.shop_clients import RUNNERS, TinyShop, copy_client, documented, environment, probe, tiny_shop
from yarl import URL

from e2e.test_clients import attempts, call, require_language
from proxy.app import Dargah
from proxy.kernel.clock import MINUTE, system_now
from proxy.merchants.merchant import Mode
from proxy.webhooks.request import new_secret, signed_headers

LANGUAGES = ["php", "mjs", "py"]
COSTS = {"17": 250_000, "18": 150_000, "19": 150_000}


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[tuple[Shop, Dargah]]:
    """On SQLite alone: what a client does is not the store's."""
    (tmp_path / "dargah").mkdir()
    async with playground(tmp_path / "dargah") as made:
        yield made


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    require_language(request.param)
    return str(request.param)


async def test_a_program_waits_for_its_payment(live: tuple[Shop, Dargah], language: str, tmp_path: Path) -> None:
    shop, _ = live
    copy_client(language, tmp_path)
    (tmp_path / f"wait.{language}").write_text(documented(language)[0])
    env = environment(DARGAH_URL=shop.url, DARGAH_TOKEN=shop.token)
    process = await asyncio.create_subprocess_exec(
        *(RUNNERS[language], f"wait.{language}"), cwd=tmp_path, env=env, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            word, pay_url = (await process.stdout.readline()).decode().split()
            assert word == "open"
            async with shop.session.get(pay_url, allow_redirects=False) as opened:
                key = opened.headers["Location"].rpartition("/")[2]
            await shop.control("POST", f"/invoices/{key}/pay")
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    ledger = await shop.control("GET", f"/invoices/{key}")
    assert out.decode().split() == ["paid", "150000", ledger["bank_code"]]


async def buy(shop: Shop, tiny: TinyShop, order: str) -> str:
    """The customer buys, pays and goes back to Dargah; gives where they are sent from there."""
    async with shop.session.post(tiny.page("pay"), data={"order": order}, allow_redirects=False) as sent:
        assert sent.status == 303, await sent.text()
        pay_url = sent.headers["Location"]
    async with shop.session.get(pay_url, allow_redirects=False) as opened:
        key = opened.headers["Location"].rpartition("/")[2]
    returned = await shop.come_back(await shop.control("POST", f"/invoices/{key}/pay"))
    assert returned.status == 303
    return returned.headers["Location"]


async def test_a_shop_credits_what_is_paid_once_and_nothing_else(
    live: tuple[Shop, Dargah], language: str, tmp_path: Path
) -> None:
    shop, dargah = live
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    await dargah.services.setup.change_merchant(shop.merchant_id, return_origins=[origin], actor="test")
    hook = f"{origin}/webhook" + (".php" if language == "php" else "")
    endpoint = await call(shop, "POST", "/v1/webhook-endpoints", {"url": hook})
    secrets = {"DARGAH_WEBHOOK_SECRET": endpoint["secret"], "DARGAH_RETURN_SECRET": shop.return_secret}
    env = {"DARGAH_URL": shop.url, "DARGAH_TOKEN": shop.token, **secrets}
    async with tiny_shop(language, tmp_path, port, COSTS, **env) as tiny:
        home = await buy(shop, tiny, "17")
        await until(tiny.credited)
        assert await way_back(shop, home) == [200, 400, 400, 400]
        await is_told_again(shop, endpoint["id"])
        [(headers, body)] = [each for each in shop.receiver.requests if json.loads(each[1])["type"] == "payment.paid"]
        # The same event, signed for another endpoint.
        assert await post(hook, body, headers) == 400
        await refuses_what_is_forged(hook, endpoint["secret"], body)
        await credits_nothing_of_others(hook, endpoint["secret"], json.loads(body))
        assert tiny.credited() == ["17"]
        await buy(shop, tiny, "18")
        await until(lambda: len(tiny.credited()) == 2)
    assert tiny.credited() == ["17", "18"]
    assert {each["http_status"] for each in await attempts(shop, endpoint["id"])} == {204}


async def test_a_shop_passes_every_story_of_dargah_certify(language: str, tmp_path: Path) -> None:
    secret, port = new_secret(bytes(range(32))), free_port()
    env = {
        "DARGAH_WEBHOOK_SECRET": secret,
        "DARGAH_TOKEN": "dg_live_x",
        "DARGAH_RETURN_SECRET": "whsec_" + "A" * 43 + "=",
    }
    async with tiny_shop(language, tmp_path, port, ORDERS, **env) as tiny:
        await passes_certification(tiny.page("webhook"), secret, lambda each: tiny.credited().count(each), tmp_path)


async def way_back(shop: Shop, home: str) -> list[int]:
    """The statuses for the signed link, and for it with another order, another mode and no signature."""
    base, _, query = home.partition("?")
    given = {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}
    statuses = []
    for changed in ({}, {"order_id": "18"}, {"payment_mode": "test"}, {"signature_v2": ""}):
        async with shop.session.get(URL(f"{base}?{urlencode(given | changed)}", encoded=True)) as page:
            statuses.append(page.status)
            assert page.status == 400 or await page.text() == "Thank you: order 17"
    return statuses


async def is_told_again(shop: Shop, endpoint_id: str) -> None:
    """Returns once the endpoint has taken the same event a second time."""
    await attempts(shop, endpoint_id)
    [row] = (await call(shop, "GET", f"/v1/webhook-endpoints/{endpoint_id}/deliveries"))["data"]
    await call(shop, "POST", f"/v1/deliveries/{row['id']}/retry")

    async def again() -> bool | None:
        return True if len(await attempts(shop, endpoint_id)) == 2 else None

    await eventually(again)


async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status


async def refuses_what_is_forged(url: str, secret: str, body: bytes) -> None:
    now, other = system_now(), "whsec_" + "A" * 43 + "="
    good = signed_headers([secret], "evt_1", body, now)
    for sent, headers in (
        (body, {}),
        (body, signed_headers([other], "evt_1", body, now)),
        (body, signed_headers([secret], "evt_1", body, now - 6 * MINUTE)),
        (body, signed_headers([secret], "evt_1", body, now + 6 * MINUTE)),
        (body.replace(b"250000", b"250001"), good),
        (body + b"\n", good),
        (body, good | {"webhook-id": "evt_2"}),
        (body, good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}),
        (body, good | {"webhook-timestamp": "x"}),
        (body, good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}),
    ):
        assert await post(url, sent, headers) == 400, headers
    assert await post(url, body, good) == 204


async def credits_nothing_of_others(url: str, secret: str, event: dict[str, Any]) -> None:
    """Signed under the shop's own secret, as if secrets or endpoints were mixed up: taken, and not credited."""
    for number, changes in enumerate(
        (
            {"mode": "test", "test": True},
            {"test": True},
            {"storefront": "other"},
            {"amount_rials": COSTS["19"] - 1},
            {"amount_rials": str(COSTS["19"])},
            {"order_id": "20"},
            {"status": "needs_review"},
        )
    ):
        data = event["data"] | {"order_id": "19", "amount_rials": COSTS["19"]} | changes
        body = json.dumps(event | {"data": data}).encode()
        assert await post(url, body, signed_headers([secret], f"evt_{number}", body, system_now())) == 204, changes
    body = json.dumps(event | {"type": "payment.canceled"}).encode()
    assert await post(url, body, signed_headers([secret], "evt_canceled", body, system_now())) == 204


async def test_calls_tell_what_became_of_payments(live: tuple[Shop, Dargah], language: str) -> None:
    shop, _ = live
    async with probe(language, url=shop.url, token=shop.token) as client:
        order = {"amount": 15_000, "currency": "IRT", "order_id": "سفارش ۱۷", "metadata": {"basket": 42}}
        payment = await client.gave("create", order)
        assert await client.gave("create", order) == payment
        assert (payment["amount_rials"], payment["metadata"]) == (150_000, {"basket": 42})
        second = await client.gave("create", order, 2)
        assert second["id"] != payment["id"]
        assert (await client.gave("create", order, 1, "a-key"))["id"] not in {payment["id"], second["id"]}
        reused = await client.failed("create", order | {"amount": 20_000})
        assert (reused["status"], reused["code"]) == (422, "idempotency_key_reused")

        # The customer has not paid: the seconds are over.
        assert (await client.gave("wait", payment["id"], 0.1))["check"]["outcome"] == "not_paid"
        canceled = await client.gave("cancel", second["id"])
        assert (canceled["status"], await client.gave("refunded", canceled)) == ("canceled", False)
        await shop.act(payment, "pay")
        paid = await client.gave("wait", payment["id"])
        assert (paid["status"], await client.gave("get", payment["id"])) == (
            "paid",
            {name: value for name, value in paid.items() if name != "check"},
        )
        late = await client.failed("cancel", payment["id"])
        assert (late["status"], late["code"]) == (409, "payment_not_withdrawn")

        wrong = await client.failed("create", {"amount": 1, "currency": "USD", "order_id": "x"})
        assert {(each["field"], each["code"]) for each in wrong["errors"]} == {
            ("amount", "amount_too_small"),
            ("currency", "not_one_of"),
        }
        assert "must be one of IRR, IRT" in wrong["text"]
        assert (await client.failed("get", "pay_/../x?y"))["code"] == "not_found"
        nobody = await client.failed("get", payment["id"], token="dg_live_nobodys")
        assert (nobody["status"], nobody["code"]) == (401, "unauthenticated")
        assert "nobodys" not in json.dumps(nobody)


async def test_an_operators_refund_is_seen(live: tuple[Shop, Dargah], language: str) -> None:
    shop, dargah = live
    async with probe(language, url=shop.url, token=shop.token) as client:
        payment = await client.gave("create", {"amount": 150_000, "currency": "IRR", "order_id": "17"})
        await shop.fault("check", "wrong_amount", amount_rials=1000)
        await shop.act(payment, "pay")
        odd = await client.gave("wait", payment["id"])
        assert (odd["status"], await client.gave("refunded", odd)) == ("needs_review", False)
        assert await client.gave("differs", odd, "17", 150_000) == "status"
        path = f"{dargah.admin_url}/admin/v1/payments/{payment['id']}/resolve"
        decision = {"decision": "refunded", "note": "back to the card"}
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with shop.session.post(path, json=decision, headers=headers) as resolved:
            assert resolved.status == 200, await resolved.text()
        assert await client.gave("refunded", await client.gave("get", payment["id"]))


async def test_a_shop_in_test_mode_credits_its_test_payments_alone(live: tuple[Shop, Dargah], language: str) -> None:
    shop, dargah = live
    setup = dargah.services.setup
    terminal = await setup.add_terminal(
        shop.merchant_id, "trial", shop.gateway_url, "another-key", mode=Mode.TEST, actor="test"
    )
    assert terminal.mode is Mode.TEST
    _, token = await setup.issue_token(shop.merchant_id, "main", Mode.TEST, actor="test")
    async with probe(language, url=shop.url, token=token, mode="test") as client:
        assert (await client.failed("get", "pay_00000000000000000000000000"))["code"] == "not_found"
        paid = {
            "status": "paid",
            "mode": "test",
            "test": True,
            "storefront": "main",
            "order_id": "1",
            "amount_rials": 1000,
        }
        assert await client.gave("paidFor", paid, "1", 1000)
        assert await client.gave("differs", paid | {"mode": "live", "test": False}, "1", 1000) == "mode"
        assert "misused" in await client.ask("get", "x", mode="live")
