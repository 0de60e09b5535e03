"""What is told of troubles, and when: one message for a begin, one for an end, reminders, quiet hours, no storms."""

from dataclasses import dataclass, field
from itertools import pairwise, product
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.troubles import trouble
from proxy.config.alerts import QuietHours, parse_quiet_hours
from proxy.kernel.clock import DAY, HOUR, MINUTE, SECOND
from proxy.operations.alerts.rules import MESSAGE_EVERY, AlertDecision, Key, News, Rules, Standing, Told, decide
from proxy.operations.troubles import Trouble, TroubleKind

HOLD = 60 * SECOND
RULES = Rules(hold=HOLD, remind_after=DAY)
START = 1_000_000_000
URGENT, LATER = trouble(), trouble(TroubleKind.KEYS_OLD, "", urgent=False)


@dataclass
class Desk:
    """One process that looks every ten seconds of a clock that the test moves."""

    rules: Rules = RULES
    now: int = START
    told: Told = field(default_factory=Told)
    messages: list[tuple[int, list[tuple[News, Key]]]] = field(default_factory=list)

    def look(self, *troubles: Trouble, quiet: bool = False) -> AlertDecision:
        decision = decide(self.told, troubles, self.now, self.rules, quiet=quiet)
        self.told = decision.after
        if decision.items:
            said = [(item.news, item.trouble.key) for item in decision.items]
            self.messages.append((self.now - START, said))
        return decision

    def last(self, milliseconds: int, *troubles: Trouble, quiet: bool = False, step: int = 10 * SECOND) -> None:
        """The same troubles for a while, and a look at its end."""
        end = self.now + milliseconds
        while self.now < end:
            self.now = min(self.now + step, end)
            self.look(*troubles, quiet=quiet)

    @property
    def news(self) -> list[News]:
        return [news for _, said in self.messages for news, _ in said]


def test_a_trouble_is_told_once_when_it_has_lasted_and_once_when_it_is_over() -> None:
    desk = Desk()
    desk.look(URGENT)
    desk.last(HOUR, URGENT)
    assert desk.messages == [(HOLD, [(News.BEGUN, URGENT.key)])]
    desk.last(HOUR)
    assert desk.messages[1:] == [(HOUR + 10 * SECOND + HOLD, [(News.OVER, URGENT.key)])]
    assert desk.told.standings == {}


def test_a_trouble_that_comes_and_goes_is_never_told() -> None:
    desk = Desk()
    for _ in range(50):
        desk.last(HOLD - 10 * SECOND, URGENT)
        desk.last(10 * SECOND)
    assert desk.messages == []


def test_a_told_trouble_that_goes_for_a_moment_is_not_told_again() -> None:
    desk = Desk()
    desk.last(2 * HOLD, URGENT)
    for _ in range(50):
        desk.last(HOLD - 10 * SECOND)
        desk.last(HOLD, URGENT)
    assert desk.news == [News.BEGUN]


def test_troubles_that_come_together_are_one_message_the_urgent_first() -> None:
    desk, many = Desk(), [LATER, *(trouble(subject=f"ep_{number}") for number in range(5))]
    desk.last(HOUR, *many)
    [(_, said)] = desk.messages
    assert [key for _, key in said] == [*(each.key for each in many[1:]), LATER.key]


def test_an_outage_that_spreads_is_a_message_a_minute_and_not_one_for_each() -> None:
    desk, found = Desk(), []
    for number in range(60):
        found.append(trouble(subject=f"ep_{number}"))
        desk.last(5 * SECOND, *found, step=5 * SECOND)
    desk.last(3 * MINUTE, *found)
    gaps = [after - before for (before, _), (after, _) in pairwise(desk.messages)]
    assert min(gaps) >= MESSAGE_EVERY
    assert sorted(key for _, said in desk.messages for _, key in said) == sorted(each.key for each in found)


def test_a_reminder_comes_each_day_and_none_where_it_is_switched_off() -> None:
    desk = Desk()
    desk.last(2 * DAY + 2 * HOUR, URGENT, step=MINUTE)
    assert desk.news == [News.BEGUN, News.STILL, News.STILL]
    silent = Desk(Rules(hold=HOLD, remind_after=None))
    silent.last(9 * DAY, URGENT, step=MINUTE)
    assert silent.news == [News.BEGUN]


def test_quiet_hours_hold_back_what_is_not_urgent_and_nothing_else() -> None:
    desk = Desk()
    desk.last(8 * HOUR, URGENT, LATER, quiet=True, step=MINUTE)
    assert [said for _, said in desk.messages] == [[(News.BEGUN, URGENT.key)]]
    desk.look(URGENT, LATER)
    assert desk.messages[-1] == (8 * HOUR, [(News.BEGUN, LATER.key)])
    desk.last(HOUR, quiet=True)
    assert desk.messages[-1][1] == [(News.OVER, URGENT.key)]
    desk.look()
    assert desk.messages[-1][1] == [(News.OVER, LATER.key)]


def test_what_began_and_ended_in_quiet_hours_is_not_told() -> None:
    desk = Desk()
    desk.last(HOUR, LATER, quiet=True)
    desk.last(HOUR, quiet=True)
    desk.last(HOUR)
    assert desk.messages == []


def test_a_trouble_that_is_now_only_counted_with_others_is_not_over() -> None:
    desk = Desk()
    desk.last(2 * HOLD, URGENT)
    desk.last(HOUR, trouble(subject="", count=7))
    assert [said for _, said in desk.messages][1:] == [[(News.BEGUN, (TroubleKind.ENDPOINT_FAILING, ""))]]
    desk.last(HOUR)
    assert sorted(desk.news[2:]) == [News.OVER, News.OVER]


@pytest.mark.parametrize("jump", [-10 * DAY, -HOUR, HOUR, 400 * DAY])
def test_times_that_another_clock_left_tell_nothing_twice_and_lose_no_end(jump: int) -> None:
    desk = Desk()
    desk.last(2 * HOLD, URGENT)
    desk.now += jump
    desk.last(5 * MINUTE, URGENT)
    assert desk.news.count(News.BEGUN) == 1
    assert len(desk.news) <= 2
    desk.last(HOUR)
    assert desk.news[-1] is News.OVER
    assert desk.news.count(News.OVER) == 1


def _standings() -> list[Standing | None]:
    ago = [None, START - HOLD, START - HOLD + 1, START]
    told = [Standing(URGENT, START - DAY, gone, at) for gone, at in product(ago, (START - DAY, START - DAY + 1))]
    return [None, *(Standing(URGENT, seen) for seen in ago if seen is not None), *told]


@pytest.mark.parametrize(("present", "urgent", "quiet"), list(product((True, False), repeat=3)))
def test_every_standing_has_its_one_next_step(present: bool, urgent: bool, quiet: bool) -> None:
    seen = trouble(urgent=urgent)
    for standing in _standings():
        before = (
            {} if standing is None else {seen.key: Standing(seen, standing.seen_at, standing.gone_at, standing.told_at)}
        )
        decision = decide(Told(MappingProxyType(before)), [seen] if present else [], START, RULES, quiet=quiet)
        expected = _expected(standing, present=present) if urgent or not quiet else None
        assert [item.news for item in decision.items] == ([] if expected is None else [expected]), standing
        assert (seen.key in decision.after.standings) == (
            present or (standing is not None and standing.told_at is not None and expected is not News.OVER)
        )
        assert decision.after.message_at == (None if expected is None else START)


def _expected(standing: Standing | None, *, present: bool) -> News | None:
    if standing is None:
        return None
    if standing.told_at is None:
        return News.BEGUN if present and standing.seen_at <= START - HOLD else None
    if present:
        return News.STILL if standing.told_at <= START - DAY else None
    return News.OVER if standing.gone_at is not None and standing.gone_at <= START - HOLD else None


KINDS = (trouble(subject="ep_1"), trouble(subject="ep_2"), trouble(TroubleKind.KEYS_OLD, "", urgent=False))
LOOKS = st.lists(
    st.tuples(
        st.integers(1, 90).map(lambda seconds: seconds * SECOND),
        st.sets(st.sampled_from(range(len(KINDS)))),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(LOOKS)
def test_no_history_of_looks_makes_a_storm_or_forgets_anything(
    looks: list[tuple[int, set[int], bool]],
) -> None:
    desk = Desk(Rules(hold=HOLD, remind_after=10 * MINUTE))
    present_since: dict[Key, int] = {}
    absent_since: dict[Key, int] = {}
    open_ones: dict[Key, int] = {}
    for passed, places, quiet in looks:
        desk.now += passed
        found = [KINDS[place] for place in places]
        keys = {each.key for each in found}
        for each in KINDS:
            came, left = (present_since, absent_since) if each.key in keys else (absent_since, present_since)
            came.setdefault(each.key, desk.now)
            left.pop(each.key, None)
        for item in desk.look(*found, quiet=quiet).items:
            key = item.trouble.key
            assert item.trouble.urgent or not quiet
            if item.news is News.OVER:
                assert desk.now - absent_since[key] >= HOLD
                del open_ones[key]
                continue
            assert (item.news is News.STILL) == (key in open_ones)
            since = open_ones.get(key)
            assert desk.now - (present_since[key] if since is None else since) >= (
                HOLD if since is None else 10 * MINUTE
            )
            open_ones[key] = desk.now
    times = [at for at, _ in desk.messages]
    assert all(after - before >= MESSAGE_EVERY for before, after in pairwise(times))
    assert {key for key, each in desk.told.standings.items() if each.told_at is not None} == set(open_ones)
    desk.last(5 * MINUTE)
    assert desk.told.standings == {}
    assert desk.news.count(News.BEGUN) == desk.news.count(News.OVER)


@pytest.mark.parametrize(
    ("text", "quiet_at", "loud_at"),
    [
        ("23:00-07:00", ["23:00", "00:00", "06:59"], ["07:00", "22:59", "12:00"]),
        ("9:00-17:30", ["09:00", "17:29"], ["08:59", "17:30", "00:00"]),
    ],
)
def test_quiet_hours_are_of_their_zone_and_may_cross_midnight(
    text: str, quiet_at: list[str], loud_at: list[str]
) -> None:
    hours = parse_quiet_hours(text)
    assert hours is not None
    assert [hours.holds(_tehran(at)) for at in quiet_at] == [True] * len(quiet_at)
    assert [hours.holds(_tehran(at)) for at in loud_at] == [False] * len(loud_at)
    berlin = parse_quiet_hours(f"{text} Europe/Berlin")
    assert isinstance(berlin, QuietHours)
    assert str(berlin).endswith("Europe/Berlin")
    assert berlin.holds(_tehran(quiet_at[0]) + 150 * MINUTE)  # Berlin is two and a half hours behind in winter


def _tehran(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    midnight = 1_795_465_800_000  # 2026-11-24T00:00 in Tehran
    return midnight + hour * HOUR + minute * MINUTE
