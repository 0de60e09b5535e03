"""`/v1/payments/{payment_id}/qr.svg`: the pay link as a QR code, for screens and paper."""

import io
from typing import Final

from aiohttp import web

from proxy.merchant import Scope
from proxy.web.auth import authorize
from proxy.web.headers import SECURITY_HEADERS
from proxy.web.payments import own_payment, payment_object
from proxy.web.services import SERVICES

# What a link leads to never changes, so its owner may keep the picture; a shared cache may not.
_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Cache-Control": "private, max-age=86400",
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
_SCALE: Final = 6


async def get_qr(request: web.Request) -> web.Response:
    token = await authorize(request, Scope.PAYMENTS_READ)
    payment = await own_payment(request, token)
    return web.Response(body=qr_svg(payment_object(request.app[SERVICES], payment)["pay_url"]), headers=_HEADERS)


def qr_svg(text: str) -> bytes:
    """The text as an SVG: black on white whatever is behind it, with the quiet zone that readers need."""
    import segno  # noqa: PLC0415  most shops never ask for one

    drawn = io.BytesIO()
    # M survives what prints and screens do to 15 % of it; `boost_error` would make the modules smaller for more.
    code = segno.make_qr(text, error="m", boost_error=False)
    code.save(drawn, kind="svg", scale=_SCALE, border=4, dark="#000", light="#fff", xmldecl=False, title="QR")
    return drawn.getvalue()
