"""Jinja environments, and the static files of pages: one font with its licence, an icon, and a picture for messengers.

Their names change with their content, so that browsers keep them for good.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.http.headers import SECURITY_HEADERS
from proxy.http.problems import RouteNotFound
from proxy.kernel.frozen import dataclass

if TYPE_CHECKING:
    from jinja2 import Environment

ASSET: Final = "/assets/{name}"
LASTING_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Opened by itself a picture is a document of our origin, and may do nothing.
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    content_type: str


def _read(name: str) -> bytes:
    return files("proxy.http").joinpath("static", name).read_bytes()


def _hashed_name(name: str, body: bytes, suffix: str) -> str:
    return f"{name}.{hashlib.sha256(body).hexdigest()[:12]}.{suffix}"


_FONT: Final = _read("vazirmatn.woff2")
_ICON: Final = _read("icon.svg")
_PREVIEW: Final = _read("preview.png")
FONT_NAME: Final = _hashed_name("vazirmatn", _FONT, "woff2")
ICON_NAME: Final = _hashed_name("icon", _ICON, "svg")
PREVIEW_NAME: Final = _hashed_name("preview", _PREVIEW, "png")
ASSETS: Final[Mapping[str, Asset]] = {
    FONT_NAME: Asset(_FONT, "font/woff2"),
    ICON_NAME: Asset(_ICON, "image/svg+xml"),
    PREVIEW_NAME: Asset(_PREVIEW, "image/png"),
    "OFL.txt": Asset(_read("OFL.txt"), "text/plain; charset=utf-8"),
}


def font_face(base: str = "") -> str:
    """The style that loads the font, weights 400 to 700. `base` is the path under which this listener is reached."""
    return (
        f'@font-face{{font-family:Vazirmatn;src:url("{base}/assets/{FONT_NAME}") format("woff2");'
        "font-weight:400 700;font-display:swap}\n"
    )


async def get_asset(request: web.Request) -> web.Response:
    asset = ASSETS.get(request.match_info["name"])
    if asset is None:
        raise RouteNotFound
    return web.Response(body=asset.body, headers={**LASTING_HEADERS, "Content-Type": asset.content_type})


def environment(package: str, *, lstrip_blocks: bool = True) -> "Environment":
    """Renders a package's `templates`; `lstrip_blocks` is whether the indentation of a tag's line is left out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  2.5 MB that a start does without

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=lstrip_blocks,
    )
