"""`dargah demo`: one whole payment on this machine, shown step by step."""

import asyncio
import contextlib
import importlib.util
import signal
import sys

import click


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

    async def until_told() -> None:
        # What was started is stopped, whichever way the demo is told to end.
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
        await play(serve=serve, port=port)

    with contextlib.suppress(asyncio.CancelledError):
        try:
            asyncio.run(until_told())
        except StageError as error:
            raise click.ClickException(str(error)) from error
