"""Rows that change seldom and are read by every call: kept for a moment.

A change is honoured by every replica within `MAX_AGE_SECONDS`, and at once by the process that made it (`forget`).
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from proxy.kernel.clock import SECOND, Now

MAX_AGE_SECONDS: Final = 2
_MAX_AGE: Final = MAX_AGE_SECONDS * SECOND
MAX_ENTRIES: Final = 10_000

Value = TypeVar("Value")


class ReadThroughCache:
    """Holds at most `MAX_ENTRIES` values; when it is full it begins anew."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._kept: dict[Hashable, tuple[int, Any]] = {}

    def forget(self) -> None:
        """Drops all that is kept: call it after a change."""
        self._kept.clear()

    def drop(self, key: Hashable) -> None:
        self._kept.pop(key, None)

    def fresh(self, key: Hashable) -> Any:
        """The value of this key; None when there is none, or it is too old."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and 0 <= self._now() - kept[0] < _MAX_AGE else None

    def remember(self, key: Hashable, value: Value) -> Value:
        if len(self._kept) >= MAX_ENTRIES:
            self._kept.clear()
        self._kept[key] = (self._now(), value)
        return value

    async def get(self, key: Hashable, read: Callable[[], Awaitable[Value]]) -> Value:
        """The cached value, else the result of `read`."""
        value: Value | None = self.fresh(key)
        return self.remember(key, await read()) if value is None else value
