"""The webhook that each of the queues' tasks sends, and its signature by the Standard Webhooks scheme."""

import base64
import hashlib
import hmac
import json
import os
import time
from typing import Any, Final

URL: Final = os.environ.get("WEBHOOK_URL", "")
SECRET: Final = base64.b64decode(os.environ.get("WEBHOOK_SECRET", ""))
EVENT: Final[dict[str, Any]] = json.loads(os.environ.get("WEBHOOK_EVENT", "{}"))
TIMEOUT_SECONDS: Final = 20


def event(event_id: str) -> dict[str, Any]:
    """One of payment.paid, as large as Dargah's."""
    return EVENT | {"data": EVENT["data"] | {"id": event_id}}


def request(event_id: str, payload: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Its body and headers."""
    body, now = json.dumps(payload).encode(), str(int(time.time()))
    signature = hmac.new(SECRET, f"{event_id}.{now}.".encode() + body, hashlib.sha256).digest()
    return body, {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": now,
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }
