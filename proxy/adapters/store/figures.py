"""The Figures port: what monitoring asks, in steps that read a bounded number of rows by indexes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.transaction import Transaction
from proxy.figures import COUNTED, COUNTED_PER_MERCHANT, Audited, DueFigures, OpenFigures
from proxy.invariants import (
    EVENT_UNNUMBERED,
    PAID_AMOUNT,
    PAID_UNCHECKED,
    PAID_UNCLAIMED,
    PAID_UNTOLD,
    PENDING_UNWATCHED,
)
from proxy.lookups import id_at, place_at

AUDITED_PER_MERCHANT: Final = 100
_STATUSES: Final = ("created", "pending", "needs_review")
_STATES: Final = ("enabled", "paused", "disabled")
_OF_PAID: Final = (PAID_UNCLAIMED, PAID_AMOUNT, PAID_UNCHECKED, PAID_UNTOLD)


class StoreFigures(StoreParts):
    async def due_figures(self) -> DueFigures:
        return await self._read.do(_due_figures)

    async def open_figures(self, after: str | None, limit: int) -> OpenFigures:
        async def step(transaction: Transaction) -> OpenFigures:
            merchants = await _merchants(transaction, after, limit)
            payments, endpoints, oldest = Counter[str](), Counter[str](), dict[str, int]()
            for merchant_id in merchants:
                row = await _one(transaction, "open_of_merchant", (merchant_id, COUNTED_PER_MERCHANT))
                for status, count, created_at in zip(_STATUSES, row[::2], row[1::2], strict=True):
                    payments[status] += count
                    if created_at is not None:
                        oldest[status] = min(created_at, oldest.get(status, created_at))
                endpoints.update(
                    dict(zip(_STATES, await _one(transaction, "endpoint_states", (merchant_id,)), strict=True))
                )
            return OpenFigures(_reached(merchants, limit), payments, oldest, endpoints)

        return await self._read.do(step)

    async def audit(self, after: str | None, since: int, limit: int) -> Audited:
        async def step(transaction: Transaction) -> Audited:
            merchants = await _merchants(transaction, after, limit)
            found = Counter[str]()
            for merchant_id in merchants:
                # By their ids, which an index has: what is older is not even read.
                span = (merchant_id, id_at(merchant_id, place_at(since)), AUDITED_PER_MERCHANT)
                found.update(dict(zip(_OF_PAID, await _one(transaction, "audit_paid", span), strict=True)))
                found[PENDING_UNWATCHED] += (await _one(transaction, "audit_pending", span))[0]
                found[EVENT_UNNUMBERED] += (await _one(transaction, "audit_numbers", (merchant_id,)))[0]
            return Audited(_reached(merchants, limit), {name: count for name, count in found.items() if count})

        return await self._read.do(step)


async def _due_figures(transaction: Transaction) -> DueFigures:
    return DueFigures(
        watches=(await _one(transaction, "count_watches", (COUNTED,)))[0],
        watch_due_at=(await _one(transaction, "next_watch_at", ()))[0],
        deliveries=(await _one(transaction, "count_deliveries", (COUNTED,)))[0],
        delivery_due_at=(await _one(transaction, "next_delivery_at", ()))[0],
    )


async def _merchants(transaction: Transaction, after: str | None, limit: int) -> list[str]:
    return [merchant_id for (merchant_id,) in await transaction.rows("merchants_after", (after or "", limit))]


async def _one(transaction: Transaction, query: str, parameters: Sequence[Any]) -> Sequence[Any]:
    """The row of a query that always gives one."""
    row = await transaction.row(query, parameters)
    assert row is not None
    return row


def _reached(merchants: Sequence[str], limit: int) -> str | None:
    return merchants[-1] if len(merchants) == limit else None
