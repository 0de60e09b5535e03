"""What a merchant's developer tries webhooks with: a ping that is answered at once, and test events."""

from collections.abc import Callable
from typing import Final

from proxy import ids
from proxy.directory import Directory
from proxy.ids import Ids
from proxy.loops import Tasks
from proxy.merchant import Endpoint, Token
from proxy.outgoing import outgoing
from proxy.ports import Now, Sender, Store
from proxy.records import Answer, StoredEvent
from proxy.samples import sample_data
from proxy.telemetry.tracing import CURRENT
from proxy.webhook import Event

MAX_PINGS: Final = 16
PING: Final = "ping"


class Trial:
    """`on_event` is called with the merchant after a commit that made an event."""

    def __init__(self, store: Store, directory: Directory, sender: Sender, ids: Ids, now: Now) -> None:
        self._store = store
        self._directory = directory
        self._sender = sender
        self._ids = ids
        self._now = now
        self.tasks = Tasks(MAX_PINGS)
        self.on_event: Callable[[str], None] = lambda _merchant_id: None

    async def ping(self, endpoint: Endpoint) -> tuple[str, Answer]:
        """Sends a `ping` now, outside the queue and whatever the endpoint's state; gives its id and what came of it.

        It is stored nowhere, and its sequence is 0. Raises Overloaded when too many are under way.
        """
        return await self.tasks.run(self._ping(endpoint))

    async def trigger(self, token: Token, event_type: str) -> StoredEvent:
        """A test event of this type, which goes to the endpoints that want it like any other."""
        now = self._now()
        data = sample_data(event_type, token.merchant_id, token.storefront, token.mode, now, self._ids)
        event = Event(
            id=self._ids.record(ids.EVENT, token.merchant_id, now),
            merchant_id=token.merchant_id,
            storefront=token.storefront,
            type=event_type,
            payment_id=None,
            occurred_at=now,
            data=data,
            mode=token.mode,
        )
        stored = await self._store.add_event(event)
        self.on_event(token.merchant_id)
        return stored

    async def _ping(self, endpoint: Endpoint) -> tuple[str, Answer]:
        now = self._now()
        event_id = self._ids.record(ids.EVENT, endpoint.merchant_id, now)
        data = {"test": True, "endpoint_id": endpoint.id}
        event = Event(event_id, endpoint.merchant_id, endpoint.storefront, PING, None, now, data)
        message = await outgoing(self._directory, endpoint, event_id, event.body(0), now, CURRENT.get())
        return event_id, await self._sender.send(message)
