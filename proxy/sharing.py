"""What happens in this process is told to the other replicas beside its own loops, and what they tell wakes these."""

from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.bell import Bell
from proxy.loops import Repeater
from proxy.settlement import Settlement
from proxy.storage import Storage


class TellsEvents(Protocol):
    on_event: Callable[[str], None]


def share(
    storage: Storage,
    settlement: Settlement,
    others: Sequence[TellsEvents],
    deliver: Repeater,
    watch: Repeater,
    bell: Bell,
) -> None:
    """Joins what tells of events and watches, and what hears of them, to the hints of a storage that has some."""
    hints = storage.hints
    if hints is None:
        return
    for source in (settlement, *others):
        source.on_event = _both(source.on_event, hints.happened)
    plan = settlement.on_watch

    def planned(due_at: int) -> None:
        plan(due_at)
        # What is due later they find by looking.
        if due_at - storage.now() < storage.rhythm.longest_idle:
            hints.planned(due_at)

    def heard(merchant_ids: Sequence[str]) -> None:
        deliver.wake()
        for merchant_id in merchant_ids:
            bell.ring(merchant_id)

    settlement.on_watch = planned
    hints.on_event, hints.on_watch = heard, watch.wake_by


def _both(here: Callable[[str], None], there: Callable[[str], None]) -> Callable[[str], None]:
    def told(merchant_id: str) -> None:
        here(merchant_id)
        there(merchant_id)

    return told
