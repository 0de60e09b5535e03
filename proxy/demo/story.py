"""The demo's story: set up, create, pay, return, and receive the webhook; each step with its answer and duration."""

import asyncio
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import click
from aiohttp import ClientSession, ClientTimeout

from proxy.demo.shop import STOREFRONT, Customer, Shop, VerifiedWebhook, buttons
from proxy.demo.stage import Stage, StageError, free_port
from proxy.kernel.frozen import dataclass

AMOUNT_TOMAN: Final = 15_000
AMOUNT_RIALS: Final = 150_000
WEBHOOK_SECONDS: Final = 10


class Script:
    """Numbers the steps and times them."""

    def __init__(self) -> None:
        self._step = 0
        self._since = time.perf_counter()

    def step(self, title: str, *lines: str) -> None:
        """A finished step: its title, its duration, and the request and answer."""
        self._step += 1
        now = time.perf_counter()
        click.echo(f"{self._step:2}. {click.style(title, bold=True)}  ({(now - self._since) * 1000:.0f} ms)")
        for line in lines:
            click.echo(f"      {line}")
        self._since = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Setup:
    """The operator's set-up, as far as the shop needs it."""

    merchant_id: str
    token: str


async def play() -> None:
    """One payment from the order to the verified webhook. Raises StageError for a webhook with other values."""
    shop_port = free_port()
    with tempfile.TemporaryDirectory(prefix="dargah-demo-") as folder:
        stage, shop = Stage(Path(folder), shop_port=shop_port), Shop(shop_port)
        try:
            await _play(stage, shop)
        finally:
            await stage.stop()
            await shop.stop()


async def _play(stage: Stage, shop: Shop) -> None:
    script = Script()
    await asyncio.gather(stage.start_gateway(), shop.start())
    await stage.start_dargah()
    script.step(
        "Start a gateway simulator, Dargah and a shop",
        f"gateway {stage.gateway_url}   Dargah {stage.url}   shop {stage.shop_url}",
    )
    made = await _set_up(stage, shop, script)
    async with ClientSession(timeout=ClientTimeout(total=30)) as session:
        payment = await _create(session, stage, made, script, shop)
        bank_code = await _pay(session, stage, payment, script, shop)
        await _receive_webhook(shop, payment, bank_code, script)


async def _set_up(stage: Stage, shop: Shop, script: Script) -> Setup:
    api_key = f"demo-{secrets.token_hex(8)}"
    async with ClientSession() as session:
        await session.post(f"{stage.gateway_url}/control/terminals", json={"api_key": api_key})
    merchant = await stage.json("merchant", "create", "--name", "فروشگاه نمونه", "--return-origin", stage.shop_url)
    shop.return_secret = merchant["return_secret"]
    script.step("The operator adds a merchant", f"$ dargah merchant create …  →  {merchant['id']}")
    terminal = await stage.json(
        "terminal", "create", "--merchant", merchant["id"], "--name", "main", "--gateway-url", stage.gateway_url,
        "--api-key-stdin", stdin=api_key,
    )  # fmt: skip
    script.step(
        "… a terminal; its api_key goes in by stdin and is sealed", f"$ dargah terminal create …  →  {terminal['id']}"
    )
    token = await stage.json("token", "create", "--merchant", merchant["id"], "--storefront", STOREFRONT)
    script.step("… a token for the storefront, shown once", f"$ dargah token create …  →  {token['token'][:20]}…")
    endpoint = await stage.json(
        "endpoint",
        "create",
        "--merchant",
        merchant["id"],
        "--storefront",
        STOREFRONT,
        "--url",
        f"{stage.shop_url}/webhooks",
    )
    shop.webhook_secret = endpoint["secret"]
    script.step("… and the shop's webhook endpoint", f"$ dargah endpoint create …  →  {endpoint['id']}")
    return Setup(merchant["id"], token["token"])


async def _create(session: ClientSession, stage: Stage, made: Setup, script: Script, shop: Shop) -> dict[str, Any]:
    order = {
        "amount": AMOUNT_TOMAN,
        "currency": "IRT",
        "order_id": f"order-{secrets.token_hex(4)}",
        "return_url": f"{stage.shop_url}/thanks",
    }
    shop.orders[str(order["order_id"])] = AMOUNT_RIALS
    headers = {"Authorization": f"Bearer {made.token}", "Idempotency-Key": secrets.token_hex(16)}
    async with session.post(f"{stage.url}/v1/payments", json=order, headers=headers) as answer:
        payment: dict[str, Any] = await answer.json()
    if answer.status != 201:  # noqa: PLR2004  Created
        raise StageError(f"the payment was not created: {payment}")
    script.step(
        "The shop creates a payment",
        f"POST /v1/payments {order}",
        f"← 201 {payment['id']} {payment['status']}, {payment['amount_rials']} rial = {payment['amount_toman']} toman",
        f"  pay_url {payment['pay_url']}",
    )
    return payment


async def _pay(session: ClientSession, stage: Stage, payment: dict[str, Any], script: Script, shop: Shop) -> str:
    customer = Customer(session)
    opened = await customer.open(payment["pay_url"])
    gateway_page = _next(opened.location)
    script.step("The customer opens the pay link", f"GET {payment['pay_url']}", f"← {opened.status} {gateway_page}")
    page = await customer.open(gateway_page)
    paid = await customer.press(gateway_page, "pay")
    back = _next(paid.location)
    script.step(
        "… and pays on the gateway's page",
        f"buttons {', '.join(buttons(page.text))}; pressed pay",
        f"← {paid.status} {_cut(back)}",
    )
    returned = await customer.open(back)
    home = _next(returned.location)
    query = {name: values[0] for name, values in parse_qs(urlsplit(home).query).items()}
    thanks = await customer.open(home)
    script.step(
        "The customer comes back; Dargah checks with the gateway and sends them on to the shop",
        f"← {returned.status} {_cut(home)}",
        f"  status={query.get('status')}, signature {'valid' if shop.came_from_dargah(query) else 'NOT VALID'};"
        f" the shop says: {thanks.text}",
    )
    if query.get("status") != "paid" or not shop.came_from_dargah(query):
        raise StageError("the customer's way back does not say paid, or its signature is wrong")
    return await _ledger_bank_code(session, stage, payment["invoice_key"])


async def _ledger_bank_code(session: ClientSession, stage: Stage, invoice_key: str) -> str:
    async with session.get(f"{stage.gateway_url}/control/invoices/{invoice_key}") as answer:
        bank_code: str = (await answer.json())["bank_code"]
        return bank_code


async def _receive_webhook(shop: Shop, payment: dict[str, Any], bank_code: str, script: Script) -> None:
    try:
        webhook: VerifiedWebhook = await asyncio.wait_for(shop.webhooks.get(), WEBHOOK_SECONDS)
    except TimeoutError:
        raise StageError(f"the shop was told nothing within {WEBHOOK_SECONDS} s") from None
    data = webhook.payload["data"]
    script.step(
        "The shop gets the webhook and verifies it with the standardwebhooks library",
        f"webhook-id {webhook.id}   webhook-signature {webhook.signature[:24]}…",
        f"{webhook.payload['type']} {data['order_id']}: {data['amount_rials']} rial, bank_code {data['bank_code']},"
        f" mode {data['mode']}, storefront {data['storefront']}",
    )
    reported = (webhook.payload["type"], data["id"], data["amount_rials"], data["bank_code"])
    expected = ("payment.paid", payment["id"], AMOUNT_RIALS, bank_code)
    if reported != expected:
        raise StageError(f"the shop was told {reported}, but the gateway's ledger says {expected}")
    click.secho(
        f"\n  The amount and the bank_code are what the gateway's ledger says: {AMOUNT_RIALS} rial, {bank_code}.\n",
        fg="green",
    )


def _next(location: str | None) -> str:
    if location is None:
        raise StageError("the customer was sent nowhere")
    return location


def _cut(url: str, chars: int = 110) -> str:
    return url if len(url) <= chars else f"{url[:chars]}…"
