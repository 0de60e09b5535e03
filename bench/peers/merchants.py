"""Shops under test that take payments: Django with az-iranian-bank-gateways under gunicorn, and one with Dargah."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bench.load import Make
from bench.peers.dargah import Dargah, dargah
from bench.peers.programs import PROGRAMS, REPOSITORY, Program, running
from bench.shops import RETURN_URL, creates, post
from proxy.demo.stage import free_port
from tests.databases.durable import Server

AMOUNT: Final = 150_000
SHOP: Final = "bench.peers.foreign.shop"
JOB_SECONDS: Final = 120


class Shop(Protocol):
    """A server under test that makes payments, and what its shop knows of them."""

    @property
    def program(self) -> Program: ...

    @property
    def store(self) -> Server | None:
        """Its PostgreSQL, None on SQLite."""

    @property
    def create(self) -> Make:
        """Its requests by number."""

    def made(self, body: bytes) -> tuple[int, str]:
        """The gateway's trackId and the shop's name of the payment, in an answer."""

    async def recover(self) -> None:
        """What its documents tell to do for interrupted payments. Returns when that has ended."""

    async def paid(self, names: list[str]) -> set[str]:
        """Those that the shop knows as paid."""


@dataclass(slots=True)
class Django:
    """A shop with az-iranian-bank-gateways."""

    program: Program
    store: Server | None

    def create(self, _number: int) -> bytes:
        body = json.dumps({"amount": AMOUNT}).encode()
        return at(self.program.port, post("/pay/", body, "application/json"))

    def made(self, body: bytes) -> tuple[int, str]:
        track_id = json.loads(body)["url"].rpartition("/")[2]
        return int(track_id), track_id

    async def recover(self) -> None:
        await self._run("verify")

    async def paid(self, _names: list[str]) -> set[str]:
        told = json.loads(await self._run("verify", "statuses"))
        return {name for name, status in told.items() if status == "COMPLETE"}

    async def migrate(self) -> None:
        await self._run("verify", "migrate")

    async def _run(self, module: str, *words: str) -> bytes:
        env = dict(self.program.env)
        process = await asyncio.create_subprocess_exec(
            PROGRAMS / "python", "-m", f"{SHOP}.{module}", *words, env=env, cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(process.communicate(), JOB_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise SystemExit(f"{module} of the Django shop failed: see its error output above")
        return said


@dataclass(slots=True)
class Ours:
    """A shop with Dargah: it has no job to run, and learns by webhooks or, as here, by asking."""

    dargah: Dargah
    create: Make
    store: Server | None

    @property
    def program(self) -> Program:
        return self.dargah.program

    def made(self, body: bytes) -> tuple[int, str]:
        told = json.loads(body)
        return int(told["invoice_key"]), told["id"]

    async def recover(self) -> None:
        pass

    async def paid(self, names: list[str]) -> set[str]:
        return {name for name, status in (await self.dargah.statuses(names)).items() if status == "paid"}


def at(port: int | None, request: bytes) -> bytes:
    """The request with the port in its Host, by which Django makes the way back."""
    return request.replace(b"Host: 127.0.0.1\r\n", b"Host: 127.0.0.1:%d\r\n" % (port or 0), 1)


@asynccontextmanager
async def django(
    name: str, folder: Path, gateway_url: str, core: int, *how: str, store: Server | None = None
) -> AsyncIterator[Django]:
    """`gunicorn`, with `how` it works, on that PostgreSQL or on a new SQLite file."""
    port = free_port()
    env = {
        "DJANGO_SETTINGS_MODULE": f"{SHOP}.settings",
        "SHOP_DATABASE": str(folder / f"{name}.db") if store is None else "",
        "SHOP_POSTGRESQL": "" if store is None else str(store.folder),
        "SHOP_GATEWAY": gateway_url,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }
    application = "django.core.wsgi:get_wsgi_application()"
    command = [str(PROGRAMS / "gunicorn"), "--bind", f"127.0.0.1:{port}", *how, application]
    shop = Django(Program(name, command, folder, core, env=env, port=port), store)
    await shop.migrate()
    async with running(shop.program):
        yield shop


@asynccontextmanager
async def ours(folder: Path, gateway_url: str, core: int, store: Server | None = None) -> AsyncIterator[Ours]:
    """Dargah on that PostgreSQL or on a new SQLite file."""
    name = "dargah" if store is None else "dargah-postgresql"
    made = dargah(name, folder, folder / "dargah.db" if store is None else store.url, core)
    async with running(made.program):
        await made.set_up(gateway_url)
        yield Ours(made, creates(made.token, return_url=RETURN_URL), store)
