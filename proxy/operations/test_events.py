"""A developer's tests of webhooks: a ping that is answered at once, and test events."""

from collections.abc import Callable
from typing import Final

from proxy.kernel import ids
from proxy.kernel.background import Tasks
from proxy.kernel.clock import Now
from proxy.kernel.ids import Ids
from proxy.kernel.tracing import CURRENT
from proxy.merchants.merchant import Token
from proxy.payments.serializers import ping_data, sample_data
from proxy.webhooks.endpoint import Endpoint, EndpointSecrets
from proxy.webhooks.event import Event, EventType, StoredEvent
from proxy.webhooks.request import Sender, WebhookResult, build_request
from proxy.webhooks.storage.repository import WebhookRepository

MAX_PINGS: Final = 64
PING: Final = EventType.PING


class EventTester:
    """`on_event` is called with the merchant after a commit that made an event."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        secrets: EndpointSecrets,
        sender: Sender,
        ids: Ids,
        now: Now,
        signing_time: Now | None = None,
        on_event: Callable[[str], None] = lambda _merchant_id: None,
    ) -> None:
        self._webhooks = webhooks
        self._secrets = secrets
        self._sender = sender
        self._ids = ids
        self._now = now
        self._signing_time = signing_time or now
        self.tasks = Tasks(MAX_PINGS)
        self._on_event = on_event

    async def ping(self, endpoint: Endpoint) -> tuple[str, WebhookResult]:
        """Sends a `ping` now, outside the queue and in any state of the endpoint; gives its id and its result.

        It is stored nowhere, and its sequence is 0. Raises Overloaded when too many are under way, or too many of this
        merchant.
        """
        return await self.tasks.run(self._ping(endpoint), endpoint.merchant_id)

    async def trigger(self, token: Token, event_type: str) -> StoredEvent:
        """A test event of this type, which goes to the endpoints that want it like any other."""
        now = self._now()
        data = sample_data(event_type, token.merchant_id, token.storefront, token.mode, now, self._ids)
        event = Event(
            id=self._ids.record(ids.EVENT, token.merchant_id, now),
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            mode=token.mode,
            type=event_type,
            payment_id=None,
            occurred_at=now,
            data=data,
        )
        stored = await self._webhooks.add_event(event)
        self._on_event(token.merchant_id)
        return stored

    async def _ping(self, endpoint: Endpoint) -> tuple[str, WebhookResult]:
        now = self._now()
        event_id = self._ids.record(ids.EVENT, endpoint.merchant_id, now)
        data = ping_data(endpoint.mode, endpoint.storefront) | {"endpoint_id": endpoint.id}
        event = Event(event_id, endpoint.merchant_id, endpoint.storefront, endpoint.mode, PING, None, now, data)
        message = await build_request(
            self._secrets, endpoint, event_id, event.body(0), self._signing_time(), CURRENT.get()
        )
        return event_id, await self._sender.send(message)
