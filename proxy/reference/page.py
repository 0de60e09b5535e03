"""The page at `/docs` and the document at `/docs/openapi.json`; both are made once, and open to everybody."""

import asyncio
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

from aiohttp import web
from markupsafe import Markup, escape

from proxy.api.customer.page_assets import source
from proxy.api.middleware import Routes
from proxy.api.services import SERVICES
from proxy.http.headers import OPENER_POLICY, PAGE_SECURITY_HEADERS
from proxy.http.problems import RouteNotFound, problem_kinds
from proxy.http.static_assets import ICON_NAME, environment
from proxy.reference.document import document, groups, kinds_of, read_json, schemas, webhook

PAGE: Final = "/docs"
DOCUMENT: Final = "/docs/openapi.json"
_CODE: Final = re.compile(r"`([^`]+)`")
_STYLE: Final = files("proxy.reference").joinpath("templates/reference.css").read_text("utf-8")
_POLICY: Final = (
    f"default-src 'none'; style-src {source(_STYLE)}; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


async def get_reference(request: web.Request) -> web.Response:
    """The page."""
    _check_shown(request)
    # Made in a thread the first time: it takes longer than others should wait.
    body = await asyncio.to_thread(_page)
    headers = {
        **PAGE_SECURITY_HEADERS,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY,
        OPENER_POLICY[0]: OPENER_POLICY[1],
    }
    return web.Response(body=body, headers=headers)


async def get_document(request: web.Request) -> web.Response:
    """openapi.yaml as JSON, for programs."""
    _check_shown(request)
    policy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    headers = {**PAGE_SECURITY_HEADERS, "Content-Type": "application/json", "Content-Security-Policy": policy}
    return web.Response(body=_document(), headers=headers)


ROUTES: Final[Routes] = (("GET", PAGE, get_reference), ("GET", DOCUMENT, get_document))


def _check_shown(request: web.Request) -> None:
    if not request.app[SERVICES].api_docs:
        raise RouteNotFound


@cache
def _document() -> bytes:
    return read_json("openapi.json")


@cache
def _page() -> bytes:
    pages = environment("proxy.reference")
    pages.filters.update(prose=_prose, pretty=_pretty, kinds=kinds_of)
    text = pages.get_template("reference.html").render(
        info=document()["info"],
        groups=groups(),
        webhook=webhook(),
        schemas=schemas(),
        problems=problem_kinds(),
        icon=f"assets/{ICON_NAME}",
        style=Markup(_STYLE),  # noqa: S704  a file of ours
    )
    return text.encode()


def _prose(text: str) -> Markup:
    """Paragraphs, with text in backticks as code."""
    written = escape(text.strip())
    marked = _CODE.sub(r"<code>\1</code>", str(written))
    return Markup("").join(Markup("<p>{}</p>").format(Markup(part)) for part in marked.split("\n\n") if part)  # noqa: S704  escaped above


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
