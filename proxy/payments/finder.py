"""Finding payments for a caller: pages of the newest ones, and the one box that takes any number.

Pages walk the merchants in bounded steps, and look at so many merchants at most. Numbers are found by an index.
"""

import re
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final

from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import NotFound
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import PAYMENT, merchant_of_id
from proxy.kernel.text import without_direction
from proxy.locale.persian import latin_digits, time_span
from proxy.payments.access import Access
from proxy.payments.order_match import OrderMatch
from proxy.payments.payment import Payment
from proxy.payments.scan import PaymentScan, ScanPage
from proxy.payments.search import FIRST_PLACE, Bounds, Number, PaymentFilter, place_of

PAGE: Final = 25
MOST_FOUND: Final = 4 * PAGE
# Amounts and texts of orders are in no index: so many of the newest payments are looked through, as many of each of so
# many merchants, in steps of a few milliseconds.
ROWS, ROWS_AT_ONCE, MERCHANTS_OF_NEWEST = 5000, 500, 100
MAX_TEXT_CHARS, MAX_PASTED_CHARS = 100, 500
# A payment is created before its customer has paid: for most, so long at most before the time that the customer tells.
BEFORE_A_MINUTE: Final = 30 * MINUTE
# The number may be any of these. Four digits may also be a card's, which is not unique.
_NUMBERS: Final = (Number.BANK_CODE, Number.INVOICE_KEY, Number.ORDER_ID, Number.TRACE_NUMBER, Number.ID)
_LAST_OF_CARD: Final = re.compile("[0-9]{4}")
_SHOP_NUMBER: Final = re.compile("[0-9]{16}")
_AROUND: Final = re.compile("^[\\s\u200b-\u200f\u2060\ufeff]+|[\\s\u200b-\u200f\u2060\ufeff]+$")
_LINK: Final = re.compile(r"/(?:pay|return)/([0-9A-Za-z]{35,37})(?![0-9A-Za-z])")


def cleaned(text: str) -> str:
    """A text that was pasted or typed, without what stands invisibly around it; of a pay or return URL, the link."""
    text = text[:MAX_PASTED_CHARS]
    link = _LINK.search(text)
    return link[1] if link else _AROUND.sub("", without_direction(text))[:MAX_TEXT_CHARS]


@dataclass(frozen=True, slots=True)
class FoundPayments:
    """`among_newest` where only the newest payments were looked through, so that there may be older ones."""

    payments: list[Payment]
    among_newest: bool = False


@dataclass(frozen=True, slots=True)
class PaymentFinder:
    """What one caller can find: of a token, what it sees; of an operator, everything."""

    access: Access

    async def page(self, merchant_id: str | None, wanted: PaymentFilter) -> ScanPage:
        """A page of the merchant's payments, or of all merchants'; of a token's own alone, whatever is asked for."""
        return await self.scan(merchant_id, wanted).page()

    def scan(self, merchant_id: str | None, wanted: PaymentFilter) -> PaymentScan:
        """The walk over what the filter accepts and the caller may see."""
        if (token := self.access.token) is not None:
            merchant_id = token.merchant_id
            wanted = replace(wanted, storefront=token.storefront, mode=token.mode)
            if token.terminal_id is not None:
                wanted = replace(wanted, terminal_id=token.terminal_id)
        return PaymentScan(self.access.payments, merchant_id, wanted)

    async def find(self, text: str) -> FoundPayments:
        """The payments that a text names: by a number of theirs, a pasted link, an amount in rials or toman, the
        beginning of a description or of a value of the metadata, or a day or minute (`1405/09/10 14:30`, `2026-12-01`),
        which finds those created in the half hour up to it.

        A number is an id, bank_code, invoice_key, order, the bank's trace number, or the last four digits of a card; in
        any case and digits, and by its beginning where nothing is all of it. Each kind of text is tried after the one
        before it found nothing; at most MOST_FOUND payments.
        """
        text = cleaned(text)
        named = await self._named(text) if text else []
        if named or not text:
            return FoundPayments(named)
        if newest := await self._among_newest(text):
            return FoundPayments(newest, among_newest=True)
        return FoundPayments(await self._around(text))

    async def _named(self, text: str) -> list[Payment]:
        """By what an index has."""
        if text.startswith(f"{PAYMENT}_") and merchant_of_id(text) is not None:
            return await _one(self.access.payment(text))
        if by_link := await _one(self.access.payment_by_link(text)):
            return by_link
        return await self._with_number(text)

    async def _with_number(self, text: str) -> list[Payment]:
        """With all of it as a number; else with the number that its shop knows it by; else with one that begins so."""
        # A number may have been copied from a page of ours, or be typed on a Persian keyboard or in capitals.
        plain = latin_digits(text)
        numbers, beginnings = (*_NUMBERS, Number.CARD) if _LAST_OF_CARD.fullmatch(plain) else _NUMBERS, list[str]()
        for written in ((text, plain), {plain.lower(), plain.upper()} - {text, plain}):
            exact, begun = await self.access.payments.find(self._merchant_id, numbers, list(dict.fromkeys(written)))
            beginnings += begun
            if payments := await self._seen(exact):
                return payments
        return await self._with_shop_number(text) or await self._seen(beginnings)

    async def _with_shop_number(self, text: str) -> list[Payment]:
        """The payment that has this number for its shop, where that speaks a protocol that has numbers."""
        number = latin_digits(text)
        if not _SHOP_NUMBER.fullmatch(number):
            return []
        found = await _one(self.access.payments.payment_by_number(int(number)))
        return [payment for payment in found if self.access.sees_payment(payment)]

    async def _among_newest(self, text: str) -> list[Payment]:
        """Of the newest payments, those of this many rials or toman, and those whose description or metadata has a
        value that begins so.
        """
        match = OrderMatch(text)
        if not match:
            return []
        payments = self.access.payments
        own = self._merchant_id
        merchants = [own] if own is not None else await payments.first_merchants(MERCHANTS_OF_NEWEST)
        each = ROWS // max(1, len(merchants))
        ids, together = list[str](), max(1, ROWS_AT_ONCE // each)
        for start in range(0, len(merchants), together):
            some, before = merchants[start : start + together], FIRST_PLACE
            for rows in range(each, 0, -ROWS_AT_ONCE):
                stretch = await payments.ids_among_newest(some, before, match.accepts, min(rows, ROWS_AT_ONCE), PAGE)
                ids += stretch.ids
                if stretch.reached is None:
                    break
                before = stretch.reached
        return (await self._seen(sorted(ids, key=place_of, reverse=True)))[:PAGE]

    async def _around(self, text: str) -> list[Payment]:
        """Those of a day, or those whose customer may have paid in a minute."""
        try:
            since, until = time_span(text)
        except ValueError:
            return []
        if until - since == MINUTE:
            since -= BEFORE_A_MINUTE
        wanted = PaymentFilter(created=Bounds(since, until), limit=MOST_FOUND)
        return (await self.page(None, wanted)).payments

    @property
    def _merchant_id(self) -> str | None:
        return None if self.access.token is None else self.access.token.merchant_id

    async def _seen(self, ids: list[str]) -> list[Payment]:
        found = await self.access.payments.payments_of_ids(list(dict.fromkeys(ids))[:MOST_FOUND])
        return [payment for payment in found if self.access.sees_payment(payment)]


async def _one(looking: Awaitable[Payment]) -> list[Payment]:
    try:
        return [await looking]
    except NotFound:
        return []
