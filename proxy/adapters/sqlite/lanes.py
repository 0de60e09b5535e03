"""What the parts of the store share: a lane that writes, a lane that reads, and the SQL by name."""

from typing import Final

from proxy.adapters.sqlite.lane import Lane
from proxy.adapters.sqlite.transaction import SQL

LIST_LIMIT: Final = 1000


__all__ = ["LIST_LIMIT", "SQL", "Lanes"]


class Lanes:
    """The base of the store's parts. `_write.do` is durable when it returns; `_read.do` sees only what is committed."""

    _write: Lane
    _read: Lane
