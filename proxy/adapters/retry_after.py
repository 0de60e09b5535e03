"""The Retry-After header (RFC 9110, 10.2.3): seconds or a date."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from proxy.clock import DAY, SECOND

MAX_SECONDS: Final = DAY // SECOND  # a receiver may not put us off for longer
_MAX_DIGITS: Final = 9


def retry_after_seconds(value: str | None, now: int) -> int | None:
    """How long to wait from `now` (ms epoch), from 0 to 24 h; None when there is no such header or it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return MAX_SECONDS if len(text) > _MAX_DIGITS else min(int(text), MAX_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, min(round(at - now / SECOND), MAX_SECONDS))
