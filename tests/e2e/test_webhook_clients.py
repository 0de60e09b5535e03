"""Real deliveries, verified by the libraries that merchants use, and by the servers of docs/webhooks.md."""

import asyncio
import base64
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook
from standardwebhooks import WebhookVerificationError as StandardRefused
from support.eventually import eventually, listening
from support.receiver import receiver
from support.shop import Shop
from svix.webhooks import Webhook as SvixWebhook
from svix.webhooks import WebhookVerificationError as SvixRefused

from proxy.demo.stage import free_port
from proxy.kernel.clock import system_now
from proxy.webhooks.request import signed_headers

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
async def documented(command: list[str], folder: Path, secret: str, port: int) -> AsyncIterator[asyncio.StreamReader]:
    """A server of the document, listening; gives its standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | {"DARGAH_WEBHOOK_SECRET": secret, "PORT": str(port), "ORDERS": json.dumps(ORDERS)},
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
    async with documented(command, folder, endpoint["secret"], port) as out:
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


async def test_the_documents_python_server_plays_its_part(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text(example("python"), "utf-8")
    await plays_its_part(shop, [sys.executable, "hook.py"], tmp_path)


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
