"""The customer's return URL: the shop's return_url, byte for byte, with the payment and two signatures added.

The signature says that Dargah sent the customer with just these words. A shop still credits from the webhook or the
API, never from this: the customer may keep the link, and a status may change after it.
"""

import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from proxy.kernel.errors import invalid
from proxy.kernel.urls import ascii_url, with_params
from proxy.merchants.merchant import Mode
from proxy.payments.payment import Payment

PARAMETERS: Final = ("payment_id", "order_id", "status", "payment_mode", "signature", "signature_v2")
# Their names where the shop's own URL has one of those.
PREFIXED: Final = tuple(f"dargah_{name}" for name in PARAMETERS)
_PHP_UNDERSCORES: Final = re.compile(r"[. \[\]]")


def sign(secret: str, payment_id: str, order_id: str, status: str) -> str:
    """The first version: HMAC-SHA256, in hex, of `payment_id=…&order_id=…&status=…` under the merchant's return secret.

    It does not name the mode: test payments are signed under another secret, and never verify under the live one.

    The values are decoded, in UTF-8: languages differ in how they encode a form (`~`, `*`, a space). Neither a
    payment's id nor a status has an `&`, so no two triples of valid ones sign alike.
    """
    signed = f"payment_id={payment_id}&order_id={order_id}&status={status}"
    return hmac.digest(secret.encode(), signed.encode(), "sha256").hex()


def sign_v2(secret: str, payment_id: str, order_id: str, status: str, mode: str) -> str:
    """The second version: `&payment_mode=…` is signed too. No text of one version is one of the other."""
    return sign(secret, payment_id, order_id, f"{status}&payment_mode={mode}")


def verify(secret: str, mode: Mode, parameters: Mapping[str, str]) -> bool:
    """Whether a return's decoded query parameters, under either set of names, are of this mode and signed."""
    names = PREFIXED if PREFIXED[-1] in parameters else PARAMETERS
    payment_id, order_id, status, payment_mode, _, signature = (parameters.get(name, "") for name in names)
    expected = sign_v2(secret, payment_id, order_id, status, mode)
    return payment_mode == mode and hmac.compare_digest(expected.encode(), signature.encode())


def check_parameters(return_url: str) -> None:
    """Raises InvalidInput about a `return_url` with a query that leaves our parameters no names."""
    taken = _parameter_names_in(return_url).intersection(PREFIXED)
    # By the signature's name alone a shop knows which of both sets is Dargah's.
    if PREFIXED[-1] in taken or (taken and parameter_names(return_url) is PREFIXED):
        raise invalid(
            "return_url",
            "parameters_taken",
            f"its query has parameters that Dargah adds; rename those of its own that are {', '.join(PREFIXED)}",
            f"پارامترهایی دارد که درگاه می‌افزاید؛ نام اینها را در آن عوض کنید: {'، '.join(PREFIXED)}",
        )


def signed_return_url(return_url: str, secret: str, payment: Payment) -> str:
    """`return_url` with the signed parameters behind its own query, as ASCII."""
    signed = (payment.id, payment.order_id, payment.status.value)
    mode = payment.mode.value
    values = (*signed, mode, sign(secret, *signed), sign_v2(secret, *signed, mode))
    added = dict(zip(parameter_names(return_url), values, strict=True))
    return with_params(ascii_url(return_url), added)


def parameter_names(return_url: str) -> tuple[str, ...]:
    """The names of Dargah's parameters in this URL."""
    return PARAMETERS if _parameter_names_in(return_url).isdisjoint(PARAMETERS) else PREFIXED


@lru_cache(maxsize=256)
def _parameter_names_in(url: str) -> frozenset[str]:
    """The names in a URL's own query, in every form that a shop's language may read, in lower case.

    PHP cuts a name at `[` and writes `_` for dots and spaces, ASP.NET ignores case, old parsers also split at `;`.
    Cached, because many shops have one address for all customers.
    """
    query = url.partition("#")[0].partition("?")[2]
    names: set[str] = set()
    for pair in re.split("[&;]", query):
        name = unquote_plus(pair.partition("=")[0]).strip().lower()
        names |= {_PHP_UNDERSCORES.sub("_", name), _PHP_UNDERSCORES.sub("_", name.partition("[")[0])}
    return frozenset(names)
