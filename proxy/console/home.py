"""Today at a glance, jobs under way, and the set-up."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from markupsafe import Markup

from proxy.console.daily_totals import HOURS, DaySums
from proxy.console.language import Words
from proxy.console.page_context import PageContext

JOB_REFRESH_SECONDS: Final = 1
WIDTH, HEIGHT, GAP = 720, 120, 4
_LEAST: Final = 2


async def show_home(context: PageContext) -> web.StreamResponse:
    """Of the whole installation for an operator; a merchant begins with its payments."""
    if context.token is not None:
        return context.go("/payments")
    services = context.services
    sums = await services.daily_totals.sums()
    failing = services.breaker.failures()
    return context.page(
        "home.html",
        sums=sums,
        refresh=None if sums is not None else 2,
        chart=None if sums is None else _chart(context.words, sums),
        load=services.limiter.load(),
        open_circuits=services.breaker.open_circuits,
        failing=failing,
        now=services.now(),
        fresh=not await services.store.merchants.list_merchants(None, 1),
    )


async def show_job(context: PageContext) -> web.StreamResponse:
    job = context.services.jobs.job(context.owner, context.request.match_info["job_id"])
    if job.done.is_set():
        return context.ended(job)
    return context.page("job.html", refresh=JOB_REFRESH_SECONDS, job=job)


async def show_settings(context: PageContext) -> web.StreamResponse:
    """Shows the settings, without secrets."""
    return context.page("settings.html", lines=context.services.settings)


def _chart(words: Words, sums: DaySums) -> object:
    labels = [_label(words, hour, sums) for hour in range(HOURS)]
    title = words.t("مبلغ پرداخت‌شدهٔ امروز، ساعت به ساعت", "Paid today, hour by hour")
    return bars(sums.hours_rials, labels, title)


def _label(words: Words, hour: int, sums: DaySums) -> str:
    toman, count = words.toman(sums.hours_rials[hour]), words.number(sums.hours[hour])
    return words.t(
        f"ساعت {words.digits(hour)}: {toman} تومان، {count} پرداخت", f"{hour}:00: {toman} toman, {count} payments"
    )


def bars(values: Sequence[int], labels: Sequence[str], title: str) -> Markup:
    """One bar for each value; `labels` are the tooltips, `title` is the text for screen readers."""
    most, step = max(*values, 1), WIDTH / len(values)
    drawn = [
        Markup(
            '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"><title>{}</title></rect>'
        ).format(
            "bar" if value else "bar none",
            index * step + GAP / 2,
            HEIGHT - _tall(value, most),
            step - GAP,
            _tall(value, most),
            label,
        )
        for index, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">')
    return head.format(WIDTH, HEIGHT, title) + Markup("").join(drawn) + Markup("</svg>")


def _tall(value: int, most: int) -> float:
    """Something is seen to be more than nothing."""
    return _LEAST if value == 0 else max(2 * _LEAST, value / most * HEIGHT)
