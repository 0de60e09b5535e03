"""`dargah serve` and `dargah demo`."""

import asyncio
import contextlib
import ctypes
import gc
import importlib.util
import re
import resource
import signal
import sys
from functools import partial
from typing import Final

import click
import structlog
import uvloop

from proxy.app import Outside, running
from proxy.config.settings import Settings
from proxy.config.values import ProcessRole
from proxy.http.connection_limits import keep_within_limit, reported_limit
from proxy.kernel.errors import StartRefused, VaultError
from proxy.observability import logs
from proxy.observability.logs import LineWriter, standard_lines

# The exit code of a start that was refused.
REFUSED: Final = 2
# What libraries say where Python would raise MemoryError.
_NO_MEMORY: Final = re.compile(r"can't start new thread|[Cc]annot allocate memory|failed to map segment|out of memory")


@click.command()
@click.option(
    "--roles", metavar="ROLES", help="What this process does: api,watch,deliver, all by default. [env: DARGAH_ROLES]"
)
def serve(roles: str | None) -> None:
    """Run the payment proxy. The settings are those that `dargah config` shows."""
    with standard_lines() as (out, err):
        try:
            keep_within_limit()
            _serve(roles, out, err)
        except Exception as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            click.echo(f"Error: {refusal}", err=True)
            raise SystemExit(REFUSED) from None


def _serve(roles: str | None, out: LineWriter, err: LineWriter) -> None:
    # Where there is too little memory, even these imports can fail: their error is told as any other of a start.
    from proxy.cli.serve import run  # noqa: PLC0415
    from proxy.config.settings import load  # noqa: PLC0415

    settings = load() if roles is None else load(roles=roles)
    settings.check_serving()
    run(settings, out, err)


def _refusal(error: Exception) -> str | None:
    """The sentence to print instead of a trace; None for a bug of ours."""
    if isinstance(error, StartRefused | VaultError):
        return str(error)
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return f"there is not enough memory to go on: {reported_limit()}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the operating system says'}: {error.strerror}"
    return None


@click.command()
@click.option("--serve", is_flag=True, help="Leave it all up afterwards, and print links to pay in a browser.")
@click.option("--port", type=click.IntRange(1, 65535), help="Dargah's port; a free one when not given.")
def demo(*, serve: bool, port: int | None) -> None:
    """One whole payment on this machine, shown step by step.

    Starts a gateway simulator, Dargah and a small shop, sets them up as an operator would, pays, and exits 0 only when
    the shop was told the right amount and bank_code by a webhook whose signature is valid.
    """
    if importlib.util.find_spec("standardwebhooks") is None:
        raise click.ClickException("the demo's shop verifies with a library: pip install 'dargah[demo]'")
    from proxy.demo.stage import StageError  # noqa: PLC0415  the other commands need none of it
    from proxy.demo.story import play  # noqa: PLC0415

    async def until_stopped() -> None:
        # What was started is stopped, whichever way the demo is told to end.
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
        await play(serve=serve, port=port)

    with contextlib.suppress(asyncio.CancelledError):
        try:
            asyncio.run(until_stopped())
        except StageError as error:
            raise click.ClickException(str(error)) from error


log = structlog.get_logger()

PR_SET_DUMPABLE: Final = 4
# Nearly all garbage goes by its reference count; looking for cycles at CPython's 700 objects is 3 % of a create.
GC_THRESHOLDS: Final = (20_000, 20, 20)


def run(settings: Settings, out: LineWriter, err: LineWriter) -> None:
    """Serves until a signal ends it, then drains; `out` and `err` are the standard streams. Raises the errors of
    `running`.
    """
    keep_memory_private()
    logs.configure(settings.log_level, settings.log_format)
    err.on_flow = lambda count: log.warning("log_lines_dropped", count=count)

    async def serving() -> None:
        stop_signal: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        outside = Outside(
            dropped_lines=lambda: out.dropped + err.dropped, before_listening=partial(_hear_signals, stop_signal)
        )
        async with running(settings, outside) as dargah:
            # What lives until the end need not be looked at by every collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            click.echo(f"dargah ready on {dargah.url if ProcessRole.API in settings.roles else dargah.admin_url}")
            # Who presses Ctrl-C has no load balancer that must be told first.
            if await stop_signal is not signal.SIGINT:
                dargah.drain.linger_seconds = settings.unready_seconds

    uvloop.run(serving())


def keep_memory_private() -> None:
    """Prevents core dumps of this process, which would hold opened secrets, and reads of its memory by other users.

    The limit prevents dumps to files. A handler that the kernel pipes dumps to may ignore the limit, but is not called
    for a process that is not dumpable.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _hear_signals(stop_signal: asyncio.Future[signal.Signals]) -> None:
    """Sets the signal that ends the process: SIGTERM, SIGINT, or SIGHUP of a closing terminal, where nohup(1) lets it.

    A start that is not that far is ended by the signal itself.
    """
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if not stop_signal.done():
            stop_signal.set_result(number)

    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    for number in wanted:
        loop.add_signal_handler(number, stop, number)
