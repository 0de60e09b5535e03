"""What monitoring asks of the store: how much is open, how late things are, and whether it all adds up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

COUNTED_PER_MERCHANT: Final = 1000
"""Up to how many open payments of one merchant and status are counted."""
COUNTED: Final = 10_000
"""Up to how many watches and deliveries are counted."""


@dataclass(frozen=True, slots=True)
class OpenFigures:
    """Of a stretch of merchants: open payments by status, when the oldest of each was created, endpoints by state.

    Open are `created`, `pending` and, while nobody has resolved them, `needs_review`. `reached` is where it goes on;
    None when there is no merchant behind it.
    """

    reached: str | None
    payments: Mapping[str, int]
    oldest: Mapping[str, int]
    endpoints: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DueFigures:
    """What is to be done, and when the first of it is due (milliseconds since the epoch; None when there is none)."""

    watches: int
    watch_due_at: int | None
    deliveries: int
    delivery_due_at: int | None


@dataclass(frozen=True, slots=True)
class Audited:
    """What a look at a stretch of merchants found, by the invariant's name; `reached` as in OpenFigures."""

    reached: str | None
    violations: Mapping[str, int]


class Figures(Protocol):
    """The store's part in it. Each call reads a bounded number of rows, by indexes."""

    async def due_figures(self) -> DueFigures: ...

    async def open_figures(self, after: str | None, limit: int) -> OpenFigures:
        """Of the next `limit` merchants after an id."""

    async def audit(self, after: str | None, since: int, limit: int) -> Audited:
        """Looks at the newest payments, created since a time, of the next `limit` merchants after an id."""
