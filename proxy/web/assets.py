"""The files that pages need beside themselves, served by Dargah: one font, with its licence.

Their names change with what is in them, so that browsers keep them for good.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from aiohttp import web

from proxy.web.headers import SECURITY_HEADERS
from proxy.web.problems import RouteNotFound

ASSET: Final = "/assets/{name}"
LASTING_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    content_type: str


def _read(name: str) -> bytes:
    return files("proxy.web").joinpath("static", name).read_bytes()


_FONT: Final = _read("vazirmatn.woff2")
FONT_NAME: Final = f"vazirmatn.{hashlib.sha256(_FONT).hexdigest()[:12]}.woff2"
ASSETS: Final[Mapping[str, Asset]] = {
    FONT_NAME: Asset(_FONT, "font/woff2"),
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
