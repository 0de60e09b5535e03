"""Calls of gateways: the concurrency limiter, the circuit breaker, and the places that merchants share.

And more creates than a gateway can take, in virtual time: what is accepted is answered soon, the rest at once.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from torture.world.loop import Clock, run_virtually, this_loop

from proxy.gateways.circuit_breaker import (
    FAILURES_TO_OPEN,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_RETRY_AFTER,
    CircuitBreaker,
)
from proxy.gateways.concurrency_limiter import (
    MAX_CREATE_WAIT_SECONDS,
    ConcurrencyLimiter,
    ConcurrencyLimits,
)
from proxy.kernel.background import FairShares, in_turn
from proxy.kernel.errors import CircuitOpen, Overloaded

ONE = ConcurrencyLimits(per_terminal=1, total=1, waiting=10)


class Calls:
    """Calls under way by their merchant's name, each of which ends when it is told to."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self.limiter = limiter
        self.began: list[str] = []
        self._ends: dict[str, list[asyncio.Event]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, merchant_id: str, terminal_id: str | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(self._call(merchant_id, terminal_id or f"trm_{merchant_id}"))
        self.tasks.append(task)
        await turns()
        return task

    async def end(self, merchant_id: str) -> None:
        self._ends[merchant_id].pop(0).set()
        await turns()

    def count(self, merchant_id: str) -> int:
        return len(self._ends.get(merchant_id, ()))

    async def _call(self, merchant_id: str, terminal_id: str) -> None:
        async with self.limiter.slot(merchant_id, terminal_id):
            self.began.append(merchant_id)
            self._ends.setdefault(merchant_id, []).append(end := asyncio.Event())
            await end.wait()


async def turns() -> None:
    """Until everything that can go on has done so."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def calls(limits: ConcurrencyLimits) -> AsyncIterator[Calls]:
    made = Calls(ConcurrencyLimiter(limits))
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    assert made.limiter.load().in_flight == made.limiter.load().waiting == 0


async def test_a_merchant_whose_calls_hang_leaves_places_for_others() -> None:
    async with calls(ConcurrencyLimits(per_terminal=64, total=256)) as made:
        for number in range(400):
            await made.begin("hangs", f"trm_{number % 8}")
        assert made.count("hangs") == 192
        for merchant_id in ("first", "second", "third"):
            await made.begin(merchant_id)
        assert made.began[192:] == ["first", "second", "third"]


async def test_merchants_that_want_everything_come_to_equal_shares() -> None:
    async with calls(ConcurrencyLimits(per_terminal=100, total=70)) as made:
        for merchant_id in ("a", "b", "c"):
            for _ in range(100):
                await made.begin(merchant_id)
        for _ in range(45):
            for merchant_id in ("a", "b", "c"):
                await made.end(merchant_id)
        shares = [made.count(merchant_id) for merchant_id in ("a", "b", "c")]
        assert max(shares) - min(shares) <= 1
        assert 57 <= sum(shares) < 70


async def test_places_go_to_merchants_in_turn_and_not_by_who_came_first() -> None:
    async with calls(ONE) as made:
        await made.begin("a")
        for merchant_id in ("a", "a", "a", "b", "b", "c"):
            await made.begin(merchant_id)
        for _ in range(6):
            await made.end(made.began[-1])
        assert made.began == ["a", "a", "b", "c", "a", "b", "a"]


async def test_a_terminal_at_its_limit_does_not_hold_up_the_merchants_other_one() -> None:
    async with calls(ConcurrencyLimits(per_terminal=1, total=10)) as made:
        for _ in range(3):
            await made.begin("a", "trm_hangs")
        await made.begin("a", "trm_other")
        assert made.count("a") == 2


async def test_a_merchants_queue_leaves_room_for_others_to_wait() -> None:
    async with calls(ConcurrencyLimits(per_terminal=1, total=1, waiting=8)) as made:
        await made.begin("a")
        queued = [await made.begin("a") for _ in range(8)]
        assert [isinstance(task.exception(), Overloaded) for task in queued if task.done()] == [True, True]
        assert not (await made.begin("b")).done()


async def test_a_caller_who_gives_up_just_when_a_call_ends_is_told_nothing_else() -> None:
    async with calls(ONE) as made:
        await made.begin("a")
        waiter = await made.begin("a")
        # The call that ends passes over the waiter, who has not heard yet that it was cancelled.
        waiter.cancel()
        await made.end("a")
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert made.limiter.has_room("a", "trm_a")


async def test_a_place_that_was_given_to_a_caller_who_gave_up_goes_to_the_next() -> None:
    async with calls(ONE) as made:
        await made.begin("a")
        first, second = await made.begin("a"), await made.begin("a")
        made._ends["a"][0].set()
        await asyncio.sleep(0)  # the call that ends gives its place away, and the one that waits is not awake yet
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        await turns()
        assert not made.limiter.has_room("a", "trm_a")
        assert not second.done()
        assert made.began == ["a", "a"]


TERMINAL = "trm_1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.record_answer(TERMINAL, clear=False)


def test_it_opens_after_five_unclear_answers_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES_TO_OPEN - 1)
    breaker.refuse_when_open(TERMINAL)
    breaker.record_answer(TERMINAL, clear=True)
    fail(breaker, FAILURES_TO_OPEN - 1)
    breaker.refuse_when_open(TERMINAL)
    fail(breaker, 1)
    with pytest.raises(CircuitOpen) as refused:
        breaker.refuse_when_open(TERMINAL)
    assert refused.value.retry_after_seconds == FIRST_PAUSE // 1000
    breaker.refuse_when_open("trm_other")


def test_after_the_pause_one_call_probes_and_the_others_wait_for_it(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now += FIRST_PAUSE
    breaker.refuse_when_open(TERMINAL)
    with pytest.raises(CircuitOpen):
        breaker.refuse_when_open(TERMINAL)
    breaker.record_answer(TERMINAL, clear=True)
    for _ in range(3):
        breaker.refuse_when_open(TERMINAL)


def test_a_probe_that_fails_doubles_the_pause_and_what_was_under_way_does_not(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, FAILURES_TO_OPEN + 50)
    assert breaker.wait_of_call(TERMINAL) == FIRST_PAUSE
    for doubled in (2, 4, 8):
        clock.now += breaker.wait_of_call(TERMINAL)
        assert breaker.wait_of_call(TERMINAL) == 0
        fail(breaker, 1)
        assert breaker.wait_of_call(TERMINAL) == min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def test_a_probe_that_is_never_heard_of_is_followed_by_another(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, FAILURES_TO_OPEN)
    clock.now += FIRST_PAUSE
    assert breaker.wait_of_call(TERMINAL) == 0
    clock.now += FIRST_PAUSE
    assert breaker.wait_of_call(TERMINAL) == 0


def test_a_retry_after_opens_it_at_once_for_as_long_and_one_call_probes_then(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    breaker.record_answer(TERMINAL, clear=False, retry_after_seconds=90)
    assert breaker.wait_of_call(TERMINAL) == 90_000
    fail(breaker, 3)
    assert breaker.wait_of_call(TERMINAL) == 90_000
    clock.now += 90_000
    assert breaker.wait_of_call(TERMINAL) == 0
    breaker.record_answer(TERMINAL, clear=True)
    breaker.refuse_when_open(TERMINAL)


def test_a_retry_after_is_bounded_and_one_of_nothing_is_none(breaker: CircuitBreaker) -> None:
    breaker.record_answer(TERMINAL, clear=False, retry_after_seconds=0)
    breaker.refuse_when_open(TERMINAL)
    breaker.record_answer(TERMINAL, clear=False, retry_after_seconds=86_400)
    assert breaker.wait_of_call(TERMINAL) == LONGEST_RETRY_AFTER


def take_all(shares: FairShares, merchant_id: str) -> int:
    """Takes as many as there are for it."""
    count = 0
    while shares.has_room(merchant_id):
        shares.take(merchant_id)
        count += 1
    return count


def test_one_alone_takes_three_quarters_and_the_next_three_quarters_of_the_rest() -> None:
    shares = FairShares(256)
    assert [take_all(shares, merchant_id) for merchant_id in ("a", "b", "c")] == [192, 48, 12]


def test_few_places_are_not_kept_back() -> None:
    assert [take_all(FairShares(total), "a") for total in (1, 2, 3, 4, 16)] == [1, 2, 3, 3, 12]


def test_a_merchant_over_its_share_gives_way() -> None:
    shares = FairShares(8)
    take_all(shares, "a")
    assert shares.keeps_room("a")
    take_all(shares, "b")
    assert not shares.keeps_room("a")
    assert shares.keeps_room("b")


@given(st.integers(1, 300), st.lists(st.sampled_from("abcde"), max_size=300))
def test_room_is_what_can_be_taken_and_a_newcomer_finds_a_place(total: int, wishes: list[str]) -> None:
    shares = FairShares(total)
    for merchant_id in wishes:
        if shares.has_room(merchant_id):
            shares.take(merchant_id)
        assert shares.taken + shares.free == total
        full = shares.held(merchant_id) > 0 and not shares.has_room(merchant_id)
        assert (merchant_id in shares.at_limit()) is full
    for merchant_id in "abcdef":
        assert take_all(shares.copy(), merchant_id) == shares.room(merchant_id)
    assert shares.has_room("f") is (shares.free > 0)


def test_the_merchant_that_holds_the_fewest_comes_first() -> None:
    shares = FairShares(100)
    for _ in range(2):
        shares.take("a")
    waiting = [*(("a", number) for number in range(5)), ("b", 0), ("c", 0), ("b", 1)]
    assert in_turn(waiting, lambda each: each[0], shares, 6) == [
        ("b", 0), ("c", 0), ("b", 1), ("a", 0), ("a", 1), ("a", 2)
    ]  # fmt: skip


def test_what_is_chosen_is_no_more_than_the_share() -> None:
    merchants = cycle("aab")
    shares = FairShares(16)
    chosen = in_turn([next(merchants) for _ in range(60)], str, shares, 60)
    assert sorted(chosen) == [*"aaaaaaa", *"bbbbbbb"]
    assert shares.free == 2


PLACES = 64
SECONDS = 20
# The first seconds, in which nobody knows yet how long a call takes, are not judged.
SETTLED = 3.0

Taking = Callable[[float], float]
"""How long a call takes that begins at a time, both in seconds."""


@dataclass
class Seen:
    """Creates: when each came, how long it waited for its place, and when it was answered."""

    accepted: list[tuple[float, float, float]] = field(default_factory=list)
    refused: list[tuple[float, float, int]] = field(default_factory=list)

    def answered_per_second(self, since: float, until: float) -> float:
        return sum(since <= end < until for _, _, end in self.accepted) / (until - since)

    def waits(self, since: float = SETTLED) -> list[float]:
        return sorted(wait for came, wait, _ in self.accepted if came >= since)


async def create(
    limiter: ConcurrencyLimiter, seen: Seen, taking: Taking, merchant_id: str, deadline: float | None
) -> None:
    loop = asyncio.get_running_loop()
    came = loop.time()
    try:
        async with limiter.slot_of_create(merchant_id, f"trm_{merchant_id}", deadline):
            began = loop.time()
            await asyncio.sleep(taking(began))
        seen.accepted.append((came, began - came, loop.time()))
    except Overloaded as error:
        seen.refused.append((came, loop.time() - came, error.retry_after_seconds))


async def arrivals(per_second: float, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop, tasks, number = asyncio.get_running_loop(), [], 0
    while loop.time() < SECONDS:
        tasks.append(asyncio.ensure_future(begin()))
        number += 1
        await asyncio.sleep(max(0.0, number / per_second - loop.time()))
    await asyncio.gather(*tasks)


def in_virtual_time(*work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs all of it, with the clock moved to the next timer whenever everything waits."""
    clock = Clock(1_800_000_000_000)

    async def driver() -> None:
        tasks = [asyncio.ensure_future(each()) for each in work]
        while not all(task.done() for task in tasks):
            await this_loop().idle()
            clock.now = this_loop().next_timer() or clock.now
        await asyncio.gather(*tasks)

    run_virtually(clock, driver())


def overloaded(taking: Taking, times: float, capacity: float) -> Seen:
    seen, limiter = Seen(), ConcurrencyLimiter(ConcurrencyLimits(PLACES, 256, 1000))
    in_virtual_time(lambda: arrivals(times * capacity, lambda: create(limiter, seen, taking, "mer_1", None)))
    return seen


@pytest.mark.parametrize("times", [1.2, 4, 20])
def test_what_is_accepted_waits_a_second_and_the_gateway_stays_busy(times: float) -> None:
    seen = overloaded(lambda _: 1.0, times, PLACES)
    assert seen.answered_per_second(SETTLED, SECONDS) >= 0.95 * PLACES
    waits = seen.waits()
    assert waits[int(len(waits) * 0.99)] <= MAX_CREATE_WAIT_SECONDS
    waited = [waited for came, waited, _ in seen.refused if came >= SETTLED]
    assert waited.count(0.0) >= 0.99 * len(waited)


def test_it_holds_where_calls_take_differently_long() -> None:
    dice = random.Random(20261129)
    seen = overloaded(lambda _: dice.expovariate(1.0), 4, PLACES)
    assert seen.answered_per_second(SETTLED, SECONDS) >= 0.95 * PLACES
    waits = seen.waits()
    assert waits[int(len(waits) * 0.99)] <= MAX_CREATE_WAIT_SECONDS


def test_a_gateway_that_becomes_slow_makes_nobody_wait_for_long() -> None:
    """From a tenth of a second to ten: what waits already gives up in time, and who comes then is told at once."""
    seen = overloaded(lambda began: 0.1 if began < 5 else 10.0, 1, PLACES / 0.1)
    assert max(seen.waits(0)) <= MAX_CREATE_WAIT_SECONDS
    assert max(waited for _, waited, _ in seen.refused) <= MAX_CREATE_WAIT_SECONDS + 0.01
    late = [waited for came, waited, _ in seen.refused if came > 8]
    assert sum(waited == 0 for waited in late) >= 0.95 * len(late)


def test_retry_after_is_when_those_who_wait_now_have_been_served() -> None:
    seen = overloaded(lambda _: 1.0, 4, PLACES)
    assert {retry_after for came, waited, retry_after in seen.refused if came >= SETTLED and not waited} == {2}


def test_a_load_that_fits_is_refused_nothing() -> None:
    seen = overloaded(lambda _: 1.0, 0.9, PLACES)
    assert seen.refused == []


def test_one_merchants_overload_makes_no_other_wait() -> None:
    limiter, hog, victim = ConcurrencyLimiter(ConcurrencyLimits(PLACES, 80, 1000)), Seen(), Seen()
    in_virtual_time(
        lambda: arrivals(4 * PLACES, lambda: create(limiter, hog, lambda _: 1.0, "mer_1", None)),
        lambda: arrivals(10, lambda: create(limiter, victim, lambda _: 0.5, "mer_2", None)),
    )
    assert victim.refused == []
    assert max(victim.waits(0)) == 0


async def _with_a_queue(deadline_in: float | None) -> Seen:
    """One place, held for another second, by calls that take two; then a create with this deadline."""
    limiter, seen = ConcurrencyLimiter(ConcurrencyLimits(1, 1, 10)), Seen()
    loop = asyncio.get_running_loop()
    await create(limiter, Seen(), lambda _: 2.0, "mer_1", None)
    first = asyncio.ensure_future(create(limiter, Seen(), lambda _: 2.0, "mer_1", None))
    await asyncio.sleep(1.0)
    deadline = None if deadline_in is None else loop.time() + deadline_in
    await create(limiter, seen, lambda _: 2.0, "mer_1", deadline)
    await first
    return seen


@pytest.mark.parametrize(("deadline_in", "accepted"), [(None, True), (30, True), (3.5, True), (1.9, False), (0, False)])
def test_a_create_that_cannot_be_answered_by_its_deadline_does_not_wait(
    deadline_in: float | None, accepted: bool
) -> None:
    found: list[Seen] = []

    async def run() -> None:
        found.append(await _with_a_queue(deadline_in))

    in_virtual_time(run)
    [seen] = found
    assert bool(seen.accepted) is accepted
    assert [waited for _, waited, _ in seen.refused] == ([] if accepted else [0.0])


def test_a_create_that_need_not_wait_is_begun_whatever_its_deadline() -> None:
    seen = Seen()
    limiter = ConcurrencyLimiter(ConcurrencyLimits(1, 1, 10))
    in_virtual_time(lambda: create(limiter, seen, lambda _: 2.0, "mer_1", 0.0))
    assert len(seen.accepted) == 1
