"""Sums over payments, and files of them: the list's totals and export, the settlement report by terminal and day."""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import date
from typing import Final

from aiohttp import web

from proxy.api.responses import csv_answer
from proxy.console.jobs import Ended, Job, JobPage
from proxy.console.language import MODES, STATUSES
from proxy.console.page_context import PageContext
from proxy.console.payment_filters import filters_of, merchant_choices, scan_of
from proxy.kernel.clock import DAY
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import merchant_of_id
from proxy.locale.day_ranges import NamedRange, begin_of, end_of, named_range
from proxy.locale.persian import Jalali, latin_digits
from proxy.merchants.merchant import Merchant
from proxy.payments.long_reads import within_one_answer
from proxy.payments.payment_csv import COLUMNS, MARK, PaymentCsv
from proxy.payments.totals import Progress, ReportPeriod, SettlementDay, settlement_report, totals_of

MERCHANTS: Final = 200
SHOWN_ROWS: Final = 300
"""Of the settlement report; its file has all. A page of thousands holds everybody up while it is written."""
_HEAD: Final = (
    *("day", "jalali_day", "merchant_id", "terminal_id", "gateway", "paid", "gross_rials", "late", "late_rials"),
    *("fees_told", "fees_rials", "net_rials", "given_back", "given_back_rials", "reviews", "review_rials"),
)


async def export(context: PageContext) -> web.StreamResponse:
    """All payments of the list's filter as CSV, a merchant's after the other's, each in the filter's order."""
    words = context.words
    called = {key: words.t(persian, english) for key, (persian, english, _) in {**STATUSES, **MODES}.items()}
    file = PaymentCsv([words.pair(name) for name in COLUMNS], called)
    with context.long_read():
        return await csv_answer(
            context.request, "dargah-payments.csv", file.chunks(scan_of(context, filters_of(context)))
        )


async def show_totals(context: PageContext) -> web.StreamResponse:
    """The sums of the list's filter, which are counted in the background."""
    filters = filters_of(context)

    async def work(job: Job) -> Ended:
        totals = await totals_of(scan_of(context, filters), lambda looked: setattr(job, "count", looked))
        return JobPage("totals.html", {"totals": totals, "filters": filters})

    return await context.count("شمردن پرداخت‌ها", "Counting the payments", work)


async def show_settlement(context: PageContext) -> web.StreamResponse:
    """The form, and the report of its days."""
    period, wrong = _period(context)
    choices = await merchant_choices(context, context.request.query.get("merchant"), MERCHANTS)
    if period is None:
        month = named_range(NamedRange.MONTH, context.services.now())
        return context.page("settlement.html", rows=None, wrong=wrong, choices=choices, query={}, month=month)

    async def work(job: Job) -> Ended:
        rows = await _report(context, period, lambda looked: setattr(job, "count", looked))
        shown, query = rows[:SHOWN_ROWS], dict(context.request.query)
        found = {"rows": shown, "more": len(rows) - len(shown), "names": await _terminals(context, shown)}
        return JobPage("settlement.html", {**found, "wrong": False, "choices": choices, "query": query})

    return await context.count("گزارش تسویه", "Settlement report", work)


async def export_settlement(context: PageContext) -> web.StreamResponse:
    """The report as CSV."""
    period, _ = _period(context)
    if period is None:
        return context.go("/settlement")
    with context.long_read():
        rows = await _report(context, period, within_one_answer("from"))
    return await csv_answer(context.request, "dargah-settlement.csv", _lines(rows))


async def _lines(rows: Sequence[SettlementDay]) -> AsyncGenerator[bytes]:
    """The file, in pieces between which others have their turn."""
    yield _csv([_HEAD], MARK)
    for at in range(0, len(rows), SHOWN_ROWS):
        await asyncio.sleep(0)
        yield _csv(map(_cells, rows[at : at + SHOWN_ROWS]))


def _csv(rows: Iterable[Sequence[object]], mark: str = "") -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return (mark + written.getvalue()).encode()


def _cells(row: SettlementDay) -> tuple[object, ...]:
    sums = (row.paid.count, row.paid.rials, row.late.count, row.late.rials, row.fees_told, row.fees_rials)
    beside = (row.net_rials, row.given_back.count, row.given_back.rials, row.reviews.count, row.reviews.rials)
    return (row.day.isoformat(), jalali(row.day), row.merchant_id, row.terminal_id, row.gateway, *sums, *beside)


def jalali(day: date) -> str:
    return str(Jalali.of(day))


def _period(context: PageContext) -> tuple[ReportPeriod | None, bool]:
    """The days of the query, if they are some, and whether they are wrong."""
    query = context.request.query
    first, last = query.get("from", "")[:40], query.get("to", "")[:40]
    if not first.strip():
        return None, False
    try:
        since, until = begin_of(first), end_of(last if last.strip() else first)
    except ValueError:
        return None, True
    if since is None or until is None or until <= since:
        return None, True
    period = ReportPeriod(since, until)
    return (None, True) if period.too_long or (until - since) % DAY else (period, False)


async def _report(context: PageContext, period: ReportPeriod, progress: Progress) -> list[SettlementDay]:
    merchant_id = latin_digits(context.request.query.get("merchant", "")).strip() or None
    if merchant_id is not None:
        if merchant_of_id(f"pay_{merchant_id.removeprefix('mer_')}{'0' * 18}") != merchant_id:
            raise NotFound("merchant")
        await context.services.store.merchants.merchant(merchant_id)

    return await settlement_report(context.services.store.payments, merchant_id, period, progress=progress)


async def _terminals(context: PageContext, rows: list[SettlementDay]) -> dict[str, tuple[Merchant, str]]:
    """The merchant and the terminal's name, by the terminal's id."""
    cache = context.services.merchant_cache
    found = {}
    for merchant_id, terminal_id in dict.fromkeys((row.merchant_id, row.terminal_id) for row in rows):
        terminal = await cache.terminal(merchant_id, terminal_id)
        found[terminal_id] = (await cache.merchant(merchant_id), terminal.name)
    return found
