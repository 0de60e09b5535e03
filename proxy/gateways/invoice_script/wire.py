"""The gateway's protocol as it looks on the wire: its words for answers, its options, and the return URL of a call.

The drop-in answers by it, and so does the simulator, which is why neither's own rules are here. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from proxy.gateways.family import Option
from proxy.gateways.invoice_script.codes import code_of
from proxy.gateways.port import Account
from proxy.gateways.shop_calls import RETURN_URLS, SPACE, url_text
from proxy.kernel.text import refused_in
from proxy.kernel.urls import host_of

MAX_ENCODINGS: Final = 2
API_KEY: Final = "api_key"
RETURN_FIELD: Final = Option(
    "return_field",
    ("The name of the return address in a request", "نام فیلد نشانی بازگشت در درخواست"),
    RETURN_URLS,
    RETURN_URLS[0],
)
BODY: Final = Option("body", ("The format of the calls", "قالب درخواست‌ها"), ("form", "json"), "form")


def speaks_json(account: Account) -> bool:
    """Whether the terminal's host wants its calls as JSON, by the option `body`."""
    return account.options.get(BODY.name, BODY.default) == "json"


class ReturnUrlsDiffer(ValueError):
    """A call that names two places to go back to."""


def refusal(code: int, description: str | None = None) -> dict[str, Any]:
    """The error answer for a code, in the protocol's own words unless others say it better."""
    known = code_of(code)
    words = "خطای ناشناخته" if known is None else known.meaning.words
    return {"status": 0, "errorCode": int(code), "errorDescription": description or words}


def return_url_of(fields: Mapping[str, Any]) -> str | None:
    """The customer's return URL, under either of its names; None when there is no such URL.

    Raises ReturnUrlsDiffer for two that are not the same.
    """
    sent = [fields[name] for name in RETURN_URLS if fields.get(name)]
    urls = {plain_url(value) for value in sent if not isinstance(value, str) or value.strip()}
    if len(urls) > 1:
        raise ReturnUrlsDiffer
    return urls.pop() if urls else None


def plain_url(value: object) -> str | None:
    """The URL, decoded as often as it was encoded beyond its body form (0 to 2 times); None when it is none, or has a
    character that no text may have.

    An escape inside a URL that is already plain is its own and stays.
    """
    if not isinstance(value, str):
        return None
    url = value.strip(SPACE)
    for _ in range(MAX_ENCODINGS):
        if _has_scheme(url):
            break
        # A plus that was meant is %2B in any encoding of a whole URL, so one that stands there is a space.
        url = url_text(unquote_to_bytes(url.replace("+", " "))).strip(SPACE)
    return url if refused_in(url) is None and host_of(url) else None


def pay_url(gateway_url: str, invoice_key: str) -> str:
    """The address at the gateway where the customer pays an invoice."""
    return f"{gateway_url.rstrip('/')}/invoice/pay/{quote(invoice_key, safe='')}"


def _has_scheme(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))
