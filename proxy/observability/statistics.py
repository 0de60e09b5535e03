"""The statistics that monitoring reads from the store: open work, lateness, and violated invariants."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.database.repository import Repository
from proxy.database.transaction import Transaction
from proxy.kernel.frozen import dataclass
from proxy.payments.change import (
    EVENT_UNNUMBERED,
    PAID_AMOUNT,
    PAID_UNCHECKED,
    PAID_UNCLAIMED,
    PAID_UNTOLD,
    PENDING_UNWATCHED,
)
from proxy.payments.search import id_at, place_at

COUNTED_PER_MERCHANT: Final = 1000
"""Up to how many open payments of one merchant and status are counted."""
COUNTED: Final = 10_000
"""Up to how many watches and deliveries are counted."""


@dataclass(frozen=True, slots=True)
class OpenStatistics:
    """Of a stretch of merchants: open payments by status, when the oldest of each was created, endpoints by state.

    Open are `created`, `pending` and, until they are resolved, `needs_review`. `reached` is the place of the next
    stretch; None when there is no merchant behind it.
    """

    reached: str | None
    payments: Mapping[str, int]
    oldest: Mapping[str, int]
    endpoints: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DueStatistics:
    """Due work, and the time of the first of it (milliseconds since the epoch; None when there is none)."""

    watches: int
    watch_due_at: int | None
    deliveries: int
    delivery_due_at: int | None


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The violations found at a stretch of merchants, by the invariant's name; `reached` as in OpenStatistics."""

    reached: str | None
    violations: Mapping[str, int]


AUDITED_PER_MERCHANT: Final = 100
_STATUSES: Final = ("created", "pending", "needs_review")
_STATES: Final = ("enabled", "paused", "disabled")
_OF_PAID: Final = (PAID_UNCLAIMED, PAID_AMOUNT, PAID_UNCHECKED, PAID_UNTOLD)


class StatisticsRepository(Repository):
    async def due_statistics(self) -> DueStatistics:
        return await self._read.do(_due_statistics)

    async def open_statistics(self, after: str | None, limit: int) -> OpenStatistics:
        """Of the next `limit` merchants after an id."""

        async def step(transaction: Transaction) -> OpenStatistics:
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
            return OpenStatistics(_next_place(merchants, limit), payments, oldest, endpoints)

        return await self._read.do(step)

    async def audit(self, after: str | None, since: int, limit: int) -> AuditResult:
        """Looks at the newest payments, created since a time, of the next `limit` merchants after an id."""

        async def step(transaction: Transaction) -> AuditResult:
            merchants = await _merchants(transaction, after, limit)
            found = Counter[str]()
            for merchant_id in merchants:
                # By their ids, which an index has: what is older is not even read.
                span = (merchant_id, id_at(merchant_id, place_at(since)), AUDITED_PER_MERCHANT)
                found.update(dict(zip(_OF_PAID, await _one(transaction, "audit_paid", span), strict=True)))
                found[PENDING_UNWATCHED] += (await _one(transaction, "audit_pending", span))[0]
                found[EVENT_UNNUMBERED] += (await _one(transaction, "audit_numbers", (merchant_id,)))[0]
            return AuditResult(_next_place(merchants, limit), {name: count for name, count in found.items() if count})

        return await self._read.do(step)


async def _due_statistics(transaction: Transaction) -> DueStatistics:
    return DueStatistics(
        watches=(await _one(transaction, "count_watches", (COUNTED,)))[0],
        watch_due_at=(await _one(transaction, "next_check_at", ()))[0],
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


def _next_place(merchants: Sequence[str], limit: int) -> str | None:
    return merchants[-1] if len(merchants) == limit else None
