"""A webhook as it leaves: who it says it is from, and what the receiver checks it by."""

import base64
import hashlib
from typing import Final

from proxy import __version__, webhook
from proxy.clock import SECOND
from proxy.directory import Directory
from proxy.merchant import Endpoint
from proxy.records import Outgoing

USER_AGENT: Final = f"Dargah/{__version__} (webhooks)"


async def outgoing(
    directory: Directory,
    endpoint: Endpoint,
    message_id: str,
    body: bytes,
    now: int,
    traceparent: str | None = None,
) -> Outgoing:
    """The message of these frozen bytes to where the endpoint is now, by the keys that sign for it now.

    With `traceparent` the receiver is told of the trace that the event belongs to.
    """
    keys = await directory.signing_keys(endpoint)
    headers = {**endpoint.headers, **signed_headers(keys, message_id, body, now)}
    if traceparent is not None:
        headers["traceparent"] = traceparent
    return Outgoing(endpoint.url, headers, body)


def signed_headers(keys: list[str], message_id: str, body: bytes, now: int) -> dict[str, str]:
    """The headers of a message that is sent at `now` (milliseconds); timestamp and signature are new each time."""
    seconds = now // SECOND
    return {
        "content-type": "application/json",
        # RFC 9530. With it `dargah webhook verify` can tell an altered body from a wrong secret.
        "content-digest": content_digest(body),
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": webhook.sign(keys, message_id, seconds, body),
    }


def content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
