"""What the simulation found, told in a few lines each."""

from proxy import watch
from proxy.records import Change

from .simulation_actions import Action, Kind
from .simulation_rest import finish
from .simulation_stage import Stage
from .world import World
from .world_loop import run_virtually
from .world_store import inline_sqlite
from .world_turns import REST, start


def test_a_watch_that_a_late_return_began_on_a_paid_payment_ends() -> None:
    async def play(world: World) -> None:
        await world.begin()
        stage = Stage(world, seed=1)
        for number, kind in enumerate((Kind.CREATE, Kind.PAY, Kind.RETURN), start=1):
            await stage.play(Action(number, kind, subject=min(number - 1, 1)))
        store, cart = world.process.file.store, world.carts[1]
        payment = await store.payment(cart.shop.merchant_id, cart.payment_id)
        assert payment.status == "paid"
        begun = watch.begin(payment)
        await store.transition(Change(payment, payment, watch=begun))
        world.clock.now = begun.due_at
        start(REST, world.process.watcher.step())
        await finish(world)
        assert await store.next_watch_at() is None
        await world.end()

    with inline_sqlite():
        world = World(seed=1)
        run_virtually(world.clock, play(world))
        world.remove()
