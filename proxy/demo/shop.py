"""A small shop, as a merchant's developer would write it: it knows Dargah's documented API and nothing else of it.

It credits an order when a verified webhook says so, never from the customer's way back.
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """A webhook that the shop believed: its id, headers and payload."""

    id: str
    signature: str
    payload: dict[str, Any]


class Shop:
    """Receives webhooks at /webhooks and customers at /thanks. `told` gets each verified webhook once, by its id."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: set[str] = set()
        self.webhook_secret = ""
        self.return_secret = ""
        self.told: asyncio.Queue[Told] = asyncio.Queue(maxsize=1000)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/webhooks", self._webhook)
        app.router.add_get("/thanks", self._thanks)
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
        message_id = request.headers["webhook-id"]
        if message_id not in self._seen:
            self._seen.add(message_id)
            self.told.put_nowait(Told(message_id, request.headers["webhook-signature"], orjson.loads(body)))
        return web.Response(status=204)

    async def _thanks(self, request: web.Request) -> web.Response:
        if not self.came_from_dargah(request.query):
            return web.Response(status=400, text="این بازگشت امضای درستی ندارد.")
        text = f"سفارش {request.query['order_id']}: {request.query['status']}. پس از رسیدن پیام فروشگاه ثبت می‌شود."
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    def came_from_dargah(self, query: Any) -> bool:
        """Whether the signature of the customer's way back is ours: documented in docs/architecture.md."""
        signed = "&".join(f"{name}={query.get(name, '')}" for name in ("payment_id", "order_id", "status"))
        expected = hmac.new(self.return_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, query.get("signature", ""))
