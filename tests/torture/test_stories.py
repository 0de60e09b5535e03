"""Stories told by hand: how soon a payment without a return ends, a day without its gateway, what a seed once found."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from proxy.kernel.background import Repeater
from proxy.kernel.clock import HOUR, MINUTE, SECOND
from proxy.payments import check_schedule
from proxy.payments.change import Change
from proxy.payments.check_schedule import ScheduleChange

from .world import World
from .world.audit import Audit
from .world.loop import run_virtually, this_loop
from .world.process import inline_sqlite
from .world.stage import Stage, step_loops
from .world.story import Action, Kind

SEED: Final = 3


def played(play: Callable[[World, Stage, Audit], Awaitable[None]]) -> None:
    async def whole(world: World) -> None:
        await world.begin()
        world.turns.free = True
        await play(world, Stage(world, SEED), Audit(world))
        await world.end()

    with inline_sqlite():
        world = World(SEED)
        try:
            run_virtually(world.clock, whole(world))
        finally:
            world.remove()


async def run_loops_until(world: World, time: int) -> None:
    """The repeaters as `proxy.app` wires them; the clock goes from timer to timer."""
    process, clock = world.process, world.clock
    watch = Repeater("watch", clock)
    deliver = Repeater("deliver", clock)
    process.on_check_due = watch.wake_by
    process.on_event = lambda _merchant_id: deliver.wake()
    watch.start(process.poller.step)
    deliver.start(process.delivery.step)
    while clock.now < time:
        await this_loop().idle()
        clock.now = min(time, this_loop().next_timer() or time)
    await this_loop().idle()
    for loop in (watch, deliver):
        await loop.stop()


@pytest.mark.parametrize("paid_after", [0, 20 * SECOND, 100 * SECOND, 119 * SECOND])
def test_a_customer_who_never_returns_is_credited_and_told_within_three_minutes_of_the_link(paid_after: int) -> None:
    async def play(world: World, stage: Stage, audit: Audit) -> None:
        await stage.play(Action(1, Kind.CREATE))
        linked_at = world.clock.now
        await run_loops_until(world, linked_at + paid_after)
        await stage.play(Action(2, Kind.PAY, 1))
        await run_loops_until(world, linked_at + 3 * MINUTE)
        audit.step()
        assert [row.status for row in audit.rows.values()] == ["paid"]
        bodies = [body for receiver in world.receivers.values() for body in receiver.bodies.values()]
        assert [re.search(rb"payment\.\w+", body)[0] for body in bodies] == [b"payment.paid"]  # type: ignore[index]  # None fails too

    played(play)


def test_a_gateway_that_is_away_for_a_day_costs_nobody_a_payment() -> None:
    async def run_until(world: World, audit: Audit, time: int) -> None:
        while world.clock.now < time:
            due_at = await step_loops(world)
            audit.step()
            world.clock.now = max(world.clock.now, min(time, time if due_at is None else due_at))

    async def play(world: World, stage: Stage, audit: Audit) -> None:
        numbers = range(1, 11)
        for number in numbers:
            await stage.play(Action(number, Kind.CREATE, number % 3))
        for number in numbers:
            await stage.play(Action(100 + number, Kind.PAY, number))
        for shop in world.cast.shops:
            world.terminals_down.add(shop.api_key)
        # Half of them come back, and are told that it is being confirmed.
        for number in numbers[::2]:
            await stage.play(Action(200 + number, Kind.RETURN, number))
        await run_until(world, audit, world.clock.now + 24 * HOUR)
        assert {row.status for row in audit.rows.values()} == {"pending"}
        world.terminals_down.clear()
        await run_until(world, audit, world.clock.now + 12 * MINUTE)
        assert {row.status for row in audit.rows.values()} == {"paid"}
        audit.quiet()

    played(play)


def test_a_watch_that_a_late_return_began_on_a_paid_payment_ends() -> None:
    async def play(world: World, stage: Stage, _audit: Audit) -> None:
        for number, kind in enumerate((Kind.CREATE, Kind.PAY, Kind.RETURN), start=1):
            await stage.play(Action(number, kind, subject=min(number - 1, 1)))
        store, cart = world.process.file.store, world.carts[1]
        payment = await store.payments.payment(cart.shop.merchant_id, cart.payment_id)
        assert payment.status == "paid"
        begun = check_schedule.begin(payment)
        await store.payments.transition(Change(payment, payment, schedule=ScheduleChange(None, begun)))
        world.clock.now = begun.due_at
        await step_loops(world)
        assert await store.payments.next_check_at() is None

    played(play)
