"""Today at a glance, jobs that are under way, and what is set up."""

from typing import Final

from aiohttp import web

from proxy.console.charts import bars
from proxy.console.day import HOURS, Sums
from proxy.console.language import Words
from proxy.console.visit import Visit

JOB_REFRESH_SECONDS: Final = 1


async def show_home(visit: Visit) -> web.StreamResponse:
    """Of the whole installation for an operator; a merchant begins with its payments."""
    if visit.token is not None:
        return visit.go("/payments")
    services = visit.services
    sums = await services.day.sums()
    failing = services.gate.failing()
    return visit.page(
        "home.html",
        sums=sums,
        refresh=None if sums is not None else 2,
        chart=None if sums is None else _chart(visit.words, sums),
        load=services.gate.load(),
        failing=failing,
        now=services.now(),
        fresh=not await services.store.list_merchants(None, 1),
    )


async def show_job(visit: Visit) -> web.StreamResponse:
    job = visit.services.jobs.job(visit.owner, visit.request.match_info["job_id"])
    if job.done.is_set():
        return visit.ended(job)
    return visit.page("job.html", refresh=JOB_REFRESH_SECONDS, job=job)


async def show_settings(visit: Visit) -> web.StreamResponse:
    """What is set, and never what is secret."""
    return visit.page("settings.html", lines=visit.services.settings)


def _chart(words: Words, sums: Sums) -> object:
    labels = [_label(words, hour, sums) for hour in range(HOURS)]
    title = words.t("مبلغ پرداخت‌شدهٔ امروز، ساعت به ساعت", "Paid today, hour by hour")
    return bars(sums.hours_rials, labels, title)


def _label(words: Words, hour: int, sums: Sums) -> str:
    toman, count = words.toman(sums.hours_rials[hour]), words.number(sums.hours[hour])
    return words.t(
        f"ساعت {words.digits(hour)}: {toman} تومان، {count} پرداخت", f"{hour}:00: {toman} toman, {count} payments"
    )
