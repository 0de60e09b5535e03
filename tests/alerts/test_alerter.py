"""Telling people, on both stores: what is stored, what is sent again and given up, restarts, replicas and outages."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from databases.places import AnyStore, store_in
from support.clock import ManualClock
from support.eventually import until

from alerts.troubles import HeldTroubles, trouble
from proxy.config.alerts import QuietHours, parse_quiet_hours
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.kernel.errors import InvalidInput, StoreUnavailable
from proxy.operations.alerts import storage
from proxy.operations.alerts.alerter import GIVEN_UP_AFTER, RETRY_AFTER, TURN, Alerter, AlertTestRunning, Clocks, Manner
from proxy.operations.alerts.answers import TAKEN, SendResult
from proxy.operations.alerts.channels import Note
from proxy.operations.alerts.rules import Rules
from proxy.operations.alerts.setup import ChannelTroubles
from proxy.operations.troubles import TroubleKind, Troubles

RULES = Rules(hold=MINUTE, remind_after=DAY)
DOWN = SendResult("unavailable", 502)


@dataclass
class FakeChannel:
    """Takes everything, but gives `answers` first; while `hold` is set it answers nothing."""

    name: str
    kind: str = "bot"
    answers: list[SendResult | Exception] = field(default_factory=list)
    hold: asyncio.Event | None = None
    tried: list[Note] = field(default_factory=list)
    taken: list[Note] = field(default_factory=list)

    async def send(self, note: Note) -> SendResult:
        self.tried.append(note)
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answers.pop(0) if self.answers else TAKEN
        if isinstance(answer, Exception):
            raise answer
        if answer == TAKEN:
            self.taken.append(note)
        return answer


@dataclass
class Desk:
    """Processes at one store; each `look` is a step of one of them and the sends that it began."""

    store: AnyStore
    clock: ManualClock
    troubles: HeldTroubles = field(default_factory=HeldTroubles)
    first: FakeChannel = field(default_factory=lambda: FakeChannel("bot 1"))
    second: FakeChannel = field(default_factory=lambda: FakeChannel("email ops@example.ir", "email"))
    quiet: QuietHours | None = None

    def process(self, name: str = "a") -> Alerter:
        return Alerter(
            self.store.alerts,
            self.troubles,  # type: ignore[arg-type]  # it has `now`
            self.store.merchants,
            (self.first, self.second),
            Manner(RULES, self.quiet, "en", "pay.example.ir"),
            Clocks(self.clock, self.clock, self.clock),
            name,
        )

    async def look(self, process: Alerter) -> None:
        await process.step()
        await sends_of(process)

    async def last(self, process: Alerter, milliseconds: int, step: int = 10 * SECOND) -> None:
        end = self.clock.now + milliseconds
        while self.clock.now < end:
            self.clock.forward(min(step, end - self.clock.now))
            await self.look(process)

    async def begins(self, process: Alerter) -> None:
        """Looks until the first channel, which hangs, is asked."""
        while not self.first.tried:
            self.clock.forward(10 * SECOND)
            await process.step()
            await asyncio.wait([*process._sending.values()], timeout=0.2)

    def heads(self, channel: FakeChannel) -> list[str]:
        return [note.subject.removeprefix("Dargah pay.example.ir: ") for note in channel.taken]


async def sends_of(process: Alerter) -> None:
    """Until nothing is under way any more."""
    while sending := list(process._sending.values()):
        await asyncio.wait(sending)


@pytest.fixture
async def desk(folder: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    store = await store_in(folder, clock)
    yield Desk(store, clock)
    await store.close()


async def test_each_target_is_told_once_of_a_begin_and_once_of_an_end(desk: Desk) -> None:
    process = desk.process()
    desk.troubles.found = [trouble()]
    await desk.last(process, 5 * MINUTE)
    desk.troubles.found = []
    await desk.last(process, 5 * MINUTE)
    assert desk.heads(desk.first) == desk.heads(desk.second) == ["1 new", "1 over"]
    overview = await process.overview()
    assert [[each.sent_at is not None for each in sent] for _, sent in overview.recent] == [[True, True]] * 2


async def test_a_restart_tells_nothing_twice_and_forgets_no_end(desk: Desk) -> None:
    desk.troubles.found = [trouble()]
    for name in "abcdef":
        process = desk.process(name)
        await desk.look(process)
        await process.stop()
        desk.clock.forward(TURN)
    assert desk.heads(desk.first) == ["1 new"]
    desk.troubles.found = []
    for name in "ghij":
        await desk.look(desk.process(name))
        desk.clock.forward(TURN)
    assert desk.heads(desk.first) == ["1 new", "1 over"]


async def test_of_several_replicas_one_tells(desk: Desk) -> None:
    processes = [desk.process(name) for name in "abc"]
    desk.troubles.found = [trouble()]
    for _ in range(30):
        desk.clock.forward(10 * SECOND)
        await asyncio.gather(*(process.step() for process in processes))
        await asyncio.gather(*map(sends_of, processes))
    assert desk.heads(desk.first) == ["1 new"]
    desk.troubles.found = []
    # The one that told is gone; another takes its turn over.
    for process in processes[1:]:
        await desk.last(process, 3 * MINUTE)
    assert desk.heads(desk.first) == ["1 new", "1 over"]


async def test_a_process_that_lost_its_turn_meanwhile_stores_nothing(desk: Desk) -> None:
    late, other = desk.process("late"), desk.process("other")
    desk.troubles.found = [trouble()]
    await desk.look(late)
    desk.clock.forward(2 * MINUTE)
    await desk.look(other)
    await late._tell(desk.troubles.found)
    late._send_waiting()
    await sends_of(late)
    assert desk.heads(desk.first) == ["1 new"]


async def test_a_channel_that_hangs_holds_neither_the_others_nor_the_stop(desk: Desk) -> None:
    process, desk.first.hold = desk.process(), asyncio.Event()
    desk.troubles.found = [trouble()]
    await desk.begins(process)
    await until(lambda: desk.second.taken)
    desk.troubles.found = []
    while len(desk.second.taken) < 2:
        desk.clock.forward(10 * SECOND)
        await process.step()
        await asyncio.wait([*process._sending.values()], timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
    assert len(desk.first.tried) == 1
    async with asyncio.timeout(5):
        await process.stop()


async def test_what_a_dead_process_had_begun_to_send_is_sent_again_by_the_next(desk: Desk) -> None:
    dead, desk.first.hold = desk.process("dead"), asyncio.Event()
    desk.troubles.found = [trouble()]
    await desk.begins(dead)
    await until(lambda: desk.second.taken)
    await dead.stop()
    desk.first.hold = None
    await desk.last(desk.process("next"), 3 * MINUTE)
    assert len({note.id for note in desk.first.tried}) == 1
    assert desk.heads(desk.first) == desk.heads(desk.second) == ["1 new"]


async def test_what_fails_is_tried_again_later_in_order_and_told_as_a_trouble_of_its_own(desk: Desk) -> None:
    process = desk.process()
    watch = ChannelTroubles(desk.store.alerts, (desk.first, desk.second))
    desk.first.answers = [DOWN, SendResult("too_many", 429, 300), RuntimeError("a bug"), TAKEN]
    desk.troubles.found = [trouble()]
    await desk.last(process, 70 * SECOND)
    [failing] = await watch.troubles()
    assert (failing.kind, failing.subject) == (TroubleKind.ALERT_CHANNEL_FAILING, "bot 1")
    desk.troubles.found = []
    await desk.last(process, 3 * MINUTE)
    assert desk.heads(desk.second) == ["1 new", "1 over"]
    assert (len(desk.first.tried), desk.first.taken) == (2, [])  # it is left alone for as long as it wanted
    assert (await process.overview()).failing["bot 1"].failure == "too_many 429"
    await desk.last(process, 10 * MINUTE)
    assert desk.heads(desk.first) == ["1 new", "1 over"]
    assert await watch.troubles() == []


async def test_a_target_that_fails_is_not_told_of_itself_alone(desk: Desk) -> None:
    process = desk.process()
    desk.troubles.found = [trouble(TroubleKind.ALERT_CHANNEL_FAILING, "bot 1", urgent=False)]
    await desk.last(process, 3 * MINUTE)
    assert (desk.first.tried, desk.heads(desk.second)) == ([], ["1 new"])


async def test_what_could_not_be_told_for_hours_is_given_up(desk: Desk) -> None:
    process = desk.process()
    desk.first.answers = [DOWN] * 1000
    desk.troubles.found = [trouble()]
    await desk.last(process, 2 * MINUTE)
    await desk.last(process, GIVEN_UP_AFTER + HOUR, step=15 * MINUTE)
    [(_, sent)] = (await process.overview()).recent
    assert [(each.due_at, each.failure) for each in sent if each.target == "bot 1"] == [(None, "unavailable 502")]
    tries = len(desk.first.tried)
    assert len(RETRY_AFTER) < tries < 25
    await desk.last(process, HOUR, step=15 * MINUTE)
    assert len(desk.first.tried) == tries


async def test_a_test_says_what_each_answered_and_what_waited_follows(desk: Desk) -> None:
    process = desk.process()
    desk.first.answers = [DOWN] * 5
    desk.troubles.found = [trouble()]
    await desk.last(process, 20 * MINUTE)
    assert len(desk.first.tried) == 5
    assert [(each.name, answer) for each, answer in await process.test(None)] == [
        (desk.first.name, TAKEN),
        (desk.second.name, TAKEN),
    ]
    await desk.look(process)
    assert desk.heads(desk.first) == ["a test", "1 new"]
    assert (await process.overview()).failing == {}
    desk.second.answers = [DOWN]
    assert [answer for _, answer in await process.test("email")] == [DOWN]
    with pytest.raises(InvalidInput, match="DARGAH_ALERT_WEBHOOK"):
        await process.test("webhook")


async def test_tests_run_one_at_a_time(desk: Desk) -> None:
    process, desk.first.hold = desk.process(), asyncio.Event()
    running = asyncio.create_task(process.test(None))
    await until(lambda: desk.first.tried)
    with pytest.raises(AlertTestRunning):
        await process.test(None)
    desk.first.hold.set()
    assert len(await running) == 2


async def test_quiet_hours_are_by_the_time_of_day(desk: Desk) -> None:
    desk.quiet = parse_quiet_hours("00:00-23:59")
    desk.clock.now = 1_795_514_400_000  # 13:30 in Tehran
    process = desk.process()
    desk.troubles.found = [trouble(urgent=False)]
    await desk.last(process, HOUR, step=5 * MINUTE)
    assert desk.first.tried == []
    await desk.last(process, 10 * HOUR - 31 * MINUTE, step=15 * MINUTE)
    await desk.last(process, MINUTE)
    assert desk.heads(desk.first) == ["1 new"]  # at 23:59


async def test_old_messages_are_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "KEPT", 2)
    process = desk.process()
    for number in range(4):
        desk.troubles.found = [trouble(subject=f"ep_{number}")]
        await desk.last(process, 4 * MINUTE, step=MINUTE)
    assert len((await process.overview()).recent) == 2
    assert len(await desk.store.alerts._rows("recent_alert_deliveries", (0,))) == 4
    assert len(desk.first.taken) == 4


async def test_messages_and_standings_of_newer_code_are_left_out(desk: Desk) -> None:
    process = desk.process()
    desk.troubles.found = [trouble()]
    await desk.last(process, 2 * MINUTE)
    newer = ("a_kind_to_come", "", None, 1, 1, 1, "{}", 1, None, 1)
    await desk.store.alerts._write.do(lambda step: step.run("save_alert_standing", newer))
    text = '[{"news": "begun", "kind": "a_kind_to_come", "what": "newer code knows"}]'
    await desk.store.alerts._write.do(lambda step: step.run("insert_alert_message", (9, desk.clock.now, text)))
    desk.troubles.found = []
    await desk.last(process, 3 * MINUTE)
    assert desk.heads(desk.first) == ["1 new", "1 over"]
    assert [len(message.items) for message, _ in (await process.overview()).recent] == [1, 0, 1]


async def test_a_database_that_cannot_be_written_is_told_without_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> bool:
        raise StoreUnavailable

    process = desk.process()
    await desk.look(process)
    with monkeypatch.context() as patched:
        patched.setattr(desk.store.alerts, "take_turn", fails)
        for _ in range(30):
            desk.clock.forward(10 * SECOND)
            with pytest.raises(StoreUnavailable):
                await process.step()
            await sends_of(process)
        assert desk.heads(desk.first) == desk.heads(desk.second) == ["1 new"]
        assert "The database cannot be written" in desk.first.taken[0].text
    await desk.look(process)
    assert desk.heads(desk.first) == ["1 new", "1 over"]


def test_the_source_of_the_console_is_the_source_of_alerts() -> None:
    assert Alerter.__init__.__annotations__["troubles"] is Troubles
