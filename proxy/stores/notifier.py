"""The notifier of new events and due checks: to the loops of this process, its long polls, and the other replicas."""

from collections.abc import Sequence

from proxy.kernel.background import Repeater
from proxy.stores.storage import Storage
from proxy.webhooks.long_poll import LongPollNotifier


class Notifier:
    """`watch` and `deliver` are the loops that it wakes, also after a notification of another replica."""

    def __init__(self, storage: Storage, watch: Repeater, deliver: Repeater) -> None:
        self._storage = storage
        self._watch = watch
        self._deliver = deliver
        self.long_polls = LongPollNotifier()
        if storage.replicas is not None:
            storage.replicas.hear(self._hear_events, watch.wake_by)

    def event_waits(self, merchant_id: str) -> None:
        """An event was stored; the loop has to claim its deliveries."""
        self._deliver.wake()
        self.event_stored(merchant_id)

    def event_stored(self, merchant_id: str) -> None:
        """An event was stored; the deliveries that can start at once are claimed."""
        self.long_polls.notify(merchant_id)
        if self._storage.replicas is not None:
            self._storage.replicas.notify_event(merchant_id)

    def check_due(self, due_at: int) -> None:
        """A check was planned."""
        self._watch.wake_by(due_at)
        # The other replicas find by looking what is due later.
        if self._storage.replicas is not None and due_at - self._storage.now() < self._storage.rhythm.longest_idle:
            self._storage.replicas.notify_check(due_at)

    def due_times_moved(self) -> None:
        self._watch.wake()
        self._deliver.wake()

    def _hear_events(self, merchant_ids: Sequence[str]) -> None:
        self._deliver.wake()
        for merchant_id in merchant_ids:
            self.long_polls.notify(merchant_id)
