"""Lists of deliveries and of attempts over endpoints and merchants: filters, and how lists that are read apart are one.

No index by time spans merchants or endpoints, because every webhook would pay for it. Each merchant's or endpoint's own
index gives its newest rows behind a place; merged, they are one list. What has no index is looked at among these rows:
a page may then be short, and says how far it looked.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import DELIVERY, base62, merchant_key, number_of, partition_at
from proxy.merchants.merchant import Mode
from proxy.webhooks.retry_policy import DeliveryStatus

T = TypeVar("T")
_TIME_CHARS: Final = 8
_BEHIND_ALL: Final = "~"
_LAST_PART: Final = 1 << 40
_LATEST: Final = 1 << 62


class DeliveryRow(NamedTuple):
    """What a list chooses deliveries by, as it is stored."""

    id: str
    merchant_id: str
    endpoint_id: str
    status: str
    type: str
    mode: str | None
    storefront: str | None

    @property
    def place(self) -> str:
        """Where it stands in a list of all merchants: its time comes first."""
        return self.id[len(DELIVERY) + 1 + len(merchant_key(self.merchant_id)) :]


class AttemptRow(NamedTuple):
    """An attempt that has ended, as lists show it."""

    started_at: int
    delivery_id: str
    number: int
    merchant_id: str
    endpoint_id: str
    outcome: str
    status: int | None
    error: str | None
    duration_ms: int

    @property
    def place(self) -> str:
        return f"{base62(self.started_at, _TIME_CHARS)}{self.delivery_id}{self.number:09}"

    @property
    def order(self) -> tuple[int, str, int]:
        """Compares as the place does, and is quicker made."""
        return self.started_at, self.delivery_id, self.number


@dataclass(frozen=True, slots=True)
class DeliverySearch:
    """A filter of deliveries, newest event first; `after` is the place of the last one of the page before.

    `since` to before `until` is when the event was, in milliseconds.
    """

    status: DeliveryStatus | None = None
    event_type: str | None = None
    mode: Mode | None = None
    since: int | None = None
    until: int | None = None
    after: str | None = None

    def accepts(self, row: DeliveryRow) -> bool:
        mode = row.mode or Mode.LIVE
        return (self.event_type is None or row.type == self.event_type) and (self.mode is None or mode == self.mode)

    @property
    def is_indexed(self) -> bool:
        """Whether each row that is read is one of the list."""
        return self.event_type is None and self.mode is None

    @property
    def places(self) -> tuple[str, str]:
        """The places between which they are, both excluded."""
        return _places(self.since, self.until, self.after)

    @property
    def parts(self) -> tuple[int, int]:
        """The partitions that have them."""
        first, last = self.places
        return _part(first, 0), _part(last, _LAST_PART)


@dataclass(frozen=True, slots=True)
class AttemptSearch:
    """A filter of attempts, newest first, as of deliveries; `status_class` is 2 to 5, the first digit of the answer, or
    0 for none. The span is when the attempt began.
    """

    outcome: str | None = None
    status_class: int | None = None
    since: int | None = None
    until: int | None = None
    after: str | None = None

    def accepts(self, row: AttemptRow) -> bool:
        digit = 0 if row.status is None else row.status // 100
        return (self.outcome is None or row.outcome == self.outcome) and (
            self.status_class is None or digit == self.status_class
        )

    @property
    def is_indexed(self) -> bool:
        return self.outcome is None and self.status_class is None

    @property
    def places(self) -> tuple[str, str]:
        return _places(self.since, self.until, self.after)

    @property
    def times(self) -> tuple[int, int]:
        """The first and the last millisecond that they may have begun in."""
        first, last = self.places
        return (number_of(first[:_TIME_CHARS]) if first else 0), (
            _LATEST if last == _BEHIND_ALL else number_of(last[:_TIME_CHARS])
        )


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page's rows, the place behind which the next begins (None: the end), and whether every merchant was read."""

    rows: Sequence[Any]
    following: str | None
    complete: bool = True


def merged(
    lists: Sequence[Sequence[T]],
    place_of: Callable[[T], str],
    accepts: Callable[[T], bool],
    count: int,
    limit: int,
    order: Callable[[T], Any] | None = None,
) -> tuple[list[T], str | None]:
    """Up to `limit` accepted rows of lists that each have up to `count`, greatest place first, and where to go on.

    A list of `count` rows may go on behind its last one, so what is behind the first such end is left to the next page.
    `order` compares as places do.
    """
    order = order or place_of
    end = max((rows[-1] for rows in lists if len(rows) >= count), key=order, default=None)
    least = None if end is None else order(end)
    near = [row for rows in lists for row in rows if accepts(row) and (least is None or order(row) >= least)]
    near.sort(key=order, reverse=True)
    if len(near) > limit:
        return near[:limit], place_of(near[limit - 1])
    return near, None if end is None else place_of(end)


def _places(since: int | None, until: int | None, after: str | None) -> tuple[str, str]:
    first = "" if since is None else base62(max(0, since), _TIME_CHARS)
    last = _BEHIND_ALL if until is None else base62(max(0, until), _TIME_CHARS)
    return first, (last if after is None else min(last, after))


def _part(place: str, otherwise: int) -> int:
    return partition_at(number_of(place[:_TIME_CHARS])) if place[:1].isalnum() else otherwise
