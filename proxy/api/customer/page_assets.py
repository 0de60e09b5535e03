"""The markup of the customer's pages: one template, with style and script inline, and the policy that allows only
these.

Style and script are inline, so that a page is one answer and never half there; the policy names them by their hashes,
and no other script can run, not even a file of this origin.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from aiohttp import web
from markupsafe import Markup

from proxy.api.services import SERVICES
from proxy.http.headers import PAGE_SECURITY_HEADERS
from proxy.http.static_assets import LASTING_HEADERS, environment, font_face
from proxy.kernel.clock import rfc3339
from proxy.merchants.contacts import contacts_of
from proxy.merchants.merchant import Merchant

if TYPE_CHECKING:
    from jinja2 import Template

_CLOSED: Final = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Of whatever a browser gets that is no page: a redirect, or the answer to a HEAD.
PAGE_HEADERS: Final[Mapping[str, str]] = {
    **PAGE_SECURITY_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; {_CLOSED}",
    "X-Robots-Tag": "noindex, nofollow",
}
_BLACK, _WHITE = "#000", "#fff"
# Where black and white have the same contrast with a colour: the better of the two is 4.5:1 or more (WCAG 2.2, 1.4.3).
_MIDDLE: Final = 0.1791
LOGO: Final = "/logos/{merchant_id}/{digest}.png"
_LOGO_HEADERS: Final = {**LASTING_HEADERS, "Content-Type": "image/png"}


def _read(name: str) -> str:
    return files("proxy.api.customer").joinpath("templates", name).read_text("utf-8")


_STYLE: Final = _read("style.css")
SCRIPT: Final = _read("page.js")


@cache
def style(base: str) -> str:
    """The pages' style; `base` is the path of the public URL."""
    return font_face(base) + _STYLE


def policy(*styles: str, form: bool) -> str:
    """The Content-Security-Policy of a page with these styles. `form` is whether a form of its leads to the shop."""
    # No form-action then: Chrome holds it against the redirects that follow.
    closed = _CLOSED.replace("form-action 'none'; ", "") if form else _CLOSED
    return (
        f"default-src 'none'; style-src {' '.join(map(source, styles))}; script-src {source(SCRIPT)}; "
        f"font-src 'self'; img-src 'self'; connect-src 'self'; {closed}"
    )


@lru_cache(maxsize=1024)
def source(text: str) -> str:
    """A policy's name of an inline text: its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def template() -> "Template":
    """The one template of all pages."""
    pages = environment("proxy.api.customer", lstrip_blocks=False)
    pages.filters["rfc3339"] = rfc3339
    pages.filters["contacts"] = contacts_of
    pages.globals["script"] = Markup(SCRIPT)  # noqa: S704  a file of ours
    return pages.get_template("page.html")


@lru_cache(maxsize=1024)
def brand_style(colour: str) -> str:
    """The style that gives a page's buttons a colour `#rrggbb`."""
    return f":root{{--brand:{colour};--on-brand:{text_on(colour)}}}"


def text_on(colour: str) -> str:
    """Black or white, whichever is easier to read on `#rrggbb`."""
    return _BLACK if luminance(colour) > _MIDDLE else _WHITE


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004  sRGB's own


def logo_path(merchant: Merchant) -> str | None:
    """Where its logo is, under the public URL; None when it has none."""
    digest = merchant.branding.logo
    return None if digest is None else LOGO.format(merchant_id=merchant.id, digest=digest)


async def get_logo(request: web.Request) -> web.Response:
    path = request.match_info
    image = await request.app[SERVICES].store.merchants.logo(path["merchant_id"], path["digest"])
    return web.Response(body=image, headers=_LOGO_HEADERS)
