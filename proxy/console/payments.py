"""The list of payments, what is found by a number, the reviews, and the list as a file."""

from typing import Final

from aiohttp import web

from proxy.console.finding import MAX_TEXT_CHARS, Filters, filters_of, find, read_page
from proxy.console.table import EXPORTED, EXPORTED_AT_ONCE, head, line
from proxy.console.visit import Visit
from proxy.merchant import Merchant
from proxy.payment import Payment, Status

REVIEWS: Final = 100


async def list_payments(visit: Visit) -> web.StreamResponse:
    filters = filters_of(visit)
    found = await read_page(visit, filters)
    return visit.page(
        "payments.html",
        filters=filters,
        page=found,
        merchants=await names_of(visit, found.payments),
        choices=await _choices(visit),
    )


async def search(visit: Visit) -> web.StreamResponse:
    """Straight to the payment when there is just one."""
    text = visit.request.query.get("q", "").strip()[:MAX_TEXT_CHARS]
    found = await find(visit, text)
    if len(found) == 1:
        return visit.go(f"/payments/{found[0].id}")
    return visit.page("search.html", text=text, payments=found, merchants=await names_of(visit, found))


async def list_reviews(visit: Visit) -> web.StreamResponse:
    """What waits for a person's word, newest first."""
    found = await read_page(visit, Filters(status=Status.NEEDS_REVIEW), REVIEWS)
    open_ = [each for each in found.payments if each.review is not None and each.review.resolution is None]
    return visit.page(
        "reviews.html",
        payments=open_,
        resolved=[each for each in found.payments if each not in open_],
        more=found.following is not None,
        merchants=await names_of(visit, found.payments),
    )


async def export(visit: Visit) -> web.StreamResponse:
    """The list as CSV for spreadsheets, written as it is read; the newest 100,000 at most."""
    filters = filters_of(visit)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="dargah-payments.csv"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(visit.request)
    await response.write(head(visit.words))
    written = 0
    while written < EXPORTED:
        page = await read_page(visit, filters, EXPORTED_AT_ONCE)
        await response.write("".join(line(visit.words, payment) for payment in page.payments).encode())
        written += EXPORTED_AT_ONCE
        if page.following is None:
            break
        filters = Filters(
            filters.merchant_id, filters.status, filters.day, page.following, filters.since, filters.until
        )
    await response.write_eof()
    return response


async def names_of(visit: Visit, payments: list[Payment]) -> dict[str, str]:
    """The merchants' names by id."""
    ids = dict.fromkeys(payment.merchant_id for payment in payments)
    return {each: (await visit.services.directory.merchant(each)).name for each in ids}


async def _choices(visit: Visit) -> list[Merchant]:
    """The merchants that the list can be narrowed to, the first 200 of them."""
    return [] if visit.token is not None else await visit.services.store.list_merchants(None, 200)
