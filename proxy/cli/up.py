"""`dargah up`."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import click
import uvloop

from proxy.app import running
from proxy.config import env_file
from proxy.config.settings import Settings, load
from proxy.demo.up import UpOptions, refuse_production, up
from proxy.http.connection_limits import keep_within_limit
from proxy.kernel.errors import StartRefused
from proxy.kernel.urls import origin_of
from proxy.observability import logs
from proxy.observability.logs import standard_lines
from proxy.operations import first_settings

_PORT = click.IntRange(0, 65535)


def _url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            origin_of(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return value


@click.command("up")
@click.option("--webhook-url", metavar="URL", callback=_url, help="Where webhooks go.  [default: here]")
@click.option("--simulator-port", type=_PORT, default=8090, show_default=True, help="The gateway simulator's port.")
@click.option("--webhook-port", type=_PORT, default=8091, show_default=True, help="Where they are received here.")
@click.pass_context
def up_command(ctx: click.Context, *, webhook_url: str | None, simulator_port: int, webhook_port: int) -> None:
    """Try Dargah on this machine: with a gateway simulator and a shop that is set up. No money moves.

    Makes dargah.env if there is none, starts everything, and prints what to paste, with the real values. Started again,
    it goes on with the same merchant, terminal and token. Ctrl-C ends it.
    """
    with standard_lines():
        keep_within_limit()
        file, settings = _settings(ctx.find_root().obj)
        given = settings.model_fields_set
        logs.configure(
            settings.log_level if "log_level" in given else "warning",
            settings.log_format if "log_format" in given else "console",
        )
        uvloop.run(_until_stopped(settings, UpOptions(file, simulator_port, webhook_port, webhook_url)))


def _settings(found: env_file.EnvFile | None) -> tuple[Path, Settings]:
    """The settings and their file, which is made where none was found. Raises StartRefused."""
    if found is not None:
        return found.path, load()
    if os.environ.get(env_file.VARIABLE) == "":
        raise StartRefused(f"`dargah up` keeps its settings in a file: unset {env_file.VARIABLE}, or name one by it")
    refuse_production(load(environment="development"))
    asyncio.run(first_settings.write(env_file.DEFAULT, {"DARGAH_ENVIRONMENT": "development"}))
    made = env_file.read(env_file.DEFAULT)
    env_file.apply(made)
    click.echo(f"made {made}: keep it, its key ring opens the secrets in the database", err=True)
    return made.path, load()


async def _until_stopped(settings: Settings, options: UpOptions) -> None:
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
    with suppress(asyncio.CancelledError):
        await up(settings, _serving(settings), options, click.echo)


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    async with running(settings) as dargah:
        yield dargah.url, dargah.admin_url
