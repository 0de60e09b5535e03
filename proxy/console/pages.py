"""Templates into answers, and what browsers are held to on these pages."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from proxy.console.language import DELIVERIES, ENDPOINTS, MODES, OUTCOMES, ROLES, STATUSES, Words
from proxy.web.assets import ASSETS, FONT_NAME, Asset
from proxy.web.environments import environment
from proxy.web.headers import PAGE_SECURITY_HEADERS

if TYPE_CHECKING:
    from jinja2 import Environment

    from proxy.console.visit import Visit

_FONT_FACE: Final = (
    f'@font-face {{ font-family: Vazirmatn; src: url("{FONT_NAME}") format("woff2"); font-weight: 400 700; '
    "font-display: swap; }\n"
)
_STYLE: Final = _FONT_FACE.encode() + files("proxy.console").joinpath("templates/console.css").read_bytes()
STYLE_NAME: Final = f"console.{hashlib.sha256(_STYLE).hexdigest()[:12]}.css"
FILES: Final[Mapping[str, Asset]] = {
    FONT_NAME: ASSETS[FONT_NAME],
    STYLE_NAME: Asset(_STYLE, "text/css; charset=utf-8"),
    "icon.svg": Asset(files("proxy.console").joinpath("templates/icon.svg").read_bytes(), "image/svg+xml"),
}

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors "
)


def headers(embed_origin: str | None = None) -> dict[str, str]:
    """Of a page that only `embed_origin` may frame, or nobody.

    The referrer goes to our own pages: without it browsers hide a form's origin, which is what tells ours from others'.
    """
    return {
        **PAGE_SECURITY_HEADERS,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY + (embed_origin or "'none'"),
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def page(visit: "Visit", template: str, *, status: int, refresh: int | None, values: Mapping[str, Any]) -> web.Response:
    """A page for somebody who is logged in."""
    text = _environment().get_template(template).render(visit=visit, w=visit.words, refresh=refresh, **values)
    return web.Response(status=status, body=text.encode(), headers=headers(visit.viewer.embed_origin))


def bare_page(
    template: str, words: Words, base: str, *, status: int = 200, refresh: str | None = None, **values: Any
) -> web.Response:
    """A page for anybody: the login, an error, the way in. `refresh` is where it leads by itself."""
    text = _environment().get_template(template).render(w=words, base=base, refresh=refresh, **values)
    return web.Response(status=status, body=text.encode(), headers=headers(values.get("embed_origin")))


@cache
def _environment() -> "Environment":
    pages = environment("proxy.console")
    pages.globals.update(
        style_name=STYLE_NAME,
        STATUSES=STATUSES,
        DELIVERIES=DELIVERIES,
        ENDPOINTS=ENDPOINTS,
        OUTCOMES=OUTCOMES,
        MODES=MODES,
        ROLES=ROLES,
    )
    return pages
