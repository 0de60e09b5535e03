"""The Lookups port: walks over all merchants, a bounded stretch at a time."""

import heapq
from collections.abc import Sequence
from typing import Final

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.payment_rows import payment_of
from proxy.adapters.store.transaction import Transaction
from proxy.ids import merchant_of_id
from proxy.lookups import DayRow, Number, Stretch, Wanted, id_at, place_of
from proxy.merchant import Mode
from proxy.money import MAX_RIALS, RIALS_PER_TOMAN
from proxy.payment import Payment, Status

FOUND_AT_MOST: Final = 50
MAX_IDS: Final = 1000


class StoreLookups(StoreParts):
    async def newest_ids(self, merchant_id: str | None, after: str | None, wanted: Wanted, merchants: int) -> Stretch:
        async def step(transaction: Transaction) -> Stretch:
            names = [merchant_id] if merchant_id is not None else await _merchants(transaction, after, merchants)
            found: list[str] = []
            for name in names:
                found += await _newest(transaction, name, wanted)
            reached = names[-1] if merchant_id is None and len(names) == merchants else None
            return Stretch(heapq.nlargest(wanted.limit, found, key=place_of), reached)

        return await self._read.do(step)

    async def payments_of_ids(self, ids: Sequence[str]) -> list[Payment]:
        async def step(transaction: Transaction) -> list[Payment]:
            keys = [(merchant_of_id(each), each) for each in ids[:MAX_IDS]]
            rows = [await transaction.row("payment_by_id", key) for key in keys]
            return [payment_of(row) for row in rows if row is not None]

        return await self._read.do(step)

    async def find_ids(
        self, merchant_id: str | None, after: str | None, number: Number, text: str, merchants: int
    ) -> Stretch:
        async def step(transaction: Transaction) -> Stretch:
            names = [merchant_id] if merchant_id is not None else await _merchants(transaction, after, merchants)
            if not names:
                return Stretch((), None)
            rows = await transaction.rows(f"ids_of_{number.value}", (names[0], names[-1], text, FOUND_AT_MOST))
            reached = names[-1] if merchant_id is None and len(names) == merchants else None
            return Stretch([row[0] for row in rows], reached)

        return await self._read.do(step)

    async def ids_of_amount(
        self, merchant_id: str | None, after: str | None, amount: int, rows: int, merchants: int
    ) -> Stretch:
        async def step(transaction: Transaction) -> Stretch:
            names = [merchant_id] if merchant_id is not None else await _merchants(transaction, after, merchants)
            found: list[str] = []
            for name in names:
                amounts = (name, rows, amount, min(amount * RIALS_PER_TOMAN, MAX_RIALS))
                found += [row[0] for row in await transaction.rows("newest_of_amounts", amounts)]
            reached = names[-1] if merchant_id is None and len(names) == merchants else None
            return Stretch(heapq.nlargest(FOUND_AT_MOST, found, key=place_of), reached)

        return await self._read.do(step)

    async def day_rows(self, merchant_id: str, after: str, limit: int) -> list[DayRow]:
        rows = await self._rows("day_rows", (merchant_id, after, limit))
        return [DayRow(row[0], Status(row[1]), Mode(row[2]), row[3], row[4]) for row in rows]


async def _newest(transaction: Transaction, merchant_id: str, wanted: Wanted) -> list[str]:
    span = (merchant_id, id_at(merchant_id, wanted.since), id_at(merchant_id, wanted.before), wanted.limit)
    if wanted.status is None:
        rows = await transaction.rows("newest_ids", span)
    else:
        rows = await transaction.rows("newest_ids_with_status", (*span, wanted.status.value))
    return [row[0] for row in rows]


async def _merchants(transaction: Transaction, after: str | None, limit: int) -> list[str]:
    return [row[0] for row in await transaction.rows("merchants_after", (after or "", limit))]
