"""The stage of the replicas' campaign: PostgreSQL, the gateway, Dargahs behind a balancer, and two receivers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from databases.places import served
from e2e.playground import server

from .replicas_fleet import Fleet, Replica
from .replicas_receiver import SlowShop
from .replicas_server import Server, durable_server
from .sigkill_moments import Moments
from .sigkill_receiver import Receiver
from .sigkill_stage import SETTINGS, Stage, client, open_shops, simulator

REPLICAS: Final = 3
PUBLIC_URL: Final = "http://pay.shop.test"
RECEIVER_FAULT_RATE: Final = 0.1
# A balancer's patience. Longer than the gateway's and the database's time-outs together, shorter than a pause.
CALL_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Replicas:
    """`stage` is all that the load and the audit know of; the rest is for whoever breaks something."""

    stage: Stage
    fleet: Fleet
    server: Server
    slow: SlowShop


@asynccontextmanager
async def replicas_stage(folder: Path, seed: int, *, short_leases: bool) -> AsyncIterator[Replicas]:
    """All of it; the Dargahs are not started yet."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(durable_server())
        stack.enter_context(served(folder, database.url))
        moments = Moments()
        quick, slow = Receiver(seed, moments, RECEIVER_FAULT_RATE), SlowShop(seed, moments, RECEIVER_FAULT_RATE)
        for receiver in (quick, slow):
            receiver.url = await stack.enter_async_context(server(receiver.app()))
        gateway_url = await stack.enter_async_context(simulator(folder / "ledger.db", seed))
        session = await stack.enter_async_context(client(CALL_SECONDS))
        storefronts = await open_shops(folder, gateway_url, [quick, slow])
        looking = asyncio.create_task(slow.look(database.url))
        stack.push_async_callback(_end, looking)

        def make(log: Path) -> Replica:
            return Replica(folder, log, short_leases=short_leases, DARGAH_PUBLIC_URL=PUBLIC_URL, **SETTINGS)

        fleet = Fleet(folder, make, REPLICAS)
        stack.push_async_callback(fleet.kill)
        stage = Stage(folder, fleet, PUBLIC_URL, gateway_url, storefronts, [quick, slow], moments, session)
        yield Replicas(stage, fleet, database, slow)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
