"""A small shop, as a merchant's developer would write it: it knows Dargah's documented API and nothing else of it.

It credits an order when a verified webhook says so, never from the customer's way back.
"""

import asyncio
import hashlib
import hmac
from collections import Counter
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urljoin

import orjson
from aiohttp import ClientSession, web
from standardwebhooks import Webhook, WebhookVerificationError

from proxy.kernel.frozen import dataclass

MAX_BODY_BYTES: Final = 64 * 1024
STOREFRONT: Final = "main"
SIGNED: Final = ("payment_id", "order_id", "status", "payment_mode")


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """A webhook that the shop believed: its id, headers and payload."""

    id: str
    signature: str
    payload: dict[str, Any]


class Shop:
    """Receives webhooks at /webhooks and customers at /thanks. `orders` are its orders, with their rials.

    `webhooks` gets each verified one about one of them once, by its id; /orders/{id} tells whether it was credited.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._received_ids: set[str] = set()
        self.webhook_secret = ""
        self.return_secret = ""
        self.orders: dict[str, int] = {}
        self._credits: Counter[str] = Counter()
        self.webhooks: asyncio.Queue[VerifiedWebhook] = asyncio.Queue(maxsize=1000)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/webhooks", self._webhook)
        app.router.add_get("/thanks", self._thanks)
        app.router.add_get("/orders/{order_id}", self._order)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            Webhook(self.webhook_secret).verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            return web.Response(status=400, text=str(error))
        message_id, payload = request.headers["webhook-id"], orjson.loads(body)
        if message_id not in self._received_ids and self.is_ours(payload["data"]):
            self._received_ids.add(message_id)
            self._credits[payload["data"]["order_id"]] += payload["type"] == "payment.paid"
            self.webhooks.put_nowait(VerifiedWebhook(message_id, request.headers["webhook-signature"], payload))
        return web.Response(status=204)

    def is_ours(self, data: dict[str, Any]) -> bool:
        """Whether an event is of real money, of this shop, and of an order with just this amount."""
        live = data["mode"] == "live" and not data["test"]
        return live and data["storefront"] == STOREFRONT and self._costs(data)

    def _costs(self, data: dict[str, Any]) -> bool:
        """Whether the event is of an order, and of what that costs."""
        return "order_id" in data and self.orders.get(data["order_id"]) == data["amount_rials"]

    async def _order(self, request: web.Request) -> web.Response:
        credits_given = self._credits[request.match_info["order_id"]]
        return web.json_response({"paid": credits_given > 0, "credits": credits_given})

    async def _thanks(self, request: web.Request) -> web.Response:
        if not self.came_from_dargah(request.query):
            return web.Response(status=400, text="این بازگشت امضای درستی ندارد.")
        text = f"سفارش {request.query['order_id']}: {request.query['status']}. پس از رسیدن پیام فروشگاه ثبت می‌شود."
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    def came_from_dargah(self, query: Any) -> bool:
        """Whether the customer's way back is of a live payment and signed by Dargah: see docs/decisions/return.md."""
        signed = "&".join(f"{name}={query.get(name, '')}" for name in SIGNED)
        expected = hmac.new(self.return_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return query.get("payment_mode") == "live" and hmac.compare_digest(expected, query.get("signature_v2", ""))


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to a browser: the status, the redirect's target (None without one), and the text."""

    status: int
    location: str | None
    text: str


class Customer:
    """Opens links and presses buttons without following redirects by itself."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def open(self, url: str) -> Page:
        async with self._session.get(url, allow_redirects=False) as answer:
            return Page(answer.status, _absolute(url, answer.headers.get("Location")), await answer.text())

    async def press(self, url: str, action: str) -> Page:
        """Presses the button `action` of the gateway's page; its form posts to its own address."""
        async with self._session.post(url, data={"action": action}, allow_redirects=False) as answer:
            return Page(answer.status, _absolute(url, answer.headers.get("Location")), await answer.text())


def buttons(html: str) -> list[str]:
    """The values of the buttons on a page."""
    found: list[str] = []

    class Buttons(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "button":
                found.extend(value for name, value in attrs if name == "value" and value)

    Buttons().feed(html)
    return found


def _absolute(base: str, location: str | None) -> str | None:
    return None if location is None else urljoin(base, location)
