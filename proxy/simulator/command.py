"""The `simulator` command: the gateway as a process of its own."""

import asyncio
import signal

import click
import uvloop
from aiohttp import web

from proxy.simulator.app import create_app
from proxy.simulator.chaos import Chaos
from proxy.simulator.journal import LedgerInUseError
from proxy.simulator.ledger import ReturnMethod, Terminal

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Delayed and dripping answers are cut at shutdown; a second lets the honest ones finish.
_SHUTDOWN_SECONDS = 1.0


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--ledger", default="simulator.db", show_default=True, help="Ledger file, or :memory:.")
@click.option("--prefix", default="", help="Path before /invoice, such as /pay.")
@click.option("--terminal", "terminals", multiple=True, metavar="KEY[:post]", help="A terminal's api_key; repeatable.")
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
            tell=None if quiet else click.echo,
        )
        await _serve(app, host, port)

    try:
        uvloop.run(run())
    except (LedgerInUseError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _terminal(text: str) -> Terminal:
    key, mark, method = text.rpartition(":")
    if not mark:
        return Terminal(text)
    try:
        return Terminal(key, return_method=ReturnMethod(method))
    except ValueError:
        raise click.BadParameter(f"{method!r} is neither get nor post", param_hint="--terminal") from None


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
