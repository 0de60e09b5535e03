"""When the gateway is asked again, and when what is old is forgotten.

What forgets goes in small batches with a pause between, a walk a day, and from the place that it came to.
"""

from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock

from core.payments import ASKED, CANCELED, CREATED, CREATED_AT, EXPIRED, EXPIRES_AT, FAILED, PAID, PENDING, REVIEW
from proxy.gateways.family import Family
from proxy.gateways.port import Canceled, Captured, CheckUnknown, InvoiceIssued, NotPaid, RequestUnknown
from proxy.gateways.registry import FAMILIES
from proxy.kernel.clock import DAY, HOUR, MINUTE, REACH, SECOND
from proxy.payments.check_schedule import FROM_LINK, GAPS, SOON, CheckSchedule, after, begin, expect, hurry, resume
from proxy.payments.payment import Fact, Payment, Status, TimeUp
from proxy.payments.transitions import apply
from proxy.webhooks.retention import BATCH, PAUSE, Retention, RetentionBatch, RetentionRepository

UNCLEAR = CheckUnknown("inv_1", "timeout")
LINKED = replace(PENDING, spare_invoice_keys=())
NEVER_EXPIRES = replace(LINKED, expires_at=CREATED_AT + 1000 * HOUR)


def checks(payment: Payment, watch: CheckSchedule | None, fact: Fact, times: int, *jitters: float) -> list[int]:
    """When the next `times` checks are due, in ms after the link, if each of them learns `fact`."""
    due, jitter = list[int](), cycle(jitters or (0.0,))
    while watch is not None and len(due) < times:
        due.append(watch.due_at - CREATED_AT)
        payment, _ = apply(payment, fact, watch.due_at)
        watch = after(watch, payment, fact, watch.due_at, next(jitter))
    return due


GIVING_BACK = [
    family for family in FAMILIES.values() if family.traits.gives_back_after and not family.traits.needs_return
]


@pytest.mark.parametrize("family", GIVING_BACK, ids=[family.name for family in GIVING_BACK])
@pytest.mark.parametrize("life", [5 * MINUTE, 30 * MINUTE, 3 * DAY])
def test_money_that_goes_back_by_itself_is_found_in_time_without_a_return(family: Family, life: int) -> None:
    window = family.traits.gives_back_after or 0
    payment = replace(LINKED, gateway=family.name, expires_at=CREATED_AT + life)
    asked = checks(payment, from_link(payment), NotPaid("inv_1"), 3000, 1.0, -1.0)
    assert asked[-1] >= 72 * HOUR
    last = max(life, family.traits.link_lasts)
    for paid in range(0, last, MINUTE):
        found = next(at for at in asked if at > paid)
        assert found <= paid + window // 2 + MINUTE


def from_link(payment: Payment) -> CheckSchedule | None:
    return after(begin(CREATED), payment, InvoiceIssued("inv_1"), CREATED_AT, 0.0)


def test_a_payment_that_is_only_stored_waits_for_its_expiry() -> None:
    assert begin(CREATED).due_at == EXPIRES_AT
    unclear = after(begin(CREATED), CREATED, RequestUnknown("reset"), CREATED_AT, 0.0)
    assert unclear is not None
    assert unclear.due_at == EXPIRES_AT


@pytest.mark.parametrize("jitter", [-1.0, 0.0, 0.25, 1.0])
@pytest.mark.parametrize("took", [0, 500, SECOND])
def test_an_invoice_that_comes_soon_finds_its_watch_where_it_should_be(jitter: float, took: int) -> None:
    created = replace(CREATED, expires_at=CREATED_AT + HOUR)
    linked, _ = apply(created, InvoiceIssued("inv_1"), CREATED_AT + took)
    watch = expect(created, jitter)
    assert after(watch, linked, InvoiceIssued("inv_1"), CREATED_AT + took, 0.0) is watch
    assert 2 * MINUTE <= watch.due_at - (CREATED_AT + took) <= 2 * MINUTE + 13 * SECOND
    checked = after(watch, linked, NotPaid("inv_1"), watch.due_at, 0.0)
    assert checked is not None
    assert checked.due_at == CREATED_AT + took + 4 * MINUTE


def test_an_invoice_that_was_long_in_coming_is_watched_from_its_link() -> None:
    created = replace(CREATED, expires_at=CREATED_AT + HOUR)
    linked, _ = apply(created, InvoiceIssued("inv_1"), CREATED_AT + 9 * SECOND)
    watch = after(expect(created, 0.0), linked, InvoiceIssued("inv_1"), CREATED_AT + 9 * SECOND, 0.0)
    assert watch is not None
    assert watch.due_at == CREATED_AT + 9 * SECOND + 2 * MINUTE


def test_an_invoice_that_never_came_is_given_up_at_the_expiry() -> None:
    assert expect(replace(CREATED, expires_at=CREATED_AT + MINUTE), 0.0).due_at == CREATED_AT + MINUTE
    early = after(expect(CREATED, 0.0), CREATED, TimeUp(), CREATED_AT + 3 * MINUTE, 0.0)
    assert early is not None
    assert early.due_at == EXPIRES_AT


def test_a_payment_that_failed_without_an_invoice_is_not_watched() -> None:
    assert after(begin(CREATED), FAILED, TimeUp(), EXPIRES_AT, 0.0) is None


def test_with_no_return_the_checks_are_counted_from_the_link_and_end_after_72_hours() -> None:
    minutes = [2, 4, 7, 10, 14, 20, 30, 60, 180, 720, 1440, 4320]
    due = checks(NEVER_EXPIRES, from_link(NEVER_EXPIRES), NotPaid("inv_1"), 100)
    assert due == [minute * MINUTE for minute in minutes]


@pytest.mark.parametrize("jitters", [(-1.0,), (1.0,), (0.5, -0.2), (-1.0, 1.0), (1.0, 0.0, -1.0)])
def test_jitter_puts_a_check_off_by_a_tenth_at_most_and_never_makes_one_more(jitters: tuple[float, ...]) -> None:
    plain = checks(NEVER_EXPIRES, from_link(NEVER_EXPIRES), NotPaid("inv_1"), 100)
    due = checks(NEVER_EXPIRES, from_link(NEVER_EXPIRES), NotPaid("inv_1"), 100, *jitters)
    assert len(due) == len(plain)
    gaps = [later - earlier for earlier, later in pairwise([0, *plain])]
    assert all(
        point <= moved <= point + gap * 0.1 + 1 for point, moved, gap in zip(plain[1:], due[1:], gaps[1:], strict=True)
    )
    assert due[4] <= 15 * MINUTE  # some gateways give the money back after that


def test_a_return_starts_the_quick_schedule_at_once_and_the_slow_one_follows() -> None:
    watch = hurry(begin(NEVER_EXPIRES), CREATED_AT + MINUTE)
    due = [point - MINUTE for point in checks(NEVER_EXPIRES, watch, NotPaid("inv_1"), 9)]
    gaps = [3 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE]
    assert due[:8] == [sum(gaps[:count]) for count in range(8)]
    # Its last waits passed the points of the first 14 minutes: those of 20 and 30 are asked at in their gaps from then.
    assert due[8] == due[7] + 6 * MINUTE


@given(st.floats(-1, 1))
def test_quick_checks_are_moved_by_a_tenth_at_most(jitter: float) -> None:
    watch = after(hurry(begin(LINKED), CREATED_AT), LINKED, NotPaid("inv_1"), CREATED_AT, jitter)
    assert watch is not None
    assert 2.7 * SECOND <= watch.due_at - CREATED_AT <= 3.3 * SECOND


def test_an_unclear_answer_starts_the_quick_schedule_too_and_stays_on_10_minutes_for_ever() -> None:
    due = checks(NEVER_EXPIRES, from_link(NEVER_EXPIRES), UNCLEAR, 1000)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    seconds = [3, 10, 30, 60, 120, 300, 600]
    assert gaps[: len(seconds)] == [count * SECOND for count in seconds]
    assert set(gaps[len(seconds) :]) == {10 * MINUTE}
    assert due[-1] > 72 * HOUR


def test_after_72_hours_the_first_clear_answer_ends_the_watch_and_an_unclear_one_does_not() -> None:
    end = CREATED_AT + 72 * HOUR
    watch = CheckSchedule(LINKED.merchant_id, LINKED.id, LINKED.terminal_id, end, soon=7)
    assert after(watch, EXPIRED, UNCLEAR, end, 0.0) is not None
    assert after(watch, EXPIRED, NotPaid("inv_1"), end - 1, 0.0) is not None
    assert after(watch, EXPIRED, NotPaid("inv_1"), end, 0.0) is None
    assert after(watch, CANCELED, Canceled("inv_1"), end, 0.0) is None


@pytest.mark.parametrize("point", range(len(FROM_LINK)))
@pytest.mark.parametrize("soon", [None, *range(len(SOON))])
@pytest.mark.parametrize("fact", [NotPaid("inv_1"), Canceled("inv_1")])
def test_a_clock_that_jumps_ahead_passes_no_more_than_its_wait_was_worth(
    point: int, soon: int | None, fact: Fact
) -> None:
    ahead = CREATED_AT + 96 * HOUR
    watch = replace(begin(EXPIRED), due_at=CREATED_AT + MINUTE, soon=soon, point=point)
    planned = after(watch, EXPIRED, fact, ahead, 0.0)
    passing = soon in {None, len(SOON) - 1} or isinstance(fact, Canceled)
    assert (planned is None) == (point == len(FROM_LINK) - 1 and passing)
    if planned is not None and planned.soon is None:
        assert planned.point is not None
        assert planned.due_at == ahead + GAPS[planned.point]


def test_after_a_jump_ahead_the_points_that_are_left_are_asked_at_in_their_gaps() -> None:
    watch = replace(begin(EXPIRED), due_at=CREATED_AT + 4 * MINUTE, point=1)
    due = checks(EXPIRED, replace(watch, due_at=CREATED_AT + 96 * HOUR), NotPaid("inv_1"), 100)
    assert [later - earlier for earlier, later in pairwise(due)] == list(GAPS[2:])


def test_a_point_that_is_answered_late_is_passed_alone() -> None:
    begun = from_link(NEVER_EXPIRES)
    assert begun is not None
    due = checks(NEVER_EXPIRES, replace(begun, due_at=CREATED_AT + 5 * HOUR), NotPaid("inv_1"), 100)
    assert len(due) == len(FROM_LINK)
    assert due[-1] == 72 * HOUR  # late at first, it is in step with the link again at its end


@given(st.lists(st.integers(1, 2 * MINUTE), max_size=200), st.floats(-1, 1))
def test_checks_between_two_points_pass_none_and_put_none_off(waits: list[int], jitter: float) -> None:
    watch, now = replace(begin(EXPIRED), due_at=CREATED_AT + 72 * HOUR, point=11), CREATED_AT + 25 * HOUR
    for wait in waits:
        now += wait
        asked = after(watch, EXPIRED, NotPaid("inv_1"), now, jitter)
        assert asked is not None
        assert (asked.due_at, asked.point, asked.soon) == (watch.due_at, 11, None)
        watch = asked


def test_a_due_time_beyond_the_schedule_is_pulled_in_by_any_answer() -> None:
    watch = replace(begin(EXPIRED), due_at=CREATED_AT + 5000 * HOUR, point=7)
    asked = after(watch, EXPIRED, NotPaid("inv_1"), CREATED_AT + 40 * MINUTE, 0.0)
    assert asked is not None
    assert asked.due_at == CREATED_AT + HOUR


@pytest.mark.parametrize("gateway", ["invoice_script", "sadad", "zibal"])
def test_a_link_of_a_clock_that_was_ahead_is_not_asked_about_for_ever(gateway: str) -> None:
    """The clock is right again: link and expiry are 400 days ahead, and the customer may pay until then."""
    ahead = 400 * 24 * HOUR
    linked = replace(NEVER_EXPIRES, gateway=gateway, linked_at=CREATED_AT + ahead, expires_at=CREATED_AT + 2 * ahead)
    assert len(checks(linked, begin(linked), NotPaid("inv_1"), 100)) <= len(FROM_LINK) + 1


def test_a_gateway_that_is_unclear_at_every_first_question_is_not_asked_for_ever() -> None:
    watch, now, asked = from_link(NEVER_EXPIRES), CREATED_AT, 0
    while watch is not None and asked < 500:
        first, now, asked = watch.soon is None, watch.due_at, asked + 1
        watch = after(watch, NEVER_EXPIRES, UNCLEAR if first else NotPaid("inv_1"), now, 0.0)
    assert watch is None
    assert 72 * HOUR <= now - CREATED_AT <= 80 * HOUR


@pytest.mark.parametrize("minutes", [2, 4, 7, 10, 14, 20, 30, 60, 180, 720, 1440, 4320])
def test_a_watch_of_older_code_goes_on_from_the_point_that_it_was_planned_for(minutes: int) -> None:
    due_at = CREATED_AT + minutes * MINUTE
    watch = replace(begin(EXPIRED), due_at=due_at, point=None)
    due = checks(EXPIRED, watch, NotPaid("inv_1"), 100)
    assert due == [delay for delay in FROM_LINK if delay >= minutes * MINUTE]


@pytest.mark.parametrize("hours", [1, 71, 72, 500])
def test_a_payment_without_a_watch_is_asked_about_by_who_asks_and_until_its_time(hours: int) -> None:
    now = CREATED_AT + hours * HOUR
    asked = after(resume(EXPIRED, now), EXPIRED, NotPaid("inv_1"), now, 0.0)
    assert (asked is None) == (hours >= 72)
    unclear = after(resume(EXPIRED, now), EXPIRED, UNCLEAR, now, 0.0)
    assert unclear is not None
    assert checks(EXPIRED, unclear, NotPaid("inv_1"), 100)[-1] <= max((72 + 48) * HOUR, now - CREATED_AT + MINUTE)


def test_the_expiry_is_a_point_of_its_own() -> None:
    payment = replace(LINKED, expires_at=CREATED_AT + 5 * MINUTE)
    due = checks(payment, from_link(payment), NotPaid("inv_1"), 5)
    assert due == [minute * MINUTE for minute in (2, 4, 5, 7, 10)]


def test_an_expired_payment_is_still_watched_to_the_end() -> None:
    due = checks(LINKED, from_link(LINKED), NotPaid("inv_1"), 100)
    assert due[6] == EXPIRES_AT - CREATED_AT
    assert due[-1] == 72 * HOUR


def test_a_cancel_answers_the_return_and_the_slow_schedule_goes_on() -> None:
    now = CREATED_AT + 5 * MINUTE
    watch = after(hurry(begin(LINKED), now), CANCELED, Canceled("inv_1"), now, 0.0)
    assert watch is not None
    assert (watch.due_at - CREATED_AT, watch.soon) == (7 * MINUTE, None)


def test_a_capture_ends_the_watch_unless_another_invoice_may_still_be_paid() -> None:
    fact = Captured("inv_1", ASKED, "777")
    assert after(begin(PAID), replace(PAID, spare_invoice_keys=()), fact, CREATED_AT, 0.0) is None
    for still_open in (PAID, REVIEW):
        assert after(begin(PAID), still_open, fact, CREATED_AT, 0.0) is not None


def test_an_invoice_that_comes_after_the_failure_is_watched() -> None:
    payment, _ = apply(FAILED, InvoiceIssued("inv_2"), EXPIRES_AT + 1)
    watch = after(begin(payment), payment, InvoiceIssued("inv_2"), EXPIRES_AT + 1, 0.0)
    assert payment.status is Status.FAILED
    assert watch is not None
    assert watch.due_at == EXPIRES_AT + 1 + 2 * MINUTE


def test_every_change_of_the_plan_raises_its_version() -> None:
    watch = begin(LINKED)
    hurried = hurry(watch, CREATED_AT)
    later = after(hurried, LINKED, NotPaid("inv_1"), CREATED_AT, 0.0)
    assert later is not None
    assert [watch.version, hurried.version, later.version] == [1, 2, 3]


@given(
    st.sampled_from([LINKED, PENDING, CANCELED, EXPIRED, PAID, REVIEW]),
    st.sampled_from([NotPaid("inv_1"), Canceled("inv_1"), UNCLEAR, InvoiceIssued("inv_2")]),
    st.integers(CREATED_AT, CREATED_AT + 200 * HOUR),
    st.none() | st.integers(0, 7),
    st.floats(-1, 1),
)
def test_the_next_check_is_always_later_than_now(
    payment: Payment, fact: Fact, now: int, soon: int | None, jitter: float
) -> None:
    watch = CheckSchedule(payment.merchant_id, payment.id, payment.terminal_id, now, soon)
    planned = after(watch, payment, fact, now, jitter)
    assert planned is None or planned.due_at > now


def test_after_a_return_the_expiry_is_asked_at_and_not_passed_by_the_quick_schedule() -> None:
    pending = replace(PENDING, expires_at=CREATED_AT + 4 * MINUTE)
    returned = replace(begin(pending), soon=6)

    following = after(returned, pending, NotPaid("inv_1"), CREATED_AT + 3 * MINUTE, 0.0)

    assert following is not None
    assert following.due_at == pending.expires_at


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
