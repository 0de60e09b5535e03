"""Lists of deliveries and attempts over merchants and endpoints, each read by the index that has just its rows."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from operator import attrgetter
from typing import Final, TypeVar

from proxy.database.repository import LIST_LIMIT, Repository
from proxy.database.transaction import Transaction
from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import DELIVERY, merchant_key, merchant_of_id, partition_at, partition_of
from proxy.webhooks.delivery import Delivery
from proxy.webhooks.delivery_search import AttemptRow, AttemptSearch, DeliveryRow, DeliverySearch, SearchPage, merged
from proxy.webhooks.endpoint import MOST_IN_FLIGHT
from proxy.webhooks.retry_policy import DeliveryStatus
from proxy.webhooks.storage.deliveries import delivery_of

ROWS_AT_ONCE: Final = 500
"""That one step reads, where its lists have them: others come in between."""
# Of one merchant or endpoint, and of all together, where rows are chosen after they were read: some 60 ms.
ROWS_LOOKED_AT: Final = 300
ROWS_IN_ALL: Final = 6000

# Attempts of one millisecond have no order in the index, and the page before may have shown some of them.
SAME_TIME: Final = 2 * MOST_IN_FLIGHT

T = TypeVar("T")
Endpoints = Sequence[tuple[str, str]]
"""Each with its merchant's id."""


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """A delivery with its event's type, and the status, error and milliseconds of its last attempt that has ended."""

    delivery: Delivery
    type: str
    status: int | None
    error: str | None
    duration_ms: int | None


class DeliveryLists(Repository):
    async def deliveries_of_merchants(self, merchants: Sequence[str], wanted: DeliverySearch, limit: int) -> SearchPage:
        """A page of all that these merchants have, whatever their state."""
        count = limit + 1 if wanted.is_indexed else _looked_at(len(merchants), limit)
        lists: list[list[DeliveryRow]] = []

        async def step(transaction: Transaction, some: Sequence[str]) -> list[list[DeliveryRow]]:
            return [await _of_merchant(transaction, each, wanted, count) for each in some]

        for some in _in_steps(merchants, count):
            lists += await self._read.do(partial(step, some=some))
        return SearchPage(*merged(lists, _place, wanted.accepts, count, limit))

    async def deliveries_of_endpoints(self, endpoints: Endpoints, wanted: DeliverySearch, limit: int) -> SearchPage:
        """A page of those to these endpoints, in the status that is wanted or in any."""
        count = limit + 1 if wanted.is_indexed else _looked_at(len(endpoints), limit)
        statuses = [wanted.status] if wanted.status is not None else list(DeliveryStatus)
        lists: list[list[DeliveryRow]] = []

        async def step(transaction: Transaction, some: Endpoints) -> list[list[DeliveryRow]]:
            return [
                await _of_endpoint(transaction, key, status, wanted, count) for key, status in product(some, statuses)
            ]

        for some in _in_steps(endpoints, count):
            lists += await self._read.do(partial(step, some=some))
        return SearchPage(*merged(lists, _place, wanted.accepts, count, limit))

    async def attempts_of_endpoints(self, endpoints: Endpoints, wanted: AttemptSearch, limit: int) -> SearchPage:
        """A page of the attempts at these endpoints that have ended."""
        count = limit + 1 + (SAME_TIME if wanted.is_indexed else _looked_at(len(endpoints), limit))
        lists: list[list[AttemptRow]] = []

        async def step(transaction: Transaction, some: Endpoints) -> list[list[AttemptRow]]:
            return [await _attempts(transaction, key, wanted, count) for key in some]

        for some in _in_steps(endpoints, count):
            lists += await self._read.do(partial(step, some=some))
        latest, last = wanted.times[1], wanted.places[1]

        def accepts(row: AttemptRow) -> bool:
            return wanted.accepts(row) and (row.started_at < latest or row.place < last)

        return SearchPage(*merged(lists, _attempt_place, accepts, count, limit, attrgetter("order")))

    async def endpoints_of_merchants(self, merchants: Sequence[str]) -> list[tuple[str, str]]:
        """The endpoints of these merchants, at most 1000 of each."""

        async def step(transaction: Transaction) -> list[tuple[str, str]]:
            return [
                (each, row[0])
                for each in merchants
                for row in await transaction.rows("endpoint_ids", (each, LIST_LIMIT))
            ]

        return await self._read.do(step)

    async def delivery_lines(self, ids: Sequence[str]) -> list[DeliveryLine]:
        """Those that there are, in the order given: of a page's rows."""

        async def step(transaction: Transaction) -> list[DeliveryLine]:
            found = []
            for each in ids:
                row = await transaction.row("delivery_line", (merchant_of_id(each), each, partition_of(each)))
                if row is not None:
                    found.append(DeliveryLine(delivery_of(row[:13]), *row[13:]))
            return found

        return await self._read.do(step)


def _in_steps(lists: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """The lists that one step reads `count` rows of, and so on."""
    together = max(1, ROWS_AT_ONCE // count)
    return (lists[start : start + together] for start in range(0, len(lists), together))


def _looked_at(lists: int, limit: int) -> int:
    """How many rows are read of each of so many lists."""
    return max(limit + 1, min(ROWS_LOOKED_AT, ROWS_IN_ALL // max(1, lists)))


async def _of_merchant(
    transaction: Transaction, merchant_id: str, wanted: DeliverySearch, count: int
) -> list[DeliveryRow]:
    rows = await transaction.rows("newest_deliveries", (*_bounds(merchant_id, wanted), count))
    return list(map(DeliveryRow._make, rows))


async def _of_endpoint(
    transaction: Transaction, key: tuple[str, str], status: DeliveryStatus, wanted: DeliverySearch, count: int
) -> list[DeliveryRow]:
    merchant_id, endpoint_id = key
    values = (*_bounds(merchant_id, wanted), count, endpoint_id, status.value)
    return list(map(DeliveryRow._make, await transaction.rows("newest_deliveries_of_endpoint", values)))


async def _attempts(
    transaction: Transaction, key: tuple[str, str], wanted: AttemptSearch, count: int
) -> list[AttemptRow]:
    first, last = wanted.times
    rows = await transaction.rows("newest_attempts", (*key, first, last, partition_at(first), count))
    return list(map(AttemptRow._make, rows))


def _bounds(merchant_id: str, wanted: DeliverySearch) -> tuple[str, str, str, int, int]:
    prefix = f"{DELIVERY}_{merchant_key(merchant_id)}"
    first, last = wanted.places
    return merchant_id, prefix + first, prefix + last, *wanted.parts


def _place(row: DeliveryRow) -> str:
    return row.place


def _attempt_place(row: AttemptRow) -> str:
    return row.place
