"""The command `python -m tests.torture.sigkill`."""

import click

from .. import seed_option
from . import RATE, Plan, campaign
from .audit import run


@click.command()
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1))
@seed_option
@click.option("--rate", default=RATE, show_default=True, help="Payments a second that are begun.")
def main(kills: int, seed: int, rate: float) -> None:
    """Kill Dargah again and again, and look for money that went missing."""
    run("sigkill", seed, lambda folder: campaign(folder, Plan(seed, kills, rate=rate)))


if __name__ == "__main__":
    main()
