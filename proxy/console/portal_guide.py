"""The portal's guide: how a shop verifies its webhooks, frames the portal, reads a status and sends a webhook again."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from proxy.console.language import Pair
from proxy.console.page_context import PageContext
from proxy.payments.payment import Status

MEANINGS: Final[Mapping[Status, Pair]] = {
    Status.CREATED: (
        "ذخیره شد؛ درگاه هنوز پاسخ روشنی نداده است. همان درخواست را با همان Idempotency-Key دوباره بفرستید.",
        "Stored; the gateway gave no clear answer so far. Send the same request with the same Idempotency-Key.",
    ),
    Status.PENDING: (
        "مشتری می‌تواند بپردازد، یا پرداخته و پاسخ درگاه در راه است. سفارش را نگه دارید.",
        "The customer can pay, or has and the gateway's answer is on its way. Keep the order.",
    ),
    Status.PAID: (
        "درگاه درست همین مبلغ را گرفت. کالا را بدهید. پایانی است.",
        "The gateway captured exactly this amount. Hand the order over. Final.",
    ),
    Status.FAILED: (
        "درگاه آن را نپذیرفت؛ پولی جابه‌جا نشد. پرداخت تازه‌ای بسازید.",
        "The gateway did not take it, and no money moved. Make a new payment.",
    ),
    Status.CANCELED: (
        "مشتری یا شما منصرف شدید. اگر پولی بعداً برسد، «پرداخت شد» با late خبر داده می‌شود.",
        "The customer or you called it off. Should money come later, it is told as paid, with late set.",
    ),
    Status.EXPIRED: (
        "مهلت گذشت. پرسش ادامه دارد و پولی که دیر برسد خبر داده می‌شود.",
        "The time is over. Checks go on, and late money is told of.",
    ),
    Status.GIVEN_BACK: (
        "مشتری پرداخت و پولش برمی‌گردد. کالا را ندهید.",
        "The customer paid, and the money goes back. Hand nothing over.",
    ),
    Status.NEEDS_REVIEW: (
        "پول جابه‌جا شد، ولی نه آن‌گونه که خواسته بودید. گردانندهٔ درگاه تصمیم می‌گیرد؛ کالا را ندهید.",
        "Money moved, but not as asked. The operator of Dargah decides; hand nothing over until then.",
    ),
}


async def show_guide(context: PageContext) -> web.StreamResponse:
    return context.page("portal_guide.html", meanings=MEANINGS, public_url=context.services.public_url)
