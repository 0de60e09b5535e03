"""How the customer's pages are made up: one template, style and script inside, and the policy that lets just these in.

Style and script stand in the page, so that a page is one answer and never half there; the policy names them by their
hashes, and no other script can run, not even a file of this origin.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from proxy.clock import rfc3339
from proxy.web.assets import font_face
from proxy.web.environments import environment
from proxy.web.headers import PAGE_SECURITY_HEADERS

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


def _read(name: str) -> str:
    return files("proxy.web").joinpath("templates", name).read_text("utf-8")


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
    pages = environment("proxy.web", lstrip_blocks=False)
    pages.filters["rfc3339"] = rfc3339
    pages.globals["script"] = Markup(SCRIPT)  # noqa: S704  a file of ours
    return pages.get_template("page.html")
