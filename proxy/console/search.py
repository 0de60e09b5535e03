"""Finding payments: the list with its filters, over all merchants or one, and the one box that takes any number."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from proxy.console.page_context import PageContext
from proxy.kernel.clock import DAY
from proxy.kernel.errors import NotFound
from proxy.kernel.ids import PAYMENT, merchant_of_id
from proxy.kernel.money import MAX_RIALS
from proxy.locale.persian import Jalali, latin_digits, parse_number, tehran_midnight
from proxy.payments.payment import Payment, Status
from proxy.payments.search import FIRST_PLACE, PLACE_CHARS, Number, PaymentFilter, SearchCriteria, place_at, place_of

PAGE: Final = 25
# One step reads so many merchants' indexes, a few milliseconds of the store's time; fewer for more than a page.
MERCHANTS_AT_ONCE, FEWEST_MERCHANTS = 100, 5
MERCHANTS_OF_INVOICE: Final = 10  # it is looked for at each of their terminals
MAX_MERCHANTS: Final = 5000
# An amount is in no index: so many of each merchant's newest payments are looked through, for so many merchants.
ROWS_OF_ALL, ROWS_AT_ONCE, ROWS_OF_ONE = 300, 500, 5000
MERCHANTS_OF_AMOUNT, MAX_MERCHANTS_OF_AMOUNT = 2, 100
MAX_TEXT_CHARS: Final = 100
# The operator's number may be any of these, asked for in this order.
_NUMBERS: Final = (Number.BANK_CODE, Number.INVOICE_KEY, Number.ORDER_ID)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of the list. `day` is the text as entered; it was parsed if `since` is set."""

    merchant_id: str = ""
    status: Status | None = None
    day: str = ""
    before: str = FIRST_PLACE
    since: str = ""
    until: str = FIRST_PLACE
    wrong: bool = False

    def query(self, **changes: str) -> dict[str, str]:
        """As a link has them."""
        written = {
            "merchant": self.merchant_id,
            "status": "" if self.status is None else self.status.value,
            "day": self.day,
            **changes,
        }
        return {name: value for name, value in written.items() if value}


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`following` is the place where it goes on. `complete` is False when there are more merchants than it looks at."""

    payments: list[Payment]
    following: str | None
    complete: bool = True


def filters_of(context: PageContext) -> Filters:
    """The filters of the query; an invalid one is left out, and an invalid day is reported."""
    query = context.request.query
    merchant_id = query.get("merchant", "").strip()
    merchant_id = merchant_id if merchant_of_id(f"pay_{merchant_id[4:]}{'0' * 18}") == merchant_id else ""
    status = query.get("status", "")
    before = query.get("before", "")
    day = query.get("day", "").strip()[:MAX_TEXT_CHARS]
    since, until, wrong = "", FIRST_PLACE, False
    if day:
        try:
            midnight = tehran_midnight(Jalali.parse(day).gregorian)
            since, until = place_at(midnight), place_at(midnight + DAY)
        except ValueError:
            wrong = True
    return Filters(
        merchant_id if context.token is None else context.token.merchant_id,
        Status(status) if status in set(Status) else None,
        day,
        before if len(before) == PLACE_CHARS and before.isalnum() and before.isascii() else FIRST_PLACE,
        since,
        until,
        wrong,
    )


async def read_page(context: PageContext, filters: Filters, limit: int = PAGE) -> SearchPage:
    """A page of payments, newest first."""
    if context.token is not None:
        return await _page_of_token(context, filters, limit)
    wanted = SearchCriteria(filters.status, min(filters.before, filters.until), filters.since, limit + 1)
    found: list[str] = []
    after: str | None = None
    searched, merchants = 0, max(FEWEST_MERCHANTS, MERCHANTS_AT_ONCE * PAGE // limit)
    while True:
        stretch = await context.services.store.payments.newest_ids(
            filters.merchant_id or None, after, wanted, merchants
        )
        found = sorted([*found, *stretch.ids], key=place_of, reverse=True)[: limit + 1]
        after, searched = stretch.reached, searched + merchants
        if after is None or searched >= MAX_MERCHANTS:
            break
    payments = await context.services.store.payments.payments_of_ids(found[:limit])
    return SearchPage(payments, place_of(found[limit - 1]) if len(found) > limit else None, after is None)


async def _page_of_token(context: PageContext, filters: Filters, limit: int) -> SearchPage:
    """The page of payments that a merchant's token may see: of its storefront and mode, and of its terminal if it is
    bound to one.
    """
    token = context.token
    assert token is not None
    before = min(filters.before, filters.until)
    point = None if before == FIRST_PLACE else f"{PAYMENT}_{token.merchant_id[4:]}{before}"
    wanted = PaymentFilter(token.storefront, None, filters.status, point, limit, token.mode)
    found = await context.services.store.payments.list_payments(token.merchant_id, wanted)
    following = None if found.reached is None else place_of(found.reached)
    page = [each for each in found.payments if place_of(each.id) >= filters.since]
    if len(page) < len(found.payments):
        following = None
    return SearchPage([each for each in page if context.access.sees_payment(each)], following)


async def find(context: PageContext, text: str) -> list[Payment]:
    """The payments that some number names: an id, a link, a bank_code, an invoice_key, an order, or an amount."""
    text = text.strip()[:MAX_TEXT_CHARS]
    if not text:
        return []
    if text.startswith(f"{PAYMENT}_") and merchant_of_id(text) is not None:
        return await _one(context.access.payment(text))
    if by_link := await _one(context.access.payment_by_link(text)):
        return by_link
    ids: dict[str, None] = {}
    # A number may have been copied from a page of ours, or be typed on a Persian keyboard.
    for written in dict.fromkeys((text, latin_digits(text))):
        for number in _NUMBERS:
            ids |= dict.fromkeys(await _ids(context, number, written))
    found = await context.services.store.payments.payments_of_ids(list(ids)[: 4 * PAGE])
    found = [payment for payment in found if context.access.sees_payment(payment)]
    return found or await _with_amount(context, text)


async def _one(looking: Awaitable[Payment]) -> list[Payment]:
    try:
        return [await looking]
    except NotFound:
        return []


async def _ids(context: PageContext, number: Number, text: str) -> list[str]:
    merchant_id = None if context.token is None else context.token.merchant_id
    found: list[str] = []
    after: str | None = None
    searched = 0
    merchants = MERCHANTS_OF_INVOICE if number is Number.INVOICE_KEY else MERCHANTS_AT_ONCE
    while True:
        stretch = await context.services.store.payments.find_ids(merchant_id, after, number, text, merchants)
        found += stretch.ids
        after, searched = stretch.reached, searched + merchants
        if after is None or searched >= MAX_MERCHANTS or len(found) >= 4 * PAGE:
            return found


async def _with_amount(context: PageContext, text: str) -> list[Payment]:
    """Of the newest payments, those of this many rials or toman."""
    try:
        amount = parse_number(text)
    except ValueError:
        return []
    if not 0 < amount <= MAX_RIALS:
        return []
    merchant_id = None if context.token is None else context.token.merchant_id
    rows, steps = ROWS_OF_ALL, MAX_MERCHANTS_OF_AMOUNT // MERCHANTS_OF_AMOUNT
    if merchant_id is not None:
        rows, steps = ROWS_AT_ONCE, ROWS_OF_ONE // ROWS_AT_ONCE
    store, after, ids = context.services.store, None, list[str]()
    for _ in range(steps):
        stretch = await store.payments.ids_of_amount(merchant_id, after, amount, rows, MERCHANTS_OF_AMOUNT)
        ids, after = [*ids, *stretch.ids], stretch.reached
        if after is None:
            break
    newest = sorted(ids, key=place_of, reverse=True)
    return [
        payment
        for payment in await store.payments.payments_of_ids(newest[: 4 * PAGE])
        if context.access.sees_payment(payment)
    ][:PAGE]
