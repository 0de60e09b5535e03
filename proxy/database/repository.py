"""The base of repositories: lanes that write and read, and the clock. The heartbeat, which belongs to no concept."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from proxy.database.transaction import Lane, Row
from proxy.kernel.clock import Now
from proxy.kernel.frozen import dataclass

_HEARTBEAT = "heartbeat"  # a row that all processes write: a transaction of its own does not hold others up


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: object) -> object:
    """Mappings that are not dicts, such as a read-only view."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


LIST_LIMIT: Final = 1000

STRETCH: Final = 300
"""How many rows one page reads at most, where rows are filtered after the query."""

_AT_ONCE: Final = 50

T = TypeVar("T")
Place = TypeVar("Place")


async def bounded_page(
    read: Callable[[Place, int], Awaitable[Sequence[T]]],
    accepts: Callable[[T], bool],
    place_of: Callable[[T], Place],
    after: Place,
    limit: int,
) -> tuple[list[T], Place | None]:
    """Up to `limit` accepted rows of a bounded stretch behind a place, and the place that it reached; None at the end.

    `read` gives up to so many rows behind a place. The page may be shorter than `limit` although there are more rows.
    """
    found: list[T] = []
    done, count = 0, limit + 1
    while done < max(STRETCH, limit):
        rows = await read(after, count)
        found += [row for row in rows if accepts(row)]
        if len(found) > limit:
            return found[:limit], place_of(found[limit - 1])
        if len(rows) < count:
            return found, None
        after, done, count = place_of(rows[-1]), done + count, max(count, _AT_ONCE)
    return found, after


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes in which the steps of a database's repositories wait for their transaction.

    `write` is durable when it returns, `read` sees one moment of the committed data, `query` is for a single query.
    """

    write: Lane
    read: Lane
    query: Lane


class Repository:
    """The base of the concepts' repositories: a method is one whole step in one transaction.

    Methods raise StoreUnavailable when the disk or the database cannot, Overloaded when too many wait, and a
    StoreConflict where one is named.
    """

    def __init__(self, lanes: Lanes, now: Now) -> None:
        self._write, self._read, self._query = lanes.write, lanes.read, lanes.query
        self._now = now

    async def _row(self, query: str, parameters: Row = ()) -> Row | None:
        """The first row of a query that only reads, or None."""
        return await self._query.do(lambda transaction: transaction.row(query, parameters))

    async def _rows(self, query: str, parameters: Row = ()) -> Sequence[Row]:
        """The rows of a query that only reads."""
        return await self._query.do(lambda transaction: transaction.rows(query, parameters))


class Heartbeat(Repository):
    async def ping(self, settled_at: int | None = None) -> None:
        """Writes and commits the time, with the settled time where it is given: only then may the heartbeat go back.

        Raises StoreUnavailable when that cannot be done.
        """
        at = self._now()
        await self._write.do(lambda transaction: transaction.run("ping", (at, settled_at)), _HEARTBEAT)

    async def note_backup(self) -> None:
        """A backup was handed over whole just now."""
        at = self._now()
        await self._write.do(lambda transaction: transaction.run("note_backup", (at,)), _HEARTBEAT)

    async def last_backup(self) -> int | None:
        """When that was last; None for never."""
        row = await self._row("last_backup", (1,))
        return None if row is None or row[0] is None else int(row[0])

    async def last_heartbeat(self) -> tuple[int, int | None]:
        """The time of the newest heartbeat, 0 for never; and the settled time then, if known."""
        row = await self._row("last_heartbeat", (1,))
        return (0, None) if row is None else (row[0], row[1])
