"""Time as Dargah keeps it: integer milliseconds since the epoch inside, RFC 3339 in UTC outside."""

import time
from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def system_now() -> int:
    """Milliseconds since the epoch, by the system's clock."""
    return time.time_ns() // 1_000_000


def rfc3339(at: int) -> str:
    """`at` as `2026-11-24T10:00:00.000Z`."""
    second, millisecond = divmod(at, 1000)
    return f"{_second(second)}.{millisecond:03}Z"


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    # Kept, as a payment shows five times, most of them within the second that others show too.
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time with an offset; ValueError when it is not one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset, such as the Z of 2026-11-24T10:00:00Z")
    return round(moment.timestamp() * 1000)
