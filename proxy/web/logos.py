"""`/logos/{merchant}/{digest}.png`: merchants' logos, for the customers' pages. A changed logo has another address."""

from typing import Final

from aiohttp import web

from proxy.merchant import Merchant
from proxy.web.assets import LASTING_HEADERS
from proxy.web.services import SERVICES

LOGO: Final = "/logos/{merchant_id}/{digest}.png"
_HEADERS: Final = {**LASTING_HEADERS, "Content-Type": "image/png"}


def logo_path(merchant: Merchant) -> str | None:
    """Where its logo is, under the public URL; None when it has none."""
    digest = merchant.looks.logo
    return None if digest is None else LOGO.format(merchant_id=merchant.id, digest=digest)


async def get_logo(request: web.Request) -> web.Response:
    path = request.match_info
    image = await request.app[SERVICES].store.logo(path["merchant_id"], path["digest"])
    return web.Response(body=image, headers=_HEADERS)
