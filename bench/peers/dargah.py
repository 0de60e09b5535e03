"""Dargah as a program under test, with one merchant, whose terminal is Zibal's."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.peers.programs import Program
from bench.postgres import settings_of


@dataclass(slots=True)
class Dargah:
    """A `dargah serve`, its merchant's token, and the secret of the endpoint, if it has one."""

    program: Program
    url: str
    admin_url: str
    token: str = ""
    endpoint: str = ""
    secret: str = ""

    @property
    def name(self) -> str:
        return self.program.name

    async def set_up(self, gateway_url: str, hook_port: int | None = None) -> None:
        """A merchant, by the operator's API, with an endpoint at the port if there is one."""
        merchant = await self._ask("POST", "merchants", name="bench", return_origins=["https://shop.example"])
        path = f"merchants/{merchant['id']}"
        await self._ask(
            "POST", f"{path}/terminals", name="main", gateway="zibal", gateway_url=gateway_url,
            credentials={"merchant": "zibal"},
        )  # fmt: skip
        if hook_port is not None:
            made = await self._ask("POST", f"{path}/endpoints", url=f"http://127.0.0.1:{hook_port}/hook")
            self.endpoint, self.secret = f"{path}/endpoints/{made['id']}", made["secret"]
        self.token = (await self._ask("POST", f"{path}/tokens", storefront="main"))["token"]

    async def hold(self, *, paused: bool) -> None:
        """Keeps the endpoint's webhooks back, or lets them go."""
        await self._ask("PATCH", self.endpoint, paused=paused)

    async def statuses(self, payment_ids: list[str]) -> Mapping[str, str]:
        """As its shop is told them."""
        told = {}
        async with aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {self.token}"}) as session:
            for payment_id in payment_ids:
                async with session.get(f"/v1/payments/{payment_id}", raise_for_status=True) as answer:
                    told[payment_id] = (await answer.json())["status"]
        return told

    async def _ask(self, method: str, path: str, **fields: Any) -> Any:
        auth = {"Authorization": f"Bearer {self.program.env['DARGAH_ADMIN_TOKEN']}"}
        async with (
            aiohttp.ClientSession(f"{self.admin_url}/admin/v1/", headers=auth) as session,
            session.request(method, path, json=fields) as answer,
        ):
            assert answer.ok, f"{method} {path}: {answer.status} {await answer.text()}"
            return json.loads(await answer.read())


def dargah(name: str, folder: Path, database: Path | str, core: int, hook_port: int | None = None) -> Dargah:
    """One that is not started, on a database without a merchant."""
    env = settings_of(database)
    if hook_port is not None:
        env["DARGAH_WEBHOOK_ALLOW"] = f"127.0.0.1:{hook_port}"
    program = Program(
        name,
        [sys.executable, "-m", "proxy", "serve"],
        folder,
        core,
        env=env,
        port=int(env["DARGAH_LISTEN"].rpartition(":")[2]),
    )
    return Dargah(program, f"http://{env['DARGAH_LISTEN']}", f"http://{env['DARGAH_ADMIN_LISTEN']}")
