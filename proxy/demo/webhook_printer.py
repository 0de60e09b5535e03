"""A shop that only looks at its webhooks: each is verified and printed in a line. For `dargah up`."""

import hmac
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.kernel.clock import SECOND, Now, system_now
from proxy.kernel.text import without_direction
from proxy.webhooks.request import sign

PATH: Final = "/webhooks"
MAX_BODY_BYTES: Final = 64 * 1024
TOLERANCE_SECONDS: Final = 300


class WebhookPrinter:
    """`app` answers 204 to what `secret` signed, and 400 to anything else. `say` gets the lines.

    It signs the body itself and compares, by Dargah's own signer: `dargah up` runs from a wheel without extras, and a
    second implementation of the scheme would have to be kept. `dargah demo` holds the signer against a library.
    """

    def __init__(self, say: Callable[[str], None], now: Now = system_now) -> None:
        self.secret = ""
        self._say = say
        self._now = now
        self.app = web.Application(client_max_size=MAX_BODY_BYTES)
        self.app.router.add_post(PATH, self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        wrong = self._fault(request, body)
        if wrong is not None:
            self._say(f"webhook NOT verified: {wrong}")
            return web.json_response({"error": wrong}, status=400)
        self._say(f"webhook verified: {_line(orjson.loads(body))}")
        return web.Response(status=204)

    def _fault(self, request: web.Request, body: bytes) -> str | None:
        message_id, stamp, signatures = (
            request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
        )
        seconds = int(stamp[:20]) if stamp.isascii() and stamp.isdigit() else 0
        if abs(self._now() // SECOND - seconds) > TOLERANCE_SECONDS:
            return "its webhook-timestamp is not of now"
        try:
            mine = sign([self.secret], message_id, seconds, body).encode()
        except ValueError as error:
            return f"DARGAH_WEBHOOK_SECRET is none: {error}"
        if not any(hmac.compare_digest(mine, each.encode(errors="replace")) for each in signatures.split(" ")):
            return (
                "DARGAH_WEBHOOK_SECRET did not sign it: if that was changed elsewhere, remove its line and start again"
            )
        return None


def _line(payload: dict[str, Any]) -> str:
    data = payload["data"]
    shown = [str(payload["type"]), *(str(data[name]) for name in ("order_id", "status") if data.get(name))]
    if data.get("amount_rials"):
        shown.append(f"{data['amount_rials']} rial = {data['amount_toman']} toman")
    if data.get("bank_code"):
        shown.append(f"bank_code {data['bank_code']}")
    return without_direction("  ".join(shown))
