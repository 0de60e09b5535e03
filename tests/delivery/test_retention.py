"""The loop that forgets: small batches with a pause between, a walk a day, and a place that it goes on from."""

from dataclasses import dataclass, field
from typing import cast

from support.clock import ManualClock

from proxy.kernel.clock import DAY, REACH
from proxy.webhooks.retention import BATCH, PAUSE, Retention, RetentionBatch, RetentionRepository

Call = tuple[str, int, str | None, int]


@dataclass
class Shelves:
    """A store whose walks have some batches each."""

    left: dict[str, list[RetentionBatch]]
    calls: list[Call] = field(default_factory=list)

    async def make_partitions(self, now: int) -> None:
        self.calls.append(("parts", now, None, 0))

    async def drop_attempts(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        return self._swept("periods of attempts", before, after, limit)

    async def drop_events(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        return self._swept("periods of events", before, after, limit)

    async def forget_events(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        return self._swept("events", before, after, limit)

    async def forget_attempts(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        return self._swept("attempts", before, after, limit)

    async def forget_keys(self, before: int, after: str | None, limit: int) -> RetentionBatch:
        return self._swept("signing keys", before, after, limit)

    def _swept(self, kind: str, before: int, after: str | None, limit: int) -> RetentionBatch:
        self.calls.append((kind, before, after, limit))
        return self.left[kind].pop(0) if self.left.get(kind) else RetentionBatch(0, None)


async def test_whole_periods_go_before_rows_and_attempts_before_events_and_then_a_day_passes() -> None:
    clock = ManualClock()
    shelves = Shelves(
        {"attempts": [RetentionBatch(200, "dlv_1"), RetentionBatch(3, None)], "events": [RetentionBatch(0, "evt_1")]}
    )
    shelves.left["periods of events"] = [RetentionBatch(0, "again"), RetentionBatch(1, None)]
    retention = Retention(
        cast("RetentionRepository", shelves), clock, clock, events_keep_days=90, attempts_keep_days=30
    )
    began = clock.now
    for _ in range(8):
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
        ("signing keys", began + 7 * PAUSE - DAY, None, BATCH),
    ]
    assert clock.now == began + 7 * PAUSE + DAY
    await retention.step()
    assert shelves.calls[-2:] == [
        ("parts", clock.now, None, 0),
        ("periods of attempts", clock.now - 30 * DAY, None, BATCH),
    ]


async def test_a_clock_that_is_years_ahead_forgets_nothing_and_makes_no_periods() -> None:
    clock, settled_at = ManualClock(), ManualClock().now
    shelves = Shelves({})
    clock.now += 10 * REACH
    retention = Retention(
        cast("RetentionRepository", shelves), clock, lambda: settled_at, events_keep_days=90, attempts_keep_days=30
    )
    for _ in range(5):
        clock.now = await retention.step() or 0
    assert shelves.calls[0] == ("parts", settled_at, None, 0)
    assert {(name, before) for name, before, *_ in shelves.calls[1:]} == {
        ("periods of attempts", settled_at - 30 * DAY),
        ("attempts", settled_at - 30 * DAY),
        ("periods of events", settled_at - 90 * DAY),
        ("events", settled_at - 90 * DAY),
        ("signing keys", settled_at - DAY),
    }


async def test_a_process_that_was_away_for_months_has_its_periods_made() -> None:
    clock = ManualClock()
    settled_at = clock.now - REACH
    shelves = Shelves({})
    await Retention(
        cast("RetentionRepository", shelves), clock, lambda: settled_at, events_keep_days=90, attempts_keep_days=30
    ).step()
    assert shelves.calls[0] == ("parts", clock.now, None, 0)
