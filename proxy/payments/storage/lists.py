"""Lists of payments and events: each is read by the index that holds just its rows, a bounded stretch at a time.

Filters without an index (a status among an order's payments) apply here, to a stretch of STRETCH rows: a page may then
be shorter than was asked for, and says where the next one begins.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import Final

from proxy.database.repository import Repository, bounded_page
from proxy.database.transaction import Row, Transaction
from proxy.kernel.ids import MERCHANT, MERCHANT_KEY_CHARS, PAYMENT, base62, merchant_key, merchant_of_id
from proxy.merchants.merchant import Mode
from proxy.merchants.storage.repository import merchants_from
from proxy.payments.order_match import FEWEST_CHARS, OrderTexts
from proxy.payments.payment import Payment, Status
from proxy.payments.search import (
    DayStretch,
    DaySum,
    LinePage,
    MatchingIds,
    Number,
    PaymentFilter,
    PaymentLine,
    PaymentPage,
    UnsettledPage,
    id_at,
    place_of,
)
from proxy.payments.storage.rows import payment_of
from proxy.webhooks.storage.events import modes_of

# Of the lines that a list of payments looks at in one step; a few milliseconds of the database's time.
LINES_AT_ONCE: Final = 500


async def read_payments(transaction: Transaction, merchant_id: str, wanted: PaymentFilter) -> PaymentPage:
    """The step behind Store.list_payments."""

    async def read(after: str | None, count: int) -> list[PaymentLine]:
        return await _next_lines(transaction, merchant_id, replace(wanted, after=after), count)

    lines, reached = await bounded_page(read, wanted.accepts, _place, wanted.after, wanted.limit)
    rows = [await transaction.row("payment_by_id", (merchant_id, line.id)) for line in lines]
    return PaymentPage([payment_of(row) for row in rows if row is not None], reached)


def _place(line: PaymentLine) -> str:
    return place_of(line.id)


async def _next_lines(
    transaction: Transaction, merchant_id: str, wanted: PaymentFilter, count: int, *, of_many: bool = False
) -> list[PaymentLine]:
    """The first `count` lines behind the filter's place that the best index gives: all that it accepts, and others."""
    prefix = f"{PAYMENT}_{merchant_key(merchant_id)}"
    first, last = (prefix + place for place in wanted.places)
    order = "oldest" if wanted.oldest_first else "newest"
    lines: list[PaymentLine] = []
    for path, values in _paths(wanted, of_many=of_many):
        rows = await transaction.rows(f"{order}_lines{path}", (merchant_id, first, last, count, *values))
        found = list(map(PaymentLine._make, rows))
        lines = sorted([*lines, *found], reverse=not wanted.oldest_first)[:count] if lines and found else lines or found
        if len(lines) == count:
            # What the other indexes have behind this one is not even read.
            first, last = (first, lines[-1].id) if wanted.oldest_first else (lines[-1].id, last)
    return lines


def _paths(wanted: PaymentFilter, *, of_many: bool) -> Iterator[tuple[str, Row]]:
    """The indexes that have the wanted payments: of an order, of a storefront's modes and statuses, or of statuses."""
    statuses = [status.value for status in wanted.statuses]
    if wanted.order_id is not None:
        yield "_of_order", (wanted.order_id,)
    elif wanted.storefront is not None and (statuses or not of_many):
        for mode, status in product(modes_of(wanted.mode), statuses or _STATUSES):
            yield "_of_storefront", (wanted.storefront, mode, status)
    elif statuses:
        for status in dict.fromkeys(statuses):
            yield "_with_status", (status,)
    else:
        yield "", ()


# Most payments are in the first ones: these narrow what the others are read for.
_STATUSES: Final = tuple(dict.fromkeys((Status.PAID.value, Status.EXPIRED.value, *(each.value for each in Status))))


async def read_unsettled(transaction: Transaction, since: int, after: str | None, limit: int) -> UnsettledPage:
    """The step behind Store.unsettled_since."""
    found: list[Payment] = []
    merchants, resumed, more = await merchants_from(transaction, after)
    for merchant_id in merchants:
        # An id holds the time of its creation behind the merchant's key, so a time is a place among the ids.
        point = max(f"{PAYMENT}_{merchant_key(merchant_id)}{base62(since, 8)}", resumed)
        rows = await transaction.rows("unsettled_after", (merchant_id, point, limit - len(found)))
        found += [payment_of(row) for row in rows]
        resumed = ""
        if len(found) == limit:
            return UnsettledPage(found, found[-1].id)
    return UnsettledPage(found, merchants[-1] if more else None)


FOUND_AT_MOST: Final = 50
_LAST_CHAR: Final = "\U0010ffff"  # sorts after whatever a text goes on with
MAX_IDS: Final = 1000
# A step reads no more of them: others come in between.
IDS_AT_ONCE: Final = 100


class PaymentSearch(Repository):
    async def list_payments(self, merchant_id: str, wanted: PaymentFilter) -> PaymentPage:
        """A page of a merchant's payments, of a stretch that is read in one step."""
        return await self._read.do(lambda transaction: read_payments(transaction, merchant_id, wanted))

    async def lines(self, merchant_id: str, wanted: PaymentFilter, count: int, *, of_many: bool = False) -> LinePage:
        """Those of the merchant's next `count` payments behind the filter's place that it accepts.

        With `of_many` merchants to read, a storefront's payments of every status are looked for in the list by time.
        """

        async def step(transaction: Transaction) -> LinePage:
            lines = await _next_lines(transaction, merchant_id, wanted, count, of_many=of_many)
            reached = _place(lines[-1]) if len(lines) == count else None
            checks = wanted.checks()
            accepted = [line for line in lines if all(check(line) for check in checks)] if checks else lines
            return LinePage(accepted, reached, len(lines))

        return await self._read.do(step)

    async def heads(
        self, after: str | None, wanted: PaymentFilter, merchants: int
    ) -> tuple[dict[str, str], str | None]:
        """The first payment's place, in the filter's time and of the index that `lines` reads, of each of the next
        `merchants` merchants after an id that has one; and the id of the last merchant, None when there is none behind
        it.
        """
        order, first = ("oldest", min) if wanted.oldest_first else ("newest", max)

        async def step(transaction: Transaction) -> tuple[dict[str, str], str | None]:
            names, heads = await _merchants(transaction, after, merchants), dict[str, str]()
            for path, values in _paths(wanted, of_many=True) if names else ():
                found = (names[0], names[-1], *wanted.places, *values)
                for merchant_id, payment_id in await transaction.rows(f"{order}_of_merchants{path}", found):
                    place = place_of(payment_id)
                    heads[merchant_id] = first(heads.get(merchant_id, place), place)
            return heads, names[-1] if len(names) == merchants else None

        return await self._read.do(step)

    async def payments_of_ids(self, ids: Sequence[str]) -> list[Payment]:
        """Those that there are, in the order given; at most 1000."""

        async def step(transaction: Transaction, some: Sequence[str]) -> list[Payment]:
            rows = [await transaction.row("payment_by_id", (merchant_of_id(each), each)) for each in some]
            return [payment_of(row) for row in rows if row is not None]

        found: list[Payment] = []
        for start in range(0, min(len(ids), MAX_IDS), IDS_AT_ONCE):
            found += await self._read.do(partial(step, some=ids[start : start + IDS_AT_ONCE]))
        return found

    async def find_ids(self, merchant_id: str | None, number: Number, text: str) -> list[str]:
        """The payments with this number, of a merchant or of all; at most 50, and as many under review."""

        async def step(transaction: Transaction) -> list[str]:
            found, _ = await _look(transaction, merchant_id, number, text, beginnings=False)
            return list(dict.fromkeys(found))

        return await self._read.do(step)

    async def find(
        self, merchant_id: str | None, numbers: Iterable[Number], texts: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """The payments that have one of the texts as one of these numbers, of a merchant or of all; and those with a
        number that begins so, where that is long enough. At most 50 of each text and number.
        """

        async def step(transaction: Transaction) -> tuple[list[str], list[str]]:
            found, begun = list[str](), list[str]()
            for text, number in product(texts, numbers):
                beginnings = len(text) >= FEWEST_CHARS and number is not Number.CARD
                exact, others = await _look(transaction, merchant_id, number, text, beginnings=beginnings)
                found += exact
                begun += others
            return found, begun

        return await self._read.do(step)

    async def ids_among_newest(
        self, merchants: Sequence[str], before: str, accepts: Callable[[OrderTexts], bool], rows: int, most: int
    ) -> MatchingIds:
        """Of the newest `rows` payments of each of the merchants before a place, the newest `most` accepted ones;
        `reached` is the place behind which those of the last merchant go on.
        """

        async def step(transaction: Transaction) -> MatchingIds:
            found, reached = list[str](), None
            for merchant_id in merchants:
                orders = await transaction.rows("newest_orders", (merchant_id, id_at(merchant_id, before), rows))
                found += [order.id for order in islice(filter(accepts, map(OrderTexts._make, orders)), most)]
                reached = place_of(orders[-1][0]) if len(orders) == rows else None
            return MatchingIds(found, reached)

        return await self._read.do(step)

    async def first_merchants(self, limit: int) -> Sequence[str]:
        """The ids of the first merchants."""
        return await self._read.do(lambda transaction: _merchants(transaction, None, limit))

    async def day_sums(self, span: tuple[str, str, str], midnight: int, part: int, limit: int) -> DayStretch:
        """Of a merchant's payments between two ids, the next `limit`: by status, mode and part of the day."""
        rows = await self._rows("day_sums", (*span, limit, midnight, part))
        sums = [DaySum(Status(row[0]), Mode(row[1]), row[2], bool(row[3]), row[4], row[5]) for row in rows]
        full = sum(each.count for each in sums) >= limit
        return DayStretch(sums, max(row[6] for row in rows) if full else None)


async def _look(
    transaction: Transaction, merchant_id: str | None, number: Number, text: str, *, beginnings: bool
) -> tuple[list[str], list[str]]:
    """The payments with this number, and with `beginnings` those whose number begins so."""
    rows = await _rows_between(transaction, merchant_id, number, text, f"{text}{_LAST_CHAR}" if beginnings else text)
    exact = [row[0] for row in rows if row[1] == text]
    if beginnings and len(rows) == FOUND_AT_MOST:  # it may be behind others
        exact = [row[0] for row in await _rows_between(transaction, merchant_id, number, text, text)]
    if number is Number.BANK_CODE:
        span = ("", _LAST_CHAR) if merchant_id is None else (merchant_id, merchant_id)
        exact += [row[0] for row in await transaction.rows("reviews_of_bank_code", (text, FOUND_AT_MOST, *span))]
    return exact, [row[0] for row in rows] if beginnings else []


async def _rows_between(
    transaction: Transaction, merchant_id: str | None, number: Number, first: str, last: str
) -> Sequence[Row]:
    """The ids and numbers of payments with a number between two texts, FOUND_AT_MOST at most."""
    between = (first, last, FOUND_AT_MOST)
    if number is Number.ID:
        span = _merchants_of_ids(first) if merchant_id is None else (merchant_id, merchant_id)
        return () if span is None else await transaction.rows("ids_of_id", (*between, *span))
    if merchant_id is None:
        return await transaction.rows(f"ids_of_{number.value}", between)
    return await transaction.rows(f"own_ids_of_{number.value}", (*between, merchant_id))


def _merchants_of_ids(beginning: str) -> tuple[str, str] | None:
    """Between which merchants those are of which payments have ids that begin so: an id has its merchant's key."""
    kind, _, rest = beginning.partition("_")
    if kind != PAYMENT:
        return None
    first = f"{MERCHANT}_{rest[:MERCHANT_KEY_CHARS]}"
    return first, (first if len(rest) >= MERCHANT_KEY_CHARS else f"{first}{_LAST_CHAR}")


async def _merchants(transaction: Transaction, after: str | None, limit: int) -> list[str]:
    return [row[0] for row in await transaction.rows("merchants_after", (after or "", limit))]
