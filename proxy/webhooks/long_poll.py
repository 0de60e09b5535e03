"""The long-poll notifier: it wakes long polls on a merchant's new event, so that clients need not poll."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.kernel.background import FairShares
from proxy.kernel.errors import Overloaded

MAX_WAITING: Final = 500
MAX_WAITING_OF_MERCHANT: Final = 10
RETRY_AFTER_SECONDS: Final = 5


class LongPollNotifier:
    """A hint only: each long poll reads the store before it waits, and again at intervals."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._places = FairShares(MAX_WAITING)
        self.closed = False

    def notify(self, merchant_id: str) -> None:
        """Wakes the long polls of this merchant."""
        for notified in self._waiting.get(merchant_id, ()):
            notified.set()

    def close(self) -> None:
        """Wakes all long polls, and lets none wait any more."""
        self.closed = True
        for merchant_id in self._waiting:
            self.notify(merchant_id)

    @contextmanager
    def waiting(self, merchant_id: str) -> Iterator[asyncio.Event]:
        """The event that the next notification sets. Raises Overloaded at the limit of all or of this merchant."""
        waiters = self._waiting.setdefault(merchant_id, set())
        if len(waiters) >= MAX_WAITING_OF_MERCHANT or not self._places.has_room(merchant_id):
            if not waiters:
                del self._waiting[merchant_id]
            raise Overloaded(RETRY_AFTER_SECONDS)
        notified = asyncio.Event()
        waiters.add(notified)
        self._places.take(merchant_id)
        try:
            yield notified
        finally:
            self._places.give_back(merchant_id)
            waiters.discard(notified)
            if not waiters:
                del self._waiting[merchant_id]
