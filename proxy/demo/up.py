"""`dargah up`: Dargah, a gateway simulator and a shop that is set up, on one machine and in one process, until it is
stopped.

It is started again on the same files, and makes only what is not there: see sample_shop.py.
"""

import asyncio
import secrets
import socket
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from proxy.config import env_file
from proxy.config.settings import Settings
from proxy.demo.sample_shop import GATEWAY_KEY, Place, SampleShop, SampleShopSetup
from proxy.demo.webhook_printer import PATH, WebhookPrinter
from proxy.gateways.simulation.ledger import LedgerInUseError, SimulatedTerminal
from proxy.http.listeners import Address, Listen, bind, place_of
from proxy.kernel.errors import StartRefused
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import is_loopback
from proxy.simulator.command import create_app

LEDGER: Final = "simulator.db"
AMOUNT_TOMAN: Final = 15_000
_DEFAULT_URL: Final = "http://127.0.0.1:8080"
_SHUTDOWN_SECONDS: Final = 1.0

Say = Callable[[str], None]
Serving = AbstractAsyncContextManager[tuple[str, str]]
"""A running Dargah: the URLs of its public listener and of the operator's."""


class UpRefused(StartRefused):
    """These settings are no trial's, or the simulator cannot start."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """`file` has the settings, and gets the shop's secrets. Ports are on loopback; 0 is a free one.

    Webhooks go to `webhook_url`, or are received here where it is None.
    """

    file: Path
    simulator_port: int
    webhook_port: int
    webhook_url: str | None


def refuse_production(settings: Settings) -> None:
    """Raises UpRefused for settings of a Dargah that others than this machine reach."""
    if not settings.development:
        found = "DARGAH_ENVIRONMENT is production"
    elif not is_loopback(urlsplit(settings.public_url or _DEFAULT_URL).hostname or ""):
        found = f"DARGAH_PUBLIC_URL is {settings.public_url}"
    elif not (settings.listen.loopback and settings.admin_listen.loopback):
        found = f"it listens at {settings.listen} and {settings.admin_listen}"
    else:
        return
    raise UpRefused(
        f"`dargah up` is to try Dargah on this machine alone, and {found}: start it by `dargah serve`, or run "
        "`dargah up` in another folder"
    )


async def up(settings: Settings, serving: Serving, options: UpOptions, say: Say) -> None:
    """Runs it all, with the Dargah of `serving`, until the task is cancelled; then ends Dargah first, and those that it
    talks to after it.

    Raises StartRefused and VaultError.
    """
    refuse_production(settings)
    async with AsyncExitStack() as stack:
        gateway_url = await _start_simulator(options, stack)
        printer = WebhookPrinter(say)
        webhook_url = options.webhook_url or await _start_printer(printer, options, stack)
        url, admin_url = await stack.enter_async_context(serving)
        place = Place(url, admin_url, gateway_url, webhook_url, own_shop=options.webhook_url is not None)
        admin_token = next(iter(settings.admin_tokens().values()))
        async with SampleShopSetup(place, admin_token) as setup:
            shop = _kept(options.file)
            printer.secret = shop.webhook_secret
            shop = await setup.complete(shop)
            printer.secret = shop.webhook_secret
            _keep(options.file, shop, url)
            payment = await setup.create_payment(shop, _order())
        for line in _lines(place, shop, payment, admin_token, options):
            say(line)
        await asyncio.Event().wait()


async def _start_simulator(options: UpOptions, stack: AsyncExitStack) -> str:
    listener = _bound(options.simulator_port, "--simulator-port", stack)
    ledger = options.file.absolute().with_name(LEDGER)
    try:
        app = create_app(ledger=str(ledger), terminals=[SimulatedTerminal(GATEWAY_KEY)])
    except (LedgerInUseError, sqlite3.Error, OSError) as error:
        raise UpRefused(f"the simulator's ledger {ledger} cannot be used: {error}") from None
    return await _start(app, listener, stack)


async def _start_printer(printer: WebhookPrinter, options: UpOptions, stack: AsyncExitStack) -> str:
    return await _start(printer.app, _bound(options.webhook_port, "--webhook-port", stack), stack) + PATH


def _bound(port: int, option: str, stack: AsyncExitStack) -> socket.socket:
    """Raises ListenRefused, which names the option."""
    return bind(Listen((Address("127.0.0.1", port),)), option, stack)[0]


async def _start(app: web.Application, listener: socket.socket, stack: AsyncExitStack) -> str:
    """Its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener).start()
    return place_of(listener).url


def _kept(file: Path) -> SampleShop:
    return SampleShop.of(env_file.read(file).values)


def _keep(file: Path, shop: SampleShop, url: str) -> None:
    """Stores in the file what the shop's clients read, where it does not say so already."""
    before = env_file.read(file).values
    wanted = shop.values if before.get("DARGAH_URL", _DEFAULT_URL) == url else {"DARGAH_URL": url, **shop.values}
    changed = {name: value for name, value in wanted.items() if before.get(name) != value}
    if changed:
        env_file.change(file, changed)


def _order() -> dict[str, Any]:
    return {"amount": AMOUNT_TOMAN, "currency": "IRT", "order_id": f"order-{secrets.token_hex(3)}"}


def _lines(place: Place, shop: SampleShop, payment: dict[str, Any], admin_token: str, options: UpOptions) -> list[str]:
    order, file = f"order-{secrets.token_hex(3)}", env_file.shown(options.file)
    webhooks = "come here" if options.webhook_url is None else f"go to {options.webhook_url}"
    return [
        "No money moves: the gateway is a simulator on this machine.",
        "",
        f"Pay:      {payment['pay_url']}",
        f"Console:  {place.admin_url}/console   token {admin_token}",
        f"API:      {place.url}/docs",
        "Create a payment:",
        "",
        f"curl {place.url}/v1/payments -H 'Authorization: Bearer {shop.token}' \\",
        f"  -H 'Idempotency-Key: {order}' -H 'Content-Type: application/json' \\",
        f"""  -d '{{"amount": {AMOUNT_TOMAN}, "currency": "IRT", "order_id": "{order}"}}'""",
        "",
        f"Your shop finds its token and secrets in {file}. Webhooks {webhooks}. Ctrl-C ends it all.",
    ]
