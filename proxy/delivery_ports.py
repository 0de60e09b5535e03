"""What the use-cases need of the store about events on their way to endpoints, as Protocols: see `proxy.ports`."""

from collections.abc import Sequence
from typing import Protocol

from proxy.delivery_records import DeliveryFilter, EndpointFigures, EventPage, EventSpan, Requeued, Swept
from proxy.merchant import Endpoint
from proxy.records import Attempt, Claim, Delivery, EventFilter, Finished, Judged, Lease, StoredEvent
from proxy.webhook import Event


class Deliveries(Protocol):
    async def claim_deliveries(self, now: int, lease: Lease, limit: int) -> list[Claim]:
        """Up to `limit` deliveries that may start now, with the attempt counted already.

        Only of enabled endpoints that are not paused, the longest waiting first, in equal shares, and no more of each
        than its health leaves room for (`Health.limit`).
        """

    async def record_attempt(self, finished: Finished, follow: Lease | None) -> Judged:
        """Writes the attempt and what `verdict.judge` makes of it, and with `follow` claims the endpoint's next one.

        Raises LeaseLost when the claim's token is not current.
        """

    async def disable_endpoint(self, endpoint: Endpoint, reason: str, now: int, event: Event) -> bool:
        """Disables it while it is enabled and as it was read, and tells the merchant's other endpoints; gives
        whether it did.
        """

    async def release_deliveries(self, claims: Sequence[Claim]) -> None:
        """Gives back what was claimed and not started: due at once, the attempt not counted."""

    async def next_delivery_at(self) -> int | None:
        """When the earliest delivery of an enabled endpoint is due."""

    async def list_deliveries(self, merchant_id: str, event_id: str) -> list[Delivery]: ...

    async def list_attempts(self, merchant_id: str, delivery_id: str) -> list[Attempt]: ...

    async def event(self, merchant_id: str, event_id: str) -> StoredEvent:
        """Raises NotFound."""

    async def list_events(self, merchant_id: str, wanted: EventFilter) -> list[StoredEvent]: ...


class Redelivery(Protocol):
    async def delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        """Raises NotFound."""

    async def delivery_log(self, merchant_id: str, delivery_id: str) -> tuple[Delivery, list[Attempt]]:
        """The delivery and its attempts as they are at one moment. Raises NotFound."""

    async def list_endpoint_deliveries(
        self, merchant_id: str, endpoint_id: str, wanted: DeliveryFilter
    ) -> list[Delivery]: ...

    async def retry_delivery(self, merchant_id: str, delivery_id: str) -> Delivery:
        """Due now, with the schedule from its start, whatever became of it; once more after an attempt under way.

        Raises NotFound, also when its endpoint is no more.
        """

    async def recover_deliveries(
        self, merchant_id: str, endpoint_id: str, since: int, after: str | None, limit: int = 500
    ) -> Requeued:
        """The same for one batch of what failed or waits there, of events since a time. Raises NotFound."""

    async def replay_events(
        self, merchant_id: str, endpoint_id: str, span: EventSpan, after: str | None, limit: int = 500
    ) -> Requeued:
        """The same for one batch of events that the endpoint wants, delivered there before or not. Raises NotFound."""

    async def endpoint_figures(self, merchant_id: str, endpoint_id: str, since: int) -> EndpointFigures:
        """Its newest 1000 finished attempts since a time, and its backlog up to 10,000."""

    async def add_event(self, event: Event) -> StoredEvent:
        """An event that is no payment's, with its deliveries."""

    async def last_sequence(self, merchant_id: str) -> int:
        """The number of the merchant's newest event, from 1; 0 when there is none."""

    async def list_events_by_delivery(self, merchant_id: str, wanted: EventFilter, *, delivered: bool) -> EventPage:
        """Of the next 1000 events, those that every endpoint concerned has got; or the others. It may be none of them
        and the list not over.
        """


class Retention(Protocol):
    async def make_parts(self, now: int) -> None:
        """Where rows are kept by period, makes room for the present one and those to come."""

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        """Where rows are kept by period, one batch of dropping the attempts of those that were over before a time: up
        to `limit` that are still of use are moved out first. `removed` counts periods.
        """

    async def drop_events(self, before: int, after: str | None, limit: int) -> Swept:
        """The same of events and their deliveries: those that somebody still waits for are moved out."""

    async def forget_events(self, before: int, after: str | None, limit: int) -> Swept:
        """Deletes, of the next `limit` events before a time, those that nobody still waits for, with all that was
        tried of them. `after` is what the batch before `reached`.
        """

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        """Deletes attempts before a time, of the next `limit` deliveries of events before it that are over."""
