"""Walks over payments by a filter, of one merchant or of all: a page in the order of time, or all that there is.

No index by time spans the merchants, because every create would pay for it. So a page merges the merchants' own lists:
it reads on where the next payment can be, in steps that are a few milliseconds of the store's time. A filter that no
index serves leaves most of what is read out; a page then looks at LINES_OF_PAGE payments, and says where it stopped.
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final

from proxy.kernel.frozen import dataclass
from proxy.payments.payment import Payment
from proxy.payments.search import FIRST_PLACE, LinePage, Number, PaymentFilter, PaymentLine, place_of
from proxy.payments.storage.lists import LINES_AT_ONCE
from proxy.payments.storage.repository import PaymentRepository

LINES_OF_PAGE: Final = 10_000
MERCHANTS_AT_ONCE: Final = 500
MAX_MERCHANTS: Final = 5000
# So many merchants are read on at once: together they are LINES_AT_ONCE lines.
TOGETHER: Final = 8


@dataclass(frozen=True, slots=True)
class ScanPage:
    """Payments in the filter's order. `following` is the place behind which the list goes on, None at its end.

    `looked` is how many payments were read. `complete` is False when there are more merchants than a page looks at.
    """

    payments: list[Payment]
    following: str | None
    looked: int
    complete: bool = True


class PaymentScan:
    """Walks over the payments of one merchant, or of all where there is none."""

    def __init__(self, payments: PaymentRepository, merchant_id: str | None, wanted: PaymentFilter) -> None:
        self._payments = payments
        self._merchant_id = merchant_id
        self._wanted = wanted

    async def page(self) -> ScanPage:
        """Up to `limit` payments of the filter, in the order of time."""
        if self._wanted.bank_code is not None:
            return await self._page_of_bank_code()
        frontier, complete = await self._frontier()
        merge = _Merge(self._payments, self._wanted, frontier)
        await merge.run()
        lines, following = merge.first()
        found = await self._payments.payments_of_ids([line.id for line in lines])
        # It may have changed since its line was read.
        return ScanPage([each for each in found if self._wanted.accepts(each)], following, merge.looked, complete)

    async def batches(self) -> AsyncGenerator[LinePage]:
        """All lines of the filter, a merchant after the other, in bounded steps: `reached` is of the merchant's.

        The next step is read while the caller has the one before.
        """
        if self._wanted.bank_code is not None:
            for payment in (await self._page_of_bank_code()).payments:
                own = PaymentFilter(after=f"{place_of(payment.id)}~")
                yield await self._payments.lines(payment.merchant_id, own, 1)
            return
        async for merchant_id in self._merchants():
            reading: asyncio.Task[LinePage] | None = self._read(merchant_id, self._wanted)
            try:
                while reading is not None:
                    page, reading = await reading, None
                    if page.reached is not None:
                        reading = self._read(merchant_id, self._wanted.behind(page.reached))
                    yield page
            finally:
                if reading is not None:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)

    def _read(self, merchant_id: str, wanted: PaymentFilter) -> "asyncio.Task[LinePage]":
        return asyncio.create_task(self._payments.lines(merchant_id, wanted, LINES_AT_ONCE))

    async def _page_of_bank_code(self) -> ScanPage:
        """The few payments that have the number: of a claim, and those under review."""
        code = self._wanted.bank_code
        assert code is not None
        ids = await self._payments.find_ids(self._merchant_id, Number.BANK_CODE, code)
        first, last = self._wanted.places
        ids = [each for each in ids if first < place_of(each) < last]
        found = await self._payments.payments_of_ids(sorted(ids, key=place_of, reverse=not self._wanted.oldest_first))
        payments = [each for each in found if self._wanted.accepts(each)]
        limit = self._wanted.limit
        following = place_of(payments[limit - 1].id) if len(payments) > limit else None
        return ScanPage(payments[:limit], following, len(ids))

    async def _frontier(self) -> tuple[dict[str, str], bool]:
        """Where each merchant's list begins, and whether these are all merchants."""
        if self._merchant_id is not None:
            return {self._merchant_id: "" if self._wanted.oldest_first else FIRST_PLACE}, True
        frontier: dict[str, str] = {}
        after, searched = None, 0
        while searched < MAX_MERCHANTS:
            heads, after = await self._payments.heads(after, self._wanted, MERCHANTS_AT_ONCE)
            frontier |= {merchant_id: self._before(place) for merchant_id, place in heads.items()}
            searched += MERCHANTS_AT_ONCE
            if after is None:
                return frontier, True
        return frontier, False

    def _before(self, place: str) -> str:
        """The place behind which that one comes first."""
        return place[:-1] if self._wanted.oldest_first else f"{place}~"

    async def _merchants(self) -> AsyncIterator[str]:
        if self._merchant_id is not None:
            yield self._merchant_id
            return
        after: str | None = None
        while True:
            heads, after = await self._payments.heads(after, self._wanted, MERCHANTS_AT_ONCE)
            for merchant_id in heads:
                yield merchant_id
            if after is None:
                return


class _Merge:
    """The lists of the merchants as one. `frontier` has the place behind which each goes on: what is before all of them
    has been read.
    """

    def __init__(self, payments: PaymentRepository, wanted: PaymentFilter, frontier: Mapping[str, str]) -> None:
        self._payments = payments
        self._wanted = wanted
        self._frontier = dict(frontier)
        self._after = dict.fromkeys(frontier, wanted.after)
        self._lines: list[PaymentLine] = []
        self.looked = 0
        self._count = min(wanted.limit + 1, LINES_AT_ONCE)

    async def run(self) -> None:
        """Reads until a page and one more are sure, all is read, or enough was looked at."""
        while self._frontier and self.looked < LINES_OF_PAGE:
            if len(self._sure()) > self._wanted.limit:
                return
            chosen = self._next_merchants()
            pages = await asyncio.gather(*(self._read(merchant_id, len(chosen)) for merchant_id in chosen))
            for merchant_id, page in zip(chosen, pages, strict=True):
                self._add(merchant_id, page)
            self._count = min(2 * self._count, LINES_AT_ONCE)

    def first(self) -> tuple[list[PaymentLine], str | None]:
        """The page, and the place behind which the list goes on."""
        sure, limit = self._sure(), self._wanted.limit
        if len(sure) > limit:
            return sure[:limit], place_of(sure[limit - 1].id)
        return sure, self._edge()

    def _next_merchants(self) -> list[str]:
        pick = heapq.nsmallest if self._wanted.oldest_first else heapq.nlargest
        return pick(TOGETHER, self._frontier, key=self._frontier.__getitem__)

    def _edge(self) -> str | None:
        pick = min if self._wanted.oldest_first else max
        return pick(self._frontier.values(), default=None)

    async def _read(self, merchant_id: str, together: int) -> LinePage:
        after = self._after[merchant_id]
        wanted = self._wanted if after is None else self._wanted.behind(after)
        count = max(1, min(self._count, LINES_AT_ONCE // together))
        return await self._payments.lines(merchant_id, wanted, count, of_many=len(self._after) > 1)

    def _add(self, merchant_id: str, page: LinePage) -> None:
        self.looked += page.looked
        self._lines += page.lines
        if page.reached is None:
            del self._frontier[merchant_id]
        else:
            self._frontier[merchant_id] = self._after[merchant_id] = page.reached

    def _sure(self) -> list[PaymentLine]:
        """The lines that nothing unread can come before, in order."""
        edge = self._edge()
        self._lines.sort(key=lambda line: place_of(line.id), reverse=not self._wanted.oldest_first)
        if edge is None:
            return self._lines
        oldest = self._wanted.oldest_first
        return [line for line in self._lines if (place_of(line.id) <= edge if oldest else place_of(line.id) >= edge)]
