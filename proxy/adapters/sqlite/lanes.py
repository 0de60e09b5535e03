"""What the parts of the store share: a lane that writes, a lane that reads, and the SQL by name."""

from typing import Final

from proxy.adapters.queries import load_queries
from proxy.adapters.sqlite.lane import Lane
from proxy.adapters.sqlite.payment_rows import Row

SQL: Final = load_queries("sqlite")
LIST_LIMIT: Final = 1000


class Lanes:
    """The base of the store's parts. `_write.do` is durable when it returns; `_read.do` sees only what is committed."""

    _write: Lane
    _read: Lane

    async def _rows(self, query: str, parameters: Row) -> list[Row]:
        """The rows of a query that only reads."""
        return await self._read.do(lambda connection: connection.execute(SQL[query], parameters).fetchall())
