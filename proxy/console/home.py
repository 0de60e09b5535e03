"""The first page: what is wrong now, and today beside the days before. Jobs under way, and the settings."""

from typing import Final

from aiohttp import web

from proxy.console.daily_totals import PARTS_OF_HOUR, Days
from proxy.console.day_chart import EARLIER, chart_of
from proxy.console.page_context import PageContext
from proxy.console.trouble_list import SHOWN, shown_troubles

JOB_REFRESH_SECONDS: Final = 1
# Where no script runs the whole page is loaded again, which is a little more to read and to send.
LIVE_SECONDS, PLAIN_SECONDS, SOON_SECONDS = 10, 30, 2


async def show_home(context: PageContext) -> web.StreamResponse:
    """Of the whole installation for an operator; a merchant begins with its payments."""
    if context.token is not None:
        return context.go("/payments")
    services = context.services
    troubles, days = await services.troubles.now(), await services.daily_totals.days()
    whole = days is not None and len(days.before) == len(EARLIER)
    return context.page(
        "home.html",
        troubles=await shown_troubles(context, troubles),
        urgent=sum(each.urgent for each in troubles),
        more=max(0, len(troubles) - SHOWN),
        count=len(troubles),
        looked_at=services.troubles.looked_at,
        days=days,
        until=None if days is None else _time_of_day(context, days),
        earlier=EARLIER,
        chart=None if days is None else chart_of(context.words, days),
        waiting=(await services.store.statistics.due_statistics()).deliveries,
        now=services.now(),
        live=LIVE_SECONDS if whole else SOON_SECONDS,
        plain=PLAIN_SECONDS if whole else SOON_SECONDS,
        fresh=not await services.store.merchants.list_merchants(None, 1),
    )


def _time_of_day(context: PageContext, days: Days) -> str:
    """Until when days are compared."""
    hour, part = divmod(days.parts, PARTS_OF_HOUR)
    return context.words.digits(f"{hour}:{part * 60 // PARTS_OF_HOUR:02}")


async def show_job(context: PageContext) -> web.StreamResponse:
    job = context.services.jobs.job(context.owner, context.request.match_info["job_id"])
    if job.done.is_set():
        return context.ended(job)
    return context.page("job.html", refresh=JOB_REFRESH_SECONDS, job=job)


async def show_settings(context: PageContext) -> web.StreamResponse:
    """Shows the settings, without secrets."""
    return context.page("settings.html", lines=context.services.settings)
