"""The simulator's app on a real socket, with a clock that the test holds."""

from random import Random
from typing import Any

import pytest

from proxy.simulator.app import create_app
from proxy.simulator.ledger import Terminal
from simulator.shop_side import HandClock, Shop, StartShop


@pytest.fixture
async def start_shop(aiohttp_client: Any) -> StartShop:
    async def start(*, prefix: str = "", **options: Any) -> Shop:
        clock, lines = HandClock(), list[str]()
        options.setdefault("terminals", [Terminal("key-one"), Terminal("key-two")])
        options.setdefault("randomness", Random(1))
        app = create_app(prefix=prefix, clock=clock, tell=lines.append, **options)
        return Shop(await aiohttp_client(app), clock, prefix, lines=lines)

    return start


@pytest.fixture
async def shop(start_shop: StartShop) -> Shop:
    return await start_shop()
