"""What the parts of the store share: a lane that writes, a lane that reads, and the clock."""

from collections.abc import Sequence
from typing import Final

from proxy.adapters.store.steps import Lane
from proxy.adapters.store.transaction import Row
from proxy.ports import Now

LIST_LIMIT: Final = 1000


class StoreParts:
    """The base of the store's parts. `_write.do` is durable when it returns; `_read.do` sees only what is committed."""

    _write: Lane
    _read: Lane
    _now: Now

    async def _row(self, query: str, parameters: Row = ()) -> Row | None:
        """The first row of a query that only reads, or None."""
        return await self._read.do(lambda transaction: transaction.row(query, parameters))

    async def _rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        """The rows of a query that only reads."""
        return await self._read.do(lambda transaction: transaction.rows(query, parameters))
