"""The customer's way back to the shop: its own return_url with payment_id, order_id, status and a signature added.

The signature says that Dargah sent the customer with just these words. A shop still credits from the webhook or the
API, never from this: the customer may keep the link, and a status may change after it.
"""

import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

from proxy.payment import Payment

PARAMETERS: Final = ("payment_id", "order_id", "status", "signature")
# What may stand in a URL as it is; anything else, such as Persian in the shop's own path, is percent-encoded.
_URL_SAFE: Final = "%!$&'()*+,;=:@/?[]"


def sign(secret: str, payment_id: str, order_id: str, status: str) -> str:
    """HMAC-SHA256, in hex, of `payment_id=…&order_id=…&status=…` under the merchant's return secret.

    The values stand there decoded, in UTF-8: languages differ in how they encode a form (`~`, `*`, a space). Neither
    a payment's id nor a status has an `&`, so no two triples of valid ones sign alike.
    """
    signed = f"payment_id={payment_id}&order_id={order_id}&status={status}"
    return hmac.digest(secret.encode(), signed.encode(), "sha256").hex()


def verify(secret: str, parameters: Mapping[str, str]) -> bool:
    """Whether the decoded query parameters of a way back were signed under `secret`."""
    payment_id, order_id, status, signature = (parameters.get(name, "") for name in PARAMETERS)
    return hmac.compare_digest(sign(secret, payment_id, order_id, status).encode(), signature.encode())


def way_back_url(return_url: str, secret: str, payment: Payment) -> str:
    """`return_url` with the signed parameters, as ASCII. Its own query is kept, but for parameters of these names."""
    start, end = _around(return_url)
    status = payment.status.value
    signature = sign(secret, payment.id, payment.order_id, status)
    order_id = quote(payment.order_id, safe="")
    return f"{start}payment_id={payment.id}&order_id={order_id}&status={status}&signature={signature}{end}"


@lru_cache(maxsize=256)
def _around(return_url: str) -> tuple[str, str]:
    """What stands before our parameters and after them. Kept, as many shops have one address for all customers."""
    parts = urlsplit(ascii_url(return_url))
    theirs = [
        pair for pair in parts.query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in PARAMETERS
    ]
    start = urlunsplit(parts._replace(query="", fragment=""))
    return f"{start}?{''.join(f'{pair}&' for pair in theirs)}", f"#{parts.fragment}" if parts.fragment else ""


def ascii_url(url: str) -> str:
    """`url` as it can stand in a Location header. Raises ValueError for a host that no name can have."""
    parts = urlsplit(url)
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    path, query, fragment = (quote(part, safe=_URL_SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, host, path or "/", query, fragment))
