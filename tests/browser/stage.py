"""A whole Dargah with a gateway and a shop on loopback, whose pages a browser can walk through."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from web.conftest import KEY_RING
from web.lab import API_KEY, TEST_API_KEY, HandClock, Lab

from proxy.app import Outside, running
from proxy.clock import parse_rfc3339
from proxy.config.settings import Settings
from proxy.simulator.app import create_app
from proxy.simulator.ledger import Terminal

# A date that people can check the Jalali one against, and pictures that do not change from day to day.
NOW = parse_rfc3339("2026-11-24T10:00:00Z")
OPERATOR_TOKEN = "operator-token-of-the-tests"


@dataclass
class Stage:
    """`lab` is the merchant's and the gateway's hands; `shop_url` is where customers come home, noted in `visits`."""

    lab: Lab
    shop_url: str
    visits: list[dict[str, str]] = field(default_factory=list)

    @property
    def return_url(self) -> str:
        return f"{self.shop_url}/thanks"

    @property
    def services(self) -> Any:
        return self.lab.dargah.services


@asynccontextmanager
async def staged(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """The stage, on SQLite in `folder`, with the clock at NOW."""
    clock = HandClock(NOW)
    made = Settings(
        environment="development",
        database=folder / "dargah.db",
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        admin_token=OPERATOR_TOKEN,
        keys=KEY_RING,
        **settings,
    )
    visits: list[dict[str, str]] = []
    terminals = [Terminal(API_KEY), Terminal(TEST_API_KEY)]
    async with (
        TestServer(_shop(visits)) as shop,
        TestServer(create_app(terminals=terminals, clock=clock)) as gateway,
        running(made, Outside(now=clock, jitter=lambda: 0.0)) as dargah,
        aiohttp.ClientSession() as session,
    ):
        lab = Lab(dargah, _base(gateway), session, clock, folder)
        await lab.set_up()
        shop_url = _base(shop)
        await dargah.services.setup.change_merchant(
            lab.merchant_id, actor="test", name="Nemooneh Shop", name_fa="فروشگاه نمونه", return_origins=[shop_url]
        )
        yield Stage(lab, shop_url, visits)


def _shop(visits: list[dict[str, str]]) -> web.Application:
    async def thanks(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        visits.append({**request.query, **form})
        return web.Response(
            text="<!DOCTYPE html><title>shop</title><main data-state=shop>ok</main>", content_type="text/html"
        )

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/thanks", thanks)
    app.router.add_get("/favicon.ico", nothing)
    return app


def _base(server: BaseTestServer) -> str:
    return str(server.make_url("")).rstrip("/")
