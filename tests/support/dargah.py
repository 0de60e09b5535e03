"""Dargah in the test's own process, and the servers on loopback that it talks with."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from databases.places import make_database_in
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from proxy.app import Dargah, Outside, running
from proxy.config.settings import Settings
from proxy.gateways.simulation.ledger import SimulatedTerminal
from proxy.kernel.clock import Now, system_now
from proxy.simulator.command import create_app

API_KEY: Final = "canary-api-key-7f3a91"
OPERATOR_TOKEN: Final = "operator-token-of-the-tests"
KEY_RING: Final = "k1:" + base64.b64encode(bytes(range(32))).decode()
# For those who try everything from one address: they would soon be told to wait, and what is behind would go untried.
UNLIMITED: Final[Mapping[str, int]] = dict.fromkeys(
    (
        "token_creates_per_minute",
        "address_creates_per_minute",
        "token_calls_per_minute",
        "address_calls_per_minute",
        "address_auth_failures_per_minute",
        "link_visits_per_minute",
        "address_unknown_links_per_minute",
    ),
    0,
)


class _Given(Settings):
    """Settings that are what they are given: neither the environment nor its secret files say otherwise."""

    @classmethod
    def settings_customise_sources(  # type: ignore[override] # the sources come by their names
        cls, _settings: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def settings(folder: Path, **more: Any) -> Settings:
    """A development Dargah on free ports, with its database in `folder`."""
    values: dict[str, Any] = {
        "environment": "development",
        "database": make_database_in(folder),
        "listen": "127.0.0.1:0",
        "admin_listen": "127.0.0.1:0",
        "admin_token": OPERATOR_TOKEN,
        "keys": KEY_RING,
        "log_level": "warning",
    }
    return _Given(**(values | more))


def running_by(clock: Now, made: Settings) -> AbstractAsyncContextManager[Dargah]:
    """Dargah by the test's clock, without jitter."""
    return running(made, Outside(now=clock, jitter=lambda: 0.0))


@asynccontextmanager
async def server(app: web.Application) -> AsyncIterator[str]:
    """The base URL of `app` on a free loopback port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(*terminals: SimulatedTerminal, clock: Now = system_now) -> AsyncIterator[str]:
    """The base URL of a gateway simulator that knows these terminals, or one with API_KEY."""
    async with server(create_app(terminals=terminals or (SimulatedTerminal(API_KEY),), clock=clock)) as url:
        yield url
