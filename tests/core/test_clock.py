"""Milliseconds inside, RFC 3339 and the Iranian calendar outside, and a process whose clocks jump."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import cast
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.database.repository import Heartbeat
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND, ProcessClock, WallClock, parse_rfc3339, rfc3339
from proxy.locale import persian
from proxy.locale.persian import (
    Jalali,
    english_time,
    is_leap,
    jalali_time,
    month_days,
    persian_time,
    tehran_midnight,
    time_span,
)
from proxy.operations.clock_watch import ClockWatch, DueTimeRepository
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, RetrySchedule


def test_a_moment_as_it_is_written() -> None:
    assert rfc3339(1_795_514_400_007) == "2026-11-24T10:00:00.007Z"


@given(st.integers(0, 4_102_444_800_000))
def test_a_moment_survives_the_way_out_and_in(at: int) -> None:
    assert parse_rfc3339(rfc3339(at)) == at


def test_another_offset_is_the_same_moment() -> None:
    assert parse_rfc3339("2026-11-24T13:30:00+03:30") == parse_rfc3339("2026-11-24T10:00:00Z")


@pytest.mark.parametrize("text", ["", "2026-11-24", "2026-11-24T10:00:00", "soon", "1795514400"])
def test_a_time_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


NOW = 1_800_000_000_000


class Machine:
    """A machine's two clocks, moved by hand, and the database that a process finds."""

    def __init__(self, beat: int = 0) -> None:
        self.elapsed, self.wrong, self.beat = 5.0, 0, beat
        self.settled_at: int | None = None
        self.asked = list[bool]()
        self.disk_fails = False
        self.left = {"watches": 0}
        self.clock = WallClock(self.wall, lambda: self.elapsed)
        self.watch = ClockWatch(
            cast("Heartbeat", self), cast("DueTimeRepository", self), self.clock, self.clock.look, self.wall
        )

    def wall(self) -> int:
        return NOW + round(self.elapsed) + self.wrong

    async def ping(self, settled_at: int | None = None) -> None:
        if settled_at is None:
            self.beat = max(self.beat, self.clock.now())
        else:
            self.beat, self.settled_at = self.clock.now(), settled_at

    async def last_heartbeat(self) -> tuple[int, int | None]:
        return self.beat, self.settled_at

    async def pull_in(self, now: int, *, strictly: bool, schedule: RetrySchedule) -> Mapping[str, int]:
        assert schedule == DEFAULT_SCHEDULE
        assert now == self.clock.now()
        if self.disk_fails:
            raise OSError("disk")
        self.asked.append(strictly)
        return self.left


async def lived(machine: Machine, milliseconds: int, step: int = SECOND) -> None:
    """The process runs on and looks at its clocks every `step`."""
    for _ in range(milliseconds // step):
        machine.elapsed += step
        await machine.watch.step()


async def test_small_differences_are_followed_and_are_no_jump_and_time_does_not_go_back() -> None:
    machine = Machine()
    for wrong in (400, 900, 100, -700):
        machine.elapsed, machine.wrong, before = machine.elapsed + SECOND, wrong, machine.clock.now()
        await machine.watch.step()
        assert machine.clock.now() >= before
    machine.elapsed += 2 * SECOND
    assert (machine.clock.now(), machine.clock.jumps) == (machine.wall(), 0)


@pytest.mark.parametrize("jump", [4 * DAY, 210 * MINUTE, -DAY, -2 * SECOND])
async def test_a_jump_is_followed_and_counted_and_due_times_are_looked_at_anew(jump: int) -> None:
    machine = Machine()
    await machine.watch.step()
    steady = machine.clock.steady()
    machine.wrong = jump
    assert machine.clock.now() < NOW + 10 * SECOND  # until somebody looks, time goes on as before
    await machine.watch.step()
    assert (machine.clock.now(), machine.clock.steady()) == (machine.wall(), steady)
    assert (machine.beat == machine.wall()) == (jump > 0)  # the next start must know, even if this process dies now
    assert machine.beat >= machine.wall()
    assert (machine.clock.jumps, machine.asked) == (1, [False, jump < 0])
    await lived(machine, MINUTE)  # by then nothing is under way that was planned by the old time
    assert machine.asked == [False, jump < 0, jump < 0]
    assert machine.beat == machine.wall()
    machine.wrong = 0
    await machine.watch.step()
    assert (machine.clock.now(), machine.clock.jumps) == (machine.wall(), 2)


async def test_what_a_jump_ahead_passed_over_was_not_waited_for() -> None:
    machine = Machine()
    await machine.watch.step()
    before = machine.clock.now()
    machine.wrong = 4 * DAY
    await machine.watch.step()
    assert [machine.clock.skipped(before + at) for at in (0, 1, DAY, 4 * DAY, 4 * DAY + 1)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    machine.wrong = 0
    await machine.watch.step()
    assert not machine.clock.skipped(before + DAY)


@pytest.mark.parametrize(("beat", "strictly"), [(NOW + 4 * HOUR, True), (NOW - HOUR, False), (0, False)])
async def test_a_start_asks_the_last_heartbeat_whether_the_clock_was_ahead(beat: int, strictly: bool) -> None:
    machine = Machine(beat)
    await machine.watch.step()
    assert machine.asked == [strictly]
    assert machine.clock.skipped(NOW - MINUTE) == (beat == NOW - HOUR)
    assert machine.beat == machine.clock.now()


async def test_a_walk_that_failed_is_done_again_as_strictly() -> None:
    machine = Machine(NOW + DAY)
    machine.left = {"watches": 3}
    machine.disk_fails = True
    with pytest.raises(OSError, match="disk"):
        await machine.watch.step()
    machine.disk_fails = False
    await machine.watch.step()
    assert (machine.asked, machine.watch.pulled_in) == ([True], 3)


async def test_a_jump_ahead_takes_nothing_from_the_second_walk_of_one_back() -> None:
    machine = Machine()
    await machine.watch.step()
    machine.wrong = -DAY
    await machine.watch.step()
    machine.wrong = 0
    await lived(machine, MINUTE)
    assert machine.asked == [False, True, False]
    await lived(machine, MINUTE)  # the minute counts from the last jump
    assert machine.asked == [False, True, False, True]
    await lived(machine, 5 * MINUTE)
    assert len(machine.asked) == 4


async def test_a_pause_does_not_count_as_time_in_which_what_was_under_way_ended() -> None:
    machine = Machine()
    await machine.watch.step()
    machine.wrong = -DAY
    await machine.watch.step()
    machine.elapsed += 21 * HOUR  # frozen, with an attempt under way that was planned by the old time
    await machine.watch.step()
    await lived(machine, MINUTE - SECOND)
    assert machine.asked == [False, True]
    await lived(machine, SECOND)
    assert machine.asked == [False, True, True]


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_process_that_dies_in_its_walk_leaves_what_the_next_one_must_know(jump: int) -> None:
    machine = Machine()
    machine.wrong = max(0, -jump)
    await machine.watch.step()
    machine.wrong += jump
    machine.disk_fails = True
    with pytest.raises(OSError, match="disk"):
        await machine.watch.step()
    again = Machine(machine.beat)
    await again.watch.step()
    assert again.asked == [True]


async def test_a_clock_that_goes_ahead_before_the_second_walk_of_one_back_is_known_to_the_next_start() -> None:
    machine = Machine()
    await machine.watch.step()
    machine.wrong = -HOUR
    await machine.watch.step()
    machine.wrong = 4 * DAY
    await machine.watch.step()
    assert machine.beat == machine.wall()


async def test_a_process_that_dies_before_its_second_walk_leaves_what_the_next_one_must_know() -> None:
    machine = Machine()
    machine.wrong = DAY
    await machine.watch.step()
    machine.wrong = 0
    await lived(machine, MINUTE - SECOND)
    again = Machine(machine.beat)
    again.elapsed = machine.elapsed
    await again.watch.step()
    assert (machine.asked, again.asked) == ([False, True], [True])


def test_nobody_is_told_a_time_before_somebody_looked() -> None:
    with pytest.raises(AssertionError):
        ProcessClock().now()


YEAR = 365 * DAY


async def test_the_settled_time_follows_a_jump_ahead_no_faster_than_time_passes() -> None:
    machine = Machine()
    await lived(machine, 3 * MINUTE, MINUTE)
    assert machine.clock.settled() == machine.clock.now() == machine.settled_at
    before = machine.clock.now()
    machine.wrong = 10 * YEAR
    await lived(machine, HOUR, MINUTE)
    assert machine.clock.now() == before + 10 * YEAR + HOUR
    assert before + HOUR < machine.clock.settled() <= before + 2 * HOUR
    machine.wrong = 0
    await lived(machine, 61 * MINUTE, MINUTE)
    assert machine.clock.settled() == machine.clock.now()


async def test_the_settled_time_is_not_put_off_by_a_clock_that_was_behind_for_a_while() -> None:
    machine = Machine()
    await lived(machine, MINUTE)
    machine.wrong = -30 * YEAR
    await lived(machine, 5 * MINUTE)
    machine.wrong = 0
    await lived(machine, 5 * MINUTE)
    assert machine.clock.settled() == machine.clock.now()


async def test_a_start_goes_on_from_the_settled_time_before_it_however_often() -> None:
    machine = Machine()
    await lived(machine, MINUTE)
    settled_at = machine.settled_at
    assert settled_at is not None
    for _ in range(100):
        again = Machine(machine.beat)
        again.wrong, again.settled_at = 10 * YEAR, machine.settled_at
        again.clock.look()
        await again.watch.step()
        machine = again
    assert machine.settled_at == settled_at
    await lived(machine, 30 * MINUTE, MINUTE)
    assert settled_at + 30 * MINUTE <= machine.clock.settled() <= settled_at + HOUR


DAYS = st.dates(Jalali(persian.FIRST_YEAR, 1, 1).gregorian, Jalali(persian.LAST_YEAR, 12, 29).gregorian)
# As the Calendar Centre of the University of Tehran publishes them, among them the years round 1404, in which the
# rule of 2820 years is wrong.
LEAP_YEARS = (1370, 1375, 1379, 1383, 1387, 1391, 1395, 1399, 1403, 1408, 1412, 1416, 1420, 1424)
KNOWN = {
    "1979-02-11": "1357/11/22",
    "1989-06-03": "1368/03/13",
    "2000-01-01": "1378/10/11",
    "2017-03-20": "1395/12/30",
    "2021-03-20": "1399/12/30",
    "2021-03-21": "1400/01/01",
    "2024-03-20": "1403/01/01",
    "2025-03-20": "1403/12/30",
    "2025-03-21": "1404/01/01",
    "2026-03-21": "1405/01/01",
    "2026-11-24": "1405/09/03",
    "2029-03-20": "1408/01/01",
}


@pytest.mark.parametrize(("gregorian", "shown"), KNOWN.items())
def test_known_days(gregorian: str, shown: str) -> None:
    day = date.fromisoformat(gregorian)
    assert str(Jalali.of(day)) == shown
    assert Jalali.parse(shown).gregorian == day


def test_leap_years_are_the_official_ones() -> None:
    assert tuple(year for year in range(1370, 1425) if is_leap(year)) == LEAP_YEARS


@given(DAYS)
def test_a_day_is_one_day_in_both_calendars(day: date) -> None:
    assert Jalali.of(day).gregorian == day


@given(DAYS.filter(lambda day: day < date(2124, 3, 19)))
def test_the_day_after_is_the_next_one(day: date) -> None:
    today, tomorrow = Jalali.of(day), Jalali.of(day + timedelta(days=1))
    assert today < tomorrow
    if today.day < month_days(today.year, today.month):
        assert tomorrow == Jalali(today.year, today.month, today.day + 1)
    else:
        assert tomorrow.day == 1
        assert tomorrow.month == today.month % 12 + 1


@pytest.mark.parametrize("text", ["1405/13/01", "1404/12/30", "1405/07/31", "1405/00/10", "1405/01/00", "1243/01/01"])
def test_there_is_no_such_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"no such day|the year must be"):
        Jalali.parse(text)


@pytest.mark.parametrize("text", ["", "1405", "1405/1", "05/01/01", "1405/1/1/1", "1405.1.1", "²405/1/1"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        Jalali.parse(text)


def test_dates_are_read_as_people_write_them() -> None:
    assert Jalali.parse(" ۱۴۰۵/۹/۳ ") == Jalali.parse("1405-09-03") == Jalali(1405, 9, 3)


def test_a_time_is_told_in_tehran() -> None:
    at = parse_rfc3339("2026-11-24T20:45:59.999Z")
    assert persian_time(at) == "چهارشنبه ۴ آذر ۱۴۰۵، ساعت ۰۰:۱۵"
    assert english_time(at) == "25 November 2026, 00:15"
    assert jalali_time(at) == "1405/09/04 00:15"


def test_a_day_begins_in_tehran() -> None:
    assert tehran_midnight(Jalali(1405, 9, 3).gregorian) == parse_rfc3339("2026-11-23T20:30:00Z")


def test_without_the_systems_table_the_offset_is_the_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_name: str) -> None:
        raise ZoneInfoNotFoundError

    monkeypatch.setattr(persian, "ZoneInfo", none)
    persian.tehran.cache_clear()
    try:
        assert jalali_time(parse_rfc3339("2026-11-24T10:00:00Z")) == "1405/09/03 13:30"
    finally:
        persian.tehran.cache_clear()


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("1405/09/03", "2026-11-23T20:30:00Z", "2026-11-24T20:30:00Z"),
        ("۱۴۰۵/۹/۳ ۱۴:۳۰", "2026-11-24T11:00:00Z", "2026-11-24T11:01:00Z"),
        ("2026-11-24 14:30", "2026-11-24T11:00:00Z", "2026-11-24T11:01:00Z"),
        ("2026-11-24T11:00:59.9Z", "2026-11-24T11:00:00Z", "2026-11-24T11:01:00Z"),
        ("2026-11-24T14:30:00+03:30", "2026-11-24T11:00:00Z", "2026-11-24T11:01:00Z"),
    ],
)
def test_a_written_time_is_its_day_or_minute(text: str, begin: str, end: str) -> None:
    assert time_span(text) == (parse_rfc3339(begin), parse_rfc3339(end))


@pytest.mark.parametrize(
    "text",
    ["", "17", "1405/13/01", "1405/09/31", "2026-02-30", "1405/09/03 24:00", "1405/09/03 10:60", "2026-11-24T11:00:00",
     "1300/01/01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2200-01-01", "1405/09/03 14:30 x", "order/17/1"],
)  # fmt: skip
def test_what_is_no_time_of_a_payment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        time_span(text)
