"""What each act on an endpoint that cannot be taken back, or that stops a shop's webhooks, would do."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from proxy.console.confirmation import Question
from proxy.console.language import Pair
from proxy.console.page_context import PageContext
from proxy.merchants.merchant import Mode

_ENDPOINTS: Final = "/endpoints"


async def pause_endpoint(context: PageContext) -> Question:
    return await _of_endpoint(
        context,
        title=("فرستادن به این نشانی نگه داشته شود؟", "Pause this endpoint?"),
        happens=[
            (
                "فروشگاه از هیچ پرداختی خبر نمی‌گیرد تا دوباره راهش بیندازید.",
                "The shop is told of no payment until you resume it.",
            ),
            (
                "چیزی گم نمی‌شود: رویدادها می‌مانند و پس از راه افتادن فرستاده می‌شوند.",
                "Nothing is lost: the events are held, and sent once it is resumed.",
            ),
        ],
        yes=("نگه دار", "Pause it"),
    )


async def delete_endpoint(context: PageContext) -> Question:
    question = await _of_endpoint(
        context,
        title=("این نشانی برداشته شود؟", "Delete this endpoint?"),
        happens=[
            ("بازگشتی ندارد: کلیدهایش پاک می‌شوند.", "This is for good: its keys are removed."),
            (
                "آنچه در صف آن است کنار گذاشته می‌شود و فروشگاه از این راه خبردار نمی‌شود.",
                "What waits for it is dropped, and the shop is not told of it here.",
            ),
        ],
        yes=("بردار", "Delete it"),
    )
    return replace(
        question,
        instead=(("به جایش نگهش دارید: چیزی گم نمی‌شود", "Pause it instead: nothing is lost"), f"{question.back}/pause"),
        typed=(urlsplit(question.subject).hostname or "") if question.mode is Mode.LIVE else "",
    )


async def rotate_secret(context: PageContext) -> Question:
    return await _of_endpoint(
        context,
        title=("راز تازه‌ای برای وب‌هوک ساخته شود؟", "Make a new webhook secret?"),
        happens=[
            ("راز تازه یک بار نشان داده می‌شود.", "The new secret is shown once."),
            (
                "تا یک روز هر دو امضا فرستاده می‌شوند؛ پس از آن فروشگاهی که تازه را ندارد هر خبری را نادرست می‌بیند.",
                "For a day both sign; after that a shop without the new one finds every webhook wrong.",
            ),
        ],
        yes=("راز تازه بساز", "Make a new secret"),
    )


async def _of_endpoint(context: PageContext, title: Pair, happens: Sequence[Pair], yes: Pair) -> Question:
    """A question about the endpoint of the path."""
    endpoint = await context.endpoint()
    merchant = await context.services.merchant_cache.merchant(endpoint.merchant_id)
    stats = await context.services.redelivery.stats(endpoint.merchant_id, endpoint.id)
    return Question(
        title=title,
        subject=endpoint.url,
        mode=endpoint.mode,
        happens=happens,
        facts=[
            (("پذیرنده", "Merchant"), merchant.called(context.words.language)),
            (("در صف", "Waiting"), stats.endpoint.backlog),
            (("رسیده در ۲۴ ساعت", "Delivered in 24 hours"), stats.delivered),
        ],
        yes=yes,
        back=f"{_ENDPOINTS}/{endpoint.id}",
        section=_ENDPOINTS,
    )
