"""Rings when a merchant has a new event, for those who wait for one instead of asking again and again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.errors import Overloaded

MAX_WAITING: Final = 500
MAX_WAITING_OF_MERCHANT: Final = 10
RETRY_AFTER_SECONDS: Final = 5


class Bell:
    """A hint only: whoever waits looks into the store before it, and again now and then."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self.closed = False

    def ring(self, merchant_id: str) -> None:
        """There is something new of this merchant's."""
        for rung in self._waiting.get(merchant_id, ()):
            rung.set()

    def close(self) -> None:
        """Nobody waits any more."""
        self.closed = True
        for merchant_id in self._waiting:
            self.ring(merchant_id)

    @contextmanager
    def waiting(self, merchant_id: str) -> Iterator[asyncio.Event]:
        """What is set by a ring from now on. Raises Overloaded when too many wait."""
        those = self._waiting.setdefault(merchant_id, set())
        if len(those) >= MAX_WAITING_OF_MERCHANT or self._count >= MAX_WAITING:
            if not those:
                del self._waiting[merchant_id]
            raise Overloaded(RETRY_AFTER_SECONDS)
        rung = asyncio.Event()
        those.add(rung)
        self._count += 1
        try:
            yield rung
        finally:
            self._count -= 1
            those.discard(rung)
            if not those:
                del self._waiting[merchant_id]
