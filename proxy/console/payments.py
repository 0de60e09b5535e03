"""Payments: the list and what is found by a number, and one payment's page."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from proxy.api.admin.schemas import Resolve
from proxy.console.jobs import Ended, Job, JobRedirect
from proxy.console.page_context import PageContext
from proxy.console.payment_filters import Filters, filters_of, merchant_choices, read_page, reviews
from proxy.console.saved_filters import saved_of
from proxy.console.trouble_list import ShownTrouble, shown_troubles
from proxy.http.parsing import validated
from proxy.operators.saved_filters import FilteredList
from proxy.payments.change import Entry
from proxy.payments.payment import Decision, Payment, Status
from proxy.payments.search import time_of_place
from proxy.webhooks.endpoint import Endpoint

# What may still change by itself is looked at again, some times; then a page that was left open is quiet.
REFRESH_SECONDS: Final = 3
MAX_LOOKS: Final = 40


async def show_payment(context: PageContext) -> web.StreamResponse:
    payment = await context.payment()
    history = await context.access.history(payment)
    deliveries = [entry for entry in history.entries if entry.kind == "delivery"]
    on_its_way = payment.status in {Status.CREATED, Status.PENDING}
    looks = context.looks
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
    payment, body = await context.payment(), resolution_of(context)
    decision = Decision(body.decision)
    resolving = context.services.reviews.resolve(payment.id, decision, body.note, actor=context.viewer.name)
    await context.services.tasks.run(resolving)
    return context.go(f"/payments/{payment.id}?said=resolved")


def resolution_of(context: PageContext) -> Resolve:
    """The decision and its note, as the form has them. Raises InvalidInput."""
    note = context.form.get("note", "").replace("\r\n", "\n")
    return validated(Resolve, {"decision": context.form.get("decision", ""), "note": note})


def _last_attempts(entries: object) -> dict[str, Entry]:
    """The newest attempt of each delivery: why it is where it is."""
    assert isinstance(entries, list)
    return {entry.data["delivery_id"]: entry for entry in entries if entry.kind == "attempt"}


async def _urls(context: PageContext, merchant_id: str) -> dict[str, str]:
    """The URL of each endpoint, for viewers who may see endpoints; deleted ones are missing."""
    hidden = None if context.sees_webhooks else context.words.t("نشانی وب‌هوک", "a webhook endpoint")
    return {endpoint.id: hidden or endpoint.url for endpoint in await context.access.endpoints(merchant_id)}


REVIEWS: Final = 100
MERCHANTS: Final = 200
"""How many the list can be narrowed to."""


async def list_payments(context: PageContext) -> web.StreamResponse:
    filters = filters_of(context)
    found = await read_page(context, filters)
    stopped = found.following if len(found.payments) < filters.wanted.limit else None
    return context.page(
        "payments.html",
        filters=filters,
        page=found,
        stopped_at=None if stopped is None else time_of_place(stopped),
        merchants=await names_of(context, found.payments),
        choices=await merchant_choices(context, context.request.query.get("merchant"), MERCHANTS),
        troubles=await _troubles(context, filters),
        now=context.services.now(),
        saved=await saved_of(context, FilteredList.PAYMENTS, filters.text),
    )


async def _troubles(context: PageContext, filters: Filters) -> list[ShownTrouble]:
    """What is wrong for a merchant, on the page where it begins."""
    if context.token is None or filters.query() or filters.wanted.after is not None:
        return []
    found = await context.services.merchant_troubles.seen_by(context.token, context.access)
    return await shown_troubles(context, found)


async def list_reviews(context: PageContext) -> web.StreamResponse:
    """The payments with an open review, newest first."""
    found = await read_page(context, reviews(None, REVIEWS))
    open_ = [each for each in found.payments if each.review is not None and each.review.resolution is None]
    return context.page(
        "reviews.html",
        payments=open_,
        resolved=[each for each in found.payments if each not in open_],
        more=found.following is not None,
        merchants=await names_of(context, found.payments),
    )


async def names_of(context: PageContext, records: Iterable[Payment | Endpoint]) -> dict[str, str]:
    """The names of the records' merchants by id."""
    ids, store = list(dict.fromkeys(each.merchant_id for each in records)), context.services.store.merchants
    return {each.id: each.called(context.words.language) for each in await store.merchants_of_ids(ids)}
