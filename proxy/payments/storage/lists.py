"""Lists of payments and events: each is read by the index that holds just its rows, a bounded stretch at a time.

Filters without an index (a status among an order's payments) apply here, to a stretch of STRETCH rows: a page may then
be shorter than was asked for, and says where the next one begins.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Final

from proxy.database.repository import Repository, bounded_page
from proxy.database.transaction import Row, Transaction
from proxy.kernel.ids import PAYMENT, base62, merchant_key, merchant_of_id
from proxy.kernel.money import MAX_RIALS, RIALS_PER_TOMAN
from proxy.merchants.merchant import Mode
from proxy.merchants.storage.repository import merchants_from
from proxy.payments.payment import Payment, Status
from proxy.payments.search import (
    FIRST_PLACE,
    DayRow,
    MatchingIds,
    Number,
    PaymentFilter,
    PaymentPage,
    SearchCriteria,
    UnsettledPage,
    id_at,
    place_of,
)
from proxy.payments.storage.rows import payment_of
from proxy.webhooks.storage.events import modes_of

# Sorts after every id: the page before the first one.
_AFTER_ALL_IDS: Final = "~"


async def read_payments(transaction: Transaction, merchant_id: str, wanted: PaymentFilter) -> PaymentPage:
    """The step behind Store.list_payments."""

    async def read(after: str, count: int) -> list[Payment]:
        return await _next_payments(transaction, merchant_id, wanted, after, count)

    after = wanted.after or _AFTER_ALL_IDS
    return PaymentPage(*await bounded_page(read, wanted.accepts, attrgetter("id"), after, wanted.limit))


async def _next_payments(
    transaction: Transaction, merchant_id: str, wanted: PaymentFilter, after: str, count: int
) -> list[Payment]:
    rows: list[Row] = []
    for query, parameters in _queries(merchant_id, wanted, after, count):
        rows += await transaction.rows(query, parameters)
    payments = [payment_of(row) for row in rows]
    return sorted(payments, key=attrgetter("id"), reverse=True)[:count]


def _queries(merchant_id: str, wanted: PaymentFilter, after: str, count: int) -> Iterator[tuple[str, Row]]:
    """The query by the index that has the wanted payments; where a storefront's mode is open, one for each mode."""
    begin = (merchant_id, after, count)
    status = None if wanted.status is None else wanted.status.value
    if wanted.order_id is not None:
        yield "list_payments_of_order", (*begin, wanted.order_id)
    elif wanted.storefront is None:
        yield ("list_payments", begin) if status is None else ("list_payments_with_status", (*begin, status))
    else:
        for mode in modes_of(wanted.mode):
            place = (*begin, wanted.storefront, mode)
            if status is None:
                yield "list_payments_of_storefront", place
            else:
                yield "list_payments_of_storefront_with_status", (*place, status)


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
MAX_IDS: Final = 1000
# A step reads no more of them: others come in between.
IDS_AT_ONCE: Final = 100


class PaymentSearch(Repository):
    async def newest_ids(
        self, merchant_id: str | None, after: str | None, wanted: SearchCriteria, merchants: int
    ) -> MatchingIds:
        """The newest of the next `merchants` merchants after an id, or of one; newest first, `wanted.limit` at most."""

        async def step(transaction: Transaction) -> MatchingIds:
            names = [merchant_id] if merchant_id is not None else await _merchants(transaction, after, merchants)
            found: list[str] = []
            least = wanted
            for name in names:
                found += await _newest(transaction, name, least)
                if len(found) >= wanted.limit:
                    # Older payments of the next merchants are not even read.
                    found = heapq.nlargest(wanted.limit, found, key=place_of)
                    least = replace(wanted, since=max(wanted.since, place_of(found[-1])))
            reached = names[-1] if merchant_id is None and len(names) == merchants else None
            return MatchingIds(heapq.nlargest(wanted.limit, found, key=place_of), reached)

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

    async def find_ids(
        self, merchant_id: str | None, after: str | None, number: Number, text: str, merchants: int
    ) -> MatchingIds:
        """The payments with this number of the next merchants after an id, or of one; at most 50 of a stretch."""

        async def step(transaction: Transaction) -> MatchingIds:
            names = [merchant_id] if merchant_id is not None else await _merchants(transaction, after, merchants)
            if not names:
                return MatchingIds((), None)
            rows = await transaction.rows(f"ids_of_{number.value}", (names[0], names[-1], text, FOUND_AT_MOST))
            reached = names[-1] if merchant_id is None and len(names) == merchants else None
            return MatchingIds([row[0] for row in rows], reached)

        return await self._read.do(step)

    async def ids_of_amount(
        self, merchant_id: str | None, after: str | None, amount: int, rows: int, merchants: int
    ) -> MatchingIds:
        """Of the newest `rows` payments of each of the next merchants, those of so many rials or toman; of one
        merchant, of its newest before the id `after`.
        """

        async def step(transaction: Transaction) -> MatchingIds:
            amounts = {amount, min(amount * RIALS_PER_TOMAN, MAX_RIALS)}
            if merchant_id is not None:
                looked = await transaction.rows("newest_amounts", (merchant_id, after or FIRST_PLACE, rows))
                found = [row[0] for row in looked if row[1] in amounts]
                return MatchingIds(found, looked[-1][0] if len(looked) == rows else None)
            names, found = await _merchants(transaction, after, merchants), []
            for name in names:
                looked = await transaction.rows("newest_amounts", (name, FIRST_PLACE, rows))
                found += [row[0] for row in looked if row[1] in amounts]
            return MatchingIds(found, names[-1] if len(names) == merchants else None)

        return await self._read.do(step)

    async def day_rows(self, merchant_id: str, after: str, limit: int) -> list[DayRow]:
        """A merchant's payments after an id, in id order."""
        rows = await self._rows("day_rows", (merchant_id, after, limit))
        return [DayRow(row[0], Status(row[1]), Mode(row[2]), row[3], row[4]) for row in rows]


async def _newest(transaction: Transaction, merchant_id: str, wanted: SearchCriteria) -> list[str]:
    span = (merchant_id, id_at(merchant_id, wanted.since), id_at(merchant_id, wanted.before), wanted.limit)
    if wanted.status is None:
        rows = await transaction.rows("newest_ids", span)
    else:
        rows = await transaction.rows("newest_ids_with_status", (*span, wanted.status.value))
    return [row[0] for row in rows]


async def _merchants(transaction: Transaction, after: str | None, limit: int) -> list[str]:
    return [row[0] for row in await transaction.rows("merchants_after", (after or "", limit))]
