"""The command `python -m tests.torture.disk_faults`."""

import asyncio
import logging

import click
import structlog

from . import campaign


@click.command()
def main() -> None:
    """Fail the disk at every statement, and look for what was acknowledged and is not there."""
    # Each fault is logged with its stack, as it should be; thousands of them are not worth reading.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(campaign())
    click.echo("disk faults: no promise was broken")


if __name__ == "__main__":
    main()
