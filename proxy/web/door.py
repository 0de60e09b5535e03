"""Who may be connected: how many in all and from one address, and who is shown out when it is full.

A full house shows out whoever has waited longest without asking for anything, so that idle or slow connections, however
many, keep out nobody who has something to ask. Only where all are being served is a newcomer refused.
"""

import heapq
from collections.abc import Callable, Collection
from typing import Final, Protocol

from proxy.addresses import caller_of

# So many are shown out at once that looking through all of them is rare.
_SHARE: Final = 16


class Guest(Protocol):
    """A connection."""

    @property
    def address(self) -> str: ...

    def waiting(self) -> tuple[bool, float] | None:
        """None while it is served; else whether it has ever asked for anything, and since when it has waited."""

    def show_out(self) -> None: ...


class Door:
    """`most` connections in all, and `most_per_address` from one that is not exempt (0: no such limit)."""

    def __init__(
        self, most: int, most_per_address: int = 0, exempt: Callable[[str], bool] = lambda _address: False
    ) -> None:
        self.most = most
        self._most_per_address = most_per_address
        self._exempt = exempt
        self._guests: set[Guest] = set()
        self._of_caller: dict[str, set[Guest]] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest) -> bool:
        """Whether there is room for it, made by showing others out where need be."""
        if len(self._guests) >= self.most and not self._clear(self._guests, max(1, self.most // _SHARE)):
            return False
        if self._most_per_address and not self._exempt(guest.address):
            same = self._of_caller.get(caller_of(guest.address), set())
            if len(same) >= self._most_per_address and not self._clear(same, 1):
                return False
        self._guests.add(guest)
        self._of_caller.setdefault(caller_of(guest.address), set()).add(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """It is gone; that it never came in does not matter."""
        self._guests.discard(guest)
        caller = caller_of(guest.address)
        same = self._of_caller.get(caller)
        if same is not None:
            same.discard(guest)
            if not same:
                del self._of_caller[caller]

    def _clear(self, guests: Collection[Guest], count: int) -> bool:
        """Shows out up to `count` of those who wait: first who never asked for anything, then the longest idle."""
        waits = ((wait, id(guest), guest) for guest in guests if (wait := guest.waiting()) is not None)
        gone = heapq.nsmallest(count, waits)
        for _, _, guest in gone:
            guest.show_out()
            self.leave(guest)
        return bool(gone)
