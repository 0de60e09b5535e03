"""Connection limits: the number of clients in all and from one address, and the choice of the connection to close.

At the limit the connection that has waited longest without a request is closed, so that idle or slow connections, in
any number, keep out no client with a request. Only where all are being served is a new one refused.
"""

import ctypes
import heapq
import resource
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from proxy.kernel.errors import StartRefused
from proxy.kernel.urls import caller_of

# So many are shown out at once that looking through all of them is rare.
_SHARE: Final = 16
LEAST_OPERATORS: Final = 16
MOST_OPERATORS: Final = 256
PROBES: Final = 16
"""Places beyond all others, for who asks how the process is; whoever has one waits the shortest time for its end."""


def operator_connections(clients: int) -> int:
    """How many connections the operator's listener has beside so many of clients."""
    return max(LEAST_OPERATORS, min(MOST_OPERATORS, clients // 8))


class LimitedConnection(Protocol):
    """A connection."""

    @property
    def address(self) -> str: ...

    def waiting(self) -> tuple[bool, float] | None:
        """None while it is served; else whether it ever sent a request, and since when it has waited."""

    def show_out(self) -> None: ...


class ConnectionLimits:
    """`most` connections in all, and `most_per_address` from one that is not exempt (0: no such limit)."""

    def __init__(
        self, most: int, most_per_address: int = 0, exempt: Callable[[str], bool] = lambda _address: False
    ) -> None:
        self.most = most
        self._most_per_address = most_per_address
        self._exempt = exempt
        self._guests: set[LimitedConnection] = set()
        self._of_caller: dict[str, set[LimitedConnection]] = {}
        self._probes: set[LimitedConnection] = set()

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: LimitedConnection) -> bool:
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

    def enter_as_probe(self, guest: LimitedConnection) -> bool:
        """Whether there is one of the few places for it that are left when `enter` has none."""
        if len(self._probes) >= PROBES and not self._clear(self._probes, 1):
            return False
        self._probes.add(guest)
        return True

    def leave(self, guest: LimitedConnection) -> None:
        """It is gone; that it never came in does not matter."""
        self._guests.discard(guest)
        self._probes.discard(guest)
        caller = caller_of(guest.address)
        same = self._of_caller.get(caller)
        if same is not None:
            same.discard(guest)
            if not same:
                del self._of_caller[caller]

    def _clear(self, guests: Collection[LimitedConnection], count: int) -> bool:
        """Closes up to `count` waiting connections: first those without any request so far, then the longest idle."""
        waits = ((wait, id(guest), guest) for guest in guests if (wait := guest.waiting()) is not None)
        gone = heapq.nsmallest(count, waits)
        for _, _, guest in gone:
            guest.show_out()
            self.leave(guest)
        return bool(gone)


_MEGABYTE: Final = 1 << 20
# Code and data of an idle process take 100 MB.
LEAST_BYTES: Final = 192 * _MEGABYTE
ENOUGH_BYTES: Final = 2560 * _MEGABYTE
# For statements of the store, calls of gateways, pages, and what was shown out and is not collected yet.
_RESERVED_BYTES: Final = 80 * _MEGABYTE
# A head of 32 kB and a body of 64, with their copies and objects on the way, at the worst.
_CONNECTION_BYTES: Final = 512 * 1024
_STACK_BYTES: Final = _MEGABYTE
_M_ARENA_MAX: Final = -8  # malloc.h of glibc
_STATM: Final = Path("/proc/self/statm")


class TooLittleMemory(StartRefused):
    """The limit of addresses is too low."""


def keep_within_limit() -> None:
    """Has threads reserve no more than they need, before there are any. Raises TooLittleMemory."""
    limit = _limit()
    if limit is None:
        return
    if limit < LEAST_BYTES:
        raise TooLittleMemory(f"there is not enough memory to start: {reported_limit()}")
    threading.stack_size(_STACK_BYTES)
    # Each thread would reserve 64 to 128 MB of addresses for itself.
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def connections_within_limit(wanted: int) -> int:
    """How many connections there is memory for, `wanted` at most."""
    limit = _limit()
    if limit is None:
        return wanted
    used = int(_STATM.read_text("ascii").split()[0]) * resource.getpagesize()
    return max(1, min(wanted, (limit - used - _RESERVED_BYTES) // _CONNECTION_BYTES))


def reported_limit() -> str:
    """The end of a sentence about the limit."""
    limit = _limit()
    if limit is None:
        return "give the machine or container more, 256 MB at least"
    return (
        f"the limit of its address space is {limit // _MEGABYTE} MB (`ulimit -v`), {LEAST_BYTES // _MEGABYTE} MB are "
        f"the least, and with {ENOUGH_BYTES // _MEGABYTE} MB all of DARGAH_MAX_CONNECTIONS can connect"
    )


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
