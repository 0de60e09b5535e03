"""A document as it is served: its bytes, packed once, and the answer to who has it already."""

import gzip
import hashlib
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

from proxy.http.headers import PAGE_SECURITY_HEADERS
from proxy.kernel.frozen import dataclass

_LEAST_PACKED: Final = 1000  # bytes; below it packing saves nothing
NO_PAGE: Final = {"Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"}


@dataclass(frozen=True, slots=True)
class Served:
    """`packed` is `body` by gzip, None where that is no use; `etag` is weak, because it is of both forms."""

    body: bytes
    packed: bytes | None
    etag: str
    content_type: str
    headers: Mapping[str, str]


def served(text: str, content_type: str, headers: Mapping[str, str] = NO_PAGE) -> Served:
    """`headers` are its own, beside those of every page."""
    body = text.encode()
    # Its secrets are none, so packing tells nobody anything. The time is left out: the same bytes on each replica.
    packed = gzip.compress(body, mtime=0) if len(body) >= _LEAST_PACKED else None
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Served(body, packed, etag, content_type, headers)


def answer(request: web.Request, document: Served, *, private: bool = False) -> web.Response:
    """The document, or 304 where `If-None-Match` names it. `private` is for what a token was needed for."""
    headers = {
        **PAGE_SECURITY_HEADERS,
        **document.headers,
        hdrs.CACHE_CONTROL: "private, no-cache" if private else "no-cache",
        hdrs.ETAG: document.etag,
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if _is_known(request.headers.get(hdrs.IF_NONE_MATCH, ""), document.etag):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = document.content_type
    if document.packed is None or not _takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        return web.Response(body=document.body, headers=headers)
    headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=document.packed, headers=headers)


def _is_known(header: str, etag: str) -> bool:
    """By the weak comparison of RFC 9110, 13.1.2."""
    names = (name.strip().removeprefix("W/") for name in header.split(","))
    return any(name in {"*", etag.removeprefix("W/")} for name in names)


def _takes_gzip(header: str) -> bool:
    for each in header.lower().split(","):
        coding, _, quality = each.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
