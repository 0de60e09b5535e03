"""Payments: the list and what is found by a number, one payment's page, and the list as CSV."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from proxy.api.admin.schemas import Resolve
from proxy.console.jobs import Ended, Job, JobRedirect
from proxy.console.language import MODES, STATUSES, Words
from proxy.console.page_context import PageContext
from proxy.console.search import MAX_TEXT_CHARS, Filters, filters_of, find, read_page
from proxy.http.parsing import plain_number, validated
from proxy.kernel.clock import rfc3339
from proxy.kernel.errors import NotFound
from proxy.kernel.money import to_toman
from proxy.locale.persian import jalali_time
from proxy.merchants.merchant import Merchant
from proxy.payments.change import Entry
from proxy.payments.payment import Decision, Payment, Status

# What may still change by itself is looked at again, some times; then a page that was left open is quiet.
REFRESH_SECONDS: Final = 3
MAX_LOOKS: Final = 40
_LOOKS: Final = "looks"


async def show_payment(context: PageContext) -> web.StreamResponse:
    payment = await context.payment()
    history = await context.access.history(payment)
    deliveries = [entry for entry in history.entries if entry.kind == "delivery"]
    on_its_way = payment.status in {Status.CREATED, Status.PENDING}
    looks = looks_of(context)
    return context.page(
        "payment.html",
        refresh=REFRESH_SECONDS if on_its_way and 0 < looks <= MAX_LOOKS else None,
        looks=looks,
        payment=payment,
        merchant=await context.services.merchant_cache.merchant(payment.merchant_id),
        terminal=await context.services.merchant_cache.terminal(payment.merchant_id, payment.terminal_id),
        entries=history.entries,
        truncated=history.truncated,
        deliveries=deliveries,
        attempts=_last_attempts(history.entries),
        urls=await _urls(context, payment.merchant_id),
        now=context.services.now(),
        pay_url=f"{context.services.public_url}/pay/{payment.link}",
    )


async def check_payment(context: PageContext) -> web.StreamResponse:
    """Asks the gateway now."""
    payment = await context.payment()

    async def work(_job: Job) -> Ended:
        checkup = await context.services.checkout.check(payment)
        asked = "asked" if checkup.fact is not None else "not_asked"
        return JobRedirect(f"/payments/{payment.id}?said={asked}")

    await context.note("payment.check", {"payment_id": payment.id})
    return await context.work("پرسیدن از درگاه", "Asking the gateway", work)


async def resolve_payment(context: PageContext) -> web.StreamResponse:
    """The operator's word on money that moved otherwise than asked, with a note."""
    payment = await context.payment()
    if context.token is not None:
        raise NotFound("payment")
    given = {"decision": context.form.get("decision", ""), "note": context.form.get("note", "").replace("\r\n", "\n")}
    body = validated(Resolve, given)
    decision = Decision(body.decision)
    resolving = context.services.reviews.resolve(payment.id, decision, body.note, actor=context.viewer.name)
    await context.services.tasks.run(resolving)
    return context.go(f"/payments/{payment.id}?said=resolved")


def looks_of(context: PageContext) -> int:
    """How often this page has been looked at again by itself."""
    return plain_number(context.request.query.get(_LOOKS), 2) or 0


def _last_attempts(entries: object) -> dict[str, Entry]:
    """The newest attempt of each delivery: why it is where it is."""
    assert isinstance(entries, list)
    return {entry.data["delivery_id"]: entry for entry in entries if entry.kind == "attempt"}


async def _urls(context: PageContext, merchant_id: str) -> dict[str, str]:
    """The URL of each endpoint, for viewers who may see endpoints; deleted ones are missing."""
    hidden = None if context.sees_webhooks else context.words.t("نشانی وب‌هوک", "a webhook endpoint")
    return {endpoint.id: hidden or endpoint.url for endpoint in await context.access.endpoints(merchant_id)}


EXPORTED: Final = 100_000
EXPORTED_AT_ONCE: Final = 500
_MARK: Final = "\ufeff"
# What makes a spreadsheet take a cell for a formula, as OWASP lists it, also full-width or small. A cell begins where
# the text does, and at whatever separates columns somewhere: Excel takes `;` or `؛` by the machine's language.
_FORMULA: Final = re.compile(
    "(^|[;؛,،|\t\r\n])"
    "(?=[\\s\x00-\x1f\"'\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*[=+\\-@＝＋－＠﹦﹢﹣﹫])|^(?=[\t\r\n])"
)
_HEAD: Final = (
    ("شناسهٔ پرداخت", "payment"), ("پذیرنده", "merchant"), ("فروشگاه", "storefront"), ("سفارش", "order_id"),
    ("وضعیت", "status"), ("نوع", "mode"), ("مبلغ (ریال)", "amount_rials"), ("مبلغ (تومان)", "amount_toman"),
    ("کد پیگیری بانک", "bank_code"), ("کلید صورت‌حساب", "invoice_key"),
    ("زمان ساخت (تهران)", "created (Jalali, Tehran)"),
    ("زمان پرداخت (تهران)", "paid (Jalali, Tehran)"), ("زمان ساخت (UTC)", "created_at"),
)  # fmt: skip


def head(words: Words) -> bytes:
    """The first line, after the mark by which spreadsheets know UTF-8."""
    return (_MARK + _line([words.pair(name) for name in _HEAD])).encode()


def line(words: Words, payment: Payment) -> str:
    persian, english, _ = STATUSES[payment.status]
    mode_fa, mode_en, _ = MODES[payment.mode]
    return _line(
        [
            payment.id,
            payment.merchant_id,
            payment.storefront,
            payment.order_id,
            words.t(persian, english),
            words.t(mode_fa, mode_en),
            payment.amount_rials,
            to_toman(payment.amount_rials),
            payment.bank_code or "",
            payment.invoice_key or "",
            jalali_time(payment.created_at),
            "" if payment.paid_at is None else jalali_time(payment.paid_at),
            rfc3339(payment.created_at),
        ]
    )


def _line(cells: Sequence[object]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return written.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would run is shown as text; an order_id is anybody's."""
    return _FORMULA.sub(r"\1'", value) if isinstance(value, str) else value


REVIEWS: Final = 100


async def list_payments(context: PageContext) -> web.StreamResponse:
    filters = filters_of(context)
    found = await read_page(context, filters)
    return context.page(
        "payments.html",
        filters=filters,
        page=found,
        merchants=await names_of(context, found.payments),
        choices=await _choices(context),
    )


async def search(context: PageContext) -> web.StreamResponse:
    """Straight to the payment when there is just one."""
    text = context.request.query.get("q", "").strip()[:MAX_TEXT_CHARS]
    found = await find(context, text)
    if len(found) == 1:
        return context.go(f"/payments/{found[0].id}")
    return context.page("search.html", text=text, payments=found, merchants=await names_of(context, found))


async def list_reviews(context: PageContext) -> web.StreamResponse:
    """The payments with an open review, newest first."""
    found = await read_page(context, Filters(status=Status.NEEDS_REVIEW), REVIEWS)
    open_ = [each for each in found.payments if each.review is not None and each.review.resolution is None]
    return context.page(
        "reviews.html",
        payments=open_,
        resolved=[each for each in found.payments if each not in open_],
        more=found.following is not None,
        merchants=await names_of(context, found.payments),
    )


async def export(context: PageContext) -> web.StreamResponse:
    """The list as CSV for spreadsheets, written as it is read; the newest 100,000 at most."""
    filters = filters_of(context)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="dargah-payments.csv"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(context.request)
    await response.write(head(context.words))
    written = 0
    while written < EXPORTED:
        page = await read_page(context, filters, EXPORTED_AT_ONCE)
        await response.write("".join(line(context.words, payment) for payment in page.payments).encode())
        written += EXPORTED_AT_ONCE
        if page.following is None:
            break
        filters = Filters(
            filters.merchant_id, filters.status, filters.day, page.following, filters.since, filters.until
        )
    await response.write_eof()
    return response


async def names_of(context: PageContext, payments: list[Payment]) -> dict[str, str]:
    """The merchants' names by id."""
    ids = dict.fromkeys(payment.merchant_id for payment in payments)
    return {each: (await context.services.merchant_cache.merchant(each)).name for each in ids}


async def _choices(context: PageContext) -> list[Merchant]:
    """The merchants that the list can be narrowed to, the first 200 of them."""
    return [] if context.token is not None else await context.services.store.merchants.list_merchants(None, 200)
