"""Opaque cursors: where a list goes on, bound to the merchant and to the filters that it was made with.

They hold nothing secret and give no access: a list is filtered by the token in any case. The check value is there so
that a damaged cursor, or one of another list, is refused rather than read as some other place.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from proxy.errors import InvalidInput, invalid

CHECK_BYTES: Final = 9
# A sequence that fits 64 bits, or an id; a merchant's is the short one. The installation has a chain of audit entries.
_ROW: Final = re.compile(r"[0-9]{1,18}|installation|mer_[0-9A-Za-z]{8}|[a-z]{2,4}_[0-9A-Za-z]{26}")

Scope = Sequence[str | None]


def write_cursor(after: str, scope: Scope) -> str:
    """The cursor of what comes after the row `after`; `scope` is the list, the merchant and the filters."""
    return base64.urlsafe_b64encode(_check(after, scope) + after.encode()).decode().rstrip("=")


def read_cursor(cursor: str, scope: Scope) -> str:
    """The row after which to go on. Raises InvalidInput about `cursor` when it is not one of this list's."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        after = raw[CHECK_BYTES:].decode()
    except (binascii.Error, ValueError):
        raise _refused() from None
    if raw[:CHECK_BYTES] != _check(after, scope) or not _ROW.fullmatch(after):
        raise _refused()
    return after


def read_number(cursor: str, scope: Scope) -> int:
    """The same for a list that is ordered by a number."""
    after = read_cursor(cursor, scope)
    if not after.isdigit():
        raise _refused()
    return int(after)


def _check(after: str, scope: Scope) -> bytes:
    bound = "\n".join((after, *("" if part is None else f"={part}" for part in scope)))
    return hashlib.sha256(bound.encode()).digest()[:CHECK_BYTES]


def _refused() -> InvalidInput:
    return invalid(
        "cursor",
        "cursor_invalid",
        "is not a cursor of this list; take the `next_cursor` of the page before, with the same filters",
        "نشانگر این فهرست نیست؛ `next_cursor` صفحهٔ پیشین را با همان صافی‌ها بفرستید",
    )
