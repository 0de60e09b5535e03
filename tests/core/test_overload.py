"""More creates than a gateway can take, in virtual time: what is accepted is answered soon, the rest at once."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from torture.world.loop import Clock, run_virtually, this_loop

from proxy.gateways.concurrency_limiter import (
    MAX_CREATE_WAIT_SECONDS,
    ConcurrencyLimiter,
    ConcurrencyLimits,
)
from proxy.kernel.errors import Overloaded

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
