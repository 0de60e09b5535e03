"""The cookies of these pages, and whether a form comes from one of them."""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

SESSION: Final = "dargah-session"
LANGUAGE: Final = "dargah-language"
# With it a browser takes the cookie only over https and for the whole host, so that no neighbour can set another.
HOST_PREFIX: Final = "__Host-"
_YEAR_SECONDS: Final = 365 * 24 * 3600


def session_cookie(base: str, secret: str, *, secure: bool, embedded: bool) -> str:
    """The Set-Cookie of a session; with an empty `secret` it takes the cookie away.

    Within another site's frame a browser sends only what is SameSite=None, and keeps it for that site alone
    (Partitioned).
    """
    return _cookie(SESSION, base, secret, secure=secure, embedded=embedded, seconds=None if secret else 0)


def language_cookie(base: str, language: str, *, secure: bool, embedded: bool) -> str:
    return _cookie(LANGUAGE, base, language, secure=secure, embedded=embedded, seconds=_YEAR_SECONDS)


def read_cookie(request: web.Request, name: str) -> str | None:
    """What the browser holds; what only https could have set goes before."""
    return request.cookies.get(f"{HOST_PREFIX}{name}") or request.cookies.get(name)


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks https, which a proxy in front may end.

    Its own word is asked: the Origin of a form, or a header of Fetch Metadata, which browsers send over https and to
    this machine only. A wrong word harms nobody but who speaks it.
    """
    return request.secure or urlsplit(request.headers.get("Origin", "")).scheme == "https"


def is_own_form(request: web.Request) -> bool:
    """Whether a browser says that the form stands on a page of this very host. Who says nothing is not believed."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and origin != "null" and urlsplit(origin).netloc == request.headers.get("Host")


def _cookie(name: str, base: str, value: str, *, secure: bool, embedded: bool, seconds: int | None) -> str:
    parts = [f"{HOST_PREFIX if secure else ''}{name}={value}", f"Path={'/' if secure else base}", "HttpOnly"]
    if embedded and secure:
        parts += ["SameSite=None", "Partitioned"]
    else:
        parts.append("SameSite=Strict")
    if secure:
        parts.append("Secure")
    if seconds is not None:
        parts.append(f"Max-Age={seconds}")
    return "; ".join(parts)
