"""Places that merchants share: one alone takes most of them, and leaves some for the next.

Work that holds a place cannot be stopped, and a hanging gateway or receiver holds its places for as long as it may. So
the reserve is kept beforehand: a merchant takes another place only while it holds less than GREED times the free ones.
Alone it gets three quarters; several that want everything get equal parts, and a part of the same size stays free.
"""

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Final, TypeVar

T = TypeVar("T")

GREED: Final = 3


class FairShares:
    """How many of `total` places each merchant holds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held: dict[str, int] = {}
        self.taken = 0

    @classmethod
    def unlimited(cls) -> "FairShares":
        """More places than anybody asks for."""
        return cls(1 << 40)

    def copy(self) -> "FairShares":
        """A copy of the places, to try a distribution without taking any."""
        copy = FairShares(self._total)
        copy._held, copy.taken = dict(self._held), self.taken
        return copy

    def held(self, merchant_id: str) -> int:
        return self._held.get(merchant_id, 0)

    @property
    def free(self) -> int:
        return max(0, self._total - self.taken)

    def has_room(self, merchant_id: str) -> bool:
        """Whether the merchant may take a place now."""
        return self._held.get(merchant_id, 0) < GREED * (self._total - self.taken)

    def keeps_room(self, merchant_id: str) -> bool:
        """Whether the merchant could take the place that it gives back now."""
        return self._held.get(merchant_id, 0) - 1 < GREED * (self._total - self.taken + 1)

    def room(self, merchant_id: str) -> int:
        """How many places the merchant may take now, one after the other."""
        short = GREED * self.free - self._held.get(merchant_id, 0)
        return min(self.free, max(0, -(-short // (1 + GREED))))

    def at_limit(self) -> set[str]:
        """The merchants that hold places and may not take another one."""
        return {merchant_id for merchant_id in self._held if not self.has_room(merchant_id)}

    def take(self, merchant_id: str) -> None:
        self._held[merchant_id] = self._held.get(merchant_id, 0) + 1
        self.taken += 1

    def give_back(self, merchant_id: str) -> None:
        held = self._held[merchant_id] - 1
        self.taken -= 1
        if held:
            self._held[merchant_id] = held
        else:
            del self._held[merchant_id]


def in_turn(waiting: Iterable[T], merchant_of: Callable[[T], str], shares: FairShares, limit: int) -> list[T]:
    """Up to `limit` of those that may take a place: of the merchant that holds the fewest, else in the order given.

    `shares` has them taken then.
    """
    queues: dict[str, deque[T]] = {}
    for each in waiting:
        queues.setdefault(merchant_of(each), deque()).append(each)
    heap = [(shares.held(merchant_id), number, merchant_id) for number, merchant_id in enumerate(queues)]
    heapify(heap)
    chosen: list[T] = []
    while heap and len(chosen) < limit:
        held, number, merchant_id = heappop(heap)
        if shares.has_room(merchant_id):
            shares.take(merchant_id)
            chosen.append(queues[merchant_id].popleft())
            if queues[merchant_id]:
                heappush(heap, (held + 1, number, merchant_id))
    return chosen
