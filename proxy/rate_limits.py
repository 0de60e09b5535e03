"""How often somebody may: the generic cell rate algorithm in whole numbers, one of them per key, bounded in memory.

A limit of `per_minute` lets that many through at once and then one each minute/per_minute, so nobody waits for a window
to begin anew. It is kept per process: behind N replicas a caller gets up to N times as much.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from proxy.clock import MINUTE
from proxy.errors import RateLimited
from proxy.ports import Now

WINDOW_SECONDS: Final = 60
# Who was not seen for the longest time is forgotten first, which costs nothing but his count: at 200 bytes, 2 MB.
MAX_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a limit is left to a key, and in how many seconds all of it will be."""

    limit: str
    per_minute: int
    remaining: int
    reset_seconds: int


class RateLimit:
    """One limit over many keys. `per_minute` 0 turns it off."""

    def __init__(self, name: str, per_minute: int, now: Now, max_keys: int = MAX_KEYS) -> None:
        self.name = name
        self.per_minute = per_minute
        self._now = now
        self._max_keys = max_keys
        # Times are counted in milliseconds * per_minute, in which a minute's share of one call is whole: a MINUTE.
        self._window = MINUTE * per_minute
        # By key, when it will have all of its quota again. The key that was used last stands last.
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def __contains__(self, key: str) -> bool:
        """Whether this key spent anything not too long ago."""
        return key in self._full_at

    def spend(self, key: str) -> Standing | None:
        """Counts one. Gives the key's standing once less than half is left to it. Raises RateLimited."""
        if not self.per_minute:
            return None
        now, kept = self._now() * self.per_minute, self._full_at
        full_at = self._since(key, now) + MINUTE
        left = now + self._window - full_at
        if left < 0:
            raise self._refusal(left)
        kept[key] = full_at
        kept.move_to_end(key)
        if len(kept) > self._max_keys:
            kept.popitem(last=False)
        return None if 2 * left >= self._window else self._standing(now, full_at, left)

    def check(self, key: str) -> None:
        """Raises RateLimited where `spend` would; counts nothing."""
        if key not in self._full_at:
            return
        now = self._now() * self.per_minute
        left = now + self._window - self._since(key, now) - MINUTE
        if left < 0:
            raise self._refusal(left)

    def _since(self, key: str, now: int) -> int:
        full_at = self._full_at.get(key, now)
        # Further ahead than a window only where the clock was set back: that is nobody's fault.
        return full_at if now <= full_at <= now + self._window else now

    def _refusal(self, left: int) -> RateLimited:
        return RateLimited(self.name, self.per_minute, self._seconds(-left))

    def _standing(self, now: int, full_at: int, left: int) -> Standing:
        return Standing(self.name, self.per_minute, left // MINUTE, self._seconds(full_at - now))

    def _seconds(self, span: int) -> int:
        return -(-span // (self.per_minute * 1000))


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
