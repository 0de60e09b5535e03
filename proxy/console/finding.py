"""Finding payments: the list with its filters, over all merchants or one, and the one box that takes any number."""

from dataclasses import dataclass
from typing import Final

from proxy.clock import DAY
from proxy.console.visit import Visit
from proxy.errors import NotFound
from proxy.ids import PAYMENT, merchant_of_id, merchant_of_link
from proxy.jalali import Jalali, tehran_midnight
from proxy.lookups import FIRST_PLACE, PLACE_CHARS, Number, Wanted, place_at, place_of
from proxy.money import MAX_RIALS
from proxy.payment import Payment, Status
from proxy.persian import latin_digits, parse_number
from proxy.records import PaymentFilter

PAGE: Final = 25
# One step reads so many merchants' indexes, a few milliseconds of the store's time.
MERCHANTS_AT_ONCE: Final = 100
MAX_MERCHANTS: Final = 5000
# An amount is in no index: so many of each merchant's newest payments are looked through, for so many merchants.
ROWS_OF_ALL, ROWS_OF_ONE = 300, 5000
MERCHANTS_OF_AMOUNT, MAX_MERCHANTS_OF_AMOUNT = 10, 100
MAX_TEXT_CHARS: Final = 100
# The operator's number may be any of these, asked for in this order.
_NUMBERS: Final = (Number.BANK_CODE, Number.INVOICE_KEY, Number.ORDER_ID)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list was asked for. `day` is as it was written, and understood where `since` is there."""

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
class Page:
    """`following` is the place where it goes on. `whole` is False when there are more merchants than were looked at."""

    payments: list[Payment]
    following: str | None
    whole: bool = True


def filters_of(visit: Visit) -> Filters:
    """The filters of the query; what is not understood is left out, and the day says so."""
    query = visit.request.query
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
        merchant_id if visit.token is None else visit.token.merchant_id,
        Status(status) if status in set(Status) else None,
        day,
        before if len(before) == PLACE_CHARS and before.isalnum() and before.isascii() else FIRST_PLACE,
        since,
        until,
        wrong,
    )


async def read_page(visit: Visit, filters: Filters, limit: int = PAGE) -> Page:
    """A page of payments, newest first."""
    if visit.token is not None:
        return await _page_of_token(visit, filters, limit)
    wanted = Wanted(filters.status, min(filters.before, filters.until), filters.since, limit + 1)
    found: list[str] = []
    after: str | None = None
    seen = 0
    while True:
        stretch = await visit.services.store.newest_ids(filters.merchant_id or None, after, wanted, MERCHANTS_AT_ONCE)
        found = sorted([*found, *stretch.ids], key=place_of, reverse=True)[: limit + 1]
        after, seen = stretch.reached, seen + MERCHANTS_AT_ONCE
        if after is None or seen >= MAX_MERCHANTS:
            break
    payments = await visit.services.store.payments_of_ids(found[:limit])
    return Page(payments, place_of(found[limit - 1]) if len(found) > limit else None, after is None)


async def _page_of_token(visit: Visit, filters: Filters, limit: int) -> Page:
    """What a merchant's token sees: of its storefront and mode, and of its terminal where it is confined to one."""
    token = visit.token
    assert token is not None
    before = min(filters.before, filters.until)
    point = None if before == FIRST_PLACE else f"{PAYMENT}_{token.merchant_id[4:]}{before}"
    wanted = PaymentFilter(token.storefront, None, filters.status, point, limit + 1, token.mode)
    found = await visit.services.store.list_payments(token.merchant_id, wanted)
    following = place_of(found[limit - 1].id) if len(found) > limit else None
    page = [each for each in found[:limit] if place_of(each.id) >= filters.since]
    if len(page) < len(found[:limit]):
        following = None
    return Page([each for each in page if visit.sees(each)], following)


async def find(visit: Visit, text: str) -> list[Payment]:
    """The payments that some number names: an id, a link, a bank_code, an invoice_key, an order, or an amount."""
    text = text.strip()[:MAX_TEXT_CHARS]
    if not text:
        return []
    merchant_id = merchant_of_id(text) if text.startswith(f"{PAYMENT}_") else None
    if merchant_id is not None:
        return await _one(visit, merchant_id, text)
    if (merchant_id := merchant_of_link(text)) is not None and (by_link := await _by_link(visit, merchant_id, text)):
        return by_link
    ids: dict[str, None] = {}
    # A number may have been copied from a page of ours, or be typed on a Persian keyboard.
    for written in dict.fromkeys((text, latin_digits(text))):
        for number in _NUMBERS:
            ids |= dict.fromkeys(await _ids(visit, number, written))
    found = await visit.services.store.payments_of_ids(list(ids)[: 4 * PAGE])
    found = [payment for payment in found if visit.sees(payment)]
    return found or await _with_amount(visit, text)


async def _one(visit: Visit, merchant_id: str, payment_id: str) -> list[Payment]:
    try:
        payment = await visit.services.store.payment(merchant_id, payment_id)
    except NotFound:
        return []
    return [payment] if visit.sees(payment) else []


async def _by_link(visit: Visit, merchant_id: str, link: str) -> list[Payment]:
    try:
        payment = await visit.services.store.payment_by_link(merchant_id, link)
    except NotFound:
        return []
    return [payment] if visit.sees(payment) else []


async def _ids(visit: Visit, number: Number, text: str) -> list[str]:
    merchant_id = None if visit.token is None else visit.token.merchant_id
    found: list[str] = []
    after: str | None = None
    seen = 0
    while True:
        stretch = await visit.services.store.find_ids(merchant_id, after, number, text, MERCHANTS_AT_ONCE)
        found += stretch.ids
        after, seen = stretch.reached, seen + MERCHANTS_AT_ONCE
        if after is None or seen >= MAX_MERCHANTS or len(found) >= 4 * PAGE:
            return found


async def _with_amount(visit: Visit, text: str) -> list[Payment]:
    """Of the newest payments, those of this many rials or toman."""
    try:
        amount = parse_number(text)
    except ValueError:
        return []
    if not 0 < amount <= MAX_RIALS:
        return []
    merchant_id = None if visit.token is None else visit.token.merchant_id
    rows, merchants = (ROWS_OF_ALL, MERCHANTS_OF_AMOUNT) if merchant_id is None else (ROWS_OF_ONE, 1)
    store, after, ids, seen = visit.services.store, None, list[str](), 0
    while True:
        stretch = await store.ids_of_amount(merchant_id, after, amount, rows, merchants)
        ids, after, seen = [*ids, *stretch.ids], stretch.reached, seen + merchants
        if after is None or seen >= MAX_MERCHANTS_OF_AMOUNT:
            break
    newest = sorted(ids, key=place_of, reverse=True)
    return [payment for payment in await store.payments_of_ids(newest[: 4 * PAGE]) if visit.sees(payment)][:PAGE]
