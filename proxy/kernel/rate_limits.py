"""Rate limits: the generic cell rate algorithm in whole numbers, one of them per key, bounded in memory.

A limit of `per_minute` lets that many through at once and then one each minute/per_minute, so nobody waits for a window
to begin anew. It is kept per process: behind N replicas a caller gets up to N times as much.
"""

from collections.abc import Hashable
from typing import Final

from proxy.kernel.clock import MINUTE
from proxy.kernel.errors import RateLimited
from proxy.kernel.frozen import dataclass

WINDOW_SECONDS: Final = 60
# Who was not seen for long is forgotten, which costs nothing but his count: at 150 bytes a key, 1.5 MB.
MAX_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class LimitState:
    """How much of a limit is left to a key, and in how many seconds all of it will be."""

    limit: str
    per_minute: int
    remaining: int
    reset_seconds: int


class RateLimit:
    """One limit over many keys. `per_minute` 0 turns it off."""

    def __init__(self, name: str, per_minute: int, max_keys: int = MAX_KEYS) -> None:
        self.name = name
        self.per_minute = per_minute
        # Times are counted in milliseconds * per_minute, in which a minute's share of one call is whole: a MINUTE.
        self._window = MINUTE * per_minute
        # By key, when it will have all of its quota again: of those seen lately, and of those before them. Two halves
        # that take turns are a bound that costs a call nothing, where keeping keys in order would cost a third of it.
        self._lately: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._half = max(1, max_keys // 2)

    def __len__(self) -> int:
        return len(self._lately.keys() | self._before.keys())

    def __contains__(self, key: str) -> bool:
        """Whether this key spent anything not too long ago."""
        return key in self._lately or key in self._before

    def spend(self, key: str, now: int) -> LimitState | None:
        """Counts one. Gives the key's standing once less than half is left to it. Raises RateLimited."""
        per_minute = self.per_minute
        if not per_minute:
            return None
        now *= per_minute
        end = now + self._window
        full_at = self._lately.get(key) or self._before.get(key, 0)
        # Further ahead than a window only where the clock was set back: that is nobody's fault.
        full_at = (full_at if now <= full_at <= end else now) + MINUTE
        left = end - full_at
        if left < 0:
            raise self._refusal(left)
        self._lately[key] = full_at
        if len(self._lately) >= self._half:
            self._before, self._lately = self._lately, {}
        return None if left + left >= self._window else self._standing(now, full_at, left)

    def check(self, key: str, now: int) -> None:
        """Raises RateLimited where `spend` would; counts nothing."""
        full_at = self._lately.get(key) or self._before.get(key, 0)
        end = now * self.per_minute + self._window
        if full_at and full_at <= end < full_at + MINUTE:
            raise self._refusal(end - full_at - MINUTE)

    def _refusal(self, left: int) -> RateLimited:
        return RateLimited(self.name, self.per_minute, self._seconds(-left))

    def _standing(self, now: int, full_at: int, left: int) -> LimitState:
        return LimitState(self.name, self.per_minute, left // MINUTE, self._seconds(full_at - now))

    def _seconds(self, span: int) -> int:
        return -(-span // (self.per_minute * 1000))


class RecentKeys:
    """Keys that were added not too long ago: at least half of `max_keys` of them."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._lately: set[Hashable] = set()
        self._before: set[Hashable] = set()
        self._half = max(1, max_keys // 2)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._lately or key in self._before

    def add(self, key: Hashable) -> None:
        self._lately.add(key)
        if len(self._lately) >= self._half:
            self._before, self._lately = self._lately, set()

    def discard(self, key: Hashable) -> None:
        self._lately.discard(key)
        self._before.discard(key)


@dataclass(frozen=True, slots=True)
class Quotas:
    """How many a minute each limit lets through; 0 is no limit."""

    token_creates: int = 0
    address_creates: int = 0
    token_calls: int = 0
    address_calls: int = 0
    auth_failures: int = 0
    link_visits: int = 0
    unknown_links: int = 0
