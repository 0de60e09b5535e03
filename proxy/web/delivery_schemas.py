"""The bodies and queries about deliveries: what to list, and what to send again."""

from typing import Annotated

from pydantic import Field

from proxy.clock import parse_rfc3339
from proxy.setup.endpoints import DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS
from proxy.web.admin_schemas import Time
from proxy.web.schemas import Cursor, EventTypeName, Input, PageQuery
from proxy.webhook import DeliveryStatus


class DeliveryQuery(PageQuery):
    """`GET …/deliveries?…`"""

    status: Annotated[DeliveryStatus, Field(strict=False)] | None = None


class RotateSecret(Input):
    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = DEFAULT_OVERLAP_SECONDS


class Recover(Input):
    since: Time
    cursor: Cursor | None = None

    @property
    def since_ms(self) -> int:
        return max(parse_rfc3339(self.since), 0)


class Replay(Recover):
    """Without `until` everything up to now, without `types` all that the endpoint wants."""

    until: Time | None = None
    types: Annotated[list[EventTypeName], Field(max_length=20)] = Field(default_factory=list)

    def until_ms(self, now: int) -> int:
        return now if self.until is None else max(parse_rfc3339(self.until), 0)


class Trigger(Input):
    type: EventTypeName
