"""Faults stop, and time runs until nothing is due any more."""

from typing import Final

from proxy.clock import HOUR

from .world import ALL, World, terminal_of
from .world_audit import Audit
from .world_loop import this_loop
from .world_network import Mode
from .world_turns import REST, start

MAX_ROUNDS: Final = 3000
_COARSE: Final = 2 * HOUR


def stop_faults(world: World) -> None:
    """The gateway answers as it should and everybody can be reached."""
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
    await finish(world)
    world.turns.free = True
    for hook in world.cast.hooks:
        await world.process.setup.change_endpoint(hook.merchant_id, hook.endpoint_id, paused=False, actor="merchant")
    for _ in range(MAX_ROUNDS):
        due_at = await step_loops(world)
        audit.step()
        if due_at is None:
            return
        if due_at > world.clock.now:
            world.clock.now = due_at + (_COARSE if coarse else 0)
    world.break_promise("quiet in bounded time", f"after {MAX_ROUNDS} rounds there still is something due")
    world.raise_if_broken()


async def step_loops(world: World) -> int | None:
    """A step of each loop, to the end of all that it starts; gives when something is due next."""
    for step in (world.process.watcher.step, world.process.delivery.step):
        start(REST, step())
        await this_loop().idle()
    await finish(world)
    return await _next_due(world)


async def _next_due(world: World) -> int | None:
    store = world.process.store
    times = [time for time in (await store.next_watch_at(), await store.next_delivery_at()) if time is not None]
    return min(times, default=None)
