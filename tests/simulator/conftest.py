"""The simulator's app on a real socket, with a clock that the test holds."""

from random import Random
from typing import Any

import pytest
from support.clock import ManualClock

from proxy.simulator.command import create_app
from proxy.simulator.ledger import SimulatedTerminal
from simulator.shop_side import Shop, StartShop


@pytest.fixture
async def start_shop(aiohttp_client: Any) -> StartShop:
    async def start(*, prefix: str = "", **options: Any) -> Shop:
        clock, lines = ManualClock(), list[str]()
        options.setdefault("terminals", [SimulatedTerminal("key-one"), SimulatedTerminal("key-two")])
        options.setdefault("randomness", Random(1))
        app = create_app(prefix=prefix, clock=clock, report=lines.append, **options)
        return Shop(await aiohttp_client(app), clock, prefix, lines=lines)

    return start


@pytest.fixture
async def shop(start_shop: StartShop) -> Shop:
    return await start_shop()
