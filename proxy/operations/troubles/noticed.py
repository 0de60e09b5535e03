"""What parts of this process came upon a while ago: steps of loops that failed, and shops whose amounts jumped."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.kernel.clock import Now
from proxy.operations.troubles.trouble import AMOUNTS_FOR, LOOP_FAILURES, LOOP_FAILURES_WITHIN

KEPT: Final = 100
"""Storefronts whose amounts jumped; the oldest goes first."""


class JumpedShop(NamedTuple):
    merchant_id: str
    storefront: str
    at: int


class Noticed:
    """It is told by whoever sees it, and asked by the list of troubles."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._failures: dict[str, deque[int]] = {}
        self._jumps: dict[tuple[str, str], int] = {}

    def loop_failed(self, name: str) -> None:
        self._failures.setdefault(name, deque(maxlen=LOOP_FAILURES + 1)).append(self._now())

    def amounts_jumped(self, merchant_id: str, storefront: str) -> None:
        self._jumps.pop((merchant_id, storefront), None)
        self._jumps[merchant_id, storefront] = self._now()
        if len(self._jumps) > KEPT:
            del self._jumps[next(iter(self._jumps))]

    def failing_loops(self) -> dict[str, int]:
        """Those that failed more than LOOP_FAILURES times within the last while, and since when."""
        begin = self._now() - LOOP_FAILURES_WITHIN
        return {
            name: times[0] for name, times in self._failures.items() if len(times) > LOOP_FAILURES and times[0] >= begin
        }

    def jumped_shops(self) -> Sequence[JumpedShop]:
        """Those of the last hour."""
        now = self._now()
        return [JumpedShop(*shop, at) for shop, at in self._jumps.items() if now - at < AMOUNTS_FOR]
