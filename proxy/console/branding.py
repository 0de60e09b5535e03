"""A merchant's appearance to customers: the form that changes it, and the logo that the console shows."""

from typing import Final

from aiohttp import web

from proxy.console.merchants import merchant_of_path, merchant_page
from proxy.console.page_context import PageContext
from proxy.http.headers import SECURITY_HEADERS
from proxy.kernel.errors import InvalidInput, NotFound, invalid
from proxy.merchants.merchant import Language
from proxy.merchants.setup import BrandingChanges

# Changed logos keep this address, so a browser asks each time.
_PICTURE: Final = {**SECURITY_HEADERS, "Content-Type": "image/png", "Cache-Control": "no-store"}


async def change_looks(context: PageContext) -> web.StreamResponse:
    """Sets all of them as the form has them; the logo only where a file came, or is to go."""
    merchant = await merchant_of_path(context)
    try:
        await context.services.setup.change_merchant(merchant.id, actor=context.viewer.name, **_looks(context))
    except InvalidInput as error:
        return await merchant_page(context, merchant, error)
    return context.go(f"/merchants/{merchant.id}?said=saved")


async def show_logo(context: PageContext) -> web.StreamResponse:
    """The logo, which the public listener has too, but a page of this one may load nothing from there."""
    merchant = await merchant_of_path(context)
    if merchant.branding.logo is None:
        raise NotFound("logo")
    image = await context.services.store.merchants.logo(merchant.id, merchant.branding.logo)
    return web.Response(body=image, headers=_PICTURE)


def _looks(context: PageContext) -> BrandingChanges:
    form, language = context.form, context.form.get("language", "")
    if language and language not in set(Language):
        raise invalid("language", "not_a_choice", "must be one of the choices", "باید یکی از گزینه‌ها باشد")
    branding = BrandingChanges(
        name_fa=form.get("name_fa", "").strip() or None,
        colour=form.get("colour", "").strip() or None,
        language=Language(language) if language else None,
        contact=form.get("contact", "").strip() or None,
    )
    if image := context.files.get("logo"):
        branding["logo"] = image
    elif form.get("no_logo"):
        branding["logo"] = None
    return branding
