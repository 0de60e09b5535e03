"""The `simulator` command: the gateway as a process of its own."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from random import Random, SystemRandom

import click
import uvloop
from aiohttp import web
from pydantic import ValidationError

from proxy.simulator.bank import Bank
from proxy.simulator.chaos import Chaos
from proxy.simulator.control import Control, TerminalOrder
from proxy.simulator.faults import Faults
from proxy.simulator.gateway import SimulatedGateway
from proxy.simulator.ledger import Journal, LedgerInUseError, SimulatedTerminal
from proxy.simulator.protocol import MAX_BODY_BYTES, ScriptRoutes

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
) -> web.Application:
    """The gateway at `{prefix}/invoice/…` and its control API at `/control/…`; `app[GATEWAY]` is the gateway itself.

    `report` gets a line per call, with no api_key in it. `terminals` are created where the ledger does not have them
    yet. The control API has no authentication, so the listener belongs on loopback. Raises LedgerInUseError.
    """
    journal = Journal(ledger)
    known_terminals, known_invoices = journal.load()
    if randomness is None:
        # Chaos strikes by invoice_key, so a seed replays only when the keys do; a restart must not draw them again.
        randomness = Random(f"{chaos.seed}|{len(known_invoices)}") if chaos else SystemRandom()  # noqa: S311  # replayed
    bank = Bank(clock=clock, randomness=randomness, on_change=journal.note)
    bank.restore(known_terminals, known_invoices)
    for terminal in terminals:
        if terminal.api_key not in bank.terminals:
            bank.put_terminal(terminal)
    gateway = SimulatedGateway(bank, Faults(chaos))

    async def close(_: web.Application) -> None:
        await journal.close()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[GATEWAY] = gateway
    app.on_cleanup.append(close)
    ScriptRoutes(gateway, journal, report).add_routes(app.router, _clean_prefix(prefix))
    Control(gateway, journal).add_routes(app.router)
    return app


def _clean_prefix(prefix: str) -> str:
    return "/" + prefix.strip("/") if prefix.strip("/") else ""


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Delayed and dripping answers are cut at shutdown; a second lets the honest ones finish.
_SHUTDOWN_SECONDS = 1.0


_TERMINAL = """A terminal's api_key; repeatable. NAME is a setting of the control API: registered_domain, registered_ip,
referrer_origin (customers come from it only, such as https://pay.example.ir), return_method, key_chars, enabled."""


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--ledger", default="simulator.db", show_default=True, help="Ledger file, or :memory:.")
@click.option("--prefix", default="", help="Path before /invoice, such as /pay.")
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
    terminals: tuple[str, ...],
    seed: int | None,
    chaos_rate: float,
    chaos_odd_money: bool,
    quiet: bool,
) -> None:
    """Run a payment gateway that speaks the protocol, with its own ledger and faults. No money moves.

    The control API under /control has no authentication: anyone who reaches the port can pay invoices.
    """
    if host not in _LOOPBACK:
        click.echo("warning: the control API has no authentication and listens beyond loopback", err=True)
    chaos = None if seed is None else Chaos(seed, chaos_rate, odd_money=chaos_odd_money)
    parsed = [_terminal(text) for text in terminals]

    async def run() -> None:
        app = create_app(
            ledger=ledger,
            prefix=prefix,
            terminals=parsed,
            chaos=chaos,
            report=None if quiet else click.echo,
        )
        await _serve(app, host, port)

    try:
        uvloop.run(run())
    except (LedgerInUseError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _terminal(text: str) -> SimulatedTerminal:
    named, *choices = text.split(",")
    key, mark, method = named.rpartition(":")
    settings = dict(choice.partition("=")[::2] for choice in choices)
    settings["api_key"] = key if mark else named
    if mark:
        settings["return_method"] = method
    try:
        order = TerminalOrder.model_validate(settings)
    except ValidationError as error:
        message = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise click.BadParameter(message, param_hint="--terminal") from None
    return SimulatedTerminal(**order.model_dump())


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"simulator ready on http://{shown}:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()
