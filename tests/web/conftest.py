from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from databases.places import database_in

from proxy.app import Outside, running
from proxy.config.settings import Settings
from proxy.simulator.app import create_app
from proxy.simulator.ledger import Terminal
from web.lab import API_KEY, TEST_API_KEY, HandClock, Lab

KEY_RING = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Settings of the lab beside its own, for a module to say otherwise."""
    return {}


@pytest.fixture
async def lab(folder: Path, more_settings: dict[str, Any]) -> AsyncIterator[Lab]:
    clock = HandClock()
    settings = Settings(
        environment="development",
        database=database_in(folder),
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        admin_token="operator-token-of-the-tests",
        keys=KEY_RING,
        **more_settings,
    )
    terminals = [Terminal(API_KEY), Terminal(TEST_API_KEY)]
    outside = Outside(now=clock, jitter=lambda: 0.0)
    async with (
        TestServer(create_app(terminals=terminals, clock=clock)) as gateway,
        running(settings, outside) as dargah,
        aiohttp.ClientSession() as session,
    ):
        made = Lab(dargah, str(gateway.make_url("")).rstrip("/"), session, clock, folder)
        await made.set_up()
        yield made
