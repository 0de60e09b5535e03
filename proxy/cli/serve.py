"""`dargah serve` and `dargah demo`."""

import asyncio
import contextlib
import ctypes
import gc
import importlib.util
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import click
import structlog
import uvloop

from proxy.app import Outside, running
from proxy.cli.output import Refused
from proxy.cli.refusals import log_end
from proxy.cli.workers import Handed, Supervisor, SupervisorLink
from proxy.config import env_file
from proxy.config.settings import Settings, load
from proxy.config.values import ProcessRole
from proxy.http.connection_limits import keep_within_limit
from proxy.kernel import log_context
from proxy.observability import logs
from proxy.observability.logs import LineWriter, standard_lines


@click.command()
@click.option(
    "--roles", metavar="ROLES", help="What this process does: api,watch,deliver, all by default. [env: DARGAH_ROLES]"
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes behind the same port, on PostgreSQL: one for each core. [env: DARGAH_WORKERS]",
)
@click.option("--worker", "handed", hidden=True)
def serve(roles: str | None, workers: int | None, handed: str | None) -> None:
    """Run the payment proxy. The settings are those that `dargah config` shows."""
    said = {name: value for name, value in (("roles", roles), ("workers", workers)) if value is not None}
    with standard_lines() as (out, err):
        try:
            keep_within_limit()
            code = _serve(load(**said), said, None if handed is None else Handed.parse(handed), out, err)
        except Exception as error:
            log_end(error)
            raise
    sys.exit(code)


def _serve(
    settings: Settings, said: Mapping[str, object], handed: Handed | None, out: LineWriter, err: LineWriter
) -> int:
    """The exit code."""
    settings.check_serving()
    keep_memory_private()
    logs.configure(settings.log_level, settings.log_format)
    err.on_flow = lambda count: log.warning("log_lines_dropped", count=count)
    if handed is None and (file := env_file.applied()):
        log.info("settings_read", file=file)
    if handed is None and settings.workers > 1:
        return asyncio.run(_supervise(settings, [text for name in said for text in (f"--{name}", str(said[name]))]))
    run(settings, handed, lambda: out.dropped + err.dropped)
    return 0


async def _supervise(settings: Settings, options: Sequence[str]) -> int:
    supervisor = Supervisor(settings, options)
    _hear_signals(supervisor.end)
    code = await supervisor.run(_say_ready)
    return code if code >= 0 else 1


@click.command()
def demo() -> None:
    """One whole payment on this machine, shown step by step.

    Starts a gateway simulator, Dargah and a small shop, sets them up as an operator would, pays, and exits 0 only when
    the shop was told the right amount and bank_code by a webhook whose signature is valid. `dargah up` stays up.
    """
    if importlib.util.find_spec("standardwebhooks") is None:
        raise Refused("the demo's shop verifies with a library: `pip install standardwebhooks` into the same place")
    from proxy.demo.stage import StageError  # noqa: PLC0415  the other commands need none of it
    from proxy.demo.story import play  # noqa: PLC0415

    async def until_stopped() -> None:
        # What was started is stopped, whichever way the demo is told to end.
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
        await play()

    with contextlib.suppress(asyncio.CancelledError):
        try:
            asyncio.run(until_stopped())
        except StageError as error:
            raise click.ClickException(str(error)) from error


log = structlog.get_logger()

PR_SET_DUMPABLE: Final = 4


def run(settings: Settings, handed: Handed | None, dropped_lines: Callable[[], int]) -> None:
    """Serves until a signal, or the end of the supervisor that `handed` its sockets over; then drains. Raises the
    errors of `running`.
    """

    async def serving() -> None:
        stop_signal: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

        def stop(number: signal.Signals = signal.SIGTERM) -> None:
            if not stop_signal.done():
                stop_signal.set_result(number)

        channel = None if handed is None else SupervisorLink(handed, stop)
        outside = Outside(
            dropped_lines=dropped_lines,
            before_listening=partial(_hear_signals, stop),
            sockets=None if handed is None else handed.sockets(),
        )
        async with running(settings, outside) as dargah:
            # What lives until the end need not be looked at by every collection.
            gc.collect()
            gc.freeze()
            if channel is None:
                _say_ready(dargah.url if ProcessRole.API in settings.roles else dargah.admin_url)
            else:
                channel.ready()
            # Who presses Ctrl-C has no load balancer that must be told first.
            dargah.drain.reason = (await stop_signal).name
            if channel is not None:
                channel.ends()
            if stop_signal.result() is not signal.SIGINT:
                dargah.drain.linger_seconds = settings.unready_seconds

    if handed is not None:
        log_context.bind(worker=str(handed.number))
    uvloop.run(serving())


def _say_ready(url: str) -> None:
    click.echo(f"dargah ready on {url}")


def keep_memory_private() -> None:
    """Prevents core dumps of this process, which would hold opened secrets, and reads of its memory by other users.

    The limit prevents dumps to files. A handler that the kernel pipes dumps to may ignore the limit, but is not called
    for a process that is not dumpable.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _hear_signals(stop: Callable[[signal.Signals], None]) -> None:
    """Calls `stop` with the signal that ends the process: SIGTERM, SIGINT, or SIGHUP of a closing terminal, where
    nohup(1) lets it.

    A start that is not that far is ended by the signal itself.
    """
    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    for number in wanted:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
