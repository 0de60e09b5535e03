"""Inputs that somebody without a token can send, each of any size: what parsers have taken long for, and its like."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"


@dataclass(frozen=True)
class Hostile:
    """One part of a request, filled to a size: `where` is a header's name, `query`, `path`, or `body` with its type."""

    name: str
    where: str
    filled: Callable[[int], str]
    content_type: str = ""


def repeated(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """So much of `unit` that all of it has the size asked for."""
    return lambda size: before + unit * ((size - len(before) - len(after)) // len(unit)) + after


_HEADERS: Final = {
    "Content-Type": (
        f"{MULTIPART}|;a=b", f"{JSON}|;a=b", f"{FORM};|(", f'{JSON};a="|\\"', f"{MULTIPART};|a*0=b;", "|/", f"{FORM}| ",
    ),
    "Cookie": (
        "|a=b; ", 'a="|\\"', 'a="|\\";a=', "a| ", "a=| ", "dargah-session=|0", "|a;", '|"', "a=abc | ", "|a=Mon, ",
    ),
    "Accept-Language": ("|fa;q=0.1,", "|;", "fa-|a-", "fa;q=|9"),
    "User-Agent": ("|a ", "|(", "|bot"),
    "X-Forwarded-For": ("|1.1.1.1,", "|1.", "|:", "|,"),
    "Forwarded": ('|for="', "|for=a;", "for=|["),
    "Authorization": ("Bearer |x", "Bearer dg_live_|0", "Bearer | ", "|Bearer ", "Basic |a"),
    "Idempotency-Key": ("|x",),
    "traceparent": ("00-|0", "|0-"),
    "tracestate": ("|a=b,",),
    "X-Request-Id": ("|x", "|-"),
    "Range": ("bytes=|0-1,", "bytes=|9"),
    "If-None-Match": ('|"a",', '|W/"'),
    "If-Modified-Since": ("|Mon, ", "Mon, 01 Jan 2024 | "),
    "Accept": ("|text/html;q=0.1,",),
    "Accept-Encoding": ("|gzip;q=0,",),
    "Origin": ("http://|a.", "|http://"),
    "Sec-Purpose": ("|prefetch;",),
    "Host": ("|a.", "[|:", "localhost:|1"),
}  # fmt: skip
_QUERIES: Final = ("|a=b&", "|a&", "|&", "|%41", "|lang=fa&", "lang=|a", "next=|//", "a[|]", "cursor=|A", "|;", "|+")
_PATHS: Final = ("|x", "|/", "|../", "|%2e%2e/", "|%", "|/invoice/request", "|/invoice/check/a", "|/invoice/pay/a")
_BODIES: Final = {
    FORM: (
        "|a=b&", "|&", "|%", "|%41", "|=", "api_key=|%20%E2%80%8B", "api_key=|0", "|return_url=http://a&amount=1&",
        "|return_url=http://", "amount=1&api_key=x&|&return_url=http://a", "return_url=http://a|&amount=", "| ",
        "|\ufeff", "token=x&|csrf=", "status=0&|invoice_key=a&",
    ),
    JSON: (
        "|[", '|{"a":', '{"api_key":"| \u200b', '{"a":|9', '{"a":[|1,', '|{"a":1,', '{"a":"|\\u0041', "| ",
        '{"a":0.|1', '{"a":1e|9', '{"|\\\\', '{"api_key":"x","a":|[',
    ),
    MULTIPART: (
        "|--b\n\n", "|--b\r\n", '|--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n', "--b\r\n|a:b\r\n",
        '--b\r\nContent-Disposition: form-data|; name="a"', "--b\r\nContent-Disposition: form-data;|  ", "--b|--",
        "|--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\n|\r\n", "|\r\n--",
    ),
}  # fmt: skip


def every() -> Iterator[Hostile]:
    """All of them; in each text the part after `|` is what grows, up to the next `|` where there is one."""
    for name, texts in _HEADERS.items():
        yield from (_made(name, text) for text in texts)
    for where, texts in (("query", _QUERIES), ("path", _PATHS)):
        yield from (_made(where, text) for text in texts)
    for content_type, texts in _BODIES.items():
        yield from (_made("body", text, content_type) for text in texts)


def _made(where: str, text: str, content_type: str = "") -> Hostile:
    before, _, unit = text.partition("|")
    name = f"{where} {content_type.partition(';')[0]} {text!r}"
    unit, _, after = unit.partition("|") if unit.count("|") else (unit, "", "")
    return Hostile(name, where, repeated(unit, before, after), content_type)
