"""Archiving a merchant, and taking that back."""

from typing import Final

from aiohttp import web

from proxy.console.confirmation import Question
from proxy.console.merchants import merchant_of_path
from proxy.console.page_context import PageContext
from proxy.payments.payment import OPEN
from proxy.payments.search import PaymentFilter

COUNTED: Final = 1000
"""Up to how many open payments are counted."""


async def ask_archive(context: PageContext) -> Question:
    merchant = await merchant_of_path(context)
    store, now = context.services.store, context.services.now()
    tokens = await store.merchants.list_tokens(merchant.id)
    pending = await store.payments.lines(merchant.id, PaymentFilter(statuses=tuple(OPEN)), COUNTED)
    return Question(
        title=("این پذیرنده بایگانی شود؟", "Archive this merchant?"),
        subject=merchant.called(context.words.language),
        happens=[
            (
                "از آن پس پرداخت تازه‌ای نمی‌پذیرد: به فروشگاه‌هایش گفته می‌شود که بایگانی شده است.",
                "From then on it takes no new payments: its shops get the error merchant_archived.",
            ),
            (
                "پرداخت‌های باز تا پایان پی گرفته می‌شوند: مشتری بازمی‌گردد، از درگاه پرسیده می‌شود و وب‌هوک‌ها می‌رسند.",
                "Open payments are watched to their end: customers come back, the gateway is asked, webhooks arrive.",
            ),
            (
                "توکن‌هایش همچنان می‌خوانند و پول برمی‌گردانند؛ بررسی‌ها تصمیم می‌خواهند.",
                "Its tokens still read and give money back, and its reviews are still to be decided.",
            ),
            (
                "از فهرست‌های پیشخان کنار می‌رود و تنها با صافی «بایگانی» دیده می‌شود. هر زمان می‌توان بازش گرداند.",
                "It leaves the console's lists; a filter shows archived ones. It can be taken back at any time.",
            ),
        ],
        facts=[
            (("پرداخت‌های باز", "Open payments"), _counted(context, len(pending.lines))),
            (("توکن‌های زنده", "Tokens in use"), sum(token.alive(now) for token in tokens)),
        ],
        yes=("بایگانی کن", "Archive it"),
        back=f"/merchants/{merchant.id}",
        section="/merchants",
    )


async def archive(context: PageContext) -> web.StreamResponse:
    merchant = await merchant_of_path(context)
    await context.services.setup.archive_merchant(merchant.id, actor=context.viewer.name)
    return context.go(f"/merchants/{merchant.id}?said=archived")


async def unarchive(context: PageContext) -> web.StreamResponse:
    merchant = await merchant_of_path(context)
    await context.services.setup.unarchive_merchant(merchant.id, actor=context.viewer.name)
    return context.go(f"/merchants/{merchant.id}?said=unarchived")


def _counted(context: PageContext, count: int) -> str:
    return f"{context.words.number(count)}{'+' if count == COUNTED else ''}"
