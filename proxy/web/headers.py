"""The headers that every answer carries, whoever makes it."""

from collections.abc import Mapping
from typing import Final

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # aiohttp would tell its own and Python's version.
    "Server": "dargah",
}
