"""Faults stop, and time runs until nothing is due any more."""

from typing import Final

from proxy.kernel.clock import AGAIN_AFTER, HOUR
from proxy.operations.clock_watch import PAUSED

from ..world import ALL, World, terminal_of
from ..world.audit import Audit
from ..world.loop import REST, start, this_loop
from ..world.network import Mode

MAX_ROUNDS: Final = 3000
_COARSE: Final = 2 * HOUR


def stop_faults(world: World) -> None:
    """The clock is right, the gateway answers as it should and everybody can be reached."""
    world.jump(0)
    world.gateway.faults.clear()
    world.terminals_down.clear()
    for api_key, terminal in list(world.bank.terminals.items()):
        if not terminal.enabled:
            world.bank.put_terminal(terminal_of(api_key, world.seed))
    for receiver in world.receivers.values():
        receiver.mode = Mode.GOOD


async def finish(world: World) -> None:
    """Lets all that is under way end, moving the clock where something waits for it."""
    while True:
        await world.go(None, ALL)
        later = world.turns.next_time()
        if later is None:
            return
        world.clock.now = max(world.clock.now, later)


async def come_to_rest(world: World, audit: Audit, *, coarse: bool) -> None:
    """Switches every endpoint on again, and steps the loops from one due time to the next until there is none.

    `coarse` jumps beyond the due times, as after a long halt, so that much falls due at once. Raises Violation when
    there is no end to it.
    """
    stop_faults(world)
    await _look_at_the_clocks(world)
    await finish(world)
    world.turns.free = True
    await _look_at_the_clocks(world)
    for _ in range(0, AGAIN_AFTER, PAUSED):
        world.clock.now += PAUSED
        await _look_at_the_clocks(world)
    audit.planned()
    for hook in world.cast.hooks:
        await world.process.endpoints.change_endpoint(
            hook.merchant_id, hook.endpoint_id, paused=False, actor="merchant"
        )
    for _ in range(MAX_ROUNDS):
        due_at = await step_loops(world)
        audit.step()
        if due_at is None:
            return
        if due_at > world.clock.now:
            world.clock.now = due_at + (_COARSE if coarse else 0)
    world.break_promise("quiet in bounded time", f"after {MAX_ROUNDS} rounds there still is something due")
    world.raise_if_broken()


async def _look_at_the_clocks(world: World) -> None:
    start(REST, world.process.clocks.step())
    await this_loop().idle()


async def step_loops(world: World) -> int | None:
    """A step of each loop, to the end of all that it starts; gives when something is due next."""
    await _look_at_the_clocks(world)
    for step in (world.process.poller.step, world.process.delivery.step):
        start(REST, step())
        await this_loop().idle()
    await finish(world)
    return await _next_due(world)


async def _next_due(world: World) -> int | None:
    store = world.process.store
    times = [
        time
        for time in (await store.payments.next_check_at(), await store.webhooks.next_delivery_at())
        if time is not None
    ]
    return min(times, default=None)
