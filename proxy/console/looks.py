"""How a merchant's customers see it: the name, colour, language and logo of its pages, set by a form with a file."""

from typing import Final

from aiohttp import web

from proxy.console.merchants import merchant_of_path, merchant_page
from proxy.console.visit import Visit
from proxy.errors import InvalidInput, NotFound, invalid
from proxy.merchant import Language
from proxy.setup import MerchantLooks
from proxy.web.headers import SECURITY_HEADERS

# Changed logos keep this address, so a browser asks each time.
_PICTURE: Final = {**SECURITY_HEADERS, "Content-Type": "image/png", "Cache-Control": "no-store"}


async def change_looks(visit: Visit) -> web.StreamResponse:
    """Sets all of them as the form has them; the logo only where a file came, or is to go."""
    merchant = await merchant_of_path(visit)
    try:
        await visit.services.setup.change_merchant(merchant.id, actor=visit.viewer.name, **_looks(visit))
    except InvalidInput as error:
        return await merchant_page(visit, merchant, error)
    return visit.go(f"/merchants/{merchant.id}?said=saved")


async def show_logo(visit: Visit) -> web.StreamResponse:
    """The logo, which the public listener has too, but a page of this one may load nothing from there."""
    merchant = await merchant_of_path(visit)
    if merchant.looks.logo is None:
        raise NotFound("logo")
    image = await visit.services.store.logo(merchant.id, merchant.looks.logo)
    return web.Response(body=image, headers=_PICTURE)


def _looks(visit: Visit) -> MerchantLooks:
    form, language = visit.form, visit.form.get("language", "")
    if language and language not in set(Language):
        raise invalid("language", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    looks = MerchantLooks(
        name_fa=form.get("name_fa", "").strip() or None,
        colour=form.get("colour", "").strip() or None,
        language=Language(language) if language else None,
    )
    if image := visit.files.get("logo"):
        looks["logo"] = image
    elif form.get("no_logo"):
        looks["logo"] = None
    return looks
