"""A day of the bank's file, pasted, beside a merchant's payments. Longer ones are for `dargah reconcile`."""

import io
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from proxy.api.middleware import MERCHANT_ID
from proxy.console.jobs import Ended, Job, JobPage
from proxy.console.page_context import PageContext
from proxy.kernel.frozen import dataclass
from proxy.kernel.money import Currency
from proxy.merchants.merchant import Merchant
from proxy.operations.reconciliation.cells import same_code
from proxy.operations.reconciliation.file import BadFile, BadRow, Layout, Reversal, Row, SkippedRow, read_rows
from proxy.operations.reconciliation.matching import (
    DIFFERENCES,
    MAX_ROWS,
    Line,
    Match,
    MatchOutcome,
    Paid,
    Period,
    Reconciliation,
    whole_days,
)

UNITS: Final = {"rial": Currency.IRR, "toman": Currency.IRT}
# Of our payments of the period, so many are looked for among the rows.
PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows by their unique codes; `twice` are repeated ones, `bad` unreadable ones."""

    rows: Sequence[Row]
    twice: Sequence[Row]
    reversals: Sequence[Reversal]
    bad: Sequence[BadRow]
    skipped: Sequence[SkippedRow]


async def show_form(context: PageContext) -> web.StreamResponse:
    return _form(context, await _merchant(context))


async def compare(context: PageContext) -> web.StreamResponse:
    """Compares the pasted rows and the merchant's payments."""
    merchant = await _merchant(context)
    try:
        sheet = _read(context.form.get("rows", ""), UNITS.get(context.form.get("unit", "")))
    except BadFile as error:
        return _form(context, merchant, str(error))
    if sheet.bad or not (sheet.rows or sheet.reversals):
        return _form(context, merchant, "", sheet.bad)
    await context.note("payments.reconcile", {"merchant_id": merchant.id, "rows": len(sheet.rows)})

    async def work(job: Job) -> Ended:
        reconciliation = Reconciliation(context.services.store.payments)
        rows: list[Row | Reversal] = [*sheet.rows, *sheet.reversals]
        found: list[Match] = []
        for start in range(0, len(rows), MAX_ROWS):
            lines = [_line(row) for row in rows[start : start + MAX_ROWS]]
            found += await reconciliation.compare(merchant.id, lines)
            job.count = len(found)
        beside = list(zip(rows, found, strict=True))
        missing, complete = await _missing_there(context, reconciliation, merchant.id, sheet.rows)
        values = {
            "merchant": merchant,
            "matched": sum(each.outcome is MatchOutcome.MATCHED for each in found),
            "differing": [(row, each) for row, each in beside if each.outcome in DIFFERENCES],
            "twice": sheet.twice,
            "skipped": sheet.skipped,
            "missing_there": missing,
            "dated": all(row.at is not None for row in sheet.rows),
            "whole": complete,
        }
        return JobPage("reconciled.html", values)

    return await context.work("مقایسه با بانک", "Comparing with the bank", work)


def _read(text: str, currency: Currency | None) -> Sheet:
    """Raises BadFile."""
    rows: dict[str, Row] = {}
    twice, reversals, bad, skipped = list[Row](), list[Reversal](), list[BadRow](), list[SkippedRow]()
    for row in read_rows(io.BytesIO(text.strip().encode()), Layout(currency=currency)):
        match row:
            case BadRow():
                bad.append(row)
            case SkippedRow():
                skipped.append(row)
            case Reversal():
                reversals.append(row)
            case Row() if rows.setdefault(row.bank_code, row) is not row:
                twice.append(row)
    return Sheet(list(rows.values()), twice, reversals, bad, skipped)


def _line(row: Row | Reversal) -> Line:
    return Line(row.bank_code, row.amount_rials, reversal=isinstance(row, Reversal))


async def _missing_there(
    context: PageContext, reconciliation: Reconciliation, merchant_id: str, rows: Sequence[Row]
) -> tuple[list[Paid], bool]:
    """Our paid payments of the rows' days that are not among them, and whether all were looked at."""
    times = [row.at for row in rows if row.at is not None]
    if len(times) < len(rows):
        return [], False
    period = Period(merchant_id, *whole_days(min(times), max(times), context.services.now()))
    codes = {row.bank_code for row in rows}
    missing: list[Paid] = []
    after: str | None = None
    for _ in range(PAGES):
        page = await reconciliation.paid(period, after, MAX_ROWS)
        missing += [each for each in page.paid if each.sure and same_code(each.payment.bank_code or "") not in codes]
        if (after := page.following) is None:
            return missing, True
    return missing, False


async def _merchant(context: PageContext) -> Merchant:
    merchant = await context.services.store.merchants.merchant(context.request.match_info["merchant_id"])
    context.request[MERCHANT_ID] = merchant.id
    return merchant


def _form(context: PageContext, merchant: Merchant, why: str | None = None, bad: Sequence[BadRow] = ()) -> web.Response:
    status = 200 if why is None else 422
    return context.page("reconcile.html", status=status, merchant=merchant, why=why, bad=bad[:10], form=context.form)
