"""The loop that forgets: small batches with a pause between, a walk a day, and a place that it goes on from."""

from dataclasses import dataclass, field

from delivery.stage import HandClock
from proxy.clock import DAY
from proxy.delivery_records import Swept
from proxy.retention import BATCH, PAUSE, Retention

Call = tuple[str, int, str | None, int]


@dataclass
class Shelves:
    """A store whose walks have some batches each."""

    left: dict[str, list[Swept]]
    calls: list[Call] = field(default_factory=list)

    async def make_parts(self, now: int) -> None:
        self.calls.append(("parts", now, None, 0))

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        return self._swept("periods of attempts", before, after, limit)

    async def drop_events(self, before: int, after: str | None, limit: int) -> Swept:
        return self._swept("periods of events", before, after, limit)

    async def forget_events(self, before: int, after: str | None, limit: int) -> Swept:
        return self._swept("events", before, after, limit)

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> Swept:
        return self._swept("attempts", before, after, limit)

    def _swept(self, kind: str, before: int, after: str | None, limit: int) -> Swept:
        self.calls.append((kind, before, after, limit))
        return self.left[kind].pop(0) if self.left.get(kind) else Swept(0, None)


async def test_whole_periods_go_before_rows_and_attempts_before_events_and_then_a_day_passes() -> None:
    clock = HandClock()
    shelves = Shelves({"attempts": [Swept(200, "dlv_1"), Swept(3, None)], "events": [Swept(0, "evt_1")]})
    shelves.left["periods of events"] = [Swept(0, "again"), Swept(1, None)]
    retention = Retention(shelves, clock, events_keep_days=90, attempts_keep_days=30)
    began = clock.now
    for _ in range(7):
        due_at = await retention.step()
        assert due_at is not None
        # Asked too early, as the repeater does now and then, it does nothing.
        assert await retention.step() == due_at
        assert due_at - clock.now in {PAUSE, DAY}
        clock.now = due_at
    assert shelves.calls == [
        ("parts", began, None, 0),
        ("periods of attempts", began - 30 * DAY, None, BATCH),
        ("attempts", began + PAUSE - 30 * DAY, None, BATCH),
        ("attempts", began + 2 * PAUSE - 30 * DAY, "dlv_1", BATCH),
        ("periods of events", began + 3 * PAUSE - 90 * DAY, None, BATCH),
        ("periods of events", began + 4 * PAUSE - 90 * DAY, "again", BATCH),
        ("events", began + 5 * PAUSE - 90 * DAY, None, BATCH),
        ("events", began + 6 * PAUSE - 90 * DAY, "evt_1", BATCH),
    ]
    assert clock.now == began + 6 * PAUSE + DAY
    await retention.step()
    assert shelves.calls[-2:] == [
        ("parts", clock.now, None, 0),
        ("periods of attempts", clock.now - 30 * DAY, None, BATCH),
    ]
