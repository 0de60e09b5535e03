"""A resend: deliveries that a person has sent again over many endpoints, at the pace at which the endpoints answer."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

from proxy.kernel.frozen import dataclass
from proxy.kernel.ids import partition_at
from proxy.merchants.merchant import Mode
from proxy.webhooks.endpoint import Endpoint, EndpointState
from proxy.webhooks.retry_policy import DeliveryStatus

UNDELIVERED: Final = frozenset({DeliveryStatus.PENDING, DeliveryStatus.FAILED, DeliveryStatus.DROPPED})
MAX_ENDPOINTS: Final = 1000
"""So many a resend looks at; with more, it must be narrowed."""
COUNTED: Final = 10_000
"""Of each endpoint and status, up to so many are counted. All of them are sent."""


@dataclass(frozen=True, slots=True)
class ResendFilter:
    """Deliveries in these statuses, of events from `since` up to before `until` (milliseconds).

    No `types`, `merchants` or `endpoints` means all; `mode` None both.
    """

    since: int
    until: int
    statuses: frozenset[DeliveryStatus] = UNDELIVERED
    types: frozenset[str] = field(default_factory=frozenset)
    merchants: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    mode: Mode | None = None

    @property
    def partitions(self) -> tuple[int, int]:
        """The first and the last partition that have them."""
        return partition_at(self.since), partition_at(self.until)

    def accepts(self, endpoint: Endpoint, event_type: str, mode: str | None, storefront: str | None) -> bool:
        """Whether an event's delivery may go to the endpoint again, and is of the types that are wanted."""
        return endpoint.may_get(mode, storefront) and (not self.types or event_type in self.types)

    def record(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "since": self.since,
            "until": self.until,
            "statuses": sorted(self.statuses),
            "types": sorted(self.types),
            "merchants": list(self.merchants),
            "endpoints": list(self.endpoints),
            "mode": self.mode,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "ResendFilter":
        return cls(
            record["since"],
            record["until"],
            frozenset(map(DeliveryStatus, record["statuses"])),
            frozenset(record["types"]),
            tuple(record["merchants"]),
            tuple(record["endpoints"]),
            None if record["mode"] is None else Mode(record["mode"]),
        )


@dataclass(frozen=True, slots=True)
class ResendChoice:
    """The endpoints with deliveries of a filter, each with how many; `off` are not served, and get nothing.

    `complete` is False where there are more endpoints than one resend looks at.
    """

    filter: ResendFilter
    rows: Sequence[tuple[Endpoint, int]]
    off: Sequence[tuple[Endpoint, int]]
    complete: bool = True

    @classmethod
    def of(
        cls, wanted: ResendFilter, counted: Sequence[tuple[Endpoint, int]], *, complete: bool = True
    ) -> "ResendChoice":
        rows = [row for row in counted if row[0].state is EndpointState.ENABLED]
        return cls(wanted, rows, [row for row in counted if row not in rows], complete)

    @property
    def total(self) -> int:
        return sum(count for _, count in self.rows)


class ResendState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ResendProgress:
    """`wanted` were counted when it began, `requeued` are due again, and of those `delivered` got through and `failed`
    did not at the first attempt since: their schedule goes on.
    """

    wanted: int
    requeued: int
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Resend:
    """`actor` is the operator who asked for it, or `token:` and the id of a shop's token."""

    id: str
    created_at: int
    actor: str
    filter: ResendFilter
    stopped_at: int | None
    ended_at: int | None
    endpoints: int
    progress: ResendProgress

    @property
    def state(self) -> ResendState:
        if self.stopped_at is not None:
            return ResendState.STOPPED
        return ResendState.RUNNING if self.ended_at is None else ResendState.DONE


@dataclass(frozen=True, slots=True)
class ResendEndpoint:
    """How far a resend is at one endpoint."""

    merchant_id: str
    endpoint_id: str
    progress: ResendProgress
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class ResendActor:
    """An operator, by name; or a shop's token as `token:` and its id, whose acts are in its merchant's audit log."""

    name: str
    merchant_id: str | None = None


@dataclass(frozen=True, slots=True)
class ResendRequest:
    """What begins a resend. The same `key` of one actor with the same `digest` begins it once."""

    choice: ResendChoice
    by: ResendActor
    key: str | None = None
    digest: bytes | None = None
