"""Old events and attempts, deleted in small batches: the Retention port."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from proxy.adapters.store.parts import StoreParts
from proxy.adapters.store.transaction import Transaction
from proxy.adapters.store.unsettled import merchants_from
from proxy.delivery_records import Swept
from proxy.ids import DELIVERY, EVENT, base62, merchant_key

_UNDELIVERED: Final = frozenset({"pending", "failed"})

# Looks at up to so many rows of one merchant between two ids, and gives the last one's id, how many, and what went.
Sweep = Callable[[Transaction, str, str, str, int], Coroutine[Any, Any, tuple[str | None, int, int]]]


class StoreRetention(StoreParts):
    async def make_parts(self, now: int) -> None:
        """Here rows are not kept by period."""

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> Swept:  # noqa: ARG002  nothing to drop
        return Swept(0, None)

    async def drop_events(self, before: int, after: str | None, limit: int) -> Swept:  # noqa: ARG002  nothing to drop
        return Swept(0, None)

    async def forget_events(self, before: int, after: str | None, limit: int) -> Swept:
        return await self._write.do(lambda transaction: _walk(transaction, EVENT, before, after, limit, _forget_events))

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        async def sweep(
            transaction: Transaction, merchant_id: str, point: str, end: str, room: int
        ) -> tuple[str | None, int, int]:
            rows = await transaction.rows("deliveries_between", (merchant_id, point, end, room))
            old = [(merchant_id, row[0], before) for row in rows if row[1] not in _UNDELIVERED]
            removed = await transaction.run_all("forget_attempts", old)
            return (rows[-1][0] if rows else None, len(rows), removed)

        return await self._write.do(lambda transaction: _walk(transaction, DELIVERY, before, after, limit, sweep))


async def _walk(transaction: Transaction, kind: str, before: int, after: str | None, limit: int, sweep: Sweep) -> Swept:
    """One stretch of the walk over all merchants, up to `limit` rows and a bounded number of merchants."""
    removed = looked = 0
    merchants, resumed, more = await merchants_from(transaction, after)
    for merchant_id in merchants:
        prefix = f"{kind}_{merchant_key(merchant_id)}"
        point = max(prefix, resumed)
        await transaction.run("lock_merchant", (merchant_id,))
        last, count, gone = await sweep(transaction, merchant_id, point, f"{prefix}{base62(before, 8)}", limit - looked)
        resumed, looked, removed = "", looked + count, removed + gone
        if looked == limit:
            return Swept(removed, last)
    return Swept(removed, merchants[-1] if more else None)


async def _forget_events(
    transaction: Transaction, merchant_id: str, point: str, end: str, room: int
) -> tuple[str | None, int, int]:
    rows = await transaction.rows("forgettable_events", (merchant_id, point, end, room))
    old = [(merchant_id, event_id, part) for event_id, wanted, part in rows if not wanted]
    for query in ("forget_attempts_of_event", "forget_deliveries_of_event", "forget_event"):
        await transaction.run_all(query, old)
    return (rows[-1][0] if rows else None, len(rows), len(old))
