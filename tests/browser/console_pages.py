"""Every page of the console and the portal with something on it, and how to come there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from support.dargah import OPERATOR_TOKEN
from support.eventually import eventually
from support.receiver import Receiver, receiver

from browser.chromium import Reader
from browser.pictures import logo
from browser.stage import Stage
from proxy.kernel.clock import MINUTE
from proxy.webhooks.retry_policy import DeliveryStatus

WIDE = {"width": 1280, "height": 900}

FATAL = b"Fatal error: Allowed memory size of 134217728 bytes exhausted"


@dataclass
class Office:
    """A shop's morning: payments in every state, a webhook that fails, and a review."""

    stage: Stage
    shop: Receiver
    complaint: dict[str, Any]
    delivery_id: str
    endpoint_id: str
    review: dict[str, Any]
    pending: dict[str, Any]

    @property
    def console(self) -> str:
        return f"{self.stage.lab.dargah.admin_url}/console"

    @property
    def portal(self) -> str:
        return f"{self.stage.lab.dargah.url}/portal"


@dataclass(frozen=True)
class ConsolePage:
    """`path` is of an office's page, below the console."""

    name: str
    path: Callable[[Office], str]
    status: int = 200


@asynccontextmanager
async def office(stage: Stage) -> AsyncIterator[Office]:
    """The stage after its morning, with the shop's receiver running."""
    async with receiver() as shop:
        endpoint, _ = await stage.services.endpoints.add_endpoint(
            stage.lab.merchant_id, shop.url, storefront="main", actor="sara"
        )
        for number in range(9):
            stage.lab.clock.forward(11 * MINUTE)
            await _settled(stage, "cancel" if number == 4 else "pay", f"A-{10470 + number}", 185_000 + 67_000 * number)
        await _told(stage, 9)
        shop.status, shop.body = 500, FATAL
        complaint = await _settled(stage, "pay", "A-10482", 1_250_000)
        delivery_id = await _failed(stage, complaint["id"])
        shop.status, shop.body = 204, b""
        await stage.lab.fault("check", "wrong_amount", amount_rials=1_100_000, times=1)
        review = await _settled(stage, "pay", "A-10483", 240_000)
        await _staffed(stage)
        pending = await stage.lab.created(amount=95_000, order_id="A-10484")
        yield Office(stage, shop, complaint, delivery_id, endpoint.id, review, pending)


async def _settled(stage: Stage, act: str, order_id: str, amount: int) -> dict[str, Any]:
    payment = await stage.lab.created(amount=amount, order_id=order_id)
    await stage.lab.act(payment, act)
    checked: dict[str, Any] = (await stage.lab.call("POST", f"/v1/payments/{payment['id']}/check")).json
    return checked


async def _staffed(stage: Stage) -> None:
    """The merchant has its own looks, and three people run its Dargah."""
    await stage.services.setup.change_merchant(stage.lab.merchant_id, actor="sara", colour="#0f766e", logo=logo())
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    url = f"{stage.lab.dargah.admin_url}/admin/v1/operators"
    ids = []
    for name, role in (("sara", "owner"), ("navid", "operate"), ("accountant", "read")):
        async with stage.lab.session.post(url, json={"name": name, "role": role}, headers=headers) as answer:
            ids.append((await answer.json())["id"])
    async with stage.lab.session.delete(f"{url}/{ids[-1]}", headers=headers) as answer:
        assert answer.ok


async def _told(stage: Stage, count: int) -> None:
    async def look() -> bool | None:
        due = await stage.services.store.statistics.due_statistics()
        return due.deliveries == 0 or None

    await asyncio.sleep(0)
    assert await eventually(look), count


async def _failed(stage: Stage, payment_id: str) -> str:
    """The delivery of the payment's event once it was tried in vain."""

    async def look() -> str | None:
        events = (await stage.lab.call("GET", f"/v1/events?payment_id={payment_id}")).json["data"]
        for delivery in await stage.services.store.webhooks.list_deliveries(stage.lab.merchant_id, events[0]["id"]):
            if delivery.attempts and delivery.status is DeliveryStatus.PENDING:
                found: str = delivery.id
                return found
        return None

    return await eventually(look)


PAGES: tuple[ConsolePage, ...] = (
    ConsolePage("today", lambda _: "/"),
    ConsolePage("payments", lambda _: "/payments"),
    ConsolePage("payment", lambda made: f"/payments/{made.complaint['id']}"),
    ConsolePage("review", lambda made: f"/payments/{made.review['id']}"),
    ConsolePage("reviews", lambda _: "/reviews"),
    ConsolePage("webhooks", lambda _: "/endpoints"),
    ConsolePage("webhook", lambda made: f"/endpoints/{made.endpoint_id}"),
    ConsolePage("delivery", lambda made: f"/deliveries/{made.delivery_id}"),
    ConsolePage("merchants", lambda _: "/merchants"),
    ConsolePage("merchant", lambda made: f"/merchants/{made.stage.lab.merchant_id}"),
    ConsolePage("guide", lambda _: "/merchants/new"),
    ConsolePage("reconcile", lambda office: f"/merchants/{office.stage.lab.merchant_id}/reconcile"),
    ConsolePage("operators", lambda _: "/operators"),
    ConsolePage("audit", lambda _: "/audit"),
    ConsolePage("settings", lambda _: "/settings"),
    ConsolePage("nothing-found", lambda _: "/search?q=nothing"),
    ConsolePage("no-payments", lambda _: "/payments?status=failed"),
    ConsolePage("not-found", lambda _: "/payments/pay_x", 404),
)

# The same pages as a merchant sees them; `path` is below the portal.
PORTAL_PAGES: tuple[ConsolePage, ...] = tuple(
    page
    for page in PAGES
    if page.name
    in {"payments", "payment", "review", "reviews", "webhooks", "webhook", "delivery", "nothing-found", "not-found"}
)


async def log_in(reader: Reader, made: Office) -> None:
    """Through the form, as an operator does."""
    await reader.open(f"{made.console}/")
    await reader.page.fill("#token", OPERATOR_TOKEN)
    await reader.page.click("main button")
    await reader.page.wait_for_selector("nav")


async def enter_portal(reader: Reader, made: Office) -> None:
    """By a link that the merchant's token asked for."""
    link = await made.stage.lab.call("POST", "/v1/portal-links", json={})
    await reader.open(link.json["url"])
    await reader.page.wait_for_selector("nav")
