"""A day of the bank's file, pasted, beside a merchant's payments. Longer ones are for `dargah reconcile`."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.console.jobs import Ended, Job, Shows
from proxy.console.visit import Visit
from proxy.merchant import Merchant
from proxy.money import Currency
from proxy.reconciliation.file import BadFile, BadRow, Layout, Row, read_rows
from proxy.reconciliation.matching import MAX_ROWS, Found, Line, Outcome, Paid, Period, Reconciliation, whole_days
from proxy.web.middleware import MERCHANT_ID

UNITS: Final = {"rial": Currency.IRR, "toman": Currency.IRT}
# Of our payments of the period, so many are looked for among the rows.
PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows by their codes, which stand in it once; `twice` came again, `bad` cannot be read."""

    rows: Sequence[Row]
    twice: Sequence[Row]
    bad: Sequence[BadRow]


async def show_form(visit: Visit) -> web.StreamResponse:
    return _form(visit, await _merchant(visit))


async def compare(visit: Visit) -> web.StreamResponse:
    """What the pasted rows and the merchant's payments say of each other."""
    merchant = await _merchant(visit)
    try:
        sheet = _read(visit.form.get("rows", ""), UNITS.get(visit.form.get("unit", "")))
    except BadFile as error:
        return _form(visit, merchant, str(error))
    if sheet.bad or not sheet.rows:
        return _form(visit, merchant, "", sheet.bad)
    await visit.note("payments.reconcile", {"merchant_id": merchant.id, "rows": len(sheet.rows)})

    async def work(job: Job) -> Ended:
        reconciliation = Reconciliation(visit.services.store)
        found: list[Found] = []
        for start in range(0, len(sheet.rows), MAX_ROWS):
            lines = [Line(row.bank_code, row.amount_rials) for row in sheet.rows[start : start + MAX_ROWS]]
            found += await reconciliation.compare(merchant.id, lines)
            job.count = len(found)
        beside = list(zip(sheet.rows, found, strict=True))
        missing, whole = await _missing_there(visit, reconciliation, merchant.id, sheet.rows)
        values = {
            "merchant": merchant,
            "matched": sum(each.outcome is Outcome.MATCHED for each in found),
            "differing": [(row, each) for row, each in beside if each.outcome is not Outcome.MATCHED],
            "twice": sheet.twice,
            "missing_there": missing,
            "dated": all(row.at is not None for row in sheet.rows),
            "whole": whole,
        }
        return Shows("reconciled.html", values)

    return await visit.work("مقایسه با بانک", "Comparing with the bank", work)


def _read(text: str, currency: Currency | None) -> Sheet:
    """Raises BadFile."""
    rows: dict[str, Row] = {}
    twice: list[Row] = []
    bad: list[BadRow] = []
    for row in read_rows(io.BytesIO(text.strip().encode("utf-8", "replace")), Layout(currency=currency)):
        if isinstance(row, BadRow):
            bad.append(row)
        elif isinstance(row, Row) and rows.setdefault(row.bank_code, row) is not row:
            twice.append(row)
    return Sheet(list(rows.values()), twice, bad)


async def _missing_there(
    visit: Visit, reconciliation: Reconciliation, merchant_id: str, rows: Sequence[Row]
) -> tuple[list[Paid], bool]:
    """Our paid payments of the rows' days that are not among them, and whether all were looked at."""
    times = [row.at for row in rows if row.at is not None]
    if len(times) < len(rows):
        return [], False
    period = Period(merchant_id, *whole_days(min(times), max(times), visit.services.now()))
    codes = {row.bank_code for row in rows}
    missing: list[Paid] = []
    after: str | None = None
    for _ in range(PAGES):
        page = await reconciliation.paid(period, after, MAX_ROWS)
        missing += [each for each in page.paid if each.sure and each.payment.bank_code not in codes]
        if (after := page.following) is None:
            return missing, True
    return missing, False


async def _merchant(visit: Visit) -> Merchant:
    merchant = await visit.services.store.merchant(visit.request.match_info["merchant_id"])
    visit.request[MERCHANT_ID] = merchant.id
    return merchant


def _form(visit: Visit, merchant: Merchant, why: str | None = None, bad: Sequence[BadRow] = ()) -> web.Response:
    status = 200 if why is None else 422
    return visit.page("reconcile.html", status=status, merchant=merchant, why=why, bad=bad[:10], form=visit.form)
