"""The `simulator` command: the gateway as a process of its own."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import click
import uvloop
from aiohttp import web
from pydantic import ValidationError

from proxy.database.sqlite.files import FileUse, explained
from proxy.gateways.port import INVOICE_SCRIPT
from proxy.gateways.registry import FAMILIES
from proxy.gateways.simulation.bank import Bank
from proxy.gateways.simulation.chaos import Chaos
from proxy.gateways.simulation.dialect import MAX_BODY_BYTES, Dialect
from proxy.gateways.simulation.faults import Faults
from proxy.gateways.simulation.gateway import SimulatedGateway
from proxy.gateways.simulation.ledger import Journal, SimulatedTerminal
from proxy.http.listeners import Address, Listen, bind, url_of
from proxy.simulator.control import Control, TerminalOrder

GATEWAY = web.AppKey("gateway", SimulatedGateway)


def create_app(
    *,
    ledger: str = ":memory:",
    prefix: str = "",
    terminals: Iterable[SimulatedTerminal] = (),
    chaos: Chaos | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    randomness: Random | None = None,
    report: Callable[[str], None] | None = None,
    families: Iterable[str] = (),
) -> web.Application:
    """The gateways of some families, or of all, below `prefix`, and the control API at `/control/…`.

    `app[GATEWAY]` is the bank and its faults. Each family has its paths from its own documents, which do not collide.

    `report` gets a line per call, with no api_key in it. `terminals` are created where the ledger does not have them
    yet. The control API has no authentication, so the listener belongs on loopback.

    Raises LedgerInUseError, StoreForeign, sqlite3.Error.
    """
    journal = Journal(ledger)
    known_terminals, known_invoices = journal.load()
    if randomness is None:
        # Chaos strikes by invoice_key, so a seed replays only when the keys do; a restart must not draw them again.
        randomness = Random(f"{chaos.seed}|{len(known_invoices)}") if chaos else SystemRandom()  # noqa: S311  # replayed
    bank = Bank(clock=clock, randomness=randomness, on_change=journal.note)
    gateway = SimulatedGateway(bank, Faults(chaos))
    dialects = {kind.family.name: kind(gateway, journal, report) for kind in map(dialect_of, families or simulated())}
    bank.restore(known_terminals, known_invoices)
    for terminal in terminals:
        if terminal.api_key not in bank.terminals:
            bank.put_terminal(terminal)

    async def close(_: web.Application) -> None:
        await journal.close()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[GATEWAY] = gateway
    app.on_cleanup.append(close)
    for dialect in dialects.values():
        dialect.add_routes(app.router, _clean_prefix(prefix))
    Control(gateway, journal, dialects).add_routes(app.router)
    return app


def simulated() -> list[str]:
    """The families that have a simulator."""
    return [name for name, family in FAMILIES.items() if family.simulator]


def dialect_of(family: str) -> type[Dialect]:
    """The family's Dialect, which is loaded now."""
    module, _, name = (FAMILIES[family].simulator or "").partition(":")
    dialect: type[Dialect] = getattr(import_module(module), name)
    return dialect


def _clean_prefix(prefix: str) -> str:
    return "/" + prefix.strip("/") if prefix.strip("/") else ""


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Delayed and dripping answers are cut at shutdown; a second lets the honest ones finish.
_SHUTDOWN_SECONDS = 1.0
_LEDGER = FileUse("the ledger", "--ledger")


_FAMILY = "A family of gateways to speak for; repeatable, all of them by default."
_TERMINAL = """A terminal's api_key, or its main id in another family; repeatable. NAME is a setting of the control API:
family, registered_domain, registered_ip, referrer_origin (customers come from it only, such as https://pay.example.ir),
return_method, key_chars, enabled; or a credential or a form of its family."""


def _known(_: click.Context, _option: click.Parameter, families: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := set(families) - set(simulated()):
        raise click.BadParameter(f"no {', '.join(sorted(unknown))}; there is {', '.join(simulated())}")
    return families


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--ledger", default="simulator.db", show_default=True, help="Ledger file, or :memory:.")
@click.option("--prefix", default="", help="Path before /invoice, such as /pay.")
@click.option("--family", "families", multiple=True, metavar="NAME", callback=_known, help=_FAMILY)
@click.option("--terminal", "terminals", multiple=True, metavar="KEY[:post][,NAME=VALUE]", help=_TERMINAL)
@click.option("--chaos", "seed", type=int, metavar="SEED", help="Faults at random, by this seed.")
@click.option("--chaos-rate", default=0.2, show_default=True, type=click.FloatRange(0, 1), help="Share of calls.")
@click.option("--chaos-odd-money", is_flag=True, help="Chaos also lies about amounts and bank codes.")
@click.option("--quiet", is_flag=True, help="No line per call.")
def simulator(
    *,
    host: str,
    port: int,
    ledger: str,
    prefix: str,
    families: tuple[str, ...],
    terminals: tuple[str, ...],
    seed: int | None,
    chaos_rate: float,
    chaos_odd_money: bool,
    quiet: bool,
) -> None:
    """Run payment gateways that speak their families' protocols, with a ledger and faults. No money moves.

    The control API under /control has no authentication: anyone who reaches the port can pay invoices.
    """
    if host not in _LOOPBACK:
        click.echo("warning: the control API has no authentication and listens beyond loopback", err=True)
    chaos = None if seed is None else Chaos(seed, chaos_rate, odd_money=chaos_odd_money)
    parsed = [_terminal(text) for text in terminals]

    async def run() -> None:
        async with AsyncExitStack() as stack:
            sockets = bind(Listen((Address(host, port),)), "--host, --port", stack)
            with explained(Path(ledger), _LEDGER):
                app = create_app(
                    ledger=ledger,
                    prefix=prefix,
                    terminals=parsed,
                    chaos=chaos,
                    report=None if quiet else click.echo,
                    families=families,
                )
            await _serve(app, sockets)

    uvloop.run(run())


def _terminal(text: str) -> SimulatedTerminal:
    named, *choices = text.split(",")
    key, mark, method = named.rpartition(":")
    settings: dict[str, Any] = dict(choice.partition("=")[::2] for choice in choices)
    family = FAMILIES.get(settings.get("family", INVOICE_SCRIPT))
    if family is None:
        raise click.BadParameter(f"family: one of {', '.join(simulated())}", param_hint="--terminal")
    names = {credential.name for credential in family.credentials} - set(TerminalOrder.model_fields)
    settings["credentials"] = {name: settings.pop(name) for name in names & set(settings)}
    ways = dialect_of(family.name).ways
    settings["forms"] = {name: settings.pop(name) for name in set(ways) & set(settings)}
    for name, way in settings["forms"].items():
        if way not in ways[name]:
            raise click.BadParameter(f"{name}: one of {', '.join(ways[name])}", param_hint="--terminal")
    settings["api_key"] = key if mark else named
    if mark:
        settings["return_method"] = method
    try:
        order = TerminalOrder.model_validate(settings)
    except ValidationError as error:
        message = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise click.BadParameter(message, param_hint="--terminal") from None
    return SimulatedTerminal(**order.model_dump())


async def _serve(app: web.Application, sockets: tuple[socket.socket, ...]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        for listener in sockets:
            await web.SockSite(runner, listener).start()
        click.echo(f"simulator ready on {url_of(sockets)}")
        await stop.wait()
    finally:
        await runner.cleanup()
