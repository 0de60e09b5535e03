"""The cookies of the console and the portal: how each is set, and how it is read again."""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from proxy.console.viewer import Side
from proxy.operators.login_tickets import BEGUN_SECONDS, KNOWN_SECONDS

SESSION: Final = "dargah-session"
LANGUAGE: Final = "dargah-language"
SIGN_IN: Final = "dargah-sign-in"
SIGN_IN_SECONDS: Final = 600
TICKET: Final = "dargah-login"
BROWSER: Final = "dargah-browser"
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


def sign_in_cookie(value: str, *, secure: bool) -> str:
    """What a browser keeps while it is at the provider; an empty one takes it away. The provider's page leads back
    here, which SameSite=Strict would not let it come along with.
    """
    seconds = SIGN_IN_SECONDS if value else 0
    path = f"{Side.CONSOLE}/login"
    return _cookie(SIGN_IN, path, value, secure=secure, embedded=False, seconds=seconds, same_site="Lax")


def ticket_cookie(value: str, *, secure: bool) -> str:
    """What a browser keeps between the token and the code; an empty one takes it away."""
    seconds = BEGUN_SECONDS if value else 0
    return _cookie(TICKET, f"{Side.CONSOLE}/login", value, secure=secure, embedded=False, seconds=seconds)


def browser_cookie(value: str, *, secure: bool) -> str:
    """By what a browser that has logged in is known again. It opens nothing."""
    return _cookie(BROWSER, Side.CONSOLE, value, secure=secure, embedded=False, seconds=KNOWN_SECONDS)


def read_cookie(request: web.Request, name: str) -> str | None:
    """What the browser holds; what only https could have set goes before.

    Ours are never quoted. aiohttp's reader unquotes, and takes 40 ms for what a head may hold.
    """
    pairs = (pair.partition("=") for header in request.headers.getall(hdrs.COOKIE, ()) for pair in header.split(";"))
    held = {key.strip(): value.strip() for key, _, value in pairs}
    return held.get(f"{HOST_PREFIX}{name}") or held.get(name)


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks https, which a proxy in front may end.

    Its own word is asked: the Origin of a form, or a header of Fetch Metadata, which browsers send over https and to
    this machine only. A wrong word harms nobody but who speaks it.
    """
    return request.secure or urlsplit(request.headers.get("Origin", "")).scheme == "https"


def _cookie(
    name: str, base: str, value: str, *, secure: bool, embedded: bool, seconds: int | None, same_site: str = "Strict"
) -> str:
    parts = [f"{HOST_PREFIX if secure else ''}{name}={value}", f"Path={'/' if secure else base}", "HttpOnly"]
    if embedded and secure:
        parts += ["SameSite=None", "Partitioned"]
    else:
        parts.append(f"SameSite={same_site}")
    if secure:
        parts.append("Secure")
    if seconds is not None:
        parts.append(f"Max-Age={seconds}")
    return "; ".join(parts)
