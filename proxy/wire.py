"""The gateway's protocol as it looks on the wire: how shops write a call, and the words that it is answered in.

The drop-in answers by it, and so does the simulator, which is why neither's own rules are here. Pure.
"""

import re
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode

import orjson

DESCRIPTIONS: Final[Mapping[int, str]] = {
    100: "نوع درخواست باید POST باشد",
    101: "api_key ارسال نشده است یا صحیح نیست",
    102: "مبلغ ارسال نشده است یا کمتر از ۱۰۰۰ ریال است",
    103: "آدرس بازگشت ارسال نشده است",
    200: "شناسه پرداخت صحیح نیست",
    201: "پرداخت انجام نشده است",
    202: "پرداخت کنسل شده است یا خطایی در مراحل پرداخت رخ داده است",
    203: "دامنه با دامنه ثبت شده برای ترمینال مطابقت ندارد",
    204: "آی‌پی با آی‌پی ثبت شده برای ترمینال مطابقت ندارد",
    301: "خطایی در برقراری با سرور بانک رخ داده است",
    302: "ترمینال غیرفعال است",
}
MAX_FIELDS: Final = 100
MAX_ENCODINGS: Final = 2

_RAW_URL: Final = re.compile(r"(?:^|&)return_url=(?=https?://)", re.IGNORECASE)
_OTHER_FIELDS: Final = ("api_key", "amount")
# urllib's parser costs ten times this, on a path that benchmarks run through.
_HEAD: Final = re.compile(
    r"https?://(?:[^@/?#]*@)?(\[[0-9a-f:.]+\]|[^:/?#@\[\]]+)(?::[0-9]*)?(?=[/?#]|$)", re.IGNORECASE
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE: Final = " \t\r\n"  # another space at the end of a URL may be its own
_VISIBLE_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))


def refusal(code: int, description: str | None = None) -> dict[str, Any]:
    """The error answer for a code, in the protocol's own words unless others say it better."""
    text = description or DESCRIPTIONS.get(code, "خطای ناشناخته")
    return {"status": 0, "errorCode": code, "errorDescription": text}


def parse_fields(body: bytes, content_type: str = "") -> dict[str, Any]:
    """The fields of a form, multipart or JSON body, none when it is none of them.

    The text decides, not its content type, which shops often get wrong; only multipart needs its header.
    """
    if content_type.lower().startswith("multipart/form-data"):
        return _parse_multipart(body, content_type)
    text = body.decode("utf-8", errors="replace").strip().removeprefix("\ufeff").lstrip()
    try:
        return _parse_json(text) if text.startswith("{") else _parse_form(text)
    except ValueError:
        return {}


def plain_url(value: object) -> str | None:
    """The URL, decoded as often as it was encoded beyond its body form (0 to 2 times); None when it is none.

    An escape inside a URL that is already plain is its own and stays.
    """
    if not isinstance(value, str):
        return None
    url = value.strip(_SPACE)
    for _ in range(MAX_ENCODINGS):
        if _has_scheme(url):
            break
        # A plus that was meant is %2B in any encoding of a whole URL, so one that stands there is a space.
        url = unquote_plus(url).strip(_SPACE)
    # A control character would split the Location header.
    return None if _CONTROL.search(url) or not host_of(url) else url


def host_of(url: str) -> str:
    """The host of an http or https URL, in lower case; empty when it is no such URL."""
    found = _HEAD.match(url)
    return found[1].lower() if found else ""


def head_of(url: str) -> str:
    """The scheme and authority of a URL that `plain_url` gave: what tells where a browser would go."""
    found = _HEAD.match(url)
    return found[0] if found else ""


def location(url: str) -> str:
    """`url` byte for byte where it is visible ASCII, and its other characters as the browser would write them.

    Raises ValueError for a host that no name can have.
    """
    if url.isascii() and " " not in url:
        return url
    head = head_of(url)
    ascii_head = head if head.isascii() else head.encode("idna").decode()
    return ascii_head + quote(url[len(head) :], safe=_VISIBLE_ASCII)


def with_params(return_url: str, params: Mapping[str, str]) -> str:
    """The URL with `params` added to its query, which stays byte for byte; a fragment stays last."""
    base, mark, fragment = return_url.partition("#")
    _, asks, query = base.partition("?")
    glue = "&" if query and not query.endswith("&") else "" if asks else "?"
    return f"{base}{glue}{urlencode(params)}{mark}{fragment}"


def _parse_multipart(body: bytes, content_type: str) -> dict[str, Any]:
    """PHP's curl sends this when it is given an array. Parts without a name, or that are files, are left out."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    fields: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + body).walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes) and part.get_filename() is None:
            fields[name] = content.decode("utf-8", "replace")
    return fields


def _parse_json(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(text)
    return fields


def _parse_form(text: str) -> dict[str, Any]:
    raw = _RAW_URL.search(text)
    if raw is None:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        return {name.strip(): value for name, value in pairs}
    end = _end_of_raw_url(text, raw.end(), text[: raw.start()])
    url = text[raw.end() : end]
    if "?" not in url and "%3f" in url.lower():
        # Only the scheme's punctuation was left as it is; the rest was encoded.
        url = unquote_plus(url)
    return _parse_form(text[: raw.start()] + text[end:]) | {"return_url": url}


def _end_of_raw_url(text: str, start: int, before: str) -> int:
    """Where a URL that was put unencoded into a hand-made form ends, as its own `&` does not end it.

    It goes on until the first of the call's other fields that did not stand before it. The last place of each counts,
    because the URL's own query may have parameters of these names.
    """
    missing = [name for name in _OTHER_FIELDS if f"&{name}=" not in f"&{before}"]
    ends = [text.rfind(f"&{name}=", start) for name in missing]
    return min((end for end in ends if end >= 0), default=len(text))


def _has_scheme(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))
